"""A crowd of viewers in one small program, so that it costs less than what it measures.

crowd.py PORT VIEWERS SLOW OUT.npz

Speaks WebSocket itself: `gesture.v1.bin`, acknowledging every frame at once. The
last SLOW viewers read nothing. Says "ready" once all are connected, and ends
when the server closes. OUT holds `arrived` [viewers - slow, frames], when each
frame had been read (`perf_counter`, one clock for the machine; NaN: never),
`disorder`, how many came out of order, and `unequal`, how many differed from
what others got under the same number.
"""

import selectors
import socket
import struct
import sys
import time
import zlib
from pathlib import Path

import numpy as np

MOST_FRAMES = 4096


def connect(port: int) -> tuple[socket.socket, bytearray]:
    """Open one WebSocket; return it and what came behind the handshake."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    lines = (
        "GET /v1/watch HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket",
        "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: gesture.v1.bin", "", "",
    )  # fmt: skip
    sock.sendall("\r\n".join(lines).encode())
    buffer = bytearray()
    while b"\r\n\r\n" not in buffer:
        buffer += sock.recv(4096)
    head, _, rest = bytes(buffer).partition(b"\r\n\r\n")
    assert b" 101 " in head, head
    return sock, bytearray(rest)


def masked(text: bytes) -> bytes:
    """Return a client's text frame; a mask of zeros is a mask."""
    return bytes((0x81, 0x80 | len(text))) + bytes(4) + text


class Viewer:
    """One connection's reader."""

    def __init__(self, sock: socket.socket, buffer: bytearray, arrived: np.ndarray) -> None:
        self.sock = sock
        self.buffer = buffer
        self.arrived = arrived
        self.last = -1
        self.disorder = 0

    def read(self, seen: dict[int, int]) -> tuple[bool, int]:
        """Read what is there; return whether it is still open, and how many frames differed."""
        data = self.sock.recv(65536)
        if not data:
            return False, 0
        now = time.perf_counter()
        buffer = self.buffer
        buffer += data
        unequal = at = 0
        while len(buffer) - at >= 2:
            opcode, length, body = buffer[at] & 15, buffer[at + 1], at + 2
            if length == 126:
                if len(buffer) - at < 4:
                    break
                length, body = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            if len(buffer) - body < length:
                break
            if opcode == 8:
                return False, unequal
            if opcode == 2:
                unequal += self.frame(bytes(buffer[body : body + length]), now, seen)
            at = body + length
        del buffer[:at]
        return True, unequal

    def frame(self, payload: bytes, now: float, seen: dict[int, int]) -> bool:
        (seq,) = struct.unpack_from("<I", payload, 8)
        self.arrived[seq] = now
        self.disorder += seq <= self.last
        self.last = seq
        self.sock.send(masked(b'{"type":"ack","seq":%d}' % seq))
        digest = zlib.crc32(payload)
        return seen.setdefault(seq, digest) != digest


def main(port: int, viewers: int, slow: int, out: Path) -> None:
    """Watch until the server closes everybody."""
    arrived = np.full((viewers - slow, MOST_FRAMES), np.nan)
    selector = selectors.DefaultSelector()
    held, watching = [], []
    for i in range(viewers):
        sock, rest = connect(port)
        if i >= viewers - slow:
            held.append(sock)
            continue
        sock.setblocking(False)
        viewer = Viewer(sock, rest, arrived[i])
        watching.append(viewer)
        selector.register(sock, selectors.EVENT_READ, viewer)
    print("ready", flush=True)
    seen: dict[int, int] = {}
    left, unequal = len(watching), 0
    while left:
        for key, _ in selector.select():
            try:
                going, differed = key.data.read(seen)
            except ConnectionError:
                going, differed = False, 0
            unequal += differed
            if not going:
                selector.unregister(key.fileobj)
                left -= 1
    disorder = sum(viewer.disorder for viewer in watching)
    np.savez(out, arrived=arrived, disorder=disorder, unequal=unequal)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
