"""A private PulseAudio server with a virtual microphone."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import require

_LIMIT_S = 10
_TOOLS = ("pulseaudio", "paplay", "parec")


class PulseServer:
    """A server of our own; what is played into it, PortAudio's device `pulse` records.

    `environment` points programs to this server and to no other.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._clients: list[subprocess.Popen[bytes]] = []
        self._socket = folder / "native"
        self.environment = os.environ | {
            "XDG_RUNTIME_DIR": str(folder),
            "XDG_CONFIG_HOME": str(folder),
            "PULSE_SERVER": f"unix:{self._socket}",
        }

    def start(self) -> None:
        """Start the server and a microphone that can be recorded from now on."""
        self._socket.unlink(missing_ok=True)
        protocol = f"module-native-protocol-unix socket={self._socket} auth-anonymous=1"
        microphone = "module-null-sink sink_name=mic rate=48000 channels=1"
        options = ["--exit-idle-time=-1", "--disable-shm=yes", "--log-target=file:/dev/null"]
        modules = ["-n", "-L", protocol, "-L", microphone]
        # The command returns when the daemon serves.
        command = ["pulseaudio", "--daemonize=yes", *options, *modules]
        subprocess.run(command, env=self.environment, timeout=_LIMIT_S, check=True)
        # A null sink works in blocks of 2 s until a client asks for less: this
        # one does, and its first bytes say that it has been heard.
        recorder = self._run(
            ["parec", "--latency-msec=5", "--raw", "--device=mic.monitor"], subprocess.PIPE
        )
        assert recorder.stdout is not None
        assert recorder.stdout.read(2), "the virtual microphone gives nothing"
        self._clients.append(subprocess.Popen(["cat"], stdin=recorder.stdout, stdout=-3))

    def stop(self) -> None:
        """End the server and its clients, as if the microphone were unplugged."""
        for client in self._clients:
            client.terminate()
            client.wait(_LIMIT_S)
            if client.stdout is not None:
                client.stdout.close()
        self._clients.clear()
        command = ["pulseaudio", "--kill"]
        subprocess.run(command, env=self.environment, timeout=_LIMIT_S, check=False)

    def play(self, wav: Path) -> "subprocess.Popen[bytes]":
        """Start to play a file into the microphone; wait for it to know the end."""
        return self._run(["paplay", "--latency-msec=500", "--device=mic", str(wav)])

    def record(self, raw: Path) -> "subprocess.Popen[bytes]":
        """Start to record the microphone as float32 at 48 kHz, past PortAudio; terminate it."""
        command = ["parec", "--raw", "--format=float32le", "--rate=48000", "--channels=1"]
        return self._run([*command, "--latency-msec=20", "--device=mic.monitor", str(raw)])

    def _run(self, command: list[str], stdout: int | None = None) -> "subprocess.Popen[bytes]":
        client = subprocess.Popen(command, env=self.environment, stdout=stdout)
        self._clients.append(client)
        return client


@contextmanager
def pulse_server() -> Iterator[PulseServer]:
    """Run a server; programs started with its `environment` see its microphone."""
    missing = [tool for tool in _TOOLS if not shutil.which(tool)]
    require(not missing, f"PulseAudio is not installed: no {', '.join(missing)}")
    # Not pytest's folder: its path can be too long for a Unix socket.
    with tempfile.TemporaryDirectory(prefix="pulse-") as folder:
        server = PulseServer(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture
def pulse(monkeypatch: pytest.MonkeyPatch) -> Iterator[PulseServer]:
    """A server whose microphone PortAudio in this very process sees as `pulse`."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        require(False, f"sounddevice or PortAudio is not installed: {error}")
        raise
    with pulse_server() as server:
        for name in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "PULSE_SERVER"):
            monkeypatch.setenv(name, server.environment[name])
        _look_again(sounddevice)
        names = [device["name"] for device in sounddevice.query_devices()]
        require("pulse" in names, "ALSA has no PulseAudio plug-in (libasound2-plugins)")
        yield server
    _look_again(sounddevice)


def _look_again(sounddevice) -> None:
    sounddevice._terminate()
    sounddevice._initialize()
