"""Rigs that are no humanoid by the book: a TOML file that says which bone is which.

    rig = "robot.glb"        # optional: a glTF file whose nodes are meant
    faces = "+Z"             # or "-Z", the way the file's character looks

    [bones]                  # VRM 1.0 name = the rig's own; what is not named is not there
    hips = "pelvis"
    leftUpperArm = "upperarm_l"

    [tpose]                  # only where a bone is turned while the body stands in the T-pose
    leftUpperArm = [0, 0, 40]

    [offsets]                # metres from the bone above, only without a rig file
    leftUpperArm = [0.2, 0, 0]

Numbers are in glTF's axes (right-handed, Y up). A turn is local: three degrees
about X, then Y, then Z, or a quaternion x, y, z, w.
"""

import hashlib
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

import numpy as np

from streamer.avatar import Avatar, BoneRest, file_bones
from streamer.errors import ConfigError, InputError
from streamer.glb import read_glb_json
from streamer.humanoid import BONE_INDEX, BONES, PARENTS, REST_OFFSETS
from streamer.rotation import (
    IDENTITY,
    Quaternion,
    Vector,
    about,
    inverse,
    multiply,
    normalised,
    rotate,
)

_KEYS: Final = ("rig", "faces", "bones", "tpose", "offsets")
_LONGEST: Final = 64 * 1024
_NAME: Final = 200
_FARTHEST: Final = 100.0

# Bones that no network moves, but that a rig may want to be told of.
_LEGS: Final[Mapping[str, tuple[str, Vector]]] = {
    "UpperLeg": ("hips", (0.09, -0.045, 0.0)),
    "LowerLeg": ("UpperLeg", (0.007, -0.405, 0.004)),
    "Foot": ("LowerLeg", (0.006, -0.415, -0.016)),
    "Toes": ("Foot", (0.0, -0.06, 0.12)),
}
NEEDED: Final = (
    "hips",
    "spine",
    "head",
    *(side + part for side in ("left", "right") for part in ("UpperArm", "LowerArm", "Hand")),
)
"""Without these there is nobody to move."""


