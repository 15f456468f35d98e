"""Building TensorRT engines and keeping them, outside the artifact.

A cached engine is one file: a line of JSON that says what it was built for and
the SHA-256 of what follows, then the engine as TensorRT serialised it.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import platformdirs

from streamer.backends.cuda import Cuda
from streamer.backends.onnxruntime_session import graph_name
from streamer.backends.precision import Precision
from streamer.backends.tensorrt_api import Api, TensorEngine
from streamer.errors import ArtifactError, BackendError
from streamer.spec import ModelSpec, TensorSpec, load_manifest

FORMAT = 1
_WORKSPACE = 4 << 30
_LONGEST_HEADER = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineKey:
    """What an engine was built for; it fits nothing else.

    digest: SHA-256 of the ONNX graph. slots: the most that it takes.
    """

    digest: str
    precision: Precision
    slots: int
    gpu: str
    capability: str
    tensorrt: str

    @property
    def file_name(self) -> str:
        """Name of its file in the cache."""
        gpu = re.sub(r"[^A-Za-z0-9]+", "-", self.gpu).strip("-")
        return (
            f"{self.digest[:16]}-{self.precision}-{self.slots}-{gpu}-sm{self.capability}"
            f"-trt{self.tensorrt}.engine"
        )


def engine_cache() -> Path:
    """Return the folder of built engines."""
    return platformdirs.user_cache_path("gesture-streamer") / "engines"


def engine_key(folder: Path, precision: Precision, slots: int, cuda: Cuda, api: Api) -> EngineKey:
    """Return the key of an artifact's engine on this machine."""
    gpu = cuda.gpu
    return EngineKey(
        digest=load_manifest(folder).files[_graph(folder, precision).name],
        precision=precision,
        slots=slots,
        gpu=gpu.name,
        capability=gpu.capability,
        tensorrt=api.version,
    )


def find_engine(
    cache: Path, wanted: EngineKey, *, pattern: str = "*.engine", backend: str = "tensorrt"
) -> tuple[EngineKey, Path]:
    """Return the smallest cached engine that takes `wanted.slots`.

    pattern: the files whose first line is a key; backend: whose they are. Raises
    `BackendError` saying what is there instead: other slots, another GPU, another
    TensorRT, another model.
    """
    found = [(key, path) for path in sorted(cache.glob(pattern)) if (key := _key_of(path))]
    fits = [kp for kp in found if replace(kp[0], slots=wanted.slots) == wanted]
    enough = [kp for kp in fits if kp[0].slots >= wanted.slots]
    if enough:
        return min(enough, key=lambda kp: kp[0].slots)
    remedy = f"gesture engine build --slots {wanted.slots} --precision {wanted.precision}"
    if backend != "tensorrt":
        remedy = f"{remedy} --backend {backend}"
    if fits:
        most = max(key.slots for key, _ in fits)
        raise BackendError(f"the engine takes {most} slots, {wanted.slots} are wanted; {remedy}")
    for key, _ in found:
        if key.digest == wanted.digest and key.precision == wanted.precision:
            raise BackendError(
                f"the engine is for {key.gpu} (sm{key.capability}) and TensorRT {key.tensorrt}, "
                f"this is {wanted.gpu} (sm{wanted.capability}) and {wanted.tensorrt}; {remedy}"
            )
    raise BackendError(f"no engine has been built for this model; {remedy}")


def load_engine(path: Path, key: EngineKey, api: Api) -> TensorEngine:
    """Deserialise a cached engine; raises `BackendError` for one that is corrupt."""
    remedy = f"gesture engine build --slots {key.slots} --precision {key.precision}"
    try:
        header, _, body = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise BackendError(f"{path}: {error.strerror}; {remedy}") from error
    told = _header(header)
    if told is None or told.get("sha256") != hashlib.sha256(body).hexdigest():
        raise BackendError(f"{path}: the engine is corrupt; {remedy}")
    engine = api.runtime().deserialize_cuda_engine(body)
    if engine is None:
        raise BackendError(f"{path}: TensorRT refuses it ({api.reason()}); {remedy}")
    return engine


