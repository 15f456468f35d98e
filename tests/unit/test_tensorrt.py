"""The TensorRT back end over a fake CUDA and TensorRT that obey the same interfaces."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from streamer.backends.cuda import Cuda
from streamer.backends.loading import choose_backend
from streamer.backends.onnxruntime import OnnxRuntimeBackend
from streamer.backends.tensorrt import TensorRtBackend
from streamer.backends.tensorrt_api import Api
from streamer.backends.tensorrt_engine import build_engine, find_engine, trtexec_command
from streamer.errors import ArtifactError, BackendError
from streamer.spec import load_manifest
from tests.contract.laws import (
    batch,
    run,
    saved_state_continues,
    speechlike,
    verify_step_contract,
)
from tests.fake_gpu import FakeCuda, FakeTensorRt
from tests.fakes import Steps, offline, tiny_artifact


class Machine:
    """A GPU machine with a cache of engines."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self.cache = folder, cache
        self.cuda = FakeCuda()
        self.trt = FakeTensorRt(self.cuda)
        self.told: list[str] = []

    def build(self, slots: int = 16, **options: Any) -> Any:
        cuda = Cuda(self.cuda)
        try:
            return build_engine(
                self.folder,
                precision=options.pop("precision", "float32"),
                slots=slots,
                cuda=cuda,
                api=Api(self.trt),
                cache=self.cache,
                tell=self.told.append,
            )
        finally:
            cuda.close()

    def backend(self, slots: int = 1) -> TensorRtBackend:
        return TensorRtBackend(
            self.folder,
            slots=slots,
            cache=self.cache,
            make_cuda=lambda: Cuda(self.cuda),
            make_api=lambda: Api(self.trt),
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tiny_artifact(tmp_path / "tiny"), tmp_path / "cache")


def test_it_keeps_every_law_of_a_step(machine: Machine) -> None:
    machine.build()
    verify_step_contract(machine.backend, offline, steps=200)
    assert machine.cuda.device == {} == machine.cuda.host, "memory that nobody gave back"
    assert machine.cuda.graphs == {} == machine.cuda.queues


def test_state_moves_to_and_from_onnxruntime(machine: Machine) -> None:
    machine.build()
    saved_state_continues(machine.backend, lambda: OnnxRuntimeBackend(machine.folder), atol=1e-6)
    saved_state_continues(lambda: OnnxRuntimeBackend(machine.folder), machine.backend, atol=1e-6)


def test_a_step_is_one_graph_and_binds_nothing(machine: Machine) -> None:
    machine.build()
    backend = machine.backend()
    inputs = speechlike(backend.spec, 6, seed=1)
    state = backend.initial_state(1)
    assert len(machine.trt.contexts) == 2
    bound = [context.bindings for context in machine.trt.contexts]
    machine.cuda.calls.clear()
    run(backend, inputs, state)
    assert machine.cuda.calls == ["cudaGraphLaunch", "cudaStreamSynchronize"] * 6
    assert [context.bindings for context in machine.trt.contexts] == bound
    one, other = (context.addresses for context in machine.trt.contexts)
    for name in (t.name for t in backend.spec.state):
        assert one[name] == other[f"next_{name}"] != one[f"next_{name}"] == other[name]
    for name in (t.name for t in (*backend.spec.inputs, *backend.spec.outputs)):
        assert one[name] == other[name]


def test_a_driver_that_cannot_capture_runs_without_graphs(machine: Machine) -> None:
    machine.build()
    machine.cuda.captures = False
    verify_step_contract(machine.backend, offline, steps=40)
    assert "cudaGraphLaunch" not in machine.cuda.calls


