import json

import pytest

from streamer.spec import WordSpec
from streamer.wordpieces import word_pieces
from streamer.words import word_ids

TABLE = {"[PAD]": 0, "[UNK]": 1, "un": 2, "##aff": 3, "##able": 4, "don": 5, "'": 6, "t": 7}


def test_the_longest_piece_comes_first() -> None:
    assert word_pieces("Unaffable", TABLE) == [2, 3, 4]
    assert word_pieces("don't", TABLE) == [5, 6, 7]
    assert word_pieces("unaffx", TABLE) == [1]
    assert word_pieces("t" * 101, TABLE) == [1]
    assert word_pieces(" \n", TABLE) == []


def test_a_step_takes_the_first_pieces_of_a_word() -> None:
    spec = WordSpec(buckets=8, slots=2, kind="pieces", index=TABLE)
    assert word_ids("unaffable", spec).tolist() == [2, 3]
    assert word_ids("t", spec).tolist() == [7, 0]
    assert word_ids("", spec).tolist() == [0, 0]


def test_it_is_the_tokenizer_of_the_package() -> None:
    """Against Hugging Face, whose implementation is in Rust."""
    from models.language import Pieces, minilm_folder

    folder = minilm_folder()
    table = json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    reference = Pieces(folder, spaced=False)
    words = """Hello don't e-mail naïve Åse café 3.14 co-operate supercalifragilistic $5 a@b.c
        weißt 東京 привет नमस्ते x² ½ … “quoted” mother-in-law U.S.A. ﬁne \u200bzero""".split()
    for word in words:
        assert word_pieces(word, table) == reference(word), word


@pytest.mark.parametrize("seed", range(3))
def test_random_letters_too(seed: int) -> None:
    import random

    from models.language import Pieces, minilm_folder

    folder = minilm_folder()
    table = json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    reference = Pieces(folder, spaced=False)
    rng = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz'é-.9ø"
    for _ in range(150):
        word = "".join(rng.choice(letters) for _ in range(rng.randint(1, 14)))
        assert word_pieces(word, table) == reference(word), word
