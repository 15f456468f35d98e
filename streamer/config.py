"""What a run is told, as values; and the TOML file that may tell it."""

import argparse
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from streamer.asr.policy import Policy
from streamer.backends.precision import Precision
from streamer.errors import ConfigError, UsageError
from streamer.windowing import DEFAULT_SEED

Mouth = Literal["auto", "on", "off"]
"""Who gets a mouth and lids from the voice: `auto` the page and recordings, unless a
tracker is mixed in; `on` VMC and VRChat too; `off` nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Which network runs, where, and how it is set.

    style: weights by style name, None for the model's default. lookahead: frames, None
    for the model's default. precision: None for the back end's own.
    """

    model: str
    backend: str
    precision: Precision | None = None
    lookahead: int | None = None
    style: Mapping[str, float] | None = None
    seed: int = DEFAULT_SEED


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Where the page and its stream are served, and to whom.

    cert, key, token: needed beyond this machine. hosts: further names of the server.
    """

    bind: str = "127.0.0.1"
    port: int = 8765
    token: str | None = field(default=None, repr=False)
    cert: Path | None = None
    key: Path | None = None
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VmcOptions:
    """How VMC is spoken, and what is heard of it.

    role: `performer` or `assistant`. bundle: how messages share datagrams. listen:
    the port for an upstream tracker, None for none; sender: the one other machine that
    may send to it; mix: a TOML file of weights by bone; delay_ms: how long the
    upstream is held back.
    """

    role: Literal["performer", "assistant"] = "performer"
    bundle: Literal["mtu", "full", "none"] = "mtu"
    listen: int | None = None
    sender: str | None = None
    mix: Path | None = None
    delay_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VrchatOptions:
    """VRChat's address; captions in its chatbox; the user's height for trackers.

    host: `auto` for finding VRChat on this machine.
    """

    host: str
    port: int
    captions: bool = False
    height: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveConfig:
    """`gesture live`. server: None for none. duration: seconds of audio, None for all."""

    source: str
    model: ModelConfig
    device: str | None = None
    asr: str = "auto"
    words: Policy = "stable_prefix"
    avatar: Path | None = None
    vmc: tuple[str, int] | None = None
    output_fps: float = 60.0
    vmc_options: VmcOptions = field(default_factory=VmcOptions)
    vrchat: VrchatOptions | None = None
    rokoko: tuple[str, int] | None = None
    livelink_face: tuple[str, int] | None = None
    osc_in: int | None = None
    record: tuple[Path, ...] = ()
    bone_map: Path | None = None
    server: ServerOptions | None = field(default_factory=ServerOptions)
    duration: float | None = None
    mouth: Mouth = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderConfig:
    """`gesture render`."""

    source: str
    model: ModelConfig
    output: tuple[Path, ...]
    asr: str = "auto"
    words: Policy = "stable_prefix"
    avatar: Path | None = None
    bone_map: Path | None = None
    duration: float | None = None
    mouth: Mouth = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayConfig:
    """`gesture replay`. osc_in: a loopback port for settings. loop: again and again."""

    recording: Path
    avatar: Path | None = None
    vmc: tuple[str, int] | None = None
    output_fps: float = 60.0
    record: tuple[Path, ...] = ()
    vmc_options: VmcOptions = field(default_factory=VmcOptions)
    vrchat: VrchatOptions | None = None
    rokoko: tuple[str, int] | None = None
    livelink_face: tuple[str, int] | None = None
    osc_in: int | None = None
    bone_map: Path | None = None
    server: ServerOptions | None = field(default_factory=ServerOptions)
    loop: bool = False
    mouth: Mouth = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """`gesture serve`: at most `sessions` remote sessions at once.

    asr: what listens to each session, as `open_remote_words` reads it. mouth: frames
    have a face. osc_in: a loopback port for settings of every session.
    """

    model: ModelConfig
    server: ServerOptions
    sessions: int
    asr: str = "external"
    words: Policy = "stable_prefix"
    avatar: Path | None = None
    mouth: bool = False
    osc_in: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchConfig:
    """`gesture bench`.

    log: the JSONL file that the result is appended to, None for the checkout's
    own. compare: every back end and precision that is there, not only the
    model's. plot: a PNG of the rows, None for none.
    """

    model: ModelConfig
    slots: tuple[int, ...]
    seconds: float
    threads: int = 1
    log: Path | None = None
    compare: bool = False
    plot: Path | None = None


def parse_style(text: str) -> dict[str, float]:
    """Read `NAME` or `calm=0.3,big=0.7`; raises `ArgumentTypeError`."""
    weights = dict[str, float]()
    for part in text.split(","):
        name, equals, number = part.strip().partition("=")
        weight = finite(number) if equals else 1.0
        if not name or weight < 0:
            raise argparse.ArgumentTypeError(f"{part!r}; expected NAME or NAME=WEIGHT,...")
        weights[name] = weight
    return weights


def parse_port(text: str) -> int:
    """Read a port to listen on, 0 to 65535; raises `ArgumentTypeError`."""
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r}; expected 0 to 65535, 0 for a free one")
    return int(text)


def parse_count(text: str) -> int:
    """Read a whole number of at least 0; raises `ArgumentTypeError`."""
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number of at least 0")
    return int(text)


def parse_positive(text: str) -> float:
    """Read a number above 0; raises `ArgumentTypeError`."""
    value = finite(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a number above 0")
    return value


def parse_milliseconds(text: str) -> float:
    """Read 0 to 5000 milliseconds; raises `ArgumentTypeError`."""
    value = finite(text)
    if not 0 <= value <= 5_000:
        raise argparse.ArgumentTypeError(f"{text!r}; expected 0 to 5000 milliseconds")
    return value


def parse_counts(text: str) -> tuple[int, ...]:
    """Read `1,8,32`; raises `ArgumentTypeError`."""
    counts = tuple(parse_count(part.strip()) for part in text.split(","))
    if min(counts) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; expected whole numbers from 1, as 1,8,32")
    return counts


def finite(text: str) -> float:
    """Read a finite number; raises `ArgumentTypeError`."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r}; expected a number")
    return value


