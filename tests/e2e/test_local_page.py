"""The page that is the whole product: microphone, engine and avatar in a browser."""

import base64
import functools
import hashlib
import http.server
import json
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.e2e.overlay_stream import OverlayServer
from tests.e2e.test_overlay import CHROMIUM, FLAGS, WAIT_S, Overlay, _foreign, _note
from tests.support import require

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "clients" / "golden" / "engine"
MICROPHONE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
BUILT_IN = ROOT / "streamer" / "data" / "models" / "ha2g-stream-small" / "model.onnx"
RENDER = """async ({ audio, words, seed }) => {
  const bytes = Uint8Array.from(atob(audio), (c) => c.charCodeAt(0));
  const samples = Float32Array.from(new Int16Array(bytes.buffer), (x) => x / 32768);
  const frames = await __gesture.render(samples, words, seed);
  return frames.map((frame) => ({
    state: frame.state,
    rotations: [...frame.rotations],
    directions: [...frame.directions],
  }));
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    require(CHROMIUM.exists(), f"needs Chromium at {CHROMIUM}")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=[*FLAGS, *MICROPHONE]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OverlayServer]:
    with OverlayServer(tmp_path / "avatars") as running:
        yield running


def open_page(browser: Browser, url: str, size: tuple[int, int] = (320, 180)) -> Overlay:
    """Open the page and wait until engine and avatar are there."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    local = Overlay(page, url.rsplit("/", 1)[0] + "/")
    page.on("console", lambda m: _note(local, m.type, m.text))
    page.on("pageerror", lambda e: local.problems.append(str(e)))
    page.on("request", lambda r: _foreign(local, r.url))
    page.goto(url)
    local.until(lambda s: s["model"] and s["avatar"], "engine")
    return local


def gesturing(local: Overlay, looks: int) -> np.ndarray[Any, Any]:
    """Return the hands' positions [looks, 2, 3] in different drawings of a live stream.

    A busy machine without a GPU draws one frame a second.
    """
    seen = dict[float, Any]()

    def another(state: dict[str, Any]) -> bool:
        live = state["mode"] == "live" and not state["blending"]
        return live and state["sample"] not in seen

    while len(seen) < looks:
        look = local.until(another, f"motion after {len(seen)} looks")
        hands = [look["positions"][f"{side}Hand"] for side in ("left", "right")]
        seen[look["state"]["sample"]] = hands
    return np.array(list(seen.values()))


def close(local: Overlay) -> None:
    """Close the page; nothing may have gone wrong on it."""
    local.page.close()
    assert local.problems == []


def test_the_demo_speaks_and_the_avatar_gestures(browser: Browser, server: OverlayServer) -> None:
    local = open_page(browser, server.address.url + "local.html")
    local.page.get_by_text("nothing leaves this machine").wait_for(timeout=WAIT_S * 1000)
    local.page.get_by_role("button", name="Demo").click()
    hands = gesturing(local, 6)
    spoken = local.until(lambda s: s["voice"] == "speaking", "voice")
    assert spoken["state"]["source"] == "demo"
    # Measured 0.2 to 0.4 m; a body that stands still moves less than 1 mm.
    assert np.linalg.norm(hands.max(0) - hands.min(0), axis=1).max() > 0.05
    local.shot("local_demo")
    local.page.get_by_role("button", name="Stop").click()
    local.until(lambda s: s["source"] == "none" and s["mode"] == "rest", "rest")
    close(local)


def test_the_microphone_drives_the_avatar(browser: Browser, server: OverlayServer) -> None:
    local = open_page(browser, server.address.url + "local.html")
    local.page.get_by_role("button", name="Microphone").click()
    gesturing(local, 2)
    local.page.get_by_text("audio delay to set in OBS").wait_for(timeout=WAIT_S * 1000)
    close(local)


