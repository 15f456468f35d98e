"""VMC from another program: a tracker's face, head and body beside our arms and hands.

It listens where assistants send, by default to this machine alone. Everything
that comes is checked: whatever is no finite number, no bone or no rotation is
left out and counted, and a flood is not read.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from pythonosc.osc_message import OscMessage, ParseError
from pythonosc.osc_packet import OscPacket
from pythonosc.osc_packet import ParseError as PacketError

from streamer.clock import Clock
from streamer.errors import InputError, UsageError
from streamer.humanoid import BONE_INDEX, BONES, to_unity_rotation, unity_bone_name
from streamer.retarget import Pose
from streamer.rotation import Quaternion, Vector, slerp_all

_log = logging.getLogger(__name__)

STALE_S: Final = 1.0
"""An upstream that has been silent for longer is gone; our own motion takes over."""
MOST_A_SECOND: Final = 8_000
"""Datagrams; 55 bones in one each, a hundred times a second, are below it."""

_LARGEST: Final = 65_507
_BLENDS: Final = 256
_NAME: Final = 64
_FARTHEST: Final = 1e3
_KEPT: Final = 1_024
_BONE_OF: Final = {unity_bone_name(bone).lower(): bone for bone in BONES}
_BY_DEFAULT: Final = ("hips", "spine", "chest", "upperChest", "neck", "head")

Weights = Mapping[str, float]
"""By bone of `BONES`: 0 ours, 1 the upstream's."""

