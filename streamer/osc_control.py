"""Settings by OSC on loopback: `/gesture/amplitude 0.7`, `/gesture/trigger wave`."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from pythonosc.osc_message import ParseError
from pythonosc.osc_packet import OscPacket
from pythonosc.osc_packet import ParseError as PacketError

from streamer.comfort_settings import LIMITS
from streamer.errors import GestureError, InputError
from streamer.udp import listen_on_loopback

_log = logging.getLogger(__name__)

PREFIX: Final = "/gesture/"

_SWITCHES: Final = ("still", "lock_left", "lock_right")
_MOST: Final = 200  # messages a second; more are not read
_LARGEST: Final = 4_096


def parse_control(datagram: bytes) -> dict[str, Any]:
    """Read the settings of a datagram; other addresses are ignored.

    A whole number stands for a fraction (`1` for `1.0`), and for a switch (0 or
    1), because many controllers can send nothing else. Raises `InputError`.
    """
    if len(datagram) > _LARGEST:
        raise InputError(f"OSC: a datagram of {len(datagram)} bytes; send at most {_LARGEST}")
    try:
        messages = [timed.message for timed in OscPacket(datagram).messages]
    except (PacketError, ParseError) as error:
        raise InputError(f"OSC: no OSC message: {str(error)[:60]}") from error
    wanted = dict[str, Any]()
    for message in messages:
        if not message.address.startswith(PREFIX):
            continue
        name = message.address.removeprefix(PREFIX)
        values = message.params
        if len(values) != 1:
            raise InputError(f"OSC {message.address[:40]}: {len(values)} arguments; expected 1")
        value: Any = values[0]
        if name in _SWITCHES and isinstance(value, int | float):
            value = value >= 0.5
        elif name in LIMITS and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        wanted[name] = value
    return wanted


class OscControl(asyncio.DatagramProtocol):
    """Hears settings on a loopback port; only programs of this machine reach it.

    control: as `Steering.control`. told: gets all settings after a change.
    """

    def __init__(
        self,
        control: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        told: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._control = control
        self._told = told
        self._transport: asyncio.DatagramTransport | None = None
        self._second, self._count = 0, 0
        self.refused = 0
        """Messages that broke a rule, and those beyond 200 a second."""

    async def listen(self, port: int) -> int:
        """Listen on 127.0.0.1; return the port. Raises `UsageError` for one in use."""
        self._transport, bound = await listen_on_loopback(f"--osc-in {port}", port, self)
        return bound

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Take one datagram."""
        second = int(asyncio.get_running_loop().time())
        self._count = self._count + 1 if second == self._second else 1
        self._second = second
        if self._count > _MOST:
            self.refused += 1
            return
        try:
            if wanted := parse_control(data):
                self._told(self._control(wanted))
        except GestureError as error:
            self.refused += 1
            _log.warning("%s", error)

    def error_received(self, exc: Exception) -> None:
        """Note what the system reports of earlier datagrams; there is nothing to do."""
        _log.debug("OSC control: %s", exc)

    async def aclose(self) -> None:
        """Listen no more."""
        if self._transport is not None:
            self._transport.close()
