"""VRChat is found by what it announces: a stand-in announces itself on loopback."""

import json
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from streamer.errors import InputError
from streamer.vrchat_discovery import USUAL, ask, find_vrchat


class Answering:
    """An OSCQuery server that gives one answer."""

    def __init__(self) -> None:
        self.answer = json.dumps(
            {"NAME": "VRChat-Client-AB12", "OSC_IP": "127.0.0.1", "OSC_PORT": 9123}
        )
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(outer.answer.encode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def vrchat() -> Iterator[Answering]:
    answering = Answering()
    yield answering
    answering.http.shutdown()
    answering.http.server_close()


def test_it_says_where_it_listens(vrchat: Answering) -> None:
    assert ask("127.0.0.1", vrchat.port) == ("127.0.0.1", 9123)
    assert vrchat.asked == ["/?HOST_INFO"]


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "[]",
        "{}",
        '{"OSC_PORT": "many"}',
        '{"OSC_PORT": 0}',
        '{"OSC_PORT": 70000}',
        '{"OSC_PORT": 9000, "OSC_IP": "192.168.1.9"}',
        '{"OSC_PORT": 9000, "OSC_IP": "example.com"}',
        '{"x": "' + "y" * 70_000 + '"}',
    ],
)
def test_answers_that_are_none(vrchat: Answering, answer: str) -> None:
    vrchat.answer = answer
    with pytest.raises(InputError, match="HOST_INFO"):
        ask("127.0.0.1", vrchat.port)


def test_announced_on_this_machine(vrchat: Answering) -> None:
    zeroconf = pytest.importorskip("zeroconf")
    network = zeroconf.Zeroconf(interfaces=["127.0.0.1"])
    info = zeroconf.ServiceInfo(
        "_oscjson._tcp.local.",
        "VRChat-Client-AB12._oscjson._tcp.local.",
        addresses=[socket.inet_aton("127.0.0.1")],
        port=vrchat.port,
    )
    try:
        network.register_service(info)
        assert find_vrchat(wait_s=10, interface="127.0.0.1") == ("127.0.0.1", 9123)
    finally:
        network.close()


def test_without_zeroconf_the_usual_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    assert find_vrchat() == USUAL
