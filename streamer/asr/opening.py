"""From what the user typed to a recogniser."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from streamer.asr.process import worker_command
from streamer.asr.scripted import ScriptedWords
from streamer.asr.sherpa import find_files
from streamer.asr.transformers import check_folder
from streamer.audio.source import AudioSource
from streamer.errors import UsageError

KINDS: Final = "auto, none, scripted, pocketsphinx, sherpa:DIR, transformers:DIR, external"

_PACKAGES: Final = {
    "pocketsphinx": ("asr", ("pocketsphinx", "webrtcvad")),
    "sherpa": ("sherpa", ("sherpa_onnx", "webrtcvad")),
    "transformers": ("whisper", ("transformers", "torch", "webrtcvad")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NoWords:
    """Gestures come from the voice alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """A recogniser in a process of its own. wanted: the user named it."""

    name: str
    command: tuple[str, ...]
    wanted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FromOutside:
    """Other programs say the words. port: for OSC, None for none; lines: on standard input."""

    port: int | None = None
    lines: bool = False


WordSource = NoWords | ScriptedWords | Recognised | FromOutside


def parse_asr(text: str) -> tuple[str, str]:
    """Return the kind and what follows its colon; raises `UsageError`."""
    kind, colon, rest = text.partition(":")
    match kind:
        case "auto" | "none" | "scripted" | "pocketsphinx" if not colon:
            return kind, ""
        case "sherpa" | "transformers" if rest:
            return kind, rest
        case "sherpa" | "transformers":
            raise UsageError(f"--asr {text}: which model? {kind}:DIR names its folder")
        case "external" if not colon or rest == "-" or _is_port(rest):
            return kind, rest
        case "external":
            raise UsageError(
                f"--asr {text}: expected external, external:PORT (OSC, 1 to 65535) or external:- "
                "(lines on standard input)"
            )
        case _:
            raise UsageError(f"--asr {text[:60]!r}: there are {KINDS}")


def open_words(asr: str, source: AudioSource, *, recognise: bool) -> WordSource:
    """Return where a stream's words come from.

    recognise: whether `auto` may take a recogniser; it takes the source's own
    words first. Raises `UsageError` and `InputError` for what cannot be had.
    """
    kind, rest = parse_asr(asr)
    match kind:
        case "none":
            return NoWords()
        case "scripted" if not source.words:
            raise UsageError(
                f"--asr scripted: {source.name} brings no words; use --source demo, or --asr none"
            )
        case "auto" | "scripted" if source.words:
            return ScriptedWords(source.words, period=source.period)
        case "auto":
            there = recognise and not _missing("pocketsphinx")
            return _recognised("pocketsphinx", None, wanted=False) if there else NoWords()
        case "external":
            port = int(rest) if _is_port(rest) else None
            return FromOutside(port=port, lines=rest == "-")
        case "sherpa":
            return _recognised(kind, Path(rest), wanted=True, check=find_files)
        case "transformers":
            return _recognised(kind, Path(rest), wanted=True, check=check_folder)
        case _:
            return _recognised("pocketsphinx", None, wanted=True)


def open_remote_words(asr: str) -> WordSource:
    """Return what remote sessions hear beside the words that their clients send.

    Raises `UsageError` and `InputError` for what cannot be had.
    """
    kind, rest = parse_asr(asr)
    match kind:
        case "external" if not rest:
            return FromOutside()
        case "pocketsphinx":
            return _recognised(kind, None, wanted=True)
        case "sherpa":
            return _recognised(kind, Path(rest), wanted=True, check=find_files)
        case "transformers":
            return _recognised(kind, Path(rest), wanted=True, check=check_folder)
        case _:
            raise UsageError(
                f"--asr {asr}: sessions have external (clients send their words), "
                "pocketsphinx, sherpa:DIR or transformers:DIR"
            )


def _recognised(
    kind: str,
    folder: Path | None,
    *,
    wanted: bool,
    check: Callable[[Path], object] | None = None,
) -> Recognised:
    if folder is not None and check is not None:
        check(folder)
    if missing := _missing(kind):
        extra, _ = _PACKAGES[kind]
        raise UsageError(
            f"--asr {kind}: {missing} is not installed; pip install 'gesture-streamer[{extra}]'"
        )
    name = kind if folder is None else f"{kind}:{folder}"
    command = worker_command(kind, None if folder is None else folder.absolute())
    return Recognised(name=name, command=command, wanted=wanted)


def _missing(kind: str) -> str:
    """Return a package that a recogniser needs and that is not installed."""
    _, packages = _PACKAGES[kind]
    return next((package for package in packages if find_spec(package) is None), "")


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65_535
