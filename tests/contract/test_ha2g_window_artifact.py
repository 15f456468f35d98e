"""`ha2g_window` exported: the six laws, with the published network window by window beside it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from export.window import build_window, verify_window
from export.window_offline import ha2g_offline
from export.window_sources import ha2g_source
from models.ha2g import HA2G
from models.ha2g_window import HA2GWindow
from streamer.backends.onnxruntime import OnnxRuntimeBackend
from streamer.errors import ArtifactError
from streamer.spec import load_manifest
from streamer.types import Tensors
from tests.contract.laws import run, speechlike, verify_step_contract
from tests.contract.streaming import any_partition_is_the_same, it_goes_on, the_past_stands
from tests.golden_files import one_thread  # noqa: F401  (an autouse fixture)
from tests.window_networks import narrow_ha2g

STYLES = ("nobody", "ann", "bob")


def built(folder: Path, network: HA2G, frames: int = 1) -> Path:
    source = ha2g_source(
        network,
        name="narrow",
        styles=STYLES,
        default_style="ann",
        words={"<PAD>": 0, "<UNK>": 3, "we": 4, "really": 5},
        texts={},
        files={},
        licence="none",
        provenance={},
    )
    parity = build_window(source, folder, frames=frames, steps=6)
    assert parity.frames == 6 * frames
    return folder


@pytest.fixture(scope="module")
def network() -> HA2G:
    return narrow_ha2g()


@pytest.fixture(scope="module")
def artifacts(network: HA2G, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The same network in steps of one and of three frames."""
    folder = tmp_path_factory.mktemp("artifacts")
    return {frames: built(folder / f"narrow{frames}", network, frames) for frames in (1, 3)}


@pytest.fixture
def artifact(artifacts: dict[int, Path]) -> Path:
    return artifacts[1]


def drawn(network: HA2G, seed: np.ndarray) -> dict[str, np.ndarray]:
    """Return the noise that a session of a seed keeps."""
    window = HA2GWindow(network)
    zeros = {n: torch.zeros(1, *s) for n, s in window.state_shapes().items()}
    fresh = window.fresh_state(zeros, {"seed": torch.tensor(seed)[None]})
    return {"noise": fresh["noise"][0].numpy()}


@pytest.mark.parametrize("frames", [1, 3])
def test_exported_step_keeps_every_law(network: HA2G, artifacts: dict[int, Path], frames: int):
    artifact = artifacts[frames]
    offline = ha2g_offline(network, frames)

    def beside(inputs: Sequence[Tensors]) -> Tensors:
        directions, voice = offline(drawn(network, inputs[0]["seed"]), inputs)
        lead = (len(inputs),) if frames == 1 else (len(inputs), frames)
        return {"directions": directions.reshape(*lead, -1, 3), "voice": voice.reshape(*lead, 1)}

    # 1e-4: decibels down to -80 go through float32 products; measured below 1e-5
    verify_step_contract(
        lambda: OnnxRuntimeBackend(artifact), beside, steps=40 // frames, atol=1e-4, slots=3
    )


def test_sessions_of_other_seeds_speakers_and_words_move_differently(artifact: Path):
    backend = OnnxRuntimeBackend(artifact)
    inputs = speechlike(backend.spec, 8, seed=1)
    base, _ = run(backend, inputs)
    for name, value in (
        ("seed", np.array([5, 6, 7], np.float32)),
        ("style", np.array([0, 0, 1], np.float32)),
        ("lookahead", np.array([(int(inputs[0]["lookahead"][0]) + 2) % 6], np.int32)),
    ):
        other, _ = run(backend, [{**x, name: value} for x in inputs])
        assert np.abs(other["directions"] - base["directions"]).max() > 1e-5, name
    word = {"word": np.array([4], np.int32), "word_info": np.array([1, 0, 1], np.float32)}
    spoken, _ = run(backend, [{**x, **word} if i == 3 else x for i, x in enumerate(inputs)])
    np.testing.assert_array_equal(spoken["directions"][:3], base["directions"][:3])
    assert np.abs(spoken["directions"][3:] - base["directions"][3:]).max() > 1e-6


def test_the_face_of_ted_expressive_keeps_its_published_column(tmp_path: Path):
    network = narrow_ha2g("ted_expressive")
    assert network.config.shifted_vectors == 5
    folder = built(tmp_path / "expressive", network, 2)
    spec = load_manifest(folder).spec
    parity = verify_window(ha2g_offline(network, 2), folder / "model.onnx", spec, steps=20)
    assert parity.step_to_offline <= 1e-4


def test_the_streaming_acceptance_tests(artifacts: dict[int, Path]):
    any_partition_is_the_same(artifacts[3], 4.1)
    the_past_stands(artifacts[3], 5.0)
    it_goes_on(artifacts[1], 10.0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_it_goes_on_for_half_an_hour(artifacts: dict[int, Path]):
    it_goes_on(artifacts[3], 1800.0)


def test_another_network_is_noticed(artifact: Path):
    other = ha2g_offline(narrow_ha2g(seed=1), 1)
    spec = load_manifest(artifact).spec
    with pytest.raises(ArtifactError, match="differs from the offline network"):
        verify_window(other, artifact / "model.onnx", spec, steps=5)