def build_engine(
    folder: Path,
    *,
    precision: Precision,
    slots: int,
    cuda: Cuda,
    api: Api,
    cache: Path,
    tell: Callable[[str], None],
) -> tuple[EngineKey, Path]:
    """Build an engine for 1 to `slots` sessions and keep it (minutes).

    tell: is given progress as text. Where memory does not suffice it builds for
    half as many slots, and says so. Raises `BackendError` with TensorRT's reason.
    """
    graph = _graph(folder, precision)
    spec = load_manifest(folder).spec
    key = engine_key(folder, precision, slots, cuda, api)
    cache.mkdir(parents=True, exist_ok=True)
    timings = cache / f"timings-sm{key.capability}-trt{key.tensorrt}.cache"
    while True:
        tell(f"building {spec.name}, {precision}, {key.slots} slots, on {key.gpu}")
        body = _build(graph, spec, key, api, timings, tell)
        if body is not None:
            break
        reason = api.reason()
        if "memory" not in reason.lower() or key.slots == 1:
            raise BackendError(f"{graph.name}: TensorRT could not build it: {reason}")
        tell(f"{key.slots} slots do not fit ({reason}); trying {key.slots // 2}")
        key = replace(key, slots=key.slots // 2)
    told = {"format": FORMAT, **asdict(key), "sha256": hashlib.sha256(body).hexdigest()}
    path = cache / key.file_name
    part = path.with_suffix(".part")
    part.write_bytes(json.dumps(told).encode() + b"\n" + body)
    part.replace(path)
    return key, path


def trtexec_command(folder: Path, spec: ModelSpec, precision: Precision, slots: int) -> str:
    """Return the command of NVIDIA's own tool that builds the same engine."""
    shapes = [(name, (*shape,)) for name, shape in input_shapes(spec)]

    def sized(count: int) -> str:
        return ",".join(f"{n}:{'x'.join(map(str, (count, *shape)))}" for n, shape in shapes)

    tf32 = "" if precision == "tf32" else " --noTF32"
    return (
        f"trtexec --onnx={_graph(folder, precision)} --stronglyTyped{tf32} "
        f"--minShapes={sized(1)} --optShapes={sized(slots)} --maxShapes={sized(slots)}"
    )


def _build(
    graph: Path,
    spec: ModelSpec,
    key: EngineKey,
    api: Api,
    timings: Path,
    tell: Callable[[str], None],
) -> bytes | None:
    module = api.module
    builder = api.builder()
    # 11.x is always so and ignores the flag: precision lives in the graph
    flag = 1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flag)
    parser = api.parser(network)
    if not parser.parse(graph.read_bytes()):
        said = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise BackendError(f"{graph.name}: TensorRT cannot read it: {said}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(module.MemoryPoolType.WORKSPACE, _WORKSPACE)
    tf32 = module.BuilderFlag.TF32
    (config.set_flag if key.precision == "tf32" else config.clear_flag)(tf32)
    profile = builder.create_optimization_profile()
    for name, shape in input_shapes(spec):
        full = (key.slots, *shape)
        profile.set_shape(name, (1, *shape), full, full)
    config.add_optimization_profile(profile)
    config.set_timing_cache(
        config.create_timing_cache(timings.read_bytes() if timings.is_file() else b""), True
    )
    config.progress_monitor = monitor = _monitor(module, tell)
    body = builder.build_serialized_network(network, config)
    del monitor
    if body is None:
        return None
    timings.write_bytes(bytes(config.get_timing_cache().serialize()))
    return bytes(body)


def _monitor(module: Any, tell: Callable[[str], None]) -> Any:
    """Return a progress monitor that tells of the outermost phase's steps."""

    class Monitor(module.IProgressMonitor):
        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)
            self._steps = dict[str, int]()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            tell(f"{phase_name}: {step + 1} of {self._steps.get(phase_name, 0)}")
            return True

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    return Monitor()


def input_shapes(spec: ModelSpec) -> list[tuple[str, tuple[int, ...]]]:
    """Return name and shape, without the slot axis, of each input of the graph."""
    masks = (TensorSpec(name="start", shape=()), TensorSpec(name="ready", shape=()))
    return [(t.name, t.shape) for t in (*spec.inputs, *masks, *spec.state)]


def _graph(folder: Path, precision: Precision) -> Path:
    written_out = folder / "model.cells.onnx"  # of networks whose GRUs are nodes elsewhere
    if precision == "float32" and written_out.is_file():
        return written_out
    path = folder / graph_name(precision)
    if not path.is_file():
        raise ArtifactError(
            f"{folder.name} has no {path.name}; python -m export build --precision fp16 writes it"
        )
    return path


def _key_of(path: Path) -> EngineKey | None:
    """Return the key in a file's header; None for what is no engine of ours."""
    try:
        with path.open("rb") as file:
            told = _header(file.readline(_LONGEST_HEADER).rstrip(b"\n"))
    except OSError:
        return None
    if told is None or told.pop("format", None) != FORMAT:
        return None
    told.pop("sha256", None)
    try:
        return EngineKey(**told)
    except TypeError:
        return None


def _header(line: bytes) -> dict[str, Any] | None:
    try:
        told = json.loads(line)
    except (ValueError, UnicodeDecodeError):
        return None
    return cast(dict[str, Any], told) if isinstance(told, dict) else None