@pytest.mark.parametrize("call", ["cudaGraphLaunch", "cudaStreamSynchronize"])
def test_after_a_cuda_error_nothing_can_be_read(machine: Machine, call: str) -> None:
    machine.build()
    backend = machine.backend()
    inputs = speechlike(backend.spec, 4, seed=1)
    _, state = run(backend, inputs[:3])
    machine.cuda.fail[call] = 0
    with pytest.raises(BackendError, match=f"tensorrt: {call}: cudaErrorIllegalAddress"):
        run(backend, inputs[3:], state, first=False)
    machine.cuda.fail.clear()
    with pytest.raises(BackendError, match="lost"):
        backend.save(state, 0)
    with pytest.raises(BackendError, match="lost"):
        backend.step(batch(backend.spec, [inputs[0]], [True]), state)
    backend.close()  # even now it does not raise


def test_a_dropped_state_gives_its_memory_back(machine: Machine) -> None:
    machine.build()
    backend = machine.backend()
    machine.cuda.device.clear()
    state = backend.initial_state(2)
    used = len(machine.cuda.device)
    for _ in range(3):
        state = backend.initial_state(2)
    assert used == len(machine.cuda.device)
    del state
    assert machine.cuda.device == {}


def test_out_of_memory_says_how_many_would_fit(machine: Machine) -> None:
    machine.build(slots=64)
    backend = machine.backend()
    machine.cuda.memory = 100_000
    with pytest.raises(BackendError, match=r"64 slots do not fit into 0 MB.*about \d+ would") as e:
        backend.initial_state(64)
    fit = int(str(e.value).split("about ")[1].split()[0])
    assert 0 < fit < 64
    assert machine.cuda.device == {}, "what was allocated before was not freed"
    backend.initial_state(max(fit // 2, 1))


def no_driver(m: Machine) -> None:
    m.cuda.driver = 0


def no_gpu(m: Machine) -> None:
    m.cuda.gpus = 0


def other_gpu(m: Machine) -> None:
    m.cuda.gpu = "NVIDIA Other"


def other_tensorrt(m: Machine) -> None:
    m.trt.__version__ = "10.13.0"


def spoilt(m: Machine) -> None:
    (path,) = m.cache.glob("*.engine")
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def refused(m: Machine) -> None:
    """An engine with a right digest that TensorRT cannot read."""
    (path,) = m.cache.glob("*.engine")
    told = json.loads(path.read_bytes().partition(b"\n")[0])
    told["sha256"] = hashlib.sha256(b"xyz").hexdigest()
    path.write_bytes(json.dumps(told).encode() + b"\nxyz")


def other_model(m: Machine) -> None:
    tiny_artifact(m.folder, seed=8)


def short_of_memory(m: Machine) -> None:
    m.cuda.memory = 40_000


def empty(m: Machine) -> None:
    for path in m.cache.glob("*.engine"):
        path.write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (no_driver, "no NVIDIA driver answers"),
        (no_gpu, "no GPU"),
        (other_gpu, r"is for NVIDIA Fake RTX \(sm8.9\).*this is NVIDIA Other.*engine build"),
        (other_tensorrt, "TensorRT 11.4.0.106, this is .* 10.13.0.*engine build"),
        (spoilt, "corrupt; gesture engine build"),
        (refused, "refuses it .Serialization assertion.*engine build"),
        (other_model, "no engine has been built for this model; gesture engine build"),
        (empty, "no engine has been built"),
    ],
)
def test_what_cannot_run_says_why(
    machine: Machine, spoil: Callable[[Machine], None], reason: str
) -> None:
    machine.build()
    spoil(machine)
    with pytest.raises(BackendError, match=reason):
        machine.backend()
    assert machine.cuda.device == {} == machine.cuda.queues


def test_an_engine_with_other_tensors_is_refused(machine: Machine) -> None:
    """Its file is whole and its key is right, and yet it is another network."""
    _, path = machine.build()
    header, _, body = path.read_bytes().partition(b"\n")
    start = body.index(b"\n") + 1
    model = onnx.load_from_string(body[start:])
    next(o for o in model.graph.output if o.name == "voice").name = "whisper"
    for node in model.graph.node:
        node.output[:] = ["whisper" if name == "voice" else name for name in node.output]
    body = body[:start] + model.SerializeToString()
    told = json.loads(header) | {"sha256": hashlib.sha256(body).hexdigest()}
    path.write_bytes(json.dumps(told).encode() + b"\n" + body)
    with pytest.raises(BackendError, match=r"tensor 'voice' is missing, the manifest says"):
        machine.backend()


