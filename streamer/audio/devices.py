"""Which audio devices there are, and which one a name means."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

from streamer.errors import UsageError

Kind = Literal["input", "output"]

# Windows shows each device once per host API. WASAPI (shared) has whole names
# and the least delay; MME cuts names off and adds 100 ms; WDM-KS locks others out.
HOST_APIS = ("Windows WASAPI", "Windows DirectSound", "MME", "Windows WDM-KS")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """An audio device: `channels` it has at most, its own `rate` in samples per second."""

    index: int
    name: str
    host_api: str
    channels: int
    rate: int
    is_default: bool


def load_sounddevice() -> Any:
    """Return the `sounddevice` module, which is an extra.

    Raises `UsageError` that says what to install when it, or PortAudio under
    it, is missing.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise UsageError(
            "recording needs the package sounddevice: pip install 'gesture-streamer[mic]'"
        ) from error
    except OSError as error:  # sounddevice is there, PortAudio is not
        raise UsageError(
            "recording needs the system package PortAudio: "
            "sudo apt install libportaudio2 (Debian, Ubuntu), dnf install portaudio (Fedora)"
        ) from error
    return sounddevice


def list_devices(kind: Kind = "input") -> tuple[Device, ...]:
    """Return the devices that can record (or play), as PortAudio found them at start.

    Raises `UsageError` when PortAudio is not installed.
    """
    sd = load_sounddevice()
    apis: list[dict[str, Any]] = list(sd.query_hostapis())
    rows: list[dict[str, Any]] = list(sd.query_devices())
    api_names: list[str] = [api["name"] for api in apis]
    default = _default_index(apis, sd.default.device[kind], kind)
    return tuple(
        Device(
            index=row["index"],
            name=row["name"],
            host_api=api_names[int(row["hostapi"])],
            channels=row[f"max_{kind}_channels"],
            rate=round(row["default_samplerate"]),
            is_default=row["index"] == default,
        )
        for row in rows
        if row[f"max_{kind}_channels"] > 0
    )


def choose_device(devices: Sequence[Device], wanted: str | None) -> Device:
    """Return the device that a user means: the default for None, an index, or a name.

    A name is the whole name or a part of it that fits one device, in any case.
    Where host APIs show the same devices (Windows), the best of them counts.
    Raises `UsageError` that lists the devices when none or several fit.
    """
    if not devices:
        raise UsageError("no audio device was found; plug in a microphone or try --source demo")
    if wanted is None:
        found = [device for device in devices if device.is_default]
        problem = "there is no default audio device"
    elif wanted.strip().isdigit():
        found = [device for device in devices if device.index == int(wanted)]
        problem = f"no such audio device: {wanted}"
    else:
        found = _named(devices, wanted.strip().casefold())
        several = "several audio devices fit" if found else "no such audio device:"
        problem = f"{several} {wanted!r}"
    if len(found) != 1:
        raise UsageError(f"{problem}; choose one of {_enumerate(found or devices)}")
    return found[0]


def find_again(devices: Sequence[Device], device: Device) -> Device | None:
    """Return a device that was plugged in again, None while it is away; its index may differ."""
    same = [d for d in devices if (d.name, d.host_api) == (device.name, device.host_api)]
    return min(same, key=lambda d: d.index != device.index, default=None)


def _named(devices: Sequence[Device], wanted: str) -> list[Device]:
    exact = [device for device in devices if device.name.casefold() == wanted]
    found = exact or [device for device in devices if wanted in device.name.casefold()]
    for api in HOST_APIS:
        if best := [device for device in found if device.host_api == api]:
            return best
    return found


def _default_index(apis: Sequence[dict[str, Any]], default: int, kind: Kind) -> int:
    """Return the default device; PortAudio's own choice on Windows is MME's."""
    for api in apis:
        if api["name"] == HOST_APIS[0] and api[f"default_{kind}_device"] >= 0:
            return api[f"default_{kind}_device"]
    if default >= 0:
        return default
    return next((d for api in apis if (d := api[f"default_{kind}_device"]) >= 0), -1)


def _enumerate(devices: Sequence[Device]) -> str:
    return ", ".join(
        f"{d.index} {d.name!r} ({d.host_api}{', default' if d.is_default else ''})" for d in devices
    )
