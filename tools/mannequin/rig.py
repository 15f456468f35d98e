"""The 54 bones of the mannequin and its smooth skin weights."""

from collections.abc import Mapping

import numpy as np

from streamer.humanoid import BONES, PARENTS, REST_OFFSETS
from tools.mannequin.sdf import Array

FINGERS = ("Thumb", "Index", "Middle", "Ring", "Little")
HEAD_SCALE = 1.14
HEAD_PIVOT = np.array([0.0, 1.53, 0.0])
EYE = (0.0375, 1.62, 0.0455)
"""The left eye's pivot before the head is enlarged; the visible eye lies 60 mm in front."""

_LEG = {
    "UpperLeg": ("hips", (0.09, 0.905, 0.0)),
    "LowerLeg": ("UpperLeg", (0.097, 0.5, 0.004)),
    "Foot": ("LowerLeg", (0.103, 0.085, -0.012)),
    "Toes": ("Foot", (0.108, 0.022, 0.105)),
}


def _skeleton() -> tuple[tuple[str, ...], dict[str, str], dict[str, Array]]:
    names = list(BONES)
    parents = {b: BONES[PARENTS[i]] if PARENTS[i] >= 0 else "" for i, b in enumerate(BONES)}
    world: dict[str, Array] = {}
    for i, bone in enumerate(BONES):
        base = world[parents[bone]] if parents[bone] else np.zeros(3)
        world[bone] = base + REST_OFFSETS[i].astype(float)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        flip = np.array([sign, 1.0, 1.0])
        for part, (parent, at) in _LEG.items():
            bone = side + part
            names.append(bone)
            parents[bone] = parent if parent == "hips" else side + parent
            world[bone] = np.array(at) * flip
        names.append(f"{side}Eye")
        parents[f"{side}Eye"] = "head"
        world[f"{side}Eye"] = HEAD_PIVOT + HEAD_SCALE * (np.array(EYE) * flip - HEAD_PIVOT)
    return tuple(names), parents, world


NAMES, PARENT_OF, WORLD = _skeleton()
"""Bone names (parents first), parent of each, rest position of each in metres."""

INDEX = {name: i for i, name in enumerate(NAMES)}

Weights = Mapping[str, Array]


def finger_joints(side: str, finger: str) -> list[str]:
    """The three bones of one finger, root first."""
    parts = ("Metacarpal", "Proximal", "Distal")
    if finger != "Thumb":
        parts = ("Proximal", "Intermediate", "Distal")
    return [f"{side}{finger}{part}" for part in parts]


def past(points: Array, joint: Array, direction: tuple[float, float, float], band: float) -> Array:
    """0 before the plane through `joint`, 1 after it, smooth over +-`band` metres."""
    axis = np.array(direction) / np.linalg.norm(direction)
    t = np.clip((points - joint) @ axis / (2 * band) + 0.5, 0.0, 1.0)
    return t * t * (3 - 2 * t)


def spine_weights(points: Array) -> dict[str, Array]:
    """Hips to upper chest, by height."""
    up = (0.0, 1.0, 0.0)
    steps = [
        past(points, WORLD["spine"] + [0, 0.02, 0], up, 0.07),
        past(points, WORLD["chest"], up, 0.07),
        past(points, WORLD["upperChest"], up, 0.07),
    ]
    return _chain(["hips", "spine", "chest", "upperChest"], steps)


def torso_weights(points: Array) -> dict[str, Array]:
    """Sweater: spine, shoulders and sleeves."""
    weights = spine_weights(points)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        shoulder = past(points, WORLD[f"{side}UpperArm"], (sign, 0.5, 0.0), 0.1)
        shoulder = shoulder * past(points, np.zeros(3), (sign, 0, 0), 0.06)
        arm = past(points, WORLD[f"{side}UpperArm"] + [sign * 0.012, 0, 0], (sign, 0.35, 0), 0.075)
        elbow = past(points, WORLD[f"{side}LowerArm"], (sign, 0.0, 0.0), 0.055)
        weights = {bone: w * (1 - shoulder) for bone, w in weights.items()}
        weights[f"{side}Shoulder"] = shoulder * (1 - arm)
        weights[f"{side}UpperArm"] = shoulder * arm * (1 - elbow)
        weights[f"{side}LowerArm"] = shoulder * arm * elbow
    return weights


def leg_weights(points: Array) -> dict[str, Array]:
    """Trousers: hips, thighs and shins."""
    weights: dict[str, Array] = {"hips": np.ones(len(points))}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        own = past(points, np.zeros(3), (sign, 0, 0), 0.025)
        thigh = own * past(points, WORLD[f"{side}UpperLeg"], (sign * 0.5, -1.0, 0), 0.075)
        knee = past(points, WORLD[f"{side}LowerLeg"], (0, -1, 0), 0.06)
        foot = past(points, WORLD[f"{side}Foot"], (0, -1, 0.3), 0.03)
        weights["hips"] = weights["hips"] * (1 - thigh)
        weights[f"{side}UpperLeg"] = thigh * (1 - knee)
        weights[f"{side}LowerLeg"] = thigh * knee * (1 - foot)
        weights[f"{side}Foot"] = thigh * knee * foot
    return weights


