"""The overlay's control room: settings by keyboard, help, the browser's microphone."""

import json
import re
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, WebSocket, sync_playwright

from streamer.comfort_settings import LIMITS, Settings, as_mapping
from streamer.gestures import GESTURES
from streamer.types import Event
from tests.e2e.overlay_stream import OverlayServer
from tests.e2e.test_local_page import MICROPHONE
from tests.e2e.test_overlay import CHROMIUM, FLAGS, WAIT_S, Overlay, _note
from tests.fakes import tiny_artifact
from tests.support import require

ROOT = Path(__file__).resolve().parents[2]
WAIT_MS = WAIT_S * 1000
RANGES = """() => Object.fromEntries([...document.querySelectorAll("#panel label")].map((row) => {
  const input = row.querySelector("input, select");
  return [row.innerText.split("\\n")[0].trim(), [input.type, input.min, input.max]];
}))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    require(CHROMIUM.exists(), f"needs Chromium at {CHROMIUM}")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=[*FLAGS, *MICROPHONE]
        )
        yield chromium
        chromium.close()


class Sent:
    """What goes over a page's WebSockets: addresses, texts and binaries sent, texts told."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.texts: list[dict[str, Any]] = []
        self.binaries: list[bytes] = []
        self.told: list[dict[str, Any]] = []

    def __call__(self, socket: WebSocket) -> None:
        self.urls.append(socket.url)
        socket.on("framesent", self._take)
        socket.on("framereceived", self._hear)

    def _take(self, payload: str | bytes) -> None:
        if isinstance(payload, bytes):
            self.binaries.append(payload)
        else:
            self.texts.append(json.loads(payload))

    def _hear(self, payload: str | bytes) -> None:
        if isinstance(payload, str):
            self.told.append(json.loads(payload))

    def in_effect(self) -> list[dict[str, Any]]:
        return [text for text in self.told if text.get("event") == "settings"]

    def settings(self) -> list[dict[str, Any]]:
        return [text["settings"] for text in self.texts if text["type"] == "control"]


def open_page(browser: Browser, url: str) -> tuple[Overlay, Sent]:
    """Open the overlay page and note what it sends."""
    page = browser.new_page(viewport={"width": 900, "height": 620})
    overlay, sent = Overlay(page, url), Sent()
    page.on("console", lambda m: _note(overlay, m.type, m.text))
    page.on("pageerror", lambda e: overlay.problems.append(str(e)))
    page.on("websocket", sent)
    page.goto(url)
    return overlay, sent


def test_settings_follow_the_engine_and_the_keyboard(browser: Browser, tmp_path: Path) -> None:
    with OverlayServer(tmp_path / "avatars") as server:
        overlay, sent = open_page(browser, server.address.url)
        overlay.playing()
        page = overlay.page
        page.keyboard.press("s")
        page.get_by_role("heading", name="Control room").wait_for(timeout=WAIT_MS)
        assert page.get_by_text("This engine has no settings to change.").is_visible()
        assert {} in sent.settings()  # asks which are in effect
        data = {**as_mapping(Settings()), "amplitude": 0.5, "unknown_to_this_page": 1.0}
        server.tell(Event(kind="settings", sample=0, data=data))
        size = page.get_by_label("Size")
        size.wait_for(timeout=WAIT_MS)
        assert size.input_value() == "0.5"
        assert size.get_attribute("aria-valuetext") == "50 %"
        size.focus()
        page.keyboard.press("ArrowRight")
        page.get_by_text("55 %").wait_for(timeout=WAIT_MS)
        page.get_by_role("button", name="Wave").click()
        page.get_by_label("Stand still").check()
        page.wait_for_timeout(300)  # a slider sends at most ten changes a second
        assert {"amplitude": 0.55} in sent.settings()
        assert {"trigger": "wave"} in sent.settings()
        assert {"still": True} in sent.settings()
        assert "H" in page.locator("#hud kbd").first.inner_text()
        overlay.shot("control_room")
        page.keyboard.press("Escape")
        assert not page.locator("#panel").is_visible()
        assert page.locator("#settings").evaluate("(e) => e === document.activeElement")
        page.close()
        assert overlay.problems == []


