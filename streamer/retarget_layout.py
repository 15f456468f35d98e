"""Where a skeleton keeps what retargeting needs, and its vectors at rest.

Retargeting reads direction vectors by joint names, so that any skeleton with
these joints works. Limbs and fingers rest as the humanoid's do. Torso,
shoulders and face rest where the skeleton's mean has them: whether a "neck"
lies above a "spine" or 20 degrees before it depends on who placed the joints,
not on the pose (protocols.md 6.3, step 8).
"""

from dataclasses import dataclass

import numpy as np

from streamer.errors import ArtifactError
from streamer.humanoid import BONE_INDEX, REST_OFFSETS
from streamer.rotation import Vector, unit
from streamer.skeleton import Skeleton
from streamer.types import Float32

SIDES = ("left", "right")
FINGERS = ("index", "middle", "pinky", "ring")

_SPINES = ("spine3", "spine")
_FACE = (
    ("nose", "right_eye"),
    ("nose", "left_eye"),
    ("right_eye", "right_ear"),
    ("left_eye", "left_ear"),
)

_ANATOMY = {  # by the child joint: a person looking straight ahead, shoulders down
    "left_shoulder": (0.95, -0.3, 0.0),
    "right_shoulder": (-0.95, -0.3, 0.0),
    "nose": (0.0, 0.68, 0.73),
    "head": (0.0, 0.9, -0.43),
    "left_eye": (0.5, 0.65, -0.57),
    "right_eye": (-0.5, 0.65, -0.57),
    "left_ear": (0.4, -0.2, -0.9),
    "right_ear": (-0.4, -0.2, -0.9),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HandLayout:
    """Vector indices of one hand.

    knuckles: wrist to first joint of index, middle, pinky and ring; fingers:
    their (first, second) phalanx; thumb: its (first, second) phalanx; palm: the
    palm normal, None where the knuckles must tell.
    """

    knuckles: tuple[int, int, int, int]
    fingers: tuple[tuple[int, int], ...]
    thumb: tuple[int, int]
    palm: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmLayout:
    """Vector indices of one arm; `hand` is None where the skeleton has no fingers."""

    shoulder: int
    upper: int
    lower: int
    hand: HandLayout | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Vector indices of a skeleton, and `rest`, its [D, 3] T-pose in VRM 1.0 axes.

    pelvis: pelvis to upper spine, None where unknown. spine: upper spine to
    neck. nose: neck to nose. face: nose to right eye, nose to left eye, right
    eye to ear, left eye to ear; or nose to top of the head alone.
    """

    pelvis: int | None
    spine: int
    nose: int
    face: tuple[int, ...]
    arms: tuple[ArmLayout, ArmLayout]
    rest: tuple[Vector, ...]

    @classmethod
    def of(cls, skeleton: Skeleton) -> "Layout":
        """Find the vectors of a skeleton; raises `ArtifactError` where some are missing."""
        joints = set(skeleton.joints)
        spine = next((name for name in _SPINES if name in joints), "spine3")

        def vector(parent: str, child: str) -> int:
            try:
                return skeleton.index(parent, child)
            except ValueError:
                raise ArtifactError(
                    f"skeleton {skeleton.name}: no vector {parent}>{child}, which rotations "
                    "are computed from; name its joints as upper_body does"
                ) from None

        def arm(side: str) -> ArmLayout:
            return ArmLayout(
                shoulder=vector("neck", f"{side}_shoulder"),
                upper=vector(f"{side}_shoulder", f"{side}_elbow"),
                lower=vector(f"{side}_elbow", f"{side}_wrist"),
                hand=hand(side) if f"{side}_middle1" in joints else None,
            )

        def hand(side: str) -> HandLayout:
            def phalanges(finger: str) -> tuple[int, int]:
                a, b, c = (f"{side}_{finger}{i}" for i in (1, 2, 3))
                return vector(a, b), vector(b, c)

            index, middle, pinky, ring = (vector(f"{side}_wrist", f"{side}_{f}1") for f in FINGERS)
            palm = f"{side}_palm"
            return HandLayout(
                knuckles=(index, middle, pinky, ring),
                fingers=tuple(phalanges(f) for f in FINGERS),
                thumb=phalanges("thumb"),
                palm=skeleton.vector_names.index(palm) if palm in skeleton.normals else None,
            )

        has_eyes = "left_ear" in joints
        return cls(
            pelvis=vector("pelvis", spine) if "pelvis" in joints else None,
            spine=vector(spine, "neck"),
            nose=vector("neck", "nose"),
            face=tuple(vector(*ends) for ends in _FACE) if has_eyes else (vector("nose", "head"),),
            arms=(arm("left"), arm("right")),
            rest=_rest(skeleton),
        )


def rest_directions(skeleton: Skeleton) -> Float32:
    """Return the T-pose [D, 3] of a skeleton in its own axes: all rotations identity."""
    return skeleton.to_vrm(np.array(Layout.of(skeleton).rest, np.float32))


def humanoid_bone(joint: str) -> str | None:
    """Return the humanoid bone that starts at a joint of a skeleton, if one does."""
    side, _, part = joint.partition("_")
    match joint, part:
        case "pelvis", _:
            return "hips"
        case (("spine3" | "spine"), _):
            return "upperChest"
        case "neck", _:
            return "neck"
        case _, "shoulder":
            return f"{side}UpperArm"
        case _, "elbow":
            return f"{side}LowerArm"
        case _, "wrist":
            return f"{side}Hand"
        case _, _ if part[:-1] in (*FINGERS, "thumb") and part[-1:] in ("1", "2", "3"):
            return side + _finger_bone(part[:-1], int(part[-1]) - 1)
        case _:
            return None


def _finger_bone(finger: str, i: int) -> str:
    name = {"pinky": "Little"}.get(finger, finger.capitalize())
    thumb, others = ("Metacarpal", "Proximal", "Distal"), ("Proximal", "Intermediate", "Distal")
    return name + (thumb if finger == "thumb" else others)[i]


def _rest(skeleton: Skeleton) -> tuple[Vector, ...]:
    """Return the T-pose vectors in VRM 1.0 axes (see the module's docstring)."""
    rest = _symmetric_mean(skeleton)
    for i, (a, b) in enumerate(skeleton.bones):
        parent, child = skeleton.joints[a], skeleton.joints[b]
        bone = humanoid_bone(child)
        if parent.partition("_")[0] in SIDES and bone is not None:
            rest[i] = REST_OFFSETS[BONE_INDEX[bone]]
    for i, name in enumerate(skeleton.normals, len(skeleton.bones)):
        if name.endswith("_palm"):
            rest[i] = (0.0, -1.0, 0.0)
    return tuple(unit((float(x), float(y), float(z))) for x, y, z in rest)


def _symmetric_mean(skeleton: Skeleton) -> Float32:
    """Return the mean directions [D, 3] in VRM 1.0 axes, averaged with their mirror image."""
    names = skeleton.vector_names
    mean = skeleton.to_vrm(skeleton.mean)
    mirror = np.array([-1.0, 1.0, 1.0], np.float32)
    out = np.zeros_like(mean)
    for i, name in enumerate(names):
        other = name.replace("left", "*").replace("right", "left").replace("*", "right")
        out[i] = (mean[i] + mirror * mean[names.index(other)]) / 2 if other in names else mean[i]
        if float(np.linalg.norm(out[i])) < 0.1:  # a skeleton without means
            out[i] = _ANATOMY.get(name.partition(">")[2], (0.0, 1.0, 0.0))
    return out
