"""Which joint of somebody's BVH is which bone of the humanoid, and how it rests.

Joints are found by name, as MotionBuilder, Mixamo, VRM, Unity, Unreal, Poser,
Daz, SMPL, Biovision and BEAT name them; or a map file says. The
spine is found by its place between hips and neck.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from streamer.errors import InputError
from streamer.humanoid import BONE_INDEX, BONES, PARENTS, REST_OFFSETS
from streamer.recordings.bvh import bvh_name
from training.convert.bvh_file import Bvh

Float = npt.NDArray[np.float64]

REQUIRED: Final = (
    "hips",
    "neck",
    "head",
    *(f"{s}{b}" for s in ("left", "right") for b in ("UpperArm", "LowerArm", "Hand")),
)
_SIDES: Final = ("left", "right")
_FINGERS: Final = ("Thumb", "Index", "Middle", "Ring", "Little")
_LEAST = 1e-6


def find_bones(bvh: Bvh, names: Mapping[str, str] | None = None) -> dict[str, int]:
    """Return humanoid bone to joint number.

    names: humanoid bone to joint name, before anything that is found. Raises
    `InputError` where a bone that is needed is not found.
    """
    index = {joint: i for i, joint in enumerate(bvh.joints)}
    found: dict[str, int] = {}
    plain = {_plain(joint): i for joint, i in reversed(index.items())}
    for styles in (_trunks(), _arms(), _hands()):
        matched = [{b: plain[n] for b, n in style.items() if n in plain} for style in styles]
        found |= max(matched, key=len)
    for bone, joint in (names or {}).items():
        if bone not in BONES:
            raise InputError(
                f"map file: {bone!r} is no humanoid bone, as in {', '.join(BONES[:6])}"
            )
        if joint not in index:
            raise InputError(f"{bvh.name}: no joint {joint!r}, which the map file names for {bone}")
        found[bone] = index[joint]
    missing = [bone for bone in REQUIRED if bone not in found]
    if missing:
        raise InputError(
            f"{bvh.name}: no joint is recognised as {', '.join(missing)}; name them in a map "
            f"file (--map), its joints are {', '.join(bvh.joints[:40])}"
        )
    return _with_spine(bvh, found)


def read_map(path: Path) -> dict[str, str]:
    """Read a map file: a JSON object of humanoid bone (VRM 1.0 name) to joint name."""
    try:
        data: Any = json.loads(path.read_text("utf-8"))
        if not isinstance(data, dict):
            raise ValueError("no object")
        return {str(bone): str(joint) for bone, joint in data.items()}
    except (OSError, ValueError) as error:
        raise InputError(
            f'{path}: not a map file ({error}); expected JSON like {{"leftUpperArm": "L_Arm", ...}}'
        ) from error


def bone_rotations(bvh: Bvh, bones: Mapping[str, int]) -> dict[str, Rotation]:
    """Return each bone's rotation against the T-pose in VRM 1.0 axes, one per frame.

    Which way is up and left is read off the rest pose, and so is how limbs and
    fingers deviate from the T-pose there (arms of an A-pose hang).
    """
    rest = bvh.rest()
    axes = Rotation.from_matrix(_axes(bvh, bones, rest))
    world = bvh.world()
    out: dict[str, Rotation] = {}
    lean: dict[str, Rotation] = {}
    for bone in BONES:
        if bone not in bones:
            continue
        lean[bone] = _lean(bone, bones, rest, bvh, axes, lean)
        out[bone] = axes.inv() * world[bones[bone]] * axes * lean[bone]
    return out


def _axes(bvh: Bvh, bones: Mapping[str, int], rest: Float) -> Float:
    """Return the file's left, up and forward as columns, snapped to its axes."""
    up = rest[bones["neck"]] - rest[bones["hips"]]
    left = rest[bones["leftUpperArm"]] - rest[bones["rightUpperArm"]]
    columns: list[Float] = []
    for vector in (left, up):
        axis = int(np.argmax(np.abs(vector)))
        column = np.zeros(3)
        column[axis] = np.sign(vector[axis])
        columns.append(column)
    forward = np.cross(columns[0], columns[1])
    if np.linalg.norm(forward) < 0.5:
        raise InputError(
            f"{bvh.name}: its rest pose shows no upright person with a left and a right arm; "
            "export it with a T-pose or A-pose as rest pose"
        )
    return np.stack([*columns, forward], 1)


