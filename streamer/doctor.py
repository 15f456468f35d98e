"""`gesture doctor`, `devices` and `models`: what is there, and what to do where it is not."""

import importlib.util
import platform
import socket
import sys
import time
from pathlib import Path
from typing import Any

from streamer import __version__
from streamer.backends.loading import built_in_models, choose_backend, find_artifact
from streamer.errors import GestureError

_DEADLINE_MS = 10.0


def doctor(model: str, port: int) -> dict[str, Any]:
    """Check each part; every row has `part`, `state` (ok, warning, error) and `says`."""
    rows = [
        _row("program", "ok", f"gesture-streamer {__version__}, Python {platform.python_version()}")
    ]
    rows += [
        _model(model),
        _microphone(),
        _port(port),
        _page(),
        _extra("prometheus_client", "metrics", "serve"),
    ]
    return {"ok": all(row["state"] != "error" for row in rows), "checks": rows}


def table(result: dict[str, Any]) -> str:
    """Return the checks as lines."""
    return "\n".join(f"{r['state']:8} {r['part']:11} {r['says']}" for r in result["checks"])


def devices() -> dict[str, Any]:
    """Return the microphones; raises `UsageError` where sound input is not installed."""
    from streamer.audio.devices import list_devices

    return {
        "devices": [
            {
                "index": device.index,
                "name": device.name,
                "host_api": device.host_api,
                "channels": device.channels,
                "rate": device.rate,
                "default": device.is_default,
            }
            for device in list_devices()
        ]
    }


def devices_table(result: dict[str, Any]) -> str:
    """Return the microphones as lines; the default one is starred."""
    if not result["devices"]:
        return "no microphone found; gesture live --source demo needs none"
    return "\n".join(
        f"{'*' if d['default'] else ' '} {d['index']:3}  {d['name']}  "
        f"({d['host_api']}, {d['channels']} channels, {d['rate']} Hz)"
        for d in result["devices"]
    )


def models() -> dict[str, Any]:
    """Return the built-in models."""
    from streamer.spec import load_manifest

    rows = list[dict[str, Any]]()
    for name, folder in built_in_models().items():
        manifest = load_manifest(folder)
        spec = manifest.spec
        rows.append(
            {
                "name": name,
                "network": spec.network,
                "skeleton": spec.skeleton.name,
                "fps": float(spec.fps),
                "lookaheads": list(spec.lookaheads),
                "default_lookahead": spec.default_lookahead,
                "styles": list(spec.styles),
                "licence": manifest.licence,
                "folder": str(folder),
            }
        )
    return {"models": rows}


def models_table(result: dict[str, Any]) -> str:
    """Return the models as lines."""
    if not result["models"]:
        return "no built-in model; build one with python -m export"
    return "\n".join(
        f"{m['name']}  {m['network']} on {m['skeleton']}, {m['fps']:g} fps, "
        f"lookahead {'/'.join(map(str, m['lookaheads']))}, styles {'/'.join(m['styles'])}, "
        f"{m['licence']}"
        for m in result["models"]
    )


def _model(name: str) -> dict[str, str]:
    from streamer.engine import rest_pose

    try:
        folder = find_artifact(name)
        choice = choose_backend("auto", folder)
        backend = choice.make()
        rest_pose(backend)
        began = time.perf_counter()
        rest_pose(backend)
        # 2 s of steps, measured again once they are warm
        step_ms = (time.perf_counter() - began) * 1e3 / (2 * float(backend.spec.fps))
        backend.close()
    except GestureError as error:
        return _row("model", "error", str(error))
    state = "ok" if step_ms <= _DEADLINE_MS else "warning"
    return _row(
        "model", state, f"{folder.name}: {step_ms:.1f} ms a step on {choice.name} ({choice.reason})"
    )


def _microphone() -> dict[str, str]:
    try:
        found = devices()["devices"]
    except GestureError as error:
        return _row("microphone", "warning", str(error))
    if not found:
        return _row("microphone", "warning", "none found; --source demo and files work without")
    default = next((d["name"] for d in found if d["default"]), found[0]["name"])
    return _row("microphone", "ok", f"{len(found)} found, default {default}")


def _port(port: int) -> dict[str, str]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if sys.platform != "win32":  # where it would allow what is in use
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return _row("port", "warning", f"{port} is in use; end the other program or --port 0")
    return _row("port", "ok", f"{port} is free")


def _page() -> dict[str, str]:
    data = Path(__file__).parent / "data"
    missing = [
        part
        for part in ("web/index.html", "avatars/mannequin.vrm", "demo/speech.flac")
        if not (data / part).is_file()
    ]
    if missing:
        return _row("page", "error", f"{', '.join(missing)} missing; install the package again")
    return _row("page", "ok", "page, avatar and demo are there")


def _extra(module: str, part: str, extra: str) -> dict[str, str]:
    if importlib.util.find_spec(module) is None:
        hint = f"pip install 'gesture-streamer[{extra}]' to have them"
        return _row(part, "warning", f"not installed: {hint}")
    return _row(part, "ok", "installed")


def _row(part: str, state: str, says: str) -> dict[str, str]:
    return {"part": part, "state": state, "says": says}
