"""onnxruntime's GPU providers over a fake CUDA; real ones in `tests/contract/test_gpu.py`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from streamer.backends.cuda import Cuda
from streamer.backends.onnxruntime import OnnxRuntimeBackend
from streamer.backends.onnxruntime_gpu import OnnxRuntimeGpuBackend, build_provider_engine
from streamer.backends.onnxruntime_providers import BUILT, Kind, load_onnxruntime
from streamer.backends.precision import Precision
from streamer.backends.tensorrt_api import Api
from streamer.errors import BackendError
from tests.contract.laws import (
    batch,
    run,
    saved_state_continues,
    speechlike,
    verify_step_contract,
)
from tests.fake_gpu import FakeCuda, FakeTensorRt
from tests.fake_ort import CPU, CUDA, TENSORRT, FakeOnnxRuntime
from tests.fakes import offline, tiny_artifact

ON_CUDA: Kind = "onnxruntime-cuda"
ON_TENSORRT: Kind = "onnxruntime-tensorrt"


class Machine:
    """A GPU machine with onnxruntime-gpu and a cache of engines."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self.cache = folder, cache
        self.cuda = FakeCuda()
        self.trt = FakeTensorRt(self.cuda)
        self.ort = FakeOnnxRuntime(self.cuda)
        self.told: list[str] = []

    def build(self, slots: int = 16) -> Path:
        cuda = Cuda(self.cuda)
        try:
            _, mark = build_provider_engine(
                self.folder,
                slots=slots,
                cuda=cuda,
                api=Api(self.trt),
                module=self.ort,
                cache=self.cache,
                tell=self.told.append,
            )
        finally:
            cuda.close()
        return mark

    def backend(
        self, kind: Kind, slots: int = 1, precision: Precision = "float32"
    ) -> OnnxRuntimeGpuBackend:
        return OnnxRuntimeGpuBackend(
            self.folder,
            kind,
            slots=slots,
            precision=precision,
            cache=self.cache,
            make_cuda=lambda: Cuda(self.cuda),
            make_api=lambda: Api(self.trt),
            make_runtime=lambda kind: self.ort,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tiny_artifact(tmp_path / "tiny"), tmp_path / "cache")


KINDS = pytest.mark.parametrize("kind", [ON_CUDA, ON_TENSORRT])


@KINDS
def test_it_keeps_every_law_of_a_step(machine: Machine, kind: Kind) -> None:
    machine.build()
    verify_step_contract(lambda: machine.backend(kind), offline, steps=120)
    assert machine.cuda.device == {} == machine.cuda.host, "memory that nobody gave back"
    assert machine.cuda.queues == {}
    assert machine.ort.builds == 1, "it built while it was to run"


@KINDS
def test_state_moves_to_and_from_the_cpu(machine: Machine, kind: Kind) -> None:
    machine.build()
    saved_state_continues(
        lambda: machine.backend(kind), lambda: OnnxRuntimeBackend(machine.folder), atol=1e-6
    )
    saved_state_continues(
        lambda: OnnxRuntimeBackend(machine.folder), lambda: machine.backend(kind), atol=1e-6
    )


def test_the_state_stays_on_the_device_and_is_bound_once(machine: Machine) -> None:
    backend = machine.backend(ON_CUDA)
    state = backend.initial_state(1)
    one, other = machine.ort.bindings
    machine.cuda.calls.clear()
    run(backend, speechlike(backend.spec, 4, seed=1), state)
    step = ["cudaMemcpyAsync", "cudaStreamSynchronize", "run"] * 4
    step = [call for i in range(0, 12, 3) for call in (*step[i : i + 3], *step[:2])]
    assert machine.cuda.calls == step, "two copies a step, whatever the size of the state"
    assert machine.ort.bindings == [one, other]
    for name in (t.name for t in backend.spec.state):
        here, there = one.inputs[name].address, one.outputs[f"next_{name}"].address
        assert other.inputs[name].address == there != here
        assert other.outputs[f"next_{name}"].address == here


@pytest.mark.parametrize(("precision", "tf32"), [("float32", "0"), ("tf32", "1")])
def test_tf32_is_used_only_where_it_was_asked_for(
    machine: Machine, precision: Precision, tf32: str
) -> None:
    backend = machine.backend(ON_CUDA, precision=precision)
    assert machine.ort.options[CUDA]["use_tf32"] == tf32
    assert backend.precision == precision


