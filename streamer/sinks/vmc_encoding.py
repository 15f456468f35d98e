"""One pose as VMC datagrams: OSC messages with exact types, in Unity's axes and names.

The rules are those of protocols.md 1: order (root, bones, OK, T last), positions
that are never zero, raw rotations, datagrams below 1200 bytes. Faces are left
alone unless asked for, so that a face tracker further down keeps them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from streamer.avatar import Avatar
from streamer.humanoid import (
    BONE_INDEX,
    BONES,
    PARENTS,
    REST_OFFSETS,
    to_unity_position,
    to_unity_rotation,
    unity_bone_name,
)
from streamer.retarget import Pose
from streamer.rotation import (
    IDENTITY,
    Quaternion,
    Vector,
    inverse,
    inverse_all,
    multiply,
    multiply_all,
    rotate_all,
)
from streamer.types import Float32

Bundling = Literal["mtu", "full", "none"]
"""`mtu`: bundles below 1200 bytes. `full`: one bundle. `none`: a datagram a message."""

MAX_DATAGRAM: Final = 1200

Role = Literal["performer", "assistant"]
"""`performer`: the whole body. `assistant`: arms and hands, for a program that has the rest."""

Bytes = npt.NDArray[np.uint8]

_EXPRESSIONS: Final = ("A", "I", "U", "E", "O", "Blink")

NO_BLENDS: Final[Mapping[str, float]] = {}

_BUNDLE_HEAD: Final = 16
_SIZE: Final = 4
_BONE_BYTES: Final = 28  # three position and four rotation floats, at a message's end
_NOWHERE: Final = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)

# Bones that no network moves. They are sent at rest: receivers would otherwise
# keep whatever pose they had. Offsets are the mannequin's. Eyes and jaw are left
# to whoever drives the face.
_LEGS: Final = {
    "UpperLeg": (0.09, -0.045, 0.0),
    "LowerLeg": (0.007, -0.405, 0.004),
    "Foot": (0.006, -0.415, -0.016),
}
_STILL: Final = tuple(side + part for side in ("left", "right") for part in (*_LEGS, "Toes"))

# Models without it are common and those with it do not miss it much, so unless the
# avatar is known its turn goes to neck and shoulders.
_UNSURE: Final = "upperChest"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VmcRig:
    """The bones of a receiver's model, ready for encoding.

    bones: VRM 1.0 names. names: as sent. positions: [N, 3] local, VRM 1.0 axes. before,
    after: [N, 4]; the sent rotation is before * normalised * after, which is
    L * inverse(W) * normalised * W (protocols.md 1.6). folded: for each bone the
    indices in `BONES` of its own rotation and, before it, of the bones between it
    and its parent that the model lacks (3.1); none for legs. hips_frame, hips_scale:
    what turns an offset of our hips in the world into one of the model's position.
    """

    bones: tuple[str, ...]
    names: tuple[str, ...]
    positions: Float32
    before: Float32
    after: Float32
    folded: tuple[tuple[int, ...], ...]
    hips_frame: Quaternion
    hips_scale: float

    @classmethod
    def standard(cls) -> "VmcRig":
        """Return the rig for a model of which no file is at hand."""
        bones = [bone for bone in BONES if bone != _UNSURE]
        positions = [_standard_offset(bone) for bone in bones]
        for side, sign in (("left", 1.0), ("right", -1.0)):
            for part, (x, y, z) in _LEGS.items():
                bones.append(side + part)
                positions.append(np.array([sign * x, y, z], np.float32))
        identity = np.tile(np.array(IDENTITY, np.float32), (len(bones), 1))
        return cls(
            bones=tuple(bones),
            names=tuple(unity_bone_name(bone) for bone in bones),
            positions=np.array(positions),
            before=identity,
            after=identity,
            folded=_folded(bones),
            hips_frame=IDENTITY,
            hips_scale=1.0,
        )

    @classmethod
    def of(cls, avatar: Avatar, *, normalised: bool) -> "VmcRig":
        """Return the rig of an avatar; only bones that it has are sent."""
        bones = [bone for bone in (*BONES, *_STILL) if bone in avatar.bones]
        rests = [avatar.bones[bone] for bone in bones]
        local = np.array([rest.rotation for rest in rests], np.float32)
        world = np.array([rest.world_rotation for rest in rests], np.float32)
        identity = np.tile(np.array(IDENTITY, np.float32), (len(bones), 1))
        hips = avatar.bones["hips"]
        height = hips.world_position[1] / float(REST_OFFSETS[0, 1])
        return cls(
            bones=tuple(bones),
            names=tuple(avatar.names.get(bone, unity_bone_name(bone)) for bone in bones),
            positions=np.array([rest.position for rest in rests], np.float32),
            before=identity if normalised else multiply_all(local, inverse_all(world)),
            after=identity if normalised else world,
            folded=_folded(bones),
            hips_frame=multiply(hips.rotation, inverse(hips.world_rotation)),
            hips_scale=height / hips.scale,
        )

    def arms(self) -> "VmcRig":
        """Return the rig of shoulders, arms and hands alone, with their own turns only."""
        kept = [
            i
            for i, bone in enumerate(self.bones)
            if bone in BONE_INDEX and bone.startswith(("left", "right"))
        ]
        return VmcRig(
            bones=tuple(self.bones[i] for i in kept),
            names=tuple(self.names[i] for i in kept),
            positions=self.positions[kept],
            before=self.before[kept],
            after=self.after[kept],
            folded=tuple(self.folded[i][-1:] for i in kept),
            hips_frame=self.hips_frame,
            hips_scale=self.hips_scale,
        )

    @classmethod
    def for_model(cls, avatar: Avatar | None, *, normalised: bool = False) -> "VmcRig":
        """Return the rig of an avatar, or of a model of which no file is at hand."""
        return cls.standard() if avatar is None else cls.of(avatar, normalised=normalised)


class VmcEncoder:
    """Turns poses into the datagrams of a frame: the same pose, the same bytes.

    Messages are laid out once; a frame only fills in their numbers.
    """

    def __init__(self, rig: VmcRig, *, bundle: Bundling = "mtu", role: Role = "performer") -> None:
        if role == "assistant":
            rig = rig.arms()
        self._rig = rig
        self._own = np.array([chain[-1] if chain else 0 for chain in rig.folded])
        self._still = np.array([not chain for chain in rig.folded])
        self._chains = [(i, chain[:-1]) for i, chain in enumerate(rig.folded) if len(chain) > 1]
        root = osc_message("/VMC/Ext/Root/Pos", "sfffffff", "root", *_NOWHERE)
        self._rootless = role == "assistant"
        messages = [] if self._rootless else [root]
        for name in rig.names:
            messages.append(osc_message("/VMC/Ext/Bone/Pos", "sfffffff", name, *_NOWHERE))
        messages.append(osc_message("/VMC/Ext/OK", "iii", 1, 3, 0))
        messages.append(osc_message("/VMC/Ext/T", "f", 0.0))
        self._datagrams = [
            _Template.of(messages, part, bundled=bundle != "none")
            for part in _parts(messages, bundle)
        ]

    def __call__(
        self,
        pose: Pose,
        seconds: float,
        *,
        root: tuple[Vector, Quaternion] | None = None,
        blends: Mapping[str, float] = NO_BLENDS,
    ) -> list[bytes]:
        """Return the datagrams of one frame, in order. seconds: the sender's time.

        root: place and rotation of the whole model, Unity's axes. blends:
        expressions to send along, which a tracker gave.
        """
        rig = self._rig
        rotations = pose.rotations[self._own]
        rotations[self._still] = IDENTITY
        for i, lacking in self._chains:
            whole = rotations[i]
            for above in reversed(lacking):
                whole = multiply_all(pose.rotations[above], whole)
            rotations[i] = whole
        rotations = multiply_all(multiply_all(rig.before, rotations), rig.after)
        rotations /= np.linalg.norm(rotations, axis=-1, keepdims=True)
        shift = rotate_all(np.array(rig.hips_frame, np.float32), pose.root) * rig.hips_scale
        values = np.empty((1 + len(rig.bones), 7), ">f4")
        values[0] = _NOWHERE if root is None else (*root[0], *root[1])
        values[1:, :3] = to_unity_position(rig.positions)
        if rig.bones[0] == "hips":
            values[1, :3] += to_unity_position(shift)
        values[1:, 3:] = to_unity_rotation(rotations)
        values += 0.0  # turns -0 into 0
        filled = values[1:].view(np.uint8) if self._rootless else values.view(np.uint8)
        clock = np.array([seconds], ">f4").view(np.uint8)
        datagrams = [template.fill(filled, clock) for template in self._datagrams]
        return [*datagrams[:-1], *blend_datagrams(blends), datagrams[-1]]


def encode_vmc(
    pose: Pose,
    seconds: float,
    *,
    avatar: Avatar | None = None,
    normalised: bool = False,
    bundle: Bundling = "mtu",
) -> list[bytes]:
    """Return the datagrams of one frame (protocols.md 1); a stream keeps a `VmcEncoder`.

    pose: rotations finite. normalised: send rotations relative to the T-pose
    in place of the model's own local ones.
    """
    return VmcEncoder(VmcRig.for_model(avatar, normalised=normalised), bundle=bundle)(pose, seconds)


def expressions(face: Float32) -> dict[str, float]:
    """Return a face [6] by the names that every receiver knows, those of VRM 0."""
    return dict(zip(_EXPRESSIONS, face.tolist(), strict=True))


def blend_datagrams(blends: Mapping[str, float]) -> list[bytes]:
    """Return bundles of expressions below 1200 bytes, committed by the last message.

    Every one is sent every frame: some receivers take what is missing for 0.
    """
    if not blends:
        return []
    messages = [
        osc_message("/VMC/Ext/Blend/Val", "sf", name, value) for name, value in blends.items()
    ]
    messages.append(osc_message("/VMC/Ext/Blend/Apply", ""))
    return [osc_bundle([messages[i] for i in part]) for part in _parts(messages, "mtu")]


def osc_message(address: str, types: str, *values: float | str) -> bytes:
    """Return an OSC message with exactly these type tags.

    Tags are never guessed from values: an int where a receiver expects a float is
    ignored in silence (protocols.md 1.10).
    """
    builder = OscMessageBuilder(address)
    for value, tag in zip(values, types, strict=True):
        builder.add_arg(value, tag)
    return builder.build().dgram


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Template:
    """A datagram whose numbers are filled in: at `at` root's and bones' bytes, row by row.

    rows: which of them; clock: where T's float is, -1 where T is elsewhere.
    """

    content: Bytes
    rows: slice
    at: npt.NDArray[np.intp]
    clock: int

    @classmethod
    def of(cls, messages: Sequence[bytes], part: range, *, bundled: bool) -> "_Template":
        """Lay out the messages of `part`; all: root, bones, OK, T."""
        chosen = [messages[i] for i in part]
        content = osc_bundle(chosen) if bundled else chosen[0]
        end = _BUNDLE_HEAD if bundled else 0
        ends: dict[int, int] = {}
        for i in part:
            end += len(messages[i]) + (_SIZE if bundled else 0)
            ends[i] = end
        bones = [i for i in part if i < len(messages) - 2]
        starts = np.array([ends[i] - _BONE_BYTES for i in bones], np.intp)
        return cls(
            content=np.frombuffer(content, np.uint8),
            rows=slice(bones[0], bones[-1] + 1) if bones else slice(0, 0),
            at=starts[:, None] + np.arange(_BONE_BYTES),
            clock=ends.get(len(messages) - 1, 0) - _SIZE,
        )

    def fill(self, bones: Bytes, clock: Bytes) -> bytes:
        """Return the datagram. bones: [1 + N, 28], the root first; clock: [4]."""
        out = self.content.copy()
        out[self.at] = bones[self.rows]
        if self.clock > 0:
            out[self.clock : self.clock + _SIZE] = clock
        return out.tobytes()


def _parts(messages: Sequence[bytes], bundle: Bundling) -> list[range]:
    """Return which messages share a datagram, in order."""
    match bundle:
        case "none":
            return [range(i, i + 1) for i in range(len(messages))]
        case "full":
            return [range(len(messages))]
        case "mtu":
            parts, start, size = list[range](), 0, _BUNDLE_HEAD
            for i, message in enumerate(messages):
                if size + _SIZE + len(message) > MAX_DATAGRAM:
                    parts.append(range(start, i))
                    start, size = i, _BUNDLE_HEAD
                size += _SIZE + len(message)
            return [*parts, range(start, len(messages))]


def osc_bundle(messages: Sequence[bytes]) -> bytes:
    """Return messages as one bundle that counts at once."""
    builder = OscBundleBuilder(IMMEDIATELY)
    for message in messages:
        builder.add_content(OscMessage(message))
    return builder.build().dgram


def _folded(bones: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Return each bone's chain of indices in `BONES` (see `VmcRig.folded`)."""
    chains: list[tuple[int, ...]] = []
    for bone in bones:
        chain: list[int] = []
        at = BONE_INDEX.get(bone, -1)
        while at >= 0 and (not chain or BONES[at] not in bones):
            chain.insert(0, at)
            at = PARENTS[at]
        chains.append(tuple(chain))
    return tuple(chains)


def _standard_offset(bone: str) -> Float32:
    """Return a bone's offset from its parent, or from what stands above a parent unsent."""
    at = BONE_INDEX[bone]
    above = PARENTS[at]
    if above >= 0 and BONES[above] == _UNSURE:
        return REST_OFFSETS[at] + REST_OFFSETS[above]
    return REST_OFFSETS[at]
