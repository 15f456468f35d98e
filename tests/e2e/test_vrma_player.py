"""Our VRM Animation in somebody else's player: three-vrm-animation in Chromium."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from streamer.avatar import read_avatar
from streamer.humanoid import BONE_INDEX, BONES, REST_OFFSETS
from streamer.recordings.take import TakeRig
from streamer.recordings.vrma import vrma_bytes
from tests.support import require
from tests.takes import take
from tests.web_modules import SOURCE, modules, run, tool

CHROMIUM = Path("/usr/bin/chromium")
WAIT_MS = 240_000


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def player(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the page that plays `take.vrma` on `avatar.vrm`."""
    folder = tmp_path_factory.mktemp("player")
    vite = str(modules() / "vite" / "bin" / "vite.js")
    page = str(SOURCE / "test" / "vrma")
    built = run(
        [
            tool("node"),
            vite,
            "build",
            page,
            "--base",
            "./",
            "--outDir",
            str(folder),
            "--emptyOutDir",
        ]
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture
def served(player: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(player)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/index.html"
    server.shutdown()
    thread.join()
    server.server_close()


def avatar_file(name: str, request: pytest.FixtureRequest) -> bytes:
    if name == "mannequin":
        with as_file(files("streamer") / "data" / "avatars" / "mannequin.vrm") as path:
            return path.read_bytes()
    shared: Path = request.getfixturevalue("shared")
    return (shared / "data" / "avatars" / f"{name}.vrm").read_bytes()


@pytest.mark.parametrize("name", ["mannequin", "Godette_vrm_v4"])
def test_three_vrm_plays_our_motion(
    served: str, player: Path, name: str, request: pytest.FixtureRequest
) -> None:
    """VRM 1.0 as it is; a VRM 0.x avatar faces -Z and gets x and z with the other sign."""
    require(CHROMIUM.exists(), "needs the system package chromium")
    (player / "avatar.vrm").write_bytes(avatar_file(name, request))
    avatar = read_avatar(player / "avatar.vrm")
    source = take(30)
    (player / "take.vrma").write_bytes(vrma_bytes(source, TakeRig.of(None)))
    times = source.seconds
    asked = [3, 11, 12, 28]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.goto(served, timeout=WAIT_MS)
        page.wait_for_function("document.title === 'ready'", timeout=WAIT_MS)
        played = page.evaluate(
            "([times, bones]) => window.play(times, bones)",
            [[float(times[n]) for n in asked], list(BONES)],
        )
        browser.close()
    assert played["duration"] == pytest.approx(float(times[-1]), abs=1e-4)
    assert played["version"] == avatar.meta_version
    flip = np.array([-1, 1, -1, 1] if avatar.meta_version == "0" else [1, 1, 1, 1])
    height = avatar.bones["hips"].world_position[1] / float(REST_OFFSETS[0, 1])
    for n, pose in zip(asked, played["poses"], strict=True):
        seen = 0
        for bone, turn in zip(BONES, pose["turns"], strict=True):
            if turn is None:
                assert bone not in avatar.bones
                continue
            seen += 1
            wanted = source.rotations[n, BONE_INDEX[bone]] * flip
            cosine = abs(float(np.dot(turn, wanted)))
            assert np.degrees(2 * np.arccos(min(cosine, 1.0))) < 0.1, f"{bone} of frame {n}"
        assert seen >= 16
        moved = np.array(pose["hips"]) - played["poses"][0]["hips"]
        wanted_move = (source.root[n] - source.root[asked[0]]) * height * flip[:3]
        np.testing.assert_allclose(moved, wanted_move, atol=2e-3)
