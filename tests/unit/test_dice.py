"""The dice are exact integers, reproducible, fair enough, and safe against NaN."""

import numpy as np
import pytest
import torch

from models.dice import Dice


def rolls(seed: list[float], frames: int, faces: int = 100) -> tuple[list[int], list[int]]:
    """Return the faces drawn and how long each held."""
    dice, state = Dice(faces, shortest=15, longest=30), torch.tensor([[*seed, 0.0]])
    drawn_faces, lengths = list[int](), list[int]()
    for _ in range(frames):
        state, index, drawn = dice.step(state)
        if bool(drawn):
            drawn_faces.append(int(index))
            lengths.append(0)
        lengths[-1] += 1
    return drawn_faces, lengths


def wichmann_hill(seed: list[int], rounds: int) -> list[int]:
    """The integers' sums in exact Python arithmetic (Wichmann and Hill 1982, AS 183)."""
    a, b, c = seed
    out = list[int]()
    for _ in range(rounds):
        a, b, c = 171 * a % 30269, 172 * b % 30307, 170 * c % 30323
        out.append((a + b + c) % 30269)
    return out


def test_draws_equal_exact_integer_arithmetic():
    got, lengths = rolls([11.0, 222.0, 3333.0], 30_000)
    exact = wichmann_hill([11, 222, 3333], 2 * len(got))
    assert got == [total * 100 // 30269 for total in exact[0::2]]
    assert lengths[:-1] == [15 + total * 16 // 30269 for total in exact[1::2]][:-1]


def test_every_face_comes_up_about_equally_often():
    got, lengths = rolls([7.0, 77.0, 777.0], 60_000, faces=20)
    counts = np.bincount(got, minlength=20)
    assert counts.min() > 0.5 * counts.mean()
    assert min(lengths[:-1]) >= 15
    assert max(lengths) <= 30


def test_seeds_differ():
    assert rolls([1.0, 2.0, 3.0], 900)[0] != rolls([4.0, 5.0, 6.0], 900)[0]


def test_nan_stays_inside_the_table():
    dice = Dice(9, shortest=15, longest=30)
    _, index, _ = dice.step(torch.full((1, 4), float("nan")))
    assert 0 <= int(index) < 9


def test_too_many_faces_are_refused():
    with pytest.raises(ValueError, match="at most 256"):
        Dice(257, shortest=15, longest=30)
