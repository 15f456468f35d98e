"""A strict VMC receiver for tests, after EVMC4U's ExternalReceiver (protocols.md 1.10).

It shares no code with the sender: OSC is decoded here by hand, and every rule that
EVMC4U or another receiver would punish in silence raises `Refused`.
"""

import math
import struct
from dataclasses import dataclass, field
from typing import Any

HUMAN_BODY_BONES = (
    "Hips LeftUpperLeg RightUpperLeg LeftLowerLeg RightLowerLeg LeftFoot RightFoot Spine Chest "
    "Neck Head LeftShoulder RightShoulder LeftUpperArm RightUpperArm LeftLowerArm RightLowerArm "
    "LeftHand RightHand LeftToes RightToes LeftEye RightEye Jaw "
    "LeftThumbProximal LeftThumbIntermediate LeftThumbDistal "
    "LeftIndexProximal LeftIndexIntermediate LeftIndexDistal "
    "LeftMiddleProximal LeftMiddleIntermediate LeftMiddleDistal "
    "LeftRingProximal LeftRingIntermediate LeftRingDistal "
    "LeftLittleProximal LeftLittleIntermediate LeftLittleDistal "
    "RightThumbProximal RightThumbIntermediate RightThumbDistal "
    "RightIndexProximal RightIndexIntermediate RightIndexDistal "
    "RightMiddleProximal RightMiddleIntermediate RightMiddleDistal "
    "RightRingProximal RightRingIntermediate RightRingDistal "
    "RightLittleProximal RightLittleIntermediate RightLittleDistal UpperChest"
).split()


_BOOLEAN = ("/avatar/parameters/", "/chatbox/")  # VRChat's; VMC has none


class Refused(AssertionError):
    """The receiver would ignore the message, or stop for good."""


@dataclass(frozen=True)
class Message:
    address: str
    types: str
    values: tuple[Any, ...]


def decode(datagram: bytes) -> list[Message]:
    """Return the messages of a datagram in order, bundles within bundles included."""
    if datagram.startswith(b"#bundle\0"):
        if datagram[8:16] != b"\0\0\0\0\0\0\0\1":
            raise Refused(f"time tag {datagram[8:16].hex()} is not 'immediately'")
        messages, at = [], 16
        while at < len(datagram):
            (size,) = struct.unpack_from(">i", datagram, at)
            if size <= 0 or size % 4 or at + 4 + size > len(datagram):
                raise Refused(f"element of {size} bytes at {at} of {len(datagram)}")
            messages += decode(datagram[at + 4 : at + 4 + size])
            at += 4 + size
        return messages
    address, at = _string(datagram, 0)
    types, at = _string(datagram, at)
    if not address.startswith("/") or not types.startswith(","):
        raise Refused(f"no address or no type tags: {datagram[:40]!r}")
    values: list[Any] = []
    for tag in types[1:]:
        match tag:
            case "f" | "i":
                values += struct.unpack_from(f">{tag}", datagram, at)
                at += 4
            case "s":
                text, at = _string(datagram, at)
                values.append(text)
            case "T" | "F" if address.startswith(_BOOLEAN):
                values.append(tag == "T")
            case _:
                raise Refused(f"{address}: type tag {tag!r}")
    if at != len(datagram):
        raise Refused(f"{address}: {len(datagram) - at} bytes after the last argument")
    return [Message(address, types[1:], tuple(values))]


def _string(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\0", at)
    after = at + (end - at) // 4 * 4 + 4
    if after > len(data) or data[end:after].strip(b"\0"):
        raise Refused("string without its padding")
    return data[at:end].decode("utf-8"), after


@dataclass
class Frame:
    """What arrived between one `T` and the next."""

    messages: list[Message] = field(default_factory=list)
    bones: dict[str, tuple[float, ...]] = field(default_factory=dict)
    root: tuple[float, ...] | None = None
    ok: tuple[int, ...] | None = None
    time: float | None = None
    blends: dict[str, float] = field(default_factory=dict)


class Receiver:
    """Takes datagrams, keeps complete frames, refuses what breaks a rule.

    blends: whether expressions were asked for.
    """

    def __init__(self, *, blends: bool = False) -> None:
        self._blends: dict[str, float] | None = {} if blends else None
        self.frames: list[Frame] = []
        self._frame = Frame()

    def take(self, datagram: bytes, *, mtu: int = 1200) -> None:
        if len(datagram) > mtu:
            raise Refused(f"datagram of {len(datagram)} bytes")
        for message in decode(datagram):
            self._message(message)

    def take_all(self, datagrams: list[bytes], *, mtu: int = 1200) -> None:
        for datagram in datagrams:
            self.take(datagram, mtu=mtu)

    def _message(self, message: Message) -> None:
        frame, values = self._frame, message.values
        frame.messages.append(message)
        match message.address:
            case "/VMC/Ext/Root/Pos":
                self._expect(message, "sfffffff")
                if frame.bones:
                    raise Refused("root after bones")
                frame.root = self._transform(values)
            case "/VMC/Ext/Bone/Pos":
                self._expect(message, "sfffffff")
                if values[0] not in HUMAN_BODY_BONES:
                    raise Refused(f"no bone {values[0]!r}")
                if values[0] in frame.bones:
                    raise Refused(f"{values[0]} twice in a frame")
                if frame.root is None or frame.ok is not None:
                    raise Refused("bones before root or after OK")
                frame.bones[values[0]] = self._transform(values)
            case "/VMC/Ext/Blend/Val" if self._blends is not None:
                self._expect(message, "sf")
                if not 0 <= values[1] <= 1:
                    raise Refused(f"expression {values[0]} is {values[1]}")
                self._blends[values[0]] = values[1]
            case "/VMC/Ext/Blend/Apply" if self._blends is not None:
                self._expect(message, "")
                frame.blends, self._blends = self._blends, {}
            case "/VMC/Ext/OK":
                if message.types not in ("i", "iii", "iiii"):
                    raise Refused(f"OK with {message.types!r}")
                frame.ok = values
            case "/VMC/Ext/T":
                self._expect(message, "f")
                if frame.ok is None or not frame.bones:
                    raise Refused("T before the pose and OK")
                frame.time = values[0]
                self.frames.append(frame)
                self._frame = Frame()
            case _:
                raise Refused(f"{message.address} is not ours to send")

    @staticmethod
    def _expect(message: Message, types: str) -> None:
        if message.types != types:
            raise Refused(f"{message.address}: types {message.types!r}, expected {types!r}")

    @staticmethod
    def _transform(values: tuple[Any, ...]) -> tuple[float, ...]:
        numbers = values[1:]
        if not all(map(math.isfinite, numbers)):
            raise Refused(f"{values[0]}: {numbers}")
        if abs(math.hypot(*numbers[3:7]) - 1) > 1e-5:
            raise Refused(f"{values[0]}: rotation of norm {math.hypot(*numbers[3:7])}")
        return numbers