def test_the_panel_knows_every_setting_and_its_limits(browser: Browser, tmp_path: Path) -> None:
    with OverlayServer(tmp_path / "avatars") as server:
        overlay, _ = open_page(browser, server.address.url)
        overlay.playing()
        page = overlay.page
        page.get_by_role("button", name="Settings").click()
        page.get_by_role("heading", name="Control room").wait_for(timeout=WAIT_MS)
        server.tell(Event(kind="settings", sample=0, data=as_mapping(Settings())))
        page.get_by_label("Size").wait_for(timeout=WAIT_MS)
        shown = page.evaluate(RANGES)
        limits = sorted([float(low), float(high)] for kind, low, high in shown.values() if low)
        assert limits == sorted([low, high] for low, high in LIMITS.values())
        hidden = page.locator("#panel fieldset label:not(:visible)").count()
        rows = page.locator("#panel fieldset label").count()
        assert (hidden, rows) == (0, len(as_mapping(Settings())))
        offered = {
            name.lower() for name in page.locator("#panel fieldset button").all_inner_texts()
        }
        assert {name for name in GESTURES if "_" not in name} <= offered | {"shake"}
        page.close()


def test_a_slider_changes_the_running_engine(browser: Browser, tmp_path: Path) -> None:
    model = str(tiny_artifact(tmp_path / "tiny"))
    command = [sys.executable, "-m", "streamer.cli", "live", "--source", "demo", "--model", model]
    with subprocess.Popen(
        [*command, "--port", "0"], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            found = (re.search(r"http://127\.0\.0\.1:\d+/", line) for line in process.stderr)
            overlay, sent = open_page(browser, next(match for match in found if match).group())
            page = overlay.page
            overlay.playing()
            page.get_by_role("button", name="Settings").click()
            size = page.get_by_label("Size")  # shown once the engine has said its settings
            size.wait_for(timeout=WAIT_MS)
            before = float(size.input_value())
            size.press("ArrowLeft")
            wanted = pytest.approx(before - 0.05)
            deadline = time.monotonic() + WAIT_S
            while sent.in_effect()[-1]["amplitude"] != wanted:
                assert time.monotonic() < deadline, sent.in_effect()[-1]
                page.wait_for_timeout(50)
            assert float(size.input_value()) == wanted
            page.close()
            assert overlay.problems == []
        finally:
            process.kill()


def test_the_browsers_microphone_drives_a_remote_session(browser: Browser, tmp_path: Path) -> None:
    model = str(tiny_artifact(tmp_path / "tiny"))
    command = [sys.executable, "-m", "streamer.cli", "serve", "--model", model, "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            line = next(line for line in process.stderr if line.startswith("  sessions"))
            url = line.split()[1].rstrip(",").replace("ws", "http", 1).split("/v1/")[0] + "/"
            overlay, sent = open_page(browser, url)
            page = overlay.page
            page.get_by_role("button", name="Settings").click()
            page.get_by_text("Microphone of this browser").click()
            page.get_by_label("Use this browser's microphone").check()
            seen = overlay.until(lambda s: s["frames"] > 20 and s["avatar"], "frames of a session")
            assert seen["state"]["link"] == "open"
            assert sent.urls[-1].endswith("/v1/session")
            hello = next(text for text in sent.texts if text["type"] == "hello")
            assert hello == {"type": "hello", "protocol": "gesture.v1", "options": {}}
            expected = 0
            for message in sent.binaries:
                magic, version, start = struct.unpack_from("<4sBxxxQ", message)
                assert (magic, version, start) == (b"GSTA", 1, expected)
                expected += (len(message) - 16) // 2
            assert expected > 16_000
            page.close()
        finally:
            process.kill()
