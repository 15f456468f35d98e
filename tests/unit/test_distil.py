"""Distillation: the teacher is MiniLM under a causal mask; a pupil learns and is loaded."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.hop_stream import PRESETS
from models.language import minilm_folder
from models.stream_language import StreamLanguage
from streamer.spec import WordSpec
from streamer.words import word_ids
from training import distil
from training.distil import DistilOptions, Lesson, lay_out, lessons, minilm, stream_of_words


@torch.no_grad()
def test_the_teacher_is_minilm_under_a_causal_mask() -> None:
    """Against `transformers`' own BERT; measured 1.7e-6."""
    from transformers import AutoModel

    bert = AutoModel.from_pretrained(
        str(minilm_folder()), local_files_only=True, attn_implementation="eager"
    ).eval()
    ids = torch.randint(1000, 20_000, (2, 20), generator=torch.Generator().manual_seed(0))
    mask = torch.full((20, 20), float("-inf")).triu(1)[None, None]
    want = bert(input_ids=ids, attention_mask=mask).last_hidden_state
    model = minilm()
    torch.testing.assert_close(model(model.table[ids]), want, atol=1e-5, rtol=0)


def test_a_words_state_is_that_of_its_last_piece() -> None:
    words = ("we", "unbelievably", "gesticulate")
    (lesson,) = lessons([words], "test")
    assert lesson.states.shape == (3, 384)
    (shorter,) = lessons([words[:2]], "test")
    torch.testing.assert_close(lesson.states[:2], shorter.states)


def test_words_are_laid_out_where_they_come_and_hold_until_the_next() -> None:
    spec, words = WordSpec(buckets=4096, slots=12), tuple("one two three four five six".split())
    lesson = Lesson(words=words, states=torch.zeros(6, 384))
    seen = set[int]()
    for seed in range(20):
        ids, force = lay_out(lesson, spec, np.random.default_rng(seed))
        for frame in np.flatnonzero(ids.any(1)):
            assert np.array_equal(ids[frame], word_ids(words[force[frame]], spec))
            assert frame == 0 or force[frame] > force[frame - 1]
        assert (np.diff(force) >= 0).all()
        seen |= set(np.diff(np.flatnonzero(ids.any(1))).tolist())
    assert 1 in seen, "words never come in a burst"
    assert max(seen) >= 10, "there is never a pause"


def test_texts_are_spoken_words_of_every_source() -> None:
    options, generator = DistilOptions(words=400, salad=0.25), np.random.default_rng(0)
    words = stream_of_words(generator, options, ["Zyzzyva"] * 2, ["wildword"])
    assert len(words) >= 400
    assert 0.15 < words.count("wildword") / len(words) < 0.35
    assert "zyzzyva" in words
    assert all(word == word.casefold() and " " not in word for word in words)


def test_transcripts_hold_no_sentence_of_the_evaluation(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("LJ001-0001|a|Kept text\nLJ001-0020|b|Held text\n")
    assert distil.transcripts(tmp_path) == ["Kept text"]
    assert distil.transcripts(tmp_path / "nowhere") == []


def test_a_pupil_learns_and_its_file_is_the_network_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short run on random teachings, which it can only learn by heart."""
    torch.manual_seed(0)
    vectors = {w: torch.randn(384) for w in ("up", "down")}

    def taught(texts: list[tuple[str, ...]], label: str) -> list[Lesson]:
        said = ("up", "down", "down", "up", "up", "down") * 4
        states = torch.stack([vectors[word] for word in said])
        return [Lesson(words=said, states=states) for _ in texts]

    monkeypatch.setattr(distil, "lessons", taught)
    monkeypatch.setattr(distil, "_first_table", lambda shape: torch.randn(shape.buckets, 128))
    monkeypatch.setattr(distil, "_FRAMES", 60)
    options = DistilOptions(texts=2, steps=50, batch=4, words=4)
    path = tmp_path / "lm.safetensors"
    figures = distil.distil(path, [], options)
    assert figures["cosine"] > 0.5
    StreamLanguage(PRESETS["small"].shape).load(path)


def test_hashed_words_keep_what_their_embeddings_hold() -> None:
    words = [f"{a}{b}" for a in ("up", "down", "left", "right") for b in ("ward", "most", "er")]
    wanted = np.random.default_rng(0).normal(size=(len(words), 5)).astype(np.float32) + 3
    table, explained = distil._hashed_table(words, wanted, 512)
    spec = WordSpec(buckets=512, slots=12)
    got = torch.stack([table[word_ids(w, spec)].sum(0) for w in words])
    assert explained > 0.9
    assert float((got - torch.tensor(wanted)).abs().max()) < 0.5
    assert not table[0].any()
