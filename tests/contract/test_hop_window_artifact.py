"""`hop_window` exported: the six laws, with the offline HOP window by window beside it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from export.window import build_window
from export.window_offline import hop_offline
from export.window_sources import hop_source, piece_table
from models.hop import Hop, Preset
from models.hop_window import HopWindow
from models.language import load_language, minilm_folder
from models.plain_bert import PlainBert
from streamer.backends.onnxruntime import OnnxRuntimeBackend
from streamer.errors import ArtifactError
from streamer.types import Tensors
from tests.contract.laws import run, speechlike, verify_step_contract
from tests.contract.streaming import any_partition_is_the_same, it_goes_on, the_past_stands
from tests.golden_files import one_thread  # noqa: F401  (an autouse fixture)
from tests.window_networks import PIECES, narrow_hop

STYLES = ("nobody", "ann", "bob")
TABLE = {"[PAD]": 0, "[UNK]": 1, "we": 2, "really": 3, "don": 4, "'": 5, "t": 6, "know": 7} | {
    f"##{i}": i for i in range(8, PIECES)
}


def built(folder: Path, network: Hop, frames: int) -> Path:
    source = hop_source(
        network,
        name="narrow",
        styles=STYLES,
        default_style="ann",
        pieces=TABLE,
        texts={},
        files={},
        licence="none",
        provenance={},
    )
    build_window(source, folder, frames=frames, steps=6)
    return folder


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[Preset, Path]:
    """The clean preset in steps of two frames, the released one in steps of one."""
    folder = tmp_path_factory.mktemp("artifacts")
    clean = built(folder / "hop", narrow_hop("hop"), 2)
    return {"hop": clean, "hop_released": built(folder / "released", narrow_hop("hop_released"), 1)}


def drawn(network: Hop, seed: np.ndarray) -> dict[str, np.ndarray]:
    window = HopWindow(network)
    zeros = {n: torch.zeros(1, *s) for n, s in window.state_shapes().items()}
    fresh = window.fresh_state(zeros, {"seed": torch.tensor(seed)[None]})
    return {"noise": fresh["noise"][0].numpy()}


@pytest.mark.parametrize(("preset", "frames"), [("hop", 2), ("hop_released", 1)])
def test_exported_step_keeps_every_law(artifacts: dict[Preset, Path], preset: Preset, frames: int):
    network, artifact = narrow_hop(preset), artifacts[preset]
    spec = OnnxRuntimeBackend(artifact).spec
    assert (spec.network, spec.preset, spec.words.kind) == ("hop_window", preset, "pieces")
    offline = hop_offline(network, frames)

    def beside(inputs: Sequence[Tensors]) -> Tensors:
        directions, voice = offline(drawn(network, inputs[0]["seed"]), inputs)
        lead = (len(inputs),) if frames == 1 else (len(inputs), frames)
        return {"directions": directions.reshape(*lead, -1, 3), "voice": voice.reshape(*lead, 1)}

    verify_step_contract(
        lambda: OnnxRuntimeBackend(artifact), beside, steps=40 // frames, atol=1e-4, slots=3
    )


def test_two_words_in_one_frame_take_two_frames():
    window = HopWindow(narrow_hop())
    words = torch.zeros(1, 34, 4)
    for ids, age in (([2, 0, 0, 0], 5), ([3, 8, 0, 0], 6), ([7, 0, 0, 0], 40)):
        info = torch.tensor([[[1.0, float(np.log1p(age)), 1.0]]])
        frames = {"word": torch.tensor([[ids]]), "word_info": info}
        words = window._words(words, frames)
    # the first began in frame 28 and has slid twice; the second in 27, and slid once
    assert words[0, 26, 0] == 2
    assert words[0, 27, :2].tolist() == [3, 8]
    assert int((words[0, :, 0] > 0).sum()) == 2


def test_the_written_out_bert_is_hugging_faces():
    language, pieces = load_language("minilm")
    ids = torch.tensor([[pieces("hello")[:1] + [-1] * 3] + [[-1] * 4] * 33])
    vectors = language.embed(ids) + torch.randn(
        1, 34, 384, generator=torch.Generator().manual_seed(2)
    )
    assert language.network is not None
    with torch.no_grad():
        want = language(vectors)
        got = PlainBert(language.network, 34)(vectors)
    torch.testing.assert_close(got, want, atol=2e-5, rtol=0)  # measured 4e-6


def test_only_a_wordpiece_model_goes_into_a_graph(tmp_path: Path):
    assert piece_table(minilm_folder())["hello"] == 7592
    with pytest.raises(ArtifactError, match=r"no tokenizer\.json"):
        piece_table(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "BPE"}, "normalizer": null}')
    with pytest.raises(ArtifactError, match="its tokenizer is BPE"):
        piece_table(tmp_path)
    with pytest.raises(ArtifactError, match="only those of BERT's kind"):
        PlainBert(torch.nn.Linear(2, 2), 34)


def test_speakers_and_words_matter(artifacts: dict[Preset, Path]):
    backend = OnnxRuntimeBackend(artifacts["hop_released"])
    inputs = speechlike(backend.spec, 8, seed=1)
    base, _ = run(backend, inputs)
    other, _ = run(backend, [{**x, "style": np.array([0, 0, 1], np.float32)} for x in inputs])
    assert np.abs(other["directions"] - base["directions"]).max() > 1e-5
    word = {"word": np.array([7, 0, 0, 0], np.int32), "word_info": np.array([1, 0, 1], np.float32)}
    spoken, _ = run(backend, [{**x, **word} if i == 3 else x for i, x in enumerate(inputs)])
    np.testing.assert_array_equal(spoken["directions"][:3], base["directions"][:3])
    assert np.abs(spoken["directions"][3:] - base["directions"][3:]).max() > 1e-6


def test_the_streaming_acceptance_tests(artifacts: dict[Preset, Path]):
    any_partition_is_the_same(artifacts["hop"], 4.1)
    the_past_stands(artifacts["hop"], 5.0)
    it_goes_on(artifacts["hop_released"], 10.0)
