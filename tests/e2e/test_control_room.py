"""The overlay's control room: settings by keyboard, help, the browser's microphone."""

import json
import os
import re
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, WebSocket, expect, sync_playwright

from streamer.comfort_settings import LIMITS, Settings, as_mapping
from streamer.gestures import GESTURES
from streamer.types import Event
from tests.e2e.overlay_stream import OverlayServer
from tests.e2e.test_local_page import MICROPHONE
from tests.e2e.test_overlay import CHROMIUM, FLAGS, WAIT_S, Overlay, _note
from tests.fakes import tiny_artifact
from tests.support import require
from tests.web_modules import modules

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
    page.goto(url, timeout=2 * WAIT_MS)
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
            hello = [text for text in sent.texts if text["type"] == "hello"][-1]
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


@contextmanager
def live(
    folder: Path, *options: str, model: str | None = None, environment: dict[str, str] | None = None
) -> Iterator[str]:
    """Run `gesture live` on the demo and give the address of its page."""
    model = model or str(tiny_artifact(folder / "tiny"))
    command = [sys.executable, "-m", "streamer.cli", "live", "--source", "demo", "--model", model]
    with subprocess.Popen(
        [*command, "--port", "0", *options],
        cwd=ROOT,
        env={**os.environ, "XDG_DATA_HOME": str(folder), **(environment or {})},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            found = (re.search(r"https?://127\.0\.0\.1:\d+/", line) for line in process.stderr)
            yield next(match for match in found if match).group()
        finally:
            process.kill()


def test_another_model_is_chosen_while_it_runs(browser: Browser, tmp_path: Path) -> None:
    models = tmp_path / "gesture-streamer" / "models"
    tiny_artifact(models / "second", seed=8)
    (models / "broken").mkdir()
    (models / "broken" / "manifest.json").write_text("{}", "utf-8")
    with live(tmp_path) as url:
        overlay, sent = open_page(browser, url)
        page = overlay.page
        overlay.playing()
        page.get_by_role("button", name="Settings").click()
        choice = page.get_by_label("Model")
        choice.wait_for(timeout=WAIT_MS)
        assert page.get_by_text("The voice comes from demo").is_visible()
        offered = choice.locator("option").all_inner_texts()
        assert {"tiny", "second", "broken"} <= set(offered)
        assert choice.input_value() == "tiny"

        choice.select_option("broken")
        status = page.locator("#panel [role=status].note")
        status.get_by_text("export the model again").wait_for(timeout=WAIT_MS)
        assert "The old one goes on" in status.inner_text()
        expect(choice).to_be_enabled(timeout=WAIT_MS)
        assert choice.input_value() == "tiny"

        connected = len(sent.urls)
        choice.select_option("second")
        status.get_by_text("Now: second.").wait_for(timeout=WAIT_MS)
        assert choice.input_value() == "second"
        assert "second" in page.locator("#model").inner_text()
        reasons = [text["reason"] for text in sent.told if text.get("event") == "reset"]
        assert reasons.count("model") == 1  # a busy machine resets for its backlog, too
        had = overlay.look()["state"]["frames"]
        overlay.until(lambda s: s["frames"] > had + 5, "the new model's frames")
        assert len(sent.urls) == connected, "the page stayed connected"
        page.close()
        assert overlay.problems == []


def test_a_page_asks_for_the_token_and_remembers_it(browser: Browser, tmp_path: Path) -> None:
    secret = "a-token-of-sixteen"
    with OverlayServer(tmp_path / "avatars", token=secret) as server:
        context = browser.new_context(viewport={"width": 640, "height": 480})
        context.set_default_navigation_timeout(2 * WAIT_MS)
        page = context.new_page()
        overlay, sent = Overlay(page, server.address.url), Sent()
        page.on("websocket", sent)
        asked = list[str]()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(server.address.url)
        dialog = page.get_by_role("dialog", name="This engine wants a token")
        dialog.wait_for(timeout=WAIT_MS)
        assert page.get_by_label("Token", exact=True).evaluate(
            "(e) => e === document.activeElement"
        )
        page.keyboard.type("h is no command in here")
        page.keyboard.press("Enter")
        page.get_by_text("That was not the right token.").wait_for(timeout=WAIT_MS)
        assert not page.locator("body.bare").count()
        assert overlay.look()["state"]["link"] == "refused"
        page.get_by_label("Token", exact=True).fill(secret)
        page.get_by_role("button", name="Connect").click()
        overlay.playing()  # the avatar, too, needs the token
        assert not dialog.is_visible()
        assert len(sent.urls) == 3, "nobody tries again with a token that was refused"
        page.close()

        again = Overlay(context.new_page(), server.address.url)
        again.page.goto(server.address.url + "?transparent=1")
        again.until(lambda s: s["link"] == "open" and s["avatar"], "stream and avatar")
        assert not again.page.get_by_role("dialog").is_visible()
        assert not [url for url in [*asked, *sent.urls] if secret in url], "never in an address"
        context.close()


def test_obs_step_by_step(browser: Browser, tmp_path: Path) -> None:
    with OverlayServer(tmp_path / "avatars") as server:
        overlay, _ = open_page(browser, server.address.url)
        overlay.playing()
        page = overlay.page
        page.keyboard.press("s")
        page.locator("summary", has_text="Set up OBS").click()
        page.get_by_label("Framing").select_option("bust")
        wizard = page.locator("#panel .wizard")
        wizard.get_by_label("Captions").check()
        page.get_by_role("button", name="Next").click()
        url = f"{server.address.url}?transparent=1&camera=bust&captions=1"
        assert page.locator("#panel code").get_by_text(url).is_visible()
        page.get_by_text("Waiting for OBS").wait_for(timeout=WAIT_MS)
        obs = Overlay(browser.new_page(viewport={"width": 320, "height": 240}), url)
        obs.page.goto(url, timeout=2 * WAIT_MS)
        obs.playing()
        page.get_by_text("1 other page shows the avatar.").wait_for(timeout=WAIT_MS)
        server.tell(Event(kind="word", sample=0, data={"text": "seen", "start": 0, "end": 9}))
        obs.page.locator("#caption.shown").wait_for(timeout=WAIT_MS)
        assert not obs.page.locator("#hud").is_visible()
        obs.page.close()
        page.get_by_role("button", name="Next").click()
        server.tell(Event(kind="latency", sample=0, data={"visible_ms": 287.4}))
        page.locator("#panel b", has_text="287 ms").first.wait_for(timeout=WAIT_MS)
        page.get_by_role("button", name="Next").click()
        page.get_by_label("Correction").press("ArrowRight")
        assert page.locator("#panel b", has_text="297 ms").is_visible()
        page.get_by_role("button", name="Next").click()
        assert page.get_by_role("button", name="Next").is_disabled()
        overlay.shot("obs_wizard")
        page.close()
        assert overlay.problems == []


def test_the_page_says_itself_what_is_wrong(browser: Browser, tmp_path: Path) -> None:
    with OverlayServer(tmp_path / "avatars") as server:
        overlay, _ = open_page(browser, server.address.url)
        overlay.playing()
        page = overlay.page
        page.keyboard.press("s")
        page.locator("summary", has_text="When it does not move").click()
        checks = page.locator("#panel .checks")
        checks.locator(".good", has_text="Frames come").wait_for(timeout=WAIT_MS)
        checks.locator(".good", has_text="It has heard a voice").wait_for(timeout=WAIT_MS)
        server.tell(Event(kind="settings", sample=0, data={"amplitude": 1.0, "still": True}))
        checks.locator(".bad", has_text="Gestures are on").wait_for(timeout=WAIT_MS)
        server.play.clear()
        checks.locator(".bad", has_text="Frames come").wait_for(timeout=WAIT_MS)
        server.close()
        checks.locator(".bad", has_text="The engine answers").wait_for(timeout=WAIT_MS)
        page.close()


AXE = """async () => {
  const found = await axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
  });
  return found.violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.target).join()}`);
}"""


def test_the_pages_pass_the_checks_of_axe(browser: Browser, tmp_path: Path) -> None:
    """Names, roles, contrast: everything that axe-core 4 knows of WCAG 2.1 AA."""
    axe = (modules() / "axe-core" / "axe.min.js").read_text("utf-8")
    with OverlayServer(tmp_path / "avatars") as server:
        overlay, _ = open_page(browser, server.address.url)
        overlay.playing()
        page = overlay.page
        page.evaluate(f"() => {{ {axe} }}")
        assert page.evaluate(AXE) == []
        page.keyboard.press("s")
        page.get_by_role("heading", name="Control room").wait_for(timeout=WAIT_MS)
        server.tell(Event(kind="settings", sample=0, data=as_mapping(Settings())))
        page.get_by_label("Size").wait_for(timeout=WAIT_MS)
        page.evaluate("() => document.querySelectorAll('details').forEach((d) => (d.open = true))")
        page.wait_for_timeout(1500)  # the checks have been made
        assert page.evaluate(AXE) == []
        page.evaluate("() => document.getElementById('token').showModal()")
        assert page.evaluate(AXE) == []
        page.close()
        local = browser.new_page()
        local.goto(server.address.url + "local.html", timeout=2 * WAIT_MS)
        local.get_by_role("button", name="Demo").wait_for(timeout=WAIT_MS)
        local.evaluate(f"() => {{ {axe} }}")
        assert local.evaluate(AXE) == []
        local.close()
