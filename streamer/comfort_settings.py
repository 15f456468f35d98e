"""What a person may set of the motion while it runs, by name; neutral by default."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, cast, get_args

from streamer.errors import UsageError

Filter = Literal["none", "damped", "one_euro"]
Mood = Literal["auto", "listening", "thinking", "speaking"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting. The defaults change nothing.

    amplitude: of the arms, from hanging down (0) to as computed (1) and beyond.
    energy: of their movement about where they have been lately. rate: how many of the
    strokes are performed, the others are hinted at. left, right,
    fingers, head, body: how far each part follows, 0 at rest. spread: degrees by
    which the arms are held away from the body. torso_radius: in metres, of the
    capsule that hands and elbows are kept out of, 0 for none. filter and
    smoothing_ms: see `comfort_filters`. breathing, sway: idle motion, 0 to 1.
    still: come to rest. mood: `auto` follows the voice with `attention`, how far
    the body shows that it listens. lock_left, lock_right: keep that arm as it is.
    mouth: how far the mouth opens, where we move it.
    """

    amplitude: float = 1.0
    energy: float = 1.0
    rate: float = 1.0
    left: float = 1.0
    right: float = 1.0
    fingers: float = 1.0
    head: float = 1.0
    body: float = 1.0
    spread: float = 0.0
    torso_radius: float = 0.0
    filter: Filter = "none"
    smoothing_ms: float = 100.0
    breathing: float = 0.0
    sway: float = 0.0
    still: bool = False
    mood: Mood = "auto"
    attention: float = 0.0
    lock_left: bool = False
    lock_right: bool = False
    mouth: float = 1.0


LIMITS: Mapping[str, tuple[float, float]] = {
    "amplitude": (0.0, 1.5),
    "energy": (0.0, 2.0),
    "rate": (0.0, 1.0),
    "left": (0.0, 1.0),
    "right": (0.0, 1.0),
    "fingers": (0.0, 1.0),
    "head": (0.0, 1.0),
    "body": (0.0, 1.0),
    "spread": (-30.0, 60.0),
    "torso_radius": (0.0, 0.4),
    "smoothing_ms": (20.0, 1000.0),
    "breathing": (0.0, 1.0),
    "sway": (0.0, 1.0),
    "attention": (0.0, 1.0),
    "mouth": (0.0, 1.0),
}
"""Lowest and highest value of each number; also what a panel's sliders need."""

_CHOICES: Mapping[str, tuple[str, ...]] = {"filter": get_args(Filter), "mood": get_args(Mood)}
_NAMES = tuple(field.name for field in fields(Settings))


def changed(settings: Settings, wanted: Mapping[str, Any]) -> Settings:
    """Return settings with some of them changed; raises `UsageError` and changes none."""
    values = {name: _value(name, value) for name, value in wanted.items()}
    return replace(settings, **values)


def as_mapping(settings: Settings) -> dict[str, str | float | bool]:
    """Return every setting by name, JSON-ready."""
    return cast(dict[str, str | float | bool], asdict(settings))


def _value(name: str, value: Any) -> str | float | bool:
    if name in LIMITS:
        low, high = LIMITS[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(f"setting {name}: {value!r:.40}, expected {low:g} to {high:g}")
        if not (math.isfinite(value) and low <= value <= high):
            raise UsageError(f"setting {name}: {value:g}, expected {low:g} to {high:g}")
        return float(value)
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise UsageError(f"setting {name}: {value!r:.40}, expected {', '.join(_CHOICES[name])}")
        return str(value)
    if name in _NAMES:
        if not isinstance(value, bool):
            raise UsageError(f"setting {name}: {value!r:.40}, expected true or false")
        return value
    raise UsageError(f"no setting {name!r:.40}; there are {', '.join(_NAMES)}")
