"""Hashed words: stable, bounded, and no script does harm."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamer.spec import WordSpec
from streamer.words import normalise, word_ids

SPEC = WordSpec(buckets=4096, slots=12)


def test_known_values_do_not_change_between_versions():
    # The shipped weights were trained with these numbers.
    assert word_ids("you", SPEC).tolist()[:5] == word_ids("You!", SPEC).tolist()[:5]
    assert word_ids("stop", SPEC).tolist() == EXPECTED_STOP


def test_nothing_is_no_word():
    assert not word_ids("", SPEC).any()
    assert not word_ids("?!…", SPEC).any()


def test_words_that_share_a_stem_share_ids():
    shared = set(word_ids("gesture", SPEC)) & set(word_ids("gestures", SPEC)) - {0}
    assert len(shared) >= 5
    assert word_ids("gesture", SPEC)[0] != word_ids("gestures", SPEC)[0]


def test_normalise():
    assert normalise("Don't!") == "don't"
    assert normalise("\uff28\uff49") == "hi"
    assert normalise("日本語。") == "日本語"


@given(st.text(max_size=200))
def test_any_text_gives_ids_inside_the_table(text: str):
    ids = word_ids(text, SPEC)
    assert ids.shape == (12,)
    assert ids.dtype == np.int32
    assert (ids >= 0).all()
    assert (ids < SPEC.buckets).all()


def test_a_very_long_word_costs_no_more():
    assert word_ids("a" * 1_000_000, SPEC).tolist() == word_ids("a" * 64, SPEC).tolist()


EXPECTED_STOP = [2716, 30, 2541, 3451, 2792, 0, 0, 0, 0, 0, 0, 0]


def test_a_vocabulary_gives_the_words_row() -> None:
    spec = WordSpec(buckets=8, slots=1, kind="vocabulary", index={"<UNK>": 3, "dont": 4, "cafe": 5})
    rows = {text: int(word_ids(text, spec)[0]) for text in ("Don't", "Café,", "other", "42", "")}
    assert rows == {"Don't": 4, "Café,": 5, "other": 3, "42": 0, "": 0}
