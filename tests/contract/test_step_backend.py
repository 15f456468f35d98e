"""Every back end keeps the step contract; so do the fakes that other tests use."""

from pathlib import Path

import numpy as np
import pytest

from streamer.backends.onnxruntime import OnnxRuntimeBackend
from streamer.errors import BackendError
from streamer.types import GestureState
from tests.contract.laws import batch, run, saved_state_continues, speechlike, verify_step_contract
from tests.fakes import NumpyBackend, offline, tiny_artifact


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifact(tmp_path_factory.mktemp("models") / "tiny")


def test_onnxruntime_keeps_the_contract(artifact: Path) -> None:
    verify_step_contract(lambda: OnnxRuntimeBackend(artifact), offline, steps=900)


def test_the_numpy_fake_keeps_the_contract() -> None:
    verify_step_contract(NumpyBackend, offline, steps=200)


def test_state_moves_between_back_ends(artifact: Path) -> None:
    def onnx() -> OnnxRuntimeBackend:
        return OnnxRuntimeBackend(artifact)

    # 1e-6: tanh and exp of numpy and onnxruntime differ in the last bit
    saved_state_continues(onnx, NumpyBackend, atol=1e-6)
    saved_state_continues(NumpyBackend, onnx, atol=1e-6)


def test_a_saved_state_of_another_model_is_refused(artifact: Path) -> None:
    for backend in (OnnxRuntimeBackend(artifact), NumpyBackend()):
        state = backend.initial_state(1)
        alien = GestureState(tensors={"h": np.zeros(3, np.float32)})
        with pytest.raises(BackendError, match="another model"):
            backend.restore(state, 0, alien)


def test_more_slots_than_the_largest_bucket(artifact: Path) -> None:
    """131 ready slots run as 128 + 3 and equal the session alone."""
    backend = OnnxRuntimeBackend(artifact)
    inputs = speechlike(backend.spec, 3, seed=9)
    alone, _ = run(backend, inputs)
    state = backend.initial_state(131)
    for step, x in enumerate(inputs):
        outputs, state = backend.step(batch(backend.spec, [x] * 131, [step == 0] * 131), state)
        want = np.broadcast_to(alone["directions"][step], outputs["directions"].shape)
        np.testing.assert_allclose(outputs["directions"], want, atol=1e-6, rtol=0)