def read_bone_map(path: Path) -> Avatar:
    """Return the rig that a bone map tells of, with its own names.

    Raises `ConfigError` for a map that is wrong, `InputError` for its rig file.
    """
    try:
        text = path.read_bytes()
        if len(text) > _LONGEST:
            raise ConfigError(f"{path}: larger than {_LONGEST >> 10} kB")
        values: dict[str, Any] = tomllib.loads(text.decode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    if unknown := sorted(values.keys() - set(_KEYS)):
        raise ConfigError(f"{path}: unknown key {unknown[0]!r:.40}; there are {', '.join(_KEYS)}")
    names = _names(path, values)
    turns = {b: _turn(path, b, v) for b, v in _table(path, values, "tpose", names).items()}
    faces = values.get("faces", "+Z")
    if faces not in ("+Z", "-Z"):
        raise ConfigError(f"{path}: faces is {faces!r:.40}, expected '+Z' or '-Z'")
    offsets = _table(path, values, "offsets", names)
    if "rig" not in values:
        if faces != "+Z":
            raise ConfigError(f"{path}: faces belongs to a rig file; name one with rig")
        places = {b: _numbers(path, f"offsets.{b}", v, 3) for b, v in offsets.items()}
        bones = _standing(names, turns, places)
    else:
        if offsets:
            raise ConfigError(f"{path}: offsets come from the rig file; leave one of them out")
        bones = _of_file(path, values["rig"], names, turns, turned=faces == "-Z")
    return Avatar(
        bones=MappingProxyType(bones),
        meta_version="1",
        name=path.stem,
        author="",
        licence="",
        sha256=hashlib.sha256(text).hexdigest(),
        names=MappingProxyType(names),
    )


def _names(path: Path, values: Mapping[str, Any]) -> dict[str, str]:
    table: Any = values.get("bones")
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: no table [bones] of VRM 1.0 names and the rig's own")
    known = {*BONE_INDEX, *(side + part for side in ("left", "right") for part in _LEGS)}
    names = dict[str, str]()
    for bone, name in cast(dict[str, Any], table).items():
        if bone not in known:
            raise ConfigError(f"{path}: no bone {bone!r:.40}; VRM 1.0 names, as leftUpperArm")
        if not isinstance(name, str) or not 0 < len(name) <= _NAME:
            raise ConfigError(f"{path}: {bone} is {name!r:.40}, expected the rig's name for it")
        if name in names.values():
            raise ConfigError(f"{path}: {name!r:.40} stands for two bones")
        names[bone] = name
    if missing := [bone for bone in NEEDED if bone not in names]:
        raise ConfigError(f"{path}: [bones] lacks {', '.join(missing)}")
    return names


def _table(
    path: Path, values: Mapping[str, Any], key: str, names: Mapping[str, str]
) -> dict[str, Any]:
    table: Any = values.get(key, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {key} is no table; write [{key}]")
    entries = cast(dict[str, Any], table)
    for bone in entries:
        if bone not in names:
            raise ConfigError(f"{path}: {key}.{bone:.40} is no bone of [bones]")
    return entries


def _numbers(path: Path, what: str, value: Any, count: int) -> Vector:
    x, y, z, *_ = _list(path, what, value, (count,))
    return (x, y, z)


def _list(path: Path, what: str, value: Any, counts: tuple[int, ...]) -> list[float]:
    numbers = cast(list[Any], value) if isinstance(value, list) else []
    good = all(isinstance(v, int | float) and not isinstance(v, bool) for v in numbers)
    if not good or len(numbers) not in counts or not all(math.isfinite(v) for v in numbers):
        wanted = " or ".join(map(str, counts))
        raise ConfigError(f"{path}: {what} is {value!r:.40}, expected {wanted} numbers")
    if what.startswith("offsets") and not all(abs(v) <= _FARTHEST for v in numbers):
        raise ConfigError(f"{path}: {what} is {value!r:.40}; offsets are in metres")
    return [float(v) for v in numbers]


def _turn(path: Path, bone: str, value: Any) -> Quaternion:
    numbers = _list(path, f"tpose.{bone}", value, (3, 4))
    if len(numbers) == 3:
        turn = IDENTITY
        for axis, degrees in zip(((1, 0, 0), (0, 1, 0), (0, 0, 1)), numbers, strict=True):
            one = about((float(axis[0]), float(axis[1]), float(axis[2])), math.radians(degrees))
            turn = multiply(one, turn)
        return turn
    x, y, z, w = numbers
    if not 0.5 < math.hypot(x, y, z, w) < 2:
        raise ConfigError(f"{path}: tpose.{bone} is {value!r:.60}, which is no rotation")
    return normalised((x, y, z, w))


def _standing(
    names: Mapping[str, str], turns: Mapping[str, Quaternion], offsets: Mapping[str, Vector]
) -> dict[str, BoneRest]:
    """Return the bones of a rig without a file: the mannequin's size, unless told otherwise."""
    bones = dict[str, BoneRest]()
    for bone, parent, usual in _mannequin():
        if bone not in names:
            continue
        shift = np.array(usual, np.float64)
        above = parent
        while above and above not in names:  # a bone that is not there lies on the one above
            _, grand, further = next(row for row in _mannequin() if row[0] == above)
            shift += further
            above = grand
        turn = turns.get(bone, IDENTITY)
        if not above:
            place = offsets.get(bone, _vector(shift))
            bones[bone] = BoneRest(
                parent=None,
                position=place,
                rotation=turn,
                world_position=place,
                world_rotation=turn,
                scale=1.0,
            )
            continue
        up = bones[above]
        local = offsets.get(bone, rotate(inverse(up.world_rotation), _vector(shift)))
        x, y, z = rotate(up.world_rotation, local)
        px, py, pz = up.world_position
        bones[bone] = BoneRest(
            parent=above,
            position=local,
            rotation=turn,
            world_position=(px + x, py + y, pz + z),
            world_rotation=multiply(up.world_rotation, turn),
            scale=1.0,
        )
    return bones


def _mannequin() -> list[tuple[str, str, Any]]:
    rows: list[tuple[str, str, Any]] = [
        (bone, BONES[parent] if parent >= 0 else "", REST_OFFSETS[i])
        for i, (bone, parent) in enumerate(zip(BONES, PARENTS, strict=True))
    ]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for part, (above, (x, y, z)) in _LEGS.items():
            rows.append((side + part, above if above == "hips" else side + above, (sign * x, y, z)))
    return rows


def _of_file(
    path: Path,
    rig: Any,
    names: Mapping[str, str],
    turns: Mapping[str, Quaternion],
    *,
    turned: bool,
) -> dict[str, BoneRest]:
    if not isinstance(rig, str) or not rig:
        raise ConfigError(f"{path}: rig is {rig!r:.40}, expected the name of a .glb file")
    file = path.parent / rig
    data = read_glb_json(file)
    nodes: Any = data.get("nodes") or []
    places = dict[str, int]()
    found = dict[str, list[int]]()
    for i, node in enumerate(cast(list[Any], nodes)):
        if isinstance(node, dict):
            found.setdefault(str(cast(dict[str, Any], node).get("name")), []).append(i)
    for bone, name in names.items():
        match found.get(name, []):
            case [one]:
                places[bone] = one
            case []:
                raise InputError(f"{file.name}: no node {name!r:.60} ({bone} of {path.name})")
            case _:
                raise InputError(f"{file.name}: several nodes are called {name!r:.60}")
    return file_bones(file.name, data, places, turned=turned, turns=turns)


def _vector(values: Any) -> Vector:
    x, y, z = (float(v) for v in values)
    return (x, y, z)
