"""`gesture serve` as a user starts it: two clients at once, a third refused, Ctrl-C."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from streamer.wire import JSON_SUBPROTOCOL
from streamer.wire_requests import ClientHello, End, encode_audio, encode_request
from tests.fakes import chunks, tiny_artifact, voice

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    model = str(tiny_artifact(tmp_path / "tiny"))
    words = ["serve", "--model", model, "--port", "0", "--sessions", "2", "--lookahead", "4"]
    with subprocess.Popen(
        [sys.executable, "-m", "streamer.cli", *words], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if line.startswith("  sessions"))
        try:
            yield process, line.split()[1].rstrip(",").replace("http", "ws", 1)
        finally:
            process.kill()


def say_hello(socket: ClientConnection, lookahead: int | None = None) -> None:
    hello = ClientHello(token=None, lookahead=lookahead, seed=0, style=None)
    socket.send(encode_request(hello))


def next_frame(socket: ClientConnection) -> int:
    """Acknowledge the next frame and return its index."""
    while (message := json.loads(socket.recv(timeout=30)))["type"] != "frame":
        pass
    socket.send(json.dumps({"type": "ack", "seq": message["seq"]}))
    return message["index"]


def test_sessions_are_served_and_limited(server: tuple[subprocess.Popen[str], str]) -> None:
    process, url = server
    protocols = [Subprotocol(JSON_SUBPROTOCOL)]
    with (
        connect(url, subprotocols=protocols) as first,
        connect(url, subprotocols=protocols) as second,
    ):
        # what a client leaves open is as the command line says
        for socket, asked, lookahead in ((first, None, 4), (second, 0, 0)):
            say_hello(socket, asked)
            assert json.loads(socket.recv(timeout=30))["lookahead"] == lookahead
        with connect(url, subprotocols=protocols) as third:
            say_hello(third)
            assert json.loads(third.recv(timeout=30))["type"] == "error"
            with pytest.raises(ConnectionClosed, match="2 sessions are all"):
                third.recv(timeout=30)
        for step, chunk in enumerate(chunks(voice(0.8), [1_067, 1_066, 1_067])):
            for socket, lookahead in ((first, 4), (second, 0)):
                socket.send(encode_audio(chunk))
                if step >= lookahead:
                    assert next_frame(socket) == step - lookahead
        for socket in (first, second):
            socket.send(encode_request(End()))
        # its last frames waited for what would come next
        assert [next_frame(first) for _ in range(4)] == [8, 9, 10, 11]
    if sys.platform != "win32":
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0


def test_a_client_sets_its_own_motion(server: tuple[subprocess.Popen[str], str]) -> None:
    _, url = server
    protocols = [Subprotocol(JSON_SUBPROTOCOL)]
    with connect(url, subprotocols=protocols) as one, connect(url, subprotocols=protocols) as two:
        for socket in (one, two):
            say_hello(socket)
            assert json.loads(socket.recv(timeout=30))["type"] == "hello"
        answers = []
        for socket, settings in (
            (one, {"amplitude": 0.5}),
            (two, {}),
            (one, {"speed": 1}),
            (one, {"profile": "save"}),
        ):
            socket.send(json.dumps({"type": "control", "settings": settings}))
            answers.append(json.loads(socket.recv(timeout=30)))
        assert [a["event"] for a in answers] == ["settings", "settings", "warning", "warning"]
        assert (answers[0]["amplitude"], answers[1]["amplitude"]) == (0.5, 1.0)
        assert "no setting" in answers[2]["message"]
        assert "profiles" in answers[3]["message"]
