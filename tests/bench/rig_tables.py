"""Tables of the way onto rigs: `python -m tests.bench.rig_tables [FOLDER]`.

Rotation error of directions -> rotations -> directions on every SmartBody clip and on
BEAT2, swing and twist apart; delay and jitter of each filter. FOLDER: of the shared
data, `../shared` by default. What the tests hold is in `tests/unit/test_retarget_motion`,
`test_retarget_beat2` and `test_comfort_filters`.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from streamer.comfort_filters import Damped, OneEuro
from streamer.humanoid import BONE_INDEX
from streamer.retarget_inverse import bone_frames, directions_from
from tests.unit import test_retarget_beat2 as beat2
from tests.unit import test_retarget_motion as smartbody
from tests.unit.test_comfort_filters import filtered

ARMS = ("UpperArm", "Hand")
HEAD = (
    "| clip | frames | swing of arms, hands, spine | of fingers | twist of upper arms | of hands "
    "| flips |\n|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Print every table."""
    root = Path(__file__).resolve().parents[2]
    shared = Path(sys.argv[1]) if len(sys.argv) > 1 else root.parent / "shared"
    print("Median / 99th percentile in degrees, 15 fps; twist where the elbow is bent over 20.\n")
    print(HEAD)
    for performer in smartbody.PERFORMERS:
        for row in smartbody_rows(shared / "data" / "smartbody_gestures" / performer, performer):
            print(row)
    print(beat2_row(shared))
    print()
    for line in filter_rows():
        print(line)


def smartbody_rows(folder: Path, performer: str) -> Iterator[str]:
    """Yield a row for each clip of a performer, then one for all of them."""
    clips = smartbody.clips(folder)
    layout = smartbody.layout_of(clips)
    groups = smartbody.groups()
    swings, twists = list[np.ndarray](), list[dict[str, np.ndarray]]()
    for clip in clips:
        after = directions_from(clip.rotations, layout)
        swings.append(_apart(clip.directions, after))
        _, world = bone_frames(clip.rotations)
        turned = dict[str, np.ndarray]()
        for bone in ARMS:
            turned[bone] = np.concatenate(
                [_twist(clip.sources[f"{s}{bone}"], world, s, bone) for s in ("left", "right")]
            )
        twists.append(turned)
        bent = _bent(clip.directions, smartbody.UPPER)
        yield _row(f"{performer} {clip.name}", swings[-1], groups, turned, bent, clip.rotations)
    whole = replace(
        clips[0],
        directions=np.concatenate([c.directions for c in clips]),
        rotations=np.concatenate([c.rotations for c in clips]),
    )
    turned = {bone: _joined([t[bone] for t in twists]) for bone in ARMS}
    bent = _bent(whole.directions, smartbody.UPPER)
    flips = sum(_flips(c.rotations) for c in clips)
    name = f"**{performer}, {len(clips)} clips**"
    yield _row(name, np.concatenate(swings), groups, turned, bent, None, flips)


def beat2_row(shared: Path) -> str:
    """Return the row of BEAT2's speaker."""
    directions, source, rotations, layout = beat2.motion.__wrapped__(shared)
    after = beat2.UPPER.to_vrm(directions_from(rotations, layout))
    _, world = bone_frames(rotations)
    names = {"UpperArm": "shoulder", "Hand": "wrist"}
    turned = {
        bone: np.concatenate(
            [_twist(source[f"{s}_{names[bone]}"], world, s, bone) for s in ("left", "right")]
        )
        for bone in ARMS
    }
    bent = _bent(directions, beat2.UPPER)
    swing = _apart(directions, after)
    return _row("**BEAT2 scott, 40 s**", swing, beat2.groups(), turned, bent, rotations)


def filter_rows() -> Iterator[str]:
    """Yield the table of filters: delay at two speeds and rates, jitter of a hand at rest."""
    yield "| filter | 15 fps, 5 °/s | 40 °/s | 200 °/s | 60 fps, 40 °/s | jitter at rest, 15 fps |"
    yield "|---|---|---|---|---|---|"
    noise = np.random.default_rng(0).normal(0, 1.0, 300)
    before = np.abs(np.diff(noise)).mean()
    yield f"| none | 0 ms | 0 ms | 0 ms | 0 ms | {before:.2f} degrees a frame |"
    makers: list[tuple[str, Callable[[float], object]]] = [
        ("damped", Damped),
        ("one_euro", OneEuro),
    ]
    for name, make in makers:
        for delay in (50, 100, 300):
            late = [_late(make(delay / 1000), v, 15) for v in (5.0, 40.0, 200.0)]
            quick = _late(make(delay / 1000), 40.0, 60)
            after = np.abs(np.diff(filtered(make(delay / 1000), 20 + noise)[30:])).mean()
            told = " | ".join(f"{1000 * v:.0f} ms" for v in (*late, quick))
            yield f"| {name} {delay} | {told} | {after:.2f} |"


def _late(smooth: object, speed: float, fps: int) -> float:
    t = np.arange(4 * fps) / fps
    return float((speed * t - filtered(smooth, speed * t, fps))[-1] / speed)


def _apart(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((before * after).sum(-1), -1, 1)))


def _twist(source: Rotation, world: np.ndarray, side: str, bone: str) -> np.ndarray:
    between = source.inv() * Rotation.from_quat(world[:, BONE_INDEX[f"{side}{bone}"]])
    return np.degrees((between.mean().inv() * between).magnitude())


def _bent(directions: np.ndarray, layout: object) -> np.ndarray:
    index = layout.index  # type: ignore[attr-defined]
    out = []
    for side in ("left", "right"):
        upper = directions[:, index(f"{side}_shoulder", f"{side}_elbow")]
        lower = directions[:, index(f"{side}_elbow", f"{side}_wrist")]
        out.append(np.degrees(np.arccos(np.clip((upper * lower).sum(-1), -1, 1))) > 20)
    return np.concatenate(out)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """Return left halves of all parts, then right halves: the order of `_bent`."""
    halves = [np.split(part, 2) for part in parts]
    return np.concatenate([h[0] for h in halves] + [h[1] for h in halves])


def _flips(rotations: np.ndarray) -> int:
    return int(((rotations[1:] * rotations[:-1]).sum(-1) < 0).sum())


def _row(
    name: str,
    swing: np.ndarray,
    groups: dict[str, list[int]],
    twist: dict[str, np.ndarray],
    bent: np.ndarray,
    rotations: np.ndarray | None,
    flips: int = 0,
) -> str:
    def part(*wanted: str) -> np.ndarray:
        return swing[:, [i for group in wanted for i in groups[group]]]

    def told(values: np.ndarray) -> str:
        if not values.size:
            return "straight arms"
        return f"{np.median(values):.1f} / {np.percentile(values, 99):.1f}"

    if rotations is not None:
        flips = _flips(rotations)
    arms = told(part("spine", "upper arm", "forearm", "hand"))
    fingers = told(part("first phalanx", "second phalanx", "thumb"))
    upper, hand = (told(twist[bone][bent]) for bone in ARMS)
    return f"| {name} | {len(swing)} | {arms} | {fingers} | {upper} | {hand} | {flips} |"


if __name__ == "__main__":
    main()