def shoe_weights(points: Array) -> dict[str, Array]:
    """Shoes: foot and toes, the ankle on the shin."""
    weights: dict[str, Array] = {}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        own = (points[:, 0] * sign > 0).astype(float)
        foot = past(points, WORLD[f"{side}Foot"], (0, -1, 0.3), 0.03)
        toes = past(points, WORLD[f"{side}Toes"], (0, 0, 1), 0.03)
        weights[f"{side}LowerLeg"] = own * (1 - foot)
        weights[f"{side}Foot"] = own * foot * (1 - toes)
        weights[f"{side}Toes"] = own * foot * toes
    return weights


def hand_weights(side: str, points: Array) -> dict[str, Array]:
    """One hand: wrist, palm and five fingers."""
    sign = 1.0 if side == "left" else -1.0
    hand = past(points, WORLD[f"{side}Hand"], (sign, 0, 0), 0.028)
    weights = {f"{side}LowerArm": 1 - hand, f"{side}Hand": hand}
    share = _finger_shares(side, points)
    for i, finger in enumerate(FINGERS):
        bones = finger_joints(side, finger)
        thumb = finger == "Thumb"
        axis = (sign, 0.0, 1.0) if thumb else (sign, 0.0, 0.0)
        bands = (0.018, 0.011, 0.009) if thumb else (0.0115, 0.0085, 0.0075)
        shift = 0.012 if thumb else 0.0  # the ball of the thumb stays with the palm
        steps = []
        for bone, band in zip(bones, bands, strict=True):
            at = WORLD[bone] + shift * np.array(axis)
            steps.append(past(points, at, axis, band))
            shift = 0.0
        own = share[:, i]
        chain = _chain(["", *bones], steps)
        moved = own * (1 - chain.pop(""))
        weights[f"{side}Hand"] = weights[f"{side}Hand"] - hand * moved
        for bone, w in chain.items():
            weights[bone] = hand * own * w
    return weights


def head_weights(points: Array) -> dict[str, Array]:
    """Head and neck; the chin belongs to the head."""
    neck = past(points, WORLD["neck"], (0, 1, 0), 0.035)
    head = past(points, WORLD["head"] + [0, 0.0, 0.0], (0, 1, 0.55), 0.04)
    return _chain(["upperChest", "neck", "head"], [neck, head])


def _finger_shares(side: str, points: Array) -> Array:
    """How much each finger owns each point [N, 5]: by distance to its bones."""
    distances = []
    for finger in FINGERS:
        joints = [WORLD[b] for b in finger_joints(side, finger)]
        tip = joints[2] + (joints[2] - joints[1])
        best = np.full(len(points), np.inf)
        for a, b in zip([*joints], [*joints[1:], tip], strict=True):
            axis = b - a
            h = np.clip((points - a) @ axis / (axis @ axis), 0, 1)
            best = np.minimum(best, np.linalg.norm(points - a - h[:, None] * axis, axis=1))
        distances.append(best)
    d = np.stack(distances, axis=1)
    share = np.exp(-(d - d.min(1, keepdims=True)) / 0.0011)
    return share / share.sum(1, keepdims=True)


def _chain(bones: list[str], steps: list[Array]) -> dict[str, Array]:
    """Weights along a chain; steps[i] says how far a point is past bone i+1's joint."""
    weights: dict[str, Array] = {}
    rest = np.ones(len(steps[0]))
    for bone, step in zip(bones, [*steps, None], strict=True):
        weights[bone] = rest if step is None else rest * (1 - step)
        rest = rest if step is None else rest * step
    return weights


def packed(weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """The four strongest bones of each point: joints uint8 [N, 4], weights uint8 [N, 4].

    Weights are 255ths that add up to exactly 255.
    """
    table = np.stack([weights.get(name, np.zeros(1)) * np.ones(_count(weights)) for name in NAMES])
    order = np.argsort(-table, axis=0, kind="stable")[:4].T
    top = np.take_along_axis(table.T, order, axis=1)
    scaled = top / top.sum(1, keepdims=True) * 255
    whole = np.floor(scaled + 0.5).astype(int)
    whole[:, 0] += 255 - whole.sum(1)
    joints = np.where(whole > 0, order, 0)
    return joints.astype(np.uint8), whole.astype(np.uint8)


def _count(weights: Weights) -> int:
    return len(next(iter(weights.values())))
