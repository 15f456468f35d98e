"""fastText's text format into word tables."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from models.joint_embedding import JointEmbedding
from models.speech2gesture import Speech2GestureGenerator
from models.trimodal import TrimodalGenerator
from streamer.errors import InputError, UsageError
from training.loop.embeddings import fill_tables, read_vectors

WORDS = {"<PAD>": 0, "<SOS>": 1, "<EOS>": 2, "<UNK>": 3, "hello": 4, "world": 5}


def line(word: str, value: float, width: int = 300) -> str:
    return " ".join([word, *[f"{value + i / 1000:.4f}" for i in range(width)]]) + "\n"


@pytest.mark.parametrize("suffix", [".vec", ".vec.gz"])
def test_words_that_are_there_come_in_and_others_are_drawn(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"some{suffix}"
    text = "3 300\n" + line("world", 0.5) + line("unasked", 1.0) + line("hello", -0.5)
    path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    vectors = read_vectors(path, WORDS)
    assert set(vectors) == {4, 5}
    np.testing.assert_allclose(vectors[5], 0.5 + np.arange(300) / 1000, atol=1e-6)
    torch.manual_seed(0)
    network = TrimodalGenerator(27, words=6, speakers=3)
    assert fill_tables(network, 6, vectors) == 1
    table = network.text.embedding.weight
    np.testing.assert_array_equal(table[4].detach().numpy(), vectors[4])
    drawn = table[:4].detach()
    assert drawn.std().item() == pytest.approx(300**-0.5, rel=0.1)
    assert table.requires_grad
    assert fill_tables(JointEmbedding(27, words=6), 6, vectors) == 1


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.vec"
    cases = (
        (line("hello", 1.0, width=50), "line 1 has 50 numbers, expected 300"),
        (line("other", 1.0), "none of the store's 6 words"),
        (line("hello", float("nan")), "line 1"),
    )
    for text, message in cases:
        path.write_text(text, "utf-8")
        with pytest.raises(InputError, match=message):
            read_vectors(path, WORDS)
    with pytest.raises(InputError, match="cannot be read"):
        read_vectors(tmp_path / "missing.vec", WORDS)
    with pytest.raises(UsageError, match="no word table"):
        fill_tables(Speech2GestureGenerator(27), 6, {})
