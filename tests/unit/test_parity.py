"""How lower precisions are compared: from the same state, decisions counted and set apart."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from export import parity
from export.__main__ import main
from export.parity import rounding
from models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from streamer.errors import ArtifactError
from streamer.spec import TensorSpec
from streamer.types import GestureState, StepInputs, Tensors
from tests.stream_networks import tiny_hop


@dataclass(frozen=True)
class Spec:
    """What `rounding` reads of a spec."""

    state: tuple[TensorSpec, ...] = (
        TensorSpec(name="sum", shape=(1,)),
        TensorSpec(name="move", shape=(2,)),
    )


@dataclass
class Counter:
    """A back end whose state is the sum of its inputs; it decides whether that is large."""

    error: float = 0.0
    spec: Spec = field(default_factory=Spec)

    def initial_state(self, slots: int) -> dict[str, np.ndarray]:
        return {"sum": np.zeros((slots, 1)), "move": np.zeros((slots, 2))}

    def step(
        self, inputs: StepInputs, state: dict[str, np.ndarray]
    ) -> tuple[Tensors, dict[str, np.ndarray]]:
        total = state["sum"] + inputs.tensors["x"] + self.error
        large = total > 10.0005
        move = np.concatenate([~large, large], -1).astype(float)
        directions = np.where(large[..., None], 100.0, total[..., None])
        return {"directions": directions}, {"sum": total, "move": move}

    def save(self, state: dict[str, np.ndarray], slot: int) -> GestureState:
        return GestureState(tensors={n: a[slot].copy() for n, a in state.items()})

    def restore(
        self, state: dict[str, np.ndarray], slot: int, saved: GestureState
    ) -> dict[str, np.ndarray]:
        for name, array in state.items():
            array[slot] = saved.tensors[name]
        return state


STEPS = [{"x": np.array([1.0])}] * 20


def test_errors_do_not_add_up_and_a_flip_is_counted_not_compared() -> None:
    found = rounding(Counter(), Counter(error=0.001), STEPS)  # type: ignore[arg-type]
    # each step is 0.001 off, the tenth decides otherwise: 10 against 10.001
    assert found.worst == pytest.approx(0.001)
    assert found.flips == 1 / 20
    # those after it, with one decision, are equal
    assert found.mean == pytest.approx(0.001 * 9 / 19)


def test_a_network_that_decides_nothing_has_no_flips() -> None:
    spec = Spec(state=(TensorSpec(name="sum", shape=(1,)),))
    found = rounding(Counter(spec=spec), Counter(error=0.001, spec=spec), STEPS)  # type: ignore[arg-type]
    assert found.flips == 0
    assert found.worst == pytest.approx(90, abs=0.1), "the tenth step is compared as any other"


def test_the_probe_has_words_silence_and_voice() -> None:
    signal = parity.probe_signal(4.0, 1)
    assert np.abs(signal).max() > 0.05
    assert np.sqrt(np.square(signal.reshape(-1, 1600)).mean(1)).min() < 0.005


def test_export_says_in_one_line_what_is_wrong(
    tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "made")
    assert main(["untrained", "hop_stream", "--preset", "tall", "-o", out]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("export: hop_stream has no preset 'tall'; there are ")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"hop_stream"', '"lstm"', "network 'lstm' is no streaming network"),
        ('"rhythm": 6', '"tempo": 6', "is of another version"),
        ('"hidden": 12', '"hidden": 13', "weights do not fit"),
    ],
)
def test_a_checkpoint_that_does_not_fit_says_why(tmp_path, old: str, new: str, said: str) -> None:
    run = tmp_path / "run"
    save_checkpoint(run, Checkpoint(name="x", preset="t", network=tiny_hop(), provenance={}))
    described = (run / "checkpoint.json").read_text()
    assert old in described
    (run / "checkpoint.json").write_text(described.replace(old, new))
    with pytest.raises(ArtifactError, match=said):
        load_checkpoint(run)
