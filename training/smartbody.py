"""SmartBody characters and motions: `.sk` and `.skm` files to direction vectors.

The format and its forward kinematics are described in the README beside the
clips: `G = G_parent * prerot * rotvec`, `pos = pos_parent + G_parent * (offset
+ XYZPos)`; metres, Y up, the character faces +Z and its left is +X, which are
VRM 1.0 axes already.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from streamer.errors import InputError
from streamer.skeleton import load_skeleton

Float = npt.NDArray[np.float64]

_MAX_JOINTS = 1_000
_MAX_BYTES = 64 << 20

_SIDES = (("left", "Lf"), ("right", "Rt"))
_FINGERS = {
    "index": "Index",
    "middle": "Middle",
    "pinky": "Little",
    "ring": "Ring",
    "thumb": "Thumb",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CharacterSkeleton:
    """The joints of a `.sk` file, parents before children.

    parents: index of each joint's parent, -1 for the root. offsets: [J, 3]
    metres in the parent's frame. prerotations: [J, 3] rotation vectors.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Float
    prerotations: Float


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """The phases of a gesture clip in seconds, ascending.

    ready: the preparation begins; stroke_start, emphasis, stroke: the stroke
    begins, peaks and ends; relax: the retraction begins.
    """

    ready: float
    stroke_start: float
    emphasis: float
    stroke: float
    relax: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Motion:
    """The channels of a `.skm` file.

    times: [T] seconds. rotations: joint to [T, 3] rotation vectors.
    translations: joint to [T, 3] metres, added to the joint's offset.
    marks: the gesture phases, None where the file has none.
    """

    name: str
    times: Float
    rotations: Mapping[str, Float]
    translations: Mapping[str, Float]
    marks: Marks | None


def read_skeleton(path: Path) -> CharacterSkeleton:
    """Read a `.sk` file; raises `InputError` where it is not one."""
    joints: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    prerotations: list[list[float]] = []
    open_joints: list[int] = []
    name = path.stem
    tokens = _tokens(path)
    try:
        for token in tokens:
            match token:
                case "set_name":
                    name = next(tokens)
                case "root" | "joint":
                    joints.append(next(tokens))
                    parents.append(open_joints[-1] if open_joints else -1)
                    offsets.append([0.0] * 3)
                    prerotations.append([0.0] * 3)
                    if len(joints) > _MAX_JOINTS:
                        raise InputError(f"{path.name}: more than {_MAX_JOINTS} joints")
                case "{":
                    open_joints.append(len(joints) - 1)
                case "}":
                    open_joints.pop()
                case "offset":
                    offsets[-1] = [float(next(tokens)) for _ in range(3)]
                case "prerot":
                    prerotations[-1] = _prerotation(tokens)
                case _:
                    pass  # channel lines: every joint may be posed here
    except (StopIteration, IndexError, ValueError) as error:
        raise InputError(f"{path.name}: not a SmartBody skeleton ({error!r})") from error
    if not joints or open_joints:
        raise InputError(f"{path.name}: no joints or unbalanced braces; expected a .sk file")
    return CharacterSkeleton(
        name=name,
        joints=tuple(joints),
        parents=tuple(parents),
        offsets=np.array(offsets),
        prerotations=np.array(prerotations),
    )


