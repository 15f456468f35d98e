"""What networks of 34-frame windows share when they run live (hop.md 14a).

A window slides by the K frames of a step. What it is made of is the state: its
samples, its words and the poses that were emitted, the oldest of which seed it.
With A frames of look-ahead a step emits the window's frames 34-A-K to 33-A.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

FRAMES = 34
LOOKAHEADS = (0, 2, 4)
CHUNK = 1067
"""Samples of the longest frame; a frame holds this many or one fewer."""
SAMPLES = 36_267
"""Samples of a window of 34 frames."""

FADE = 0.67
"""How fast a seam fades: what is left of an offset falls by about this in a frame.

Two windows disagree about the pose where they meet. The difference, in place,
speed and acceleration, is added to the new window and dies away as
(a + b j + c j^2) 0.67^j, whatever K is: half of it within 6 frames. It is about
the quickest fade whose jerk at a seam stays below 1.5 times that inside where
windows disagree grossly; one that matches place and speed alone reaches 4 times.
"""


def per_frame(inputs: Mapping[str, Tensor], frames: int) -> dict[str, Tensor]:
    """Return a step's inputs by frame, [S, K, ...]; with one frame a step they come without K."""
    names = ("audio", "hop", "word", "word_info")
    return {n: inputs[n].unsqueeze(1) if frames == 1 else inputs[n] for n in names}


def of_step(values: Tensor, frames: int) -> Tensor:
    """Return what goes out: [S, K, ...], without K where a step is one frame."""
    return values[:, 0] if frames == 1 else values


def slid(ring: Tensor, audio: Tensor, hop: Tensor) -> Tensor:
    """Return the ring [S, SAMPLES] with the last `hop` of the samples [S, CHUNK] behind it."""
    long = torch.cat([ring[:, CHUNK:], audio], 1)
    short = torch.cat([ring[:, CHUNK - 1 :], audio[:, 1:]], 1)
    return torch.where(hop == CHUNK, long, short)


def heard(ring: Tensor, frames: Mapping[str, Tensor]) -> Tensor:
    """Return the ring [S, SAMPLES] behind a step; frames: see `per_frame`."""
    for k in range(frames["audio"].shape[1]):
        ring = slid(ring, frames["audio"][:, k, 0], frames["hop"][:, k])
    return ring


def onset(word_info: Tensor) -> tuple[Tensor, Tensor]:
    """Return whether a word came [S, 1] and its place in the window that ends now [S, 1]."""
    age = torch.exp(word_info[:, 1:2]) - 1
    return word_info[:, :1] > 0.5, (FRAMES - 1) - torch.floor(age + 0.5)


def by_lookahead(ahead: Tensor, choices: list[Tensor]) -> Tensor:
    """Return each slot's own choice of those for `LOOKAHEADS`; ahead: int [S, 1]."""
    chosen = choices[0]
    for lookahead, choice in zip(LOOKAHEADS[1:], choices[1:], strict=True):
        mask = (ahead == lookahead).reshape(-1, *([1] * (choice.dim() - 1)))
        chosen = torch.where(mask, choice, chosen)
    return chosen


def kept_poses(frames: int) -> int:
    """Return how many emitted poses the state holds: those that lie in the next window."""
    return FRAMES - frames


def seeds_of(emitted: Tensor, ahead: Tensor, count: int) -> Tensor:
    """Return the first `count` poses of the window that ends now, as they were emitted."""
    return by_lookahead(ahead, [emitted[:, a : a + count] for a in LOOKAHEADS])


def emission(window: Tensor, emitted: Tensor, ahead: Tensor, frames: int) -> Tensor:
    """Return the K poses [S, K, D] that a step emits, without a seam (`FADE`).

    window: [S, 34, D], as the network gives it; emitted: [S, 34 - K, D], of
    which the last three are the frames before.
    """
    first = [FRAMES - frames - a for a in LOOKAHEADS]
    overlap = by_lookahead(ahead, [window[:, p - 3 : p] for p in first])
    fresh = by_lookahead(ahead, [window[:, p : p + frames] for p in first])
    offsets = list((emitted[:, -3:] - overlap).unbind(1))
    for _ in range(frames):  # a recursion with the triple root FADE
        third, second, last = offsets[-3:]
        offsets.append(3 * FADE * last - 3 * FADE**2 * second + FADE**3 * third)
    return fresh + torch.stack(offsets[3:], 1)


def pushed(emitted: Tensor, poses: Tensor) -> Tensor:
    """Return the emitted poses [S, 34 - K, D] with those of this step behind them."""
    return torch.cat([emitted, poses], 1)[:, poses.shape[1] :]
