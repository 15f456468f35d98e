"""Keeping hands and elbows out of the body: a capsule about the spine.

A point of the arm that lies inside is moved straight outwards by turning the
upper arm about its shoulder, and the forearm about its elbow, until all are out.
"""

from math import asin, hypot
from typing import Final

from streamer.avatar import Avatar
from streamer.humanoid import BONE_INDEX, BONES, PARENTS, REST_OFFSETS
from streamer.rotation import (
    Quaternion,
    Vector,
    about,
    cross,
    dot,
    multiply,
    normalised,
    rotate,
    undo,
)
from streamer.types import Float32

_ROUNDS: Final = 40
_CLOSE: Final = 5e-4  # metres; what is left is less than a pixel
_SIDES: Final = ("left", "right")
_MARGIN: Final = 2e-3


class TorsoGuard:
    """Pushes arms out of one body; keeps nothing between poses.

    avatar: whose proportions count; None for the mannequin's.
    """

    def __init__(self, avatar: Avatar | None) -> None:
        self._offsets: list[Vector] = [_offset(avatar, bone) for bone in BONES]
        self._chains = tuple(_Chain(side) for side in _SIDES)

    def __call__(self, rotations: Float32, radius: float) -> Float32:
        """Return rotations [B, 4] with both arms outside; the same array if they were."""
        rows: list[Quaternion] = [(x, y, z, w) for x, y, z, w in rotations.tolist()]
        moved = False
        for chain in self._chains:
            moved |= self._push(chain, rows, radius)
        if not moved:
            return rotations
        out = rotations.copy()
        for chain in self._chains:
            out[[chain.upper, chain.lower]] = [rows[chain.upper], rows[chain.lower]]
        return out

    def depth(self, rotations: Float32, radius: float) -> float:
        """Return how far the deepest point of both arms is inside, metres; negative outside."""
        rows: list[Quaternion] = [(x, y, z, w) for x, y, z, w in rotations.tolist()]
        deepest = -1.0
        for chain in self._chains:
            places, _ = self._places(rows)
            bottom, top = self._spine(places)
            for point in (chain.lower, *chain.points):
                deepest = max(deepest, radius - _outwards(places[point], bottom, top)[0])
        return deepest

    def _push(self, chain: "_Chain", rows: list[Quaternion], radius: float) -> bool:
        moved = False
        for _ in range(_ROUNDS):
            places, world = self._places(rows)
            bottom, top = self._spine(places)
            inside = [
                (radius - distance, point, out)
                for point in (chain.lower, *chain.points)
                for distance, out in (_outwards(places[point], bottom, top),)
            ]
            depth, point, out = max(inside)
            if depth <= _CLOSE:
                break
            # The elbow can only go where the shoulder lets it; a hand has both joints.
            joints = (chain.upper,) if point == chain.lower else (chain.upper, chain.lower)
            for joint in joints:
                part = (depth + _MARGIN) / len(joints)
                _turn(rows, world, joint, places[joint], places[point], out, part)
            moved = True
        return moved

    def _places(self, rows: list[Quaternion]) -> tuple[dict[int, Vector], dict[int, Quaternion]]:
        places: dict[int, Vector] = {0: self._offsets[0]}
        world: dict[int, Quaternion] = {0: rows[0]}
        for bone in _NEEDED:
            parent = PARENTS[bone]
            x, y, z = rotate(world[parent], self._offsets[bone])
            px, py, pz = places[parent]
            places[bone] = (px + x, py + y, pz + z)
            world[bone] = multiply(world[parent], rows[bone])
        return places, world

    def _spine(self, places: dict[int, Vector]) -> tuple[Vector, Vector]:
        return places[0], places[BONE_INDEX["neck"]]


class _Chain:
    """Indices of one arm: the joints that turn and the points that must stay outside."""

    def __init__(self, side: str) -> None:
        self.upper = BONE_INDEX[f"{side}UpperArm"]
        self.lower = BONE_INDEX[f"{side}LowerArm"]
        names = ("Hand", "MiddleProximal", "MiddleDistal", "ThumbDistal")
        self.points = tuple(BONE_INDEX[side + name] for name in names)


def _needed() -> tuple[int, ...]:
    """Return the bones that lead to any of the points, parents first, without the hips."""
    wanted = {BONE_INDEX["neck"]}
    for side in _SIDES:
        chain = _Chain(side)
        wanted |= {chain.lower, *chain.points}
    for bone in tuple(wanted):
        while (bone := PARENTS[bone]) > 0:
            wanted.add(bone)
    return tuple(sorted(wanted))


_NEEDED: Final = _needed()


def _offset(avatar: Avatar | None, bone: str) -> Vector:
    if avatar is None:
        x, y, z = REST_OFFSETS[BONE_INDEX[bone]].tolist()
        return (x, y, z)
    # A bone that it lacks lies on the one above; its children's offsets are whole.
    return avatar.offset(bone) if bone in avatar.bones else (0.0, 0.0, 0.0)


def _outwards(point: Vector, bottom: Vector, top: Vector) -> tuple[float, Vector]:
    """Return a point's distance from a line segment, and the direction away from it."""
    along = (top[0] - bottom[0], top[1] - bottom[1], top[2] - bottom[2])
    to = (point[0] - bottom[0], point[1] - bottom[1], point[2] - bottom[2])
    share = min(max(dot(to, along) / max(dot(along, along), 1e-9), 0.0), 1.0)
    away = (to[0] - share * along[0], to[1] - share * along[1], to[2] - share * along[2])
    distance = hypot(*away)
    if distance < 1e-6:
        return 0.0, (0.0, 0.0, 1.0)  # on the line itself: forwards
    return distance, (away[0] / distance, away[1] / distance, away[2] / distance)


def _turn(
    rows: list[Quaternion],
    world: dict[int, Quaternion],
    joint: int,
    pivot: Vector,
    point: Vector,
    out: Vector,
    by: float,
) -> None:
    """Turn a joint so that a point moves outwards by so many metres, or as near as it may."""
    arm = (point[0] - pivot[0], point[1] - pivot[1], point[2] - pivot[2])
    axis = cross(arm, out)
    reach = hypot(*axis)
    if reach < 1e-4:
        return
    angle = asin(min(by / reach, 0.5))
    turn = about((axis[0] / reach, axis[1] / reach, axis[2] / reach), angle)
    above = world[PARENTS[joint]]
    rows[joint] = normalised(undo(above, multiply(turn, multiply(above, rows[joint]))))