def read_motion(path: Path, names: Mapping[str, str] | None = None) -> Motion:
    """Read a `.skm` file; raises `InputError` where it is not one.

    names: joint names of the file to names of the skeleton
    (`read_names(".../joint_name_map.json")`), where they differ.
    """
    channels: list[tuple[str, str]] = []
    times: list[float] = []
    rows: list[npt.NDArray[np.float64]] = []
    marks: dict[str, float] = {}
    try:
        for line in _text(path).splitlines():
            words = line.split()
            match words:
                case ["kt", time, "fr", *values]:
                    times.append(float(time))
                    rows.append(np.array(values, np.float64))
                case [label, "time:", value]:
                    marks[label] = float(value)
                case [joint, ("XPos" | "YPos" | "ZPos" | "Quat") as kind]:
                    channels.append(((names or {}).get(joint, joint), kind))
                case _:
                    pass  # header, comments, blank lines
    except ValueError as error:
        raise InputError(f"{path.name}: not a SmartBody motion ({error})") from error
    width = sum(3 if kind == "Quat" else 1 for _, kind in channels)
    if not rows or not channels or any(len(row) != width for row in rows):
        raise InputError(
            f"{path.name}: {len(rows)} frames for {len(channels)} channels of {width} numbers; "
            "expected a .skm file whose frames fit its channel list"
        )
    values = np.stack(rows)
    rotations: dict[str, Float] = {}
    translations: dict[str, Float] = {}
    column = 0
    for joint, kind in channels:
        if kind == "Quat":
            rotations[joint] = values[:, column : column + 3]
            column += 3
        else:
            moved = translations.setdefault(joint, np.zeros((len(values), 3)))
            moved[:, "XYZ".index(kind[0])] = values[:, column]
            column += 1
    return Motion(
        name=path.stem,
        times=np.array(times),
        rotations=rotations,
        translations=translations,
        marks=_marks(path, marks),
    )


def read_names(path: Path) -> dict[str, str]:
    """Read a `joint_name_map.json`: names in the motion to names in the skeleton."""
    data = json.loads(path.read_text("utf-8"))
    if not isinstance(data, dict):
        raise InputError(f"{path.name}: expected a JSON object of joint names")
    return {str(k): str(v) for k, v in cast(dict[str, object], data).items()}


def forward_kinematics(skeleton: CharacterSkeleton, motion: Motion) -> Float:
    """Return joint positions [T, J, 3] in metres, in the order of `skeleton.joints`."""
    frames = len(motion.times)
    positions = np.zeros((frames, len(skeleton.joints), 3))
    frames_of: list[Rotation] = []
    still = np.zeros((frames, 3))
    for i, (name, parent) in enumerate(zip(skeleton.joints, skeleton.parents, strict=True)):
        local = Rotation.from_rotvec(skeleton.prerotations[i]) * Rotation.from_rotvec(
            motion.rotations.get(name, still)
        )
        offset = skeleton.offsets[i] + motion.translations.get(name, still)
        if parent < 0:
            positions[:, i] = offset
            frames_of.append(local)
        else:
            positions[:, i] = positions[:, parent] + frames_of[parent].apply(offset)
            frames_of.append(frames_of[parent] * local)
    return positions


def to_directions(skeleton: CharacterSkeleton, positions: Float) -> Float:
    """Return unit vectors [T, 45, 3] in the `upper_body` layout.

    positions: [T, J, 3] of `forward_kinematics`. Bone lengths drop out, so
    that motions of different characters become comparable.
    """
    layout = load_skeleton("upper_body")
    points = _upper_body_points(skeleton, positions)
    ends = np.array([[layout.joints.index(n) for n in _ends(b)] for b in layout.vector_names[:-2]])
    bones = points[:, ends[:, 1]] - points[:, ends[:, 0]]
    palms = np.stack([palm_normal(points, layout.joints, side) for side, _ in _SIDES], 1)
    return unit(np.concatenate([bones, palms], 1))


def palm_normal(points: Float, joints: tuple[str, ...], side: str) -> Float:
    """Return the unit outward normals [T, 3] of a palm; down in the T-pose.

    points: [T, J, 3] of the named joints; side: `left` or `right`.
    """

    def joint(name: str) -> Float:
        return points[:, joints.index(f"{side}_{name}")]

    fingers = joint("middle1") - joint("wrist")
    across = joint("index1") - joint("pinky1")
    normal = np.cross(fingers, across) if side == "left" else np.cross(across, fingers)
    return unit(normal)


def resample(directions: Float, times: Float, at: Float) -> Float:
    """Return unit vectors [len(at), D, 3] at other times, by slerp.

    directions: [T, D, 3] at `times` [T], ascending. Outside of `times` the
    nearest end holds.
    """
    place = np.interp(at, times, np.arange(len(times)))
    before = np.minimum(place.astype(int), len(times) - 1)
    after = np.minimum(before + 1, len(times) - 1)
    return slerp(directions[before], directions[after], (place - before)[:, None])


