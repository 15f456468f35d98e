"""Reading BVH: joints, rest offsets, and every joint's rotation in every frame."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from streamer.errors import InputError

Float = npt.NDArray[np.float64]

_MAX_BYTES = 1 << 30
_MAX_JOINTS = 500
_CHANNEL = re.compile(r"([XYZ])(position|rotation)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bvh:
    """A BVH file. Joints come before their children; lengths in the file's unit.

    parents: -1 for the root. offsets: [J, 3]. ends: joint to the offset of its
    end site. rotations: one a joint, against its parent, [T] each; `values`
    that are not finite make the frame's rotations not finite (`finite` [T]).
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Float
    ends: dict[int, Float]
    fps: float
    rotations: tuple[Rotation, ...]
    finite: npt.NDArray[np.bool_]

    @property
    def frames(self) -> int:
        """The number of frames."""
        return len(self.finite)

    def world(self) -> list[Rotation]:
        """Return every joint's rotation in the file's axes."""
        out: list[Rotation] = []
        for local, parent in zip(self.rotations, self.parents, strict=True):
            out.append(local if parent < 0 else out[parent] * local)
        return out

    def rest(self) -> Float:
        """Return where the joints are with all rotations zero, [J, 3]."""
        places = np.zeros((len(self.joints), 3))
        for i, parent in enumerate(self.parents):
            places[i] = self.offsets[i] + (places[parent] if parent >= 0 else 0)
        return places


def read_bvh(path: Path) -> Bvh:
    """Read a BVH file; raises `InputError` where it is not one or lacks channels."""
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{path.name}: larger than {_MAX_BYTES >> 30} GiB, not read")
    text = path.read_text("utf-8", errors="replace")
    head, motion, body = text.partition("MOTION")
    if not head.lstrip().startswith("HIERARCHY") or not motion:
        raise InputError(f"{path.name}: not a BVH file; expected HIERARCHY and MOTION")
    try:
        joints, parents, offsets, ends, channels = _hierarchy(iter(head.split()[1:]), path.name)
        frames, frame_time, values = _motion(body, path.name)
    except (StopIteration, IndexError, ValueError) as error:
        raise InputError(f"{path.name}: not a BVH file that can be read ({error!r})") from error
    width = sum(map(len, channels))
    if values.size != frames * width or not frames:
        raise InputError(
            f"{path.name}: {values.size} numbers of motion, {frames} frames of {width} channels "
            f"expect {frames * width}; a channel is missing or the file is cut off"
        )
    if not 0 < frame_time < 1:
        raise InputError(f"{path.name}: frame time {frame_time} s; expected above 0 and below 1")
    table = values.reshape(frames, width)
    finite = np.asarray(np.isfinite(table).all(axis=1))
    table = np.where(finite[:, None], table, 0.0)
    rotations: list[Rotation] = []
    column = 0
    for joint, kinds in zip(joints, channels, strict=True):
        turns = [i for i, kind in enumerate(kinds) if kind.endswith("rotation")]
        axes = "".join(kinds[i][0] for i in turns)
        if sorted(axes) != ["X", "Y", "Z"]:
            raise InputError(
                f"{path.name}: joint {joint} has rotation channels {axes or 'none'}, "
                "expected X, Y and Z: a channel is missing"
            )
        angles = table[:, [column + i for i in turns]]
        rotations.append(Rotation.from_euler(axes, angles, degrees=True))
        column += len(kinds)
    return Bvh(
        name=path.name,
        joints=tuple(joints),
        parents=tuple(parents),
        offsets=np.array(offsets),
        ends=ends,
        fps=_near_whole(1 / frame_time),
        rotations=tuple(rotations),
        finite=finite,
    )


def _hierarchy(
    words: Iterator[str], name: str
) -> tuple[list[str], list[int], list[list[float]], dict[int, Float], list[list[str]]]:
    joints: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[list[str]] = []
    ends: dict[int, Float] = {}
    stack: list[int] = []
    site = -1  # marks an end site on the stack
    for word in words:
        match word:
            case "ROOT" | "JOINT":
                joints.append(next(words))
                parents.append(stack[-1] if stack else -1)
                offsets.append([0.0] * 3)
                channels.append([])
                if len(joints) > _MAX_JOINTS:
                    raise InputError(f"{name}: more than {_MAX_JOINTS} joints")
                if word == "ROOT" and len(joints) > 1:
                    raise InputError(f"{name}: two roots; expected one person")
            case "End":
                next(words)  # Site
                site = stack[-1]
            case "{":
                stack.append(-2 - site if site >= 0 else len(joints) - 1)
                site = -1
            case "}":
                stack.pop()
            case "OFFSET":
                offset = [float(next(words)) for _ in range(3)]
                if stack[-1] <= -2:
                    ends[-2 - stack[-1]] = np.array(offset)
                else:
                    offsets[stack[-1]] = offset
            case "CHANNELS":
                kinds = [next(words) for _ in range(int(next(words)))]
                for kind in kinds:
                    if not _CHANNEL.fullmatch(kind):
                        raise InputError(f"{name}: joint {joints[-1]}: unknown channel {kind!r}")
                channels[stack[-1]] = [kind[0].upper() + kind[1:].lower() for kind in kinds]
            case _:
                # a joint's name with blanks in it
                joints[-1] += f" {word}"
    if not joints or stack:
        raise InputError(f"{name}: unbalanced braces or no joints in the hierarchy")
    return joints, parents, offsets, ends, channels


def _motion(body: str, name: str) -> tuple[int, float, Float]:
    match = re.match(r"\s*Frames:\s*(\d+)\s*Frame Time:\s*(\S+)", body)
    if match is None:
        raise InputError(f"{name}: no 'Frames:' and 'Frame Time:' after MOTION")
    values = np.array(body[match.end() :].split(), np.float64)
    return int(match.group(1)), float(match.group(2)), values


def _near_whole(fps: float) -> float:
    """Return a rate without the rounding of its written frame time."""
    return round(fps) if abs(fps - round(fps)) < 0.01 else fps