DEFAULT_WEIGHTS: Weights = MappingProxyType(dict.fromkeys(_BY_DEFAULT, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """What a tracker showed at one moment.

    bones: local rotations by VRM 1.0 name, in our axes. root: place and rotation
    in Unity's axes, handed on as it is. blends: expressions by name, 0 to 1.
    """

    bones: Mapping[str, Quaternion]
    root: tuple[Vector, Quaternion] | None
    blends: Mapping[str, float]


class VmcInput(asyncio.DatagramProtocol):
    """Listens to one upstream program; the event loop's alone.

    sender: the address of the only other machine that may send; None for this
    machine alone. delay_s: how long everything is held back, so that lips and
    hands agree. clock: dates what comes.
    """

    def __init__(self, *, clock: Clock, sender: str | None = None, delay_s: float = 0.0) -> None:
        self._clock = clock
        self._sender = sender
        self.delay_s = delay_s
        self._bones: dict[str, Quaternion] = {}
        self._root: tuple[Vector, Quaternion] | None = None
        self._blends: dict[str, float] = {}
        self._fresh = False
        self._past: deque[tuple[float, Upstream]] = deque(maxlen=_KEPT)
        self._transport: asyncio.DatagramTransport | None = None
        self._second, self._count = 0.0, 0
        self.refused = 0
        """Datagrams and messages that were left out."""

    async def listen(self, port: int) -> int:
        """Listen; return the port. Raises `UsageError` for one in use."""
        loop = asyncio.get_running_loop()
        host = "127.0.0.1" if self._sender is None else "0.0.0.0"
        try:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: self, local_addr=(host, port)
            )
        except OSError as error:
            raise UsageError(
                f"--vmc-in {port}: the UDP port cannot be used ({error.strerror}); "
                "end the other program or take another port"
            ) from error
        self._transport = transport
        return int(transport.get_extra_info("sockname")[1])

    async def aclose(self) -> None:
        """Listen no more."""
        if self._transport is not None:
            self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Take one datagram."""
        if self._sender is not None and addr[0] not in (self._sender, "127.0.0.1"):
            self.refused += 1
            return
        now = self._clock()
        if now - self._second >= 1.0:
            self._second, self._count = now, 0
        self._count += 1
        if self._count > MOST_A_SECOND or len(data) > _LARGEST:
            self.refused += 1
            return
        try:
            messages = [timed.message for timed in OscPacket(data).messages]
        except (PacketError, ParseError, RecursionError, ValueError):
            self.refused += 1
            return
        for message in messages:
            try:
                self._take(message)
            except InputError as error:
                self.refused += 1
                _log.debug("VMC input: %s", error)

    def error_received(self, exc: Exception) -> None:
        """Note what the system reports; there is nothing to do."""
        _log.debug("VMC input: %s", exc)

    def sample(self) -> Upstream | None:
        """Return what to show now; None while nothing has come for a second."""
        wanted = self._clock() - self.delay_s
        if not self._past or wanted - self._past[-1][0] > STALE_S:
            return None
        for time, seen in reversed(self._past):
            if time <= wanted:
                return seen
        return None  # held back: its time has not come

    def _take(self, message: OscMessage) -> None:
        values: Sequence[Any] = message.params
        match message.address:
            case "/VMC/Ext/Bone/Pos":
                name, _, turn = _transform(values)
                if (bone := _BONE_OF.get(name.lower())) is not None:
                    x, y, z, w = to_unity_rotation(np.array(turn, np.float32)).tolist()
                    self._bones[bone] = (x, y, z, w)  # the way there is the way back
                    self._fresh = True
            case "/VMC/Ext/Root/Pos":
                _, place, turn = _transform(values)
                self._root, self._fresh = (place, turn), True
            case "/VMC/Ext/Blend/Val":
                name, value = _blend(values)
                if name in self._blends or len(self._blends) < _BLENDS:
                    self._blends[name], self._fresh = value, True
            case "/VMC/Ext/Blend/Apply" | "/VMC/Ext/OK" | "/VMC/Ext/T":
                self._publish()
            case _:
                pass

    def _publish(self) -> None:
        if self._fresh:
            seen = Upstream(bones=dict(self._bones), root=self._root, blends=dict(self._blends))
            self._past.append((self._clock(), seen))
            self._fresh = False


def mixed(pose: Pose, upstream: Upstream, weights: Weights = DEFAULT_WEIGHTS) -> Pose:
    """Return our pose with the upstream's share of each bone."""
    rotations = pose.rotations.copy()
    for bone, weight in weights.items():
        turn = upstream.bones.get(bone)
        if turn is not None and weight > 0:
            i = BONE_INDEX[bone]
            rotations[i] = slerp_all(rotations[i], np.array(turn, np.float32), weight)
    # The hips' place belongs to their turn: a planted foot is the tracker's then.
    share = 1 - weights.get("hips", 0.0) * ("hips" in upstream.bones)
    return Pose(rotations=rotations, root=(pose.root * np.float32(share)).astype(np.float32))


def parse_weights(values: Mapping[str, Any]) -> dict[str, float]:
    """Read weights by bone name over the default ones; raises `UsageError`."""
    weights = dict(DEFAULT_WEIGHTS)
    for bone, value in values.items():
        if bone not in BONE_INDEX:
            raise UsageError(f"VMC mix: no bone {bone!r:.40}; VRM 1.0 names, as leftUpperArm")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise UsageError(f"VMC mix: {bone} is {value!r:.40}, expected 0 (ours) to 1 (theirs)")
        weights[bone] = float(value)
    return weights


def _transform(values: Sequence[Any]) -> tuple[str, Vector, Quaternion]:
    if len(values) < 8 or not isinstance(values[0], str) or len(values[0]) > _NAME:
        raise InputError("a place and rotation without its name or numbers")
    numbers = [v if isinstance(v, float) else math.nan for v in values[1:8]]
    if not all(abs(n) <= _FARTHEST for n in numbers):  # false for NaN too
        raise InputError(f"{values[0]}: a number that is none")
    x, y, z, w = numbers[3:]
    norm = math.hypot(x, y, z, w)
    if not 0.5 < norm < 2:
        raise InputError(f"{values[0]}: a rotation of norm {norm:.3f}")
    px, py, pz = numbers[:3]
    return values[0], (px, py, pz), (x / norm, y / norm, z / norm, w / norm)


def _blend(values: Sequence[Any]) -> tuple[str, float]:
    if len(values) < 2 or not isinstance(values[0], str) or not 0 < len(values[0]) <= _NAME:
        raise InputError("an expression without name or value")
    value = values[1]
    if not isinstance(value, float) or not math.isfinite(value):
        raise InputError(f"{values[0]}: a value that is none")
    return values[0], min(max(value, 0.0), 1.0)