def test_the_smallest_engine_that_is_large_enough_is_taken(machine: Machine) -> None:
    machine.build(slots=4)
    machine.build(slots=16)
    machine.build(slots=64)
    assert [machine.backend(n).key.slots for n in (1, 4, 5, 64)] == [4, 4, 16, 64]
    with pytest.raises(BackendError, match=r"takes 64 slots, 65 are wanted; .*--slots 65"):
        machine.backend(65)
    with pytest.raises(BackendError, match="takes 4 slots, 5 are wanted"):
        machine.backend(4).initial_state(5)


def test_building_shows_progress_and_halves_where_memory_is_short(machine: Machine) -> None:
    machine.trt.largest = 20
    key, path = machine.build(slots=64)
    assert (key.slots, path.parent) == (16, machine.cache)
    assert "Building Engine: 2 of 2" in machine.told
    assert any("64 slots do not fit" in line and "trying 32" in line for line in machine.told)
    assert find_engine(machine.cache, key) == (key, path)


def test_building_gives_tensorrts_reason(machine: Machine) -> None:
    machine.trt.largest = 0
    with pytest.raises(BackendError, match="could not build it: Requested amount of GPU memory"):
        machine.build(slots=1)
    assert list(machine.cache.glob("*.engine")) == []


def test_tf32_is_a_flag_and_half_is_a_graph(machine: Machine) -> None:
    machine.build()
    assert machine.trt.flags == set()
    machine.build(precision="tf32")
    assert machine.trt.flags == {7}
    with pytest.raises(ArtifactError, match=r"no model\.fp16\.onnx.*--precision fp16"):
        machine.build(precision="float16")


def test_trtexec_gets_the_same_shapes(machine: Machine) -> None:
    spec = load_manifest(machine.folder).spec
    command = trtexec_command(machine.folder, spec, "float32", 8)
    assert command.startswith(f"trtexec --onnx={machine.folder / 'model.onnx'} --stronglyTyped")
    columns, window = spec.inputs[0].shape
    assert f"--maxShapes=audio:8x{columns}x{window}," in command
    assert "ready:8" in command


def test_outputs_are_the_callers_own(machine: Machine) -> None:
    machine.build()
    backend = machine.backend()
    inputs = speechlike(backend.spec, 2, seed=1)
    state = backend.initial_state(1)
    first, state = backend.step(batch(backend.spec, [inputs[0]], [True]), state)
    kept = first["directions"].copy()
    backend.step(batch(backend.spec, [inputs[1]], [False]), state)
    np.testing.assert_array_equal(first["directions"], kept)


@pytest.mark.parametrize("name", ["tensorrt", "auto"])
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (no_driver, "no NVIDIA driver"),
        (other_gpu, "is for NVIDIA Fake RTX"),
        (other_tensorrt, "and TensorRT 11.4.0.106, this is"),
        (spoilt, "corrupt"),
        (refused, "TensorRT refuses it"),
        (other_model, "no engine has been built for this model"),
        (short_of_memory, r"8 slots do not fit into \d+ MB of free GPU memory; about \d would"),
    ],
)
def test_whatever_is_wrong_onnxruntime_runs_and_the_reason_is_told(
    machine: Machine, spoil: Callable[[Machine], None], reason: str, name: str
) -> None:
    machine.build()
    spoil(machine)
    choice = choose_backend(
        name,
        machine.folder,
        slots=8,
        make_gpu=lambda: machine.backend(8),
        clock=Steps(0.02),
    )
    assert choice.name == "onnxruntime"
    assert re.search(f"not tensorrt: .*{reason}", choice.reason), choice.reason
    backend = choice.make()
    outputs, _ = run(backend, speechlike(backend.spec, 2, seed=1))
    assert np.isfinite(outputs["directions"]).all()
    assert machine.cuda.device == {}, "memory that nobody gave back"