def slerp(a: Float, b: Float, share: float | Float) -> Float:
    """Return unit vectors [..., 3] a share of the arc from a to b.

    share: broadcast over all but the last axis of a. Opposite vectors, which
    have no one arc between them, pass through a fixed perpendicular.
    """
    share = np.broadcast_to(np.asarray(share, float), a.shape[:-1])[..., None]
    cosine = np.clip((a * b).sum(-1, keepdims=True), -1.0, 1.0)
    angle = np.arccos(cosine)
    sine = np.sin(angle)
    flat = sine < 1e-4
    safe = np.where(flat, 1.0, sine)
    arc = (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / safe
    line = (1 - share) * a + share * b
    opposite = flat & (cosine < 0)
    if opposite.any():
        aside = unit(np.cross(a, np.where(np.abs(a[..., :1]) < 0.9, [1.0, 0, 0], [0, 1.0, 0])))
        line = np.where(opposite, np.cos(share * np.pi) * a + np.sin(share * np.pi) * aside, line)
    return unit(np.where(flat, line, arc))


def unit(vectors: Float) -> Float:
    """Return vectors [..., 3] scaled to length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _upper_body_points(skeleton: CharacterSkeleton, positions: Float) -> Float:
    """Return the points [T, 44, 3] of the `upper_body` joints."""
    source = {
        "pelvis": "JtPelvis",
        "spine3": "JtSpineC",
        "neck": "JtNeckA",
        "left_eye": "JtEyeLf",
        "right_eye": "JtEyeRt",
        "left_ear": "JtEarLf",
        "right_ear": "JtEarRt",
    }
    for side, short in _SIDES:
        for part in ("Shoulder", "Elbow", "Wrist"):
            source[f"{side}_{part.lower()}"] = f"Jt{part}{short}"
        for finger, theirs in _FINGERS.items():
            for i, letter in enumerate("ABC", 1):
                source[f"{side}_{finger}{i}"] = f"Jt{theirs}{letter}{short}"
    index = {name: i for i, name in enumerate(skeleton.joints)}
    try:
        nose = positions[:, [index["JtLowerNoseLf"], index["JtLowerNoseRt"]]].mean(1)
        points = [
            nose if joint == "nose" else positions[:, index[source[joint]]]
            for joint in load_skeleton("upper_body").joints
        ]
    except KeyError as error:
        raise InputError(f"{skeleton.name}: joint {error} is missing from the skeleton") from error
    return np.stack(points, 1)


def _ends(bone: str) -> list[str]:
    return bone.split(">")


def _marks(path: Path, marks: Mapping[str, float]) -> Marks | None:
    if not marks:
        return None
    try:
        return Marks(
            ready=marks["ready"],
            stroke_start=marks["strokeStart"],
            emphasis=marks["emphasis"],
            stroke=marks["stroke"],
            relax=marks["relax"],
        )
    except KeyError as error:
        raise InputError(f"{path.name}: the time of {error} is missing") from error


def _prerotation(tokens: Iterator[str]) -> list[float]:
    if next(tokens) != "axis":
        raise ValueError("prerot without axis")
    axis = np.array([float(next(tokens)) for _ in range(3)])
    if next(tokens) != "ang":
        raise ValueError("prerot without ang")
    angle = np.deg2rad(float(next(tokens)))
    return list(axis / max(float(np.linalg.norm(axis)), 1e-12) * angle)


def _tokens(path: Path) -> Iterator[str]:
    for line in _text(path).splitlines():
        if not line.lstrip().startswith("#"):
            yield from line.split()


def _text(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"{path}: no such file; point to the folder smartbody_gestures")
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{path.name}: larger than {_MAX_BYTES >> 20} MiB, not read")
    return path.read_text("utf-8", errors="replace")