def test_frames_in_the_browser_are_those_of_python(browser: Browser, server: OverlayServer) -> None:
    golden = json.loads((GOLDEN / "golden.json").read_text("utf-8"))
    local = open_page(browser, server.address.url + "local.html")
    words = [{**word, "final": True} for word in golden["words"]]
    audio = base64.b64encode((GOLDEN / "audio.s16").read_bytes()).decode()
    frames = local.page.evaluate(RENDER, {"audio": audio, "words": words, "seed": golden["seed"]})
    assert [frame["state"] for frame in frames] == golden["default"]["states"]
    for name in ("directions", "rotations"):
        table = golden["default"][name]
        wanted = np.fromfile(GOLDEN / table["file"], "<f4").reshape(table["shape"])
        got = np.array([frame[name] for frame in frames]).reshape(wanted.shape)
        # Measured 9e-7: the same graph, another processor's vectors.
        assert np.abs(got - wanted).max() < 1e-4, name
    close(local)


def test_the_page_works_on_any_web_server_in_any_folder(browser: Browser, tmp_path: Path) -> None:
    node = shutil.which("node") or shutil.which("node", path=str(Path(sys.executable).parent))
    require(node is not None, "needs Node.js to write the site")
    folder = tmp_path / "some" / "where"
    command = [str(node), str(ROOT / "clients" / "web" / "site.mjs"), str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as plain:
        thread = threading.Thread(target=plain.serve_forever, daemon=True)
        thread.start()
        local = open_page(browser, f"http://127.0.0.1:{plain.server_port}/some/where/index.html")
        assert local.look()["state"]["model"] == "ha2g-stream-small"
        close(local)
        plain.shutdown()
        thread.join(10)


def test_a_damaged_model_is_refused_in_words(browser: Browser, server: OverlayServer) -> None:
    page = browser.new_page()
    page.route("**/model/model.onnx", lambda route: route.fulfill(body=b"no graph"))
    page.goto(server.address.url + "local.html")
    toast = page.locator(".toast").first.inner_text(timeout=WAIT_S * 1000)
    assert "not the file that its manifest describes" in toast
    assert page.get_by_role("button", name="Demo").is_disabled()
    page.close()


def test_the_server_gives_the_page_what_it_loads(server: OverlayServer) -> None:
    def get(path: str) -> tuple[int, str, bytes]:
        try:
            with urllib.request.urlopen(server.address.url + path, timeout=WAIT_S) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read()
        except urllib.error.HTTPError as error:
            return error.code, "", error.read()

    model = BUILT_IN.parent
    status, kind, body = get("model/manifest.json")
    assert (status, kind) == (200, "application/json")
    assert body == (model / "manifest.json").read_bytes()
    digest = json.loads(body)["files"]["model.onnx"]
    assert hashlib.sha256(get("model/model.onnx")[2]).hexdigest() == digest
    assert get("demo/speech.flac")[1] == "audio/flac"
    assert json.loads(get("demo/words.json")[2])[0]["word"] == "hey"
    assert get("mannequin.vrm")[2][:4] == b"glTF"
    for path in ("model", "model/", "model/model.pt2", "model/../demo/README.md", "demo/README.md"):
        assert get(path)[0] == 404, path


def test_the_golden_files_are_what_the_engine_makes_now(tmp_path: Path) -> None:
    script = ROOT / "clients" / "golden" / "engine.py"
    subprocess.run([sys.executable, str(script), "--out", str(tmp_path)], check=True, timeout=300)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == sorted(path.name for path in GOLDEN.iterdir())
    for path in tmp_path.glob("*.f32"):
        fresh, kept = np.fromfile(path, "<f4"), np.fromfile(GOLDEN / path.name, "<f4")
        # Other processors round the graph's sums differently, by 1e-6 at most.
        assert np.allclose(fresh, kept, atol=1e-5, equal_nan=True), path.name
    fresh, kept = (json.loads((at / "golden.json").read_text("utf-8")) for at in (tmp_path, GOLDEN))
    assert fresh == kept, "run `python clients/golden/engine.py` and commit"
    assert (tmp_path / "audio.s16").read_bytes() == (GOLDEN / "audio.s16").read_bytes()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """A web server as plain as they come."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
