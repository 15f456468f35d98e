"""Fresh networks of each family, with the language model that their preset names."""

import dataclasses

import pytest
import torch
from safetensors.torch import load_file

from models.families import LANGUAGE_FOLDER, family_of, fresh_network, presets
from models.ha2g_stream import Ha2gStream
from models.hop_stream import HopStream
from streamer.errors import ArtifactError, UsageError
from streamer.skeleton import load_skeleton

SKELETON, CODES = load_skeleton("ted_gesture"), torch.zeros(3, 12)


def test_each_family_makes_its_own_network() -> None:
    ha2g = fresh_network("ha2g_stream", "small", SKELETON, CODES)
    hop = fresh_network("hop_stream", "small", SKELETON, CODES)
    assert isinstance(ha2g, Ha2gStream)
    assert isinstance(hop, HopStream)
    assert (family_of(ha2g), family_of(hop)) == ("ha2g_stream", "hop_stream")


@pytest.mark.parametrize("preset", ["small", "small-none"])
def test_the_distilled_words_are_loaded_and_frozen(preset: str) -> None:
    network = fresh_network("hop_stream", preset, SKELETON, CODES)
    assert isinstance(network, HopStream)
    file = load_file(LANGUAGE_FOLDER / "distilled.safetensors")
    assert torch.equal(network.language.table, file["table"].float())
    assert not any(p.requires_grad for p in network.language.parameters())
    # what reads it is trained
    assert all(p.requires_grad for p in network.align.parameters())
    assert len(network.language.layers) == (0 if preset == "small-none" else 2)


def test_random_weights_are_random() -> None:
    torch.manual_seed(0)
    first = fresh_network("hop_stream", "small-random", SKELETON, CODES)
    second = fresh_network("hop_stream", "small-random", SKELETON, CODES)
    assert isinstance(first, HopStream)
    assert isinstance(second, HopStream)
    assert not torch.equal(first.language.table, second.language.table)


def test_an_unknown_preset_and_a_missing_language_model_say_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    with pytest.raises(UsageError, match="no preset 'tall'; there are"):
        fresh_network("hop_stream", "tall", SKELETON, CODES)
    monkeypatch.setattr("models.families.LANGUAGE_FOLDER", tmp_path)
    with pytest.raises(ArtifactError, match="python -m training distil"):
        fresh_network("hop_stream", "small", SKELETON, CODES)


def test_presets_differ_in_their_language_model_alone() -> None:
    small = presets("hop_stream")["small"]
    for name in ("none", "random"):
        other = dataclasses.asdict(presets("hop_stream")[f"small-{name}"])
        assert other == dataclasses.asdict(small) | {"language": name}
