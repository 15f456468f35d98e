"""Speech as it is played to a model, and the recordings that `gesture` makes of it."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

import streamer
from export.parity import draw
from models.dice import Dice
from streamer.errors import InputError
from streamer.windowing import gesture_seed
from training import noise
from training.clips import Library
from training.listening import Heard, listen
from training.planner import STYLES
from training.sequences import CLOCK, plan
from training.speech import LEVEL_DB, LJ_HELD_APART

Array = npt.NDArray[np.float32]
Float = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

RATE: Final = 16_000
SILENCE_S: Final = 5.0
UNSEEN: Final = ("jfk", "librivox", "ljspeech-unseen", "beat2")
"""Speech that no model has been trained on."""
CONDITIONS: Final = ("as recorded", "+15 dB", "-15 dB", "15 dB SNR")

_LIVELY = [style.name for style in STYLES].index("lively")


def speech_sets(data: Path) -> dict[str, list[Path]]:
    """Return the speech that is at hand, by name; all but demo and ljspeech is unseen."""
    sets = {"demo": [Path(streamer.__file__).parent / "data" / "demo" / "speech.flac"]}
    for name, pattern in (
        ("ljspeech", "speech_ljspeech/wavs/*.wav"),
        ("jfk", "speech_jfk/*.flac"),
        ("librivox", "speech_librivox/*.wav"),
        ("beat2", "beat2_sample/speech_only/*.wav"),
    ):
        if paths := sorted(data.glob(pattern)):
            sets[name] = paths
    unseen = [path for path in sets.get("ljspeech", ()) if path.stem in LJ_HELD_APART]
    return sets | ({"ljspeech-unseen": unseen} if unseen else {})


def read_speech(path: Path) -> Array:
    """Return a file's mono audio at 16 kHz."""
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(audio.mean(1), rate, RATE), np.float32)


def compose(paths: Sequence[Path]) -> Array:
    """Return the files one after another at 16 kHz, half a second apart, then silence."""
    parts: list[Array] = []
    for path in paths:
        parts += [read_speech(path), np.zeros(RATE // 2, np.float32)]
    return np.concatenate([*parts, np.zeros(int(SILENCE_S * RATE), np.float32)])


def conditioned(audio: Array, condition: str) -> Array:
    """Return audio as a microphone would give it under one of `CONDITIONS`, within -1..1."""
    match condition:
        case "+15 dB" | "-15 dB":
            changed = audio * 10 ** (float(condition.split()[0]) / 20)
        case "15 dB SNR":
            generator = np.random.default_rng(15)
            level = voice_rms(audio) * 10 ** (-15 / 20)
            changed = audio + level * noise.pink(generator, len(audio))
        case _:
            changed = audio
    return changed.clip(-1.0, 1.0).astype(np.float32)


def voice_rms(audio: Array) -> float:
    """Return the RMS of the loud parts of speech."""
    blocks = audio[: len(audio) // 160 * 160].reshape(-1, 160)
    power = (blocks**2).mean(1)
    return float(np.sqrt(power[power > power.max() * 10**-2.5].mean()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """How a recording is made: the command, the artifact, lookahead in frames, seed."""

    via: str
    model: str | None
    lookahead: int
    seed: int


def record(audio: Path, out: Path, played: Played) -> None:
    """Run `gesture` on an audio file and leave a `.npz` recording; raises `InputError`."""
    command = [sys.executable, "-m", "streamer.cli", played.via]
    if played.via == "live":
        seconds = soundfile.info(audio).duration
        command += ["--source", str(audio), "--record", str(out), "--no-server", "--asr", "none"]
        command += ["--duration", f"{seconds:.3f}"]
    else:
        command += [str(audio), "-o", str(out)]
    command += ["--lookahead", str(played.lookahead), "--seed", str(played.seed)]
    command += ["--model", played.model] if played.model else []
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or not out.is_file():
        raise InputError(f"gesture {played.via} {audio.name}: {done.stderr.strip()[-300:]}")


def motion_of(audio: Array, out: Path, name: str, played: Played) -> Float:
    """Play audio to a model; return the directions [T, D, 3] of its recording, kept in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    wave, recording = out / f"{name}.wav", out / f"{name}.npz"
    soundfile.write(wave, audio, RATE)
    record(wave, recording, played)
    with np.load(recording) as loaded:
        return loaded["directions"].astype(np.float64)


def hear(audio: Array, steps: int) -> Heard:
    """Return what the planner hears: the speech at the level that it expects."""
    gain = 10 ** (LEVEL_DB / 20) / voice_rms(audio)
    return listen((audio * gain).astype(np.float32), CLOCK, steps)


def planned(
    library: Library, heard: Heard, steps: int, seed: int, words: list[str | None] | None = None
) -> Float:
    """Return the planner's poses [steps, 45, 3] for the codes that a session draws.

    Pose n of a lookahead of A frames is row n + A. words: the gesture class that a
    word arriving in each step triggers.
    """
    codes = drawn_codes(library, steps, seed)
    heard = Heard(
        loudness=heard.loudness[:steps], voiced=heard.voiced[:steps], accent=heard.accent[:steps]
    )
    return plan(library, heard, codes, words or [None] * steps, _LIVELY)


def drawn_codes(library: Library, steps: int, seed: int) -> Ints:
    """Return the gesture codes [steps] that a session of a seed draws."""
    dice = Dice(len(library.clips), shortest=15, longest=30)
    return draw(dice, steps, gesture_seed(seed, 0)).numpy()


def loudness(audio: Array, frames: int, fps: float) -> Array:
    """Return RMS per frame [T], scaled to 0..1."""
    hop = RATE / fps
    rms = [
        float(np.sqrt(np.mean(audio[int(i * hop) : int((i + 1) * hop)] ** 2 + 1e-12)))
        for i in range(frames)
    ]
    return np.array(rms, np.float32) / max(rms)
