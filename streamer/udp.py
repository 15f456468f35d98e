"""UDP sockets as sinks and listeners open them, with one clear error each."""

import asyncio
import socket

from streamer.errors import UsageError


def connect(option: str, host: str, port: int) -> socket.socket:
    """Return a UDP socket to a receiver, which need not be there yet.

    option: `--vmc`, for the message. Raises `UsageError` for a host that cannot
    be reached.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        udp = socket.socket(family, kind, protocol)
        try:
            udp.setblocking(False)
            # Connected, so that a receiver's absence is reported and can be counted.
            udp.connect(address)
        except OSError:
            udp.close()
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"{option} {host}:{port}: {reason}; check the host") from error
    return udp


async def listen_on_loopback(
    told: str, port: int, protocol: asyncio.DatagramProtocol
) -> tuple[asyncio.DatagramTransport, int]:
    """Listen on 127.0.0.1; return the transport and the port it got.

    told: the option as it was given, for the message. Raises `UsageError` for a
    port in use.
    """
    loop = asyncio.get_running_loop()
    try:
        transport, _ = await loop.create_datagram_endpoint(
            lambda: protocol, local_addr=("127.0.0.1", port)
        )
    except OSError as error:
        raise UsageError(
            f"{told}: the UDP port cannot be used ({error.strerror}); "
            "end the other program or take another port"
        ) from error
    return transport, int(transport.get_extra_info("sockname")[1])