@pytest.mark.parametrize("call", ["run", "cudaMemcpyAsync"])
def test_after_a_failure_nothing_can_be_read(machine: Machine, call: str) -> None:
    backend = machine.backend(ON_CUDA)
    inputs = speechlike(backend.spec, 4, seed=1)
    _, state = run(backend, inputs[:3])
    machine.cuda.fail[call] = 0
    with pytest.raises(BackendError, match=r"onnxruntime-cuda: .*(illegal memory|IllegalAddress)"):
        run(backend, inputs[3:], state, first=False)
    machine.cuda.fail.clear()
    with pytest.raises(BackendError, match="lost"):
        backend.save(state, 0)
    with pytest.raises(BackendError, match="lost"):
        backend.step(batch(backend.spec, [inputs[0]], [True]), state)
    backend.close()  # even now it does not raise


def test_out_of_memory_says_how_many_would_fit(machine: Machine) -> None:
    backend = machine.backend(ON_CUDA)
    machine.cuda.memory = 100_000
    with pytest.raises(BackendError, match=r"64 slots do not fit into 0 MB.*about \d+ would") as e:
        backend.initial_state(64)
    fit = int(str(e.value).split("about ")[1].split()[0])
    assert 0 < fit < 64
    assert machine.cuda.device == {}, "what was allocated before was not freed"
    backend.initial_state(max(fit // 2, 1))


def no_driver(m: Machine) -> None:
    m.cuda.driver = 0


def no_libraries(m: Machine) -> None:
    m.ort.libraries = False


def other_gpu(m: Machine) -> None:
    m.cuda.gpu = "NVIDIA Other"


def other_onnxruntime(m: Machine) -> None:
    m.ort.__version__ = "1.40.0"


def half_built(m: Machine) -> None:
    """A build that was broken off left its folder without the mark."""
    for mark in m.cache.glob(f"*.ort/{BUILT}"):
        mark.unlink()


def corrupt(m: Machine) -> None:
    for mark in m.cache.glob(f"*.ort/{BUILT}"):
        mark.write_text("{}")


@pytest.mark.parametrize(
    ("spoil", "kind", "reason"),
    [
        (no_driver, ON_CUDA, "no NVIDIA driver answers"),
        (no_libraries, ON_CUDA, "cannot load its CUDAExecutionProvider: pip .*onnxruntime-gpu"),
        (no_libraries, ON_TENSORRT, "cannot load its TensorrtExecutionProvider"),
        (
            other_gpu,
            ON_TENSORRT,
            r"is for NVIDIA Fake RTX.*NVIDIA Other.*--backend onnxr.*tensorrt",
        ),
        (other_onnxruntime, ON_TENSORRT, "in onnxruntime 1.31.1, this is .* in onnxruntime 1.40"),
        (half_built, ON_TENSORRT, "no engine has been built for this model; gesture engine build"),
        (corrupt, ON_TENSORRT, "no engine has been built for this model"),
    ],
)
def test_what_cannot_run_says_why(
    machine: Machine, spoil: Callable[[Machine], None], kind: Kind, reason: str
) -> None:
    machine.build()
    spoil(machine)
    with pytest.raises(BackendError, match=reason):
        machine.backend(kind)
    assert machine.cuda.device == {} == machine.cuda.queues
    assert machine.ort.builds == 1


def test_more_slots_than_the_engine_takes(machine: Machine) -> None:
    machine.build(slots=4)
    machine.build(slots=16)
    with pytest.raises(BackendError, match=r"takes 16 slots, 17 are wanted; .*--slots 17"):
        machine.backend(ON_TENSORRT, slots=17)
    with pytest.raises(BackendError, match=r"takes 4 slots, 5 are wanted; .*--slots 5 --backend"):
        machine.backend(ON_TENSORRT, slots=3).initial_state(5)


def test_building_halves_where_memory_is_short(machine: Machine) -> None:
    machine.ort.largest = 20
    mark = machine.build(slots=64)
    assert json.loads(mark.read_text())["slots"] == 16
    assert any("64 slots do not fit" in line and "trying 32" in line for line in machine.told)
    machine.ort.largest = 0
    with pytest.raises(BackendError, match=r"onnxruntime-tensorrt: .*out of memory"):
        machine.build(slots=1)
    assert machine.cuda.device == {} == machine.cuda.host


def test_an_engine_that_holds_nothing_is_no_engine(machine: Machine) -> None:
    machine.ort.takes = False
    with pytest.raises(BackendError, match="TensorRT took no part of tiny"):
        machine.build()
    assert list(machine.cache.glob(f"*/{BUILT}")) == []


def test_an_onnxruntime_without_the_provider_says_what_to_install(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found: dict[str, FakeOnnxRuntime] = {"onnxruntime": machine.ort}
    monkeypatch.setattr("streamer.backends.onnxruntime_providers.import_module", found.__getitem__)
    assert load_onnxruntime(ON_CUDA) is machine.ort
    assert capsys.readouterr().out == "", "standard output is for --json"
    machine.ort.available = [CUDA, CPU]
    with pytest.raises(BackendError, match=f"no {TENSORRT}: pip uninstall onnxruntime, then"):
        load_onnxruntime(ON_TENSORRT)