def config_arguments(path: Path, parser: argparse.ArgumentParser) -> list[str]:
    """Return a TOML file as command-line words for a parser, and check them there.

    Its keys are the parser's long options without dashes before them; a flag is
    true or false, an option that may be repeated takes a list. Raises
    `ConfigError` for an unknown key or a value that does not fit.
    """
    words = list[str]()
    options = _options(parser)
    for key, value in read_toml(path).items():
        action = options.get(key)
        if action is None:
            known = ", ".join(sorted(options))
            raise ConfigError(f"{path}: unknown key {key!r}; there are {known}")
        words += _words(path, key, action, value)
    try:
        parser.parse_args([*words, *_positionals(parser)])
    except UsageError as error:
        raise ConfigError(f"{path}: {error}") from error
    return words


def read_toml(path: Path) -> dict[str, Any]:
    """Return a TOML file's values; raises `ConfigError`."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error


def _options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    actions: list[argparse.Action] = parser._actions  # pyright: ignore[reportPrivateUsage]  # argparse has no other way to list them
    return {
        name.removeprefix("--"): action
        for action in actions
        for name in action.option_strings
        if name.startswith("--") and action.dest not in ("help", "config")
    }


def _positionals(parser: argparse.ArgumentParser) -> list[str]:
    actions: list[argparse.Action] = parser._actions  # pyright: ignore[reportPrivateUsage]
    return ["x" for action in actions if not action.option_strings and action.nargs is None]


def _words(path: Path, key: str, action: argparse.Action, value: Any) -> list[str]:
    flag = action.nargs == 0
    match value:
        case bool() if flag:
            return [f"--{key}"] if value else []
        case str() | int() | float() if not flag and not isinstance(value, bool):
            return [f"--{key}={value}"]
        case list() if _repeats(action) and all(isinstance(v, str) for v in value):  # pyright: ignore[reportUnknownVariableType]
            return [f"--{key}={v}" for v in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            expected = "true or false" if flag else "a list of texts" if _repeats(action) else ""
            raise ConfigError(
                f"{path}: {key} is {value!r}; expected {expected or 'a text or a number'}"
            )


def _repeats(action: argparse.Action) -> bool:
    return isinstance(action, argparse._AppendAction)  # pyright: ignore[reportPrivateUsage]