def _lean(
    bone: str,
    bones: Mapping[str, int],
    rest: Float,
    bvh: Bvh,
    axes: Rotation,
    above: Mapping[str, Rotation],
) -> Rotation:
    """Return the turn from the T-pose to the rest pose of a limb or finger."""
    side = bone.removeprefix("left").removeprefix("right")
    if side == bone or side == "Shoulder":
        return Rotation.identity()
    child = _child(bone)
    if child is not None and child in bones:
        way = rest[bones[child]] - rest[bones[bone]]
        want = REST_OFFSETS[BONE_INDEX[child]]
    else:
        way = bvh.ends.get(bones[bone], np.zeros(3))
        want = REST_OFFSETS[BONE_INDEX[bone]]
    # as its parent rests, then the shortest way on: keeps the roll along the limb
    parent = above.get(BONES[PARENTS[BONE_INDEX[bone]]], Rotation.identity())
    if np.linalg.norm(way) < _LEAST:
        return parent
    return _between(parent.apply(want.astype(float)), axes.inv().apply(way)) * parent


def _child(bone: str) -> str | None:
    """Return the bone that continues a limb or finger."""
    side = "left" if bone.startswith("left") else "right"
    match bone.removeprefix(side):
        case "UpperArm":
            return f"{side}LowerArm"
        case "LowerArm":
            return f"{side}Hand"
        case "Hand":
            return f"{side}MiddleProximal"
        case _:
            children = [b for b, p in zip(BONES, PARENTS, strict=True) if p == BONE_INDEX[bone]]
            return children[0] if children else None


def _between(a: Float, b: Float) -> Rotation:
    """Return the shortest turn from one direction to another."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    axis = np.cross(a, b)
    sine, cosine = float(np.linalg.norm(axis)), float(a @ b)
    if sine < _LEAST:
        return Rotation.identity() if cosine > 0 else Rotation.from_rotvec([0.0, 0.0, np.pi])
    return Rotation.from_rotvec(axis / sine * np.arctan2(sine, cosine))


def _with_spine(bvh: Bvh, found: dict[str, int]) -> dict[str, int]:
    """Return the bones with the spine as what lies between hips and neck."""
    chain: list[int] = []
    joint = bvh.parents[found["neck"]]
    while joint >= 0 and joint != found["hips"]:
        chain.insert(0, joint)
        joint = bvh.parents[joint]
    out = {bone: j for bone, j in found.items() if bone not in ("spine", "chest", "upperChest")}
    if chain:
        out["upperChest"] = chain[-1]
    if len(chain) > 1:
        out["spine"] = chain[0]
    if len(chain) > 2:
        out["chest"] = chain[len(chain) // 2]
    return out


def _trunks() -> list[dict[str, str]]:
    """Return humanoid bone to plain joint name, for each manner of naming."""
    return [
        {"hips": hips, "neck": neck, "head": "head"}
        for hips in ("hips", "hip", "pelvis", "root")
        for neck in ("neck", "neck1", "neck01", "lowerneck")
    ]


def _arms() -> list[dict[str, str]]:
    bones = ("Shoulder", "UpperArm", "LowerArm", "Hand")
    manners = (
        ("{side}shoulder", "{side}arm", "{side}forearm", "{side}hand"),  # MotionBuilder, Mixamo
        ("{side}shoulder", "{side}upperarm", "{side}lowerarm", "{side}hand"),  # VRM, Unity
        ("{side}collar", "{side}shoulder", "{side}elbow", "{side}wrist"),  # Poser, SMPL
        ("{side}collar", "{side}uparm", "{side}lowarm", "{side}hand"),  # Biovision
        ("{short}shoulder", "{short}arm", "{short}arm1", "{short}hand"),  # BEAT
        ("{short}collar", "{short}shldr", "{short}forearm", "{short}hand"),  # Daz
        ("clavicle{short}", "upperarm{short}", "lowerarm{short}", "hand{short}"),  # Unreal
    )
    return [
        {
            f"{side}{bone}": name.format(side=side, short=side[0])
            for side in _SIDES
            for bone, name in zip(bones, manner, strict=True)
        }
        for manner in manners
    ]


def _hands() -> list[dict[str, str]]:
    fingers = [(s, f, b) for s in _SIDES for f in _FINGERS for b in BONES if b.startswith(s + f)]
    motion_builder = {bone: _plain(bvh_name(bone)) for _, _, bone in fingers}
    vrm = {bone: _plain(bone) for _, _, bone in fingers}
    smpl: dict[str, str] = {}
    beat: dict[str, str] = {}
    daz: dict[str, str] = {}
    unreal: dict[str, str] = {}
    for side, finger, bone in fingers:
        number = motion_builder[bone][-1]
        plain = "pinky" if finger == "Little" else finger.lower()
        smpl[bone] = f"{side}{plain}{number}"
        daz[bone] = f"{side[0]}{plain.replace('middle', 'mid')}{number}"
        unreal[bone] = f"{plain}0{number}{side[0]}"
        letter = "p" if finger == "Little" else finger[0].lower()
        beat[bone] = f"{side[0]}hand{letter}{number}"
    return [motion_builder, vrm, smpl, beat, daz, unreal]


def _plain(joint: str) -> str:
    """Return a joint's name without prefix, punctuation and case."""
    name = joint.rsplit(":", 1)[-1]
    return re.sub(r"[^a-z0-9]", "", name.lower()).removeprefix("mixamorig")
