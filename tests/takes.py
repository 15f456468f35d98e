"""A recorded take for tests: real retargeted motion with turns of every bone."""

import numpy as np

from streamer.clock import FrameClock
from streamer.humanoid import BONES, PARENTS, REST_OFFSETS
from streamer.recordings.take import Take
from streamer.rotation import aligned_all
from streamer.types import Hello, Latency, SkeletonFrame
from tests.fakes import tiny_spec

SPEC = tiny_spec()


def hello() -> Hello:
    return Hello(
        session="test",
        version="0",
        model="tiny",
        backend="none",
        fps=15.0,
        lookahead=0,
        bones=BONES,
        parents=PARENTS,
        rest=REST_OFFSETS,
        joints=SPEC.skeleton.joints,
        directions=SPEC.skeleton.vector_names,
        latency=Latency(algorithmic_ms=0, compute_ms=0, mic_to_wire_ms=0, visible_ms=0),
        avatar={},
    )


def take(frames: int = 45, *, seed: int = 0, without: tuple[int, ...] = ()) -> Take:
    """Return smooth turns of every bone, up to half a turn; frames `without` are missing."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None, None] / 15
    speed, phase = rng.uniform(1, 4, (1, len(BONES), 4)), rng.uniform(0, 6, (1, len(BONES), 4))
    q = np.sin(speed * t + phase) + np.array([0, 0, 0, 1.5])
    q = (q / np.linalg.norm(q, axis=-1, keepdims=True)).astype(np.float32)
    for n in range(1, frames):
        q[n] = aligned_all(q[n], q[n - 1])
    kept = [n for n in range(frames) if n not in without]
    clock = FrameClock(fps=SPEC.fps)
    joints, vectors = len(SPEC.skeleton.joints), SPEC.skeleton.vectors
    return Take(
        hello=hello(),
        sample=np.array([clock.start(n + 7) for n in kept], np.int64),
        root=(0.1 * np.sin(t[:, :, 0] * [1, 2, 3])).astype(np.float32)[kept],
        rotations=q[kept],
        positions=rng.normal(size=(len(kept), joints, 3)).astype(np.float32),
        directions=rng.normal(size=(len(kept), vectors, 3)).astype(np.float32),
    )


def frame(source: Take, n: int) -> SkeletonFrame:
    return SkeletonFrame(
        index=n,
        sample=int(source.sample[n]),
        rotations=source.rotations[n],
        root=source.root[n],
        positions=source.positions[n],
        directions=source.directions[n],
        state="speaking",
        reset=n == 0,
        captured_at=0.0,
        emitted_at=0.0,
    )
