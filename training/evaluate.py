"""`python -m training evaluate`: the shipped model through the real command line, beside toys.

Speech files are played, each followed by 5 s of silence, through `gesture live`
at its defaults (`--via render` for the same frames faster than real time); the
recording is measured. Beside it stand the causal planner on the same speech with
the same gesture codes, whose figures the model is held against, and three toys,
which must fail what the model passes.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

import streamer
from export.parity import draw
from models.dice import Dice
from streamer.errors import InputError, UsageError
from streamer.skeleton import load_skeleton
from streamer.windowing import DEFAULT_SEED, gesture_seed
from training.clips import Library, load_library
from training.listening import Heard, listen
from training.measures import voiced_frames
from training.plan_measures import PlanFigures, measure_plan
from training.planner import STYLES
from training.sequences import CLOCK, LOOKAHEADS, plan
from training.speech import LEVEL_DB, LJ_HELD_APART
from training.toys import looped_clip, loudness_forearm, mean_pose

Array = npt.NDArray[np.float32]
RATE = 16_000
SILENCE_S = 5.0
_LIVELY = [style.name for style in STYLES].index("lively")

LIMITS = {
    "ratio": (2.5, np.inf),
    "dimensions": (5, np.inf),
    "arm_correlation": (-1.0, 0.9),
    "distinct_apexes_per_minute": (10, np.inf),
}
"""What the shipped motion must keep to, and each toy must break."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One motion on one speech set; failed names the figures outside `LIMITS`."""

    speech: str
    motion: str
    figures: PlanFigures

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the figures that are out of bounds."""
        values = self.figures.to_json()
        return tuple(n for n, (low, high) in LIMITS.items() if not low <= values[n] < high)


def speech_sets(data: Path) -> dict[str, list[Path]]:
    """Return the speech that is at hand, by name; all but demo and ljspeech is unseen."""
    sets = {"demo": [Path(streamer.__file__).parent / "data" / "demo" / "speech.flac"]}
    for name, pattern in (
        ("ljspeech", "speech_ljspeech/wavs/*.wav"),
        ("jfk", "speech_jfk/*.flac"),
        ("librivox", "speech_librivox/*.wav"),
        ("beat2", "beat2_sample/**/*.wav"),
    ):
        if paths := sorted(data.glob(pattern)):
            sets[name] = paths
    unseen = [path for path in sets.get("ljspeech", ()) if path.stem in LJ_HELD_APART]
    return sets | ({"ljspeech-unseen": unseen} if unseen else {})


def compose(paths: Sequence[Path]) -> Array:
    """Return the files one after another at 16 kHz, half a second apart, then silence."""
    parts: list[Array] = []
    for path in paths:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
        parts += [soxr.resample(audio.mean(1), rate, RATE), np.zeros(RATE // 2, np.float32)]
    return np.concatenate([*parts, np.zeros(int(SILENCE_S * RATE), np.float32)])


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


def evaluate(
    name: str, paths: Sequence[Path], out: Path, library: Library | None, played: Played
) -> list[Row]:
    """Return the rows of one speech set: the model, the plan if clips are at hand, the toys."""
    audio = compose(paths)
    out.mkdir(parents=True, exist_ok=True)
    wave, recording = out / f"{name}.wav", out / f"{name}.npz"
    soundfile.write(wave, audio, RATE)
    record(wave, recording, played)
    loaded = np.load(recording)
    directions, fps = loaded["directions"].astype(np.float64), float(loaded["fps"])
    frames = len(directions)
    voiced = voiced_frames(audio, frames, fps)
    heard = _listen(audio, frames + played.lookahead)
    skeleton = load_skeleton("upper_body")
    motions = {"model": directions}
    if library is not None:
        motions["plan"] = _plan(library, heard, frames, played)
    motions |= {
        "toy: loudness forearm": loudness_forearm(
            skeleton, directions[: int(fps)].mean(0), _loudness(audio, frames, fps), fps
        ),
        "toy: looped clip": looped_clip(directions, voiced.tolist(), fps),
        "toy: mean pose": mean_pose(directions),
    }
    table = library.apexes if library is not None else np.zeros((1, 2, 3))
    accent = heard.accent[:frames]
    return [
        Row(speech=name, motion=motion, figures=measure_plan(poses, voiced, accent, table))
        for motion, poses in motions.items()
    ]


def _listen(audio: Array, steps: int) -> Heard:
    """Return what the planner hears: the speech at the level that it expects."""
    blocks = audio[: len(audio) // 160 * 160].reshape(-1, 160)
    power = (blocks**2).mean(1)
    gain = 10 ** (LEVEL_DB / 20) / np.sqrt(power[power > power.max() * 10**-2.5].mean())
    return listen((audio * gain).astype(np.float32), CLOCK, steps)


def _plan(library: Library, heard: Heard, frames: int, played: Played) -> npt.NDArray[np.float64]:
    """Return the planner's poses [T, D, 3] for the codes that the session drew, without words."""
    steps = frames + played.lookahead
    dice = Dice(len(library.clips), shortest=15, longest=30)
    codes = draw(dice, steps, gesture_seed(played.seed, 0)).numpy()
    poses = plan(library, heard, codes, [None] * steps, _LIVELY)
    return poses[played.lookahead :]


def _loudness(audio: Array, frames: int, fps: float) -> Array:
    """Return RMS per frame [T], scaled to 0..1."""
    hop = RATE / fps
    rms = [
        float(np.sqrt(np.mean(audio[int(i * hop) : int((i + 1) * hop)] ** 2 + 1e-12)))
        for i in range(frames)
    ]
    return np.array(rms, np.float32) / max(rms)


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `evaluate` to the training command line."""
    parser = commands.add_parser("evaluate", help="measure a model's motion beside toys")
    parser.add_argument("--model", help="artifact name or folder; default: the shipped one")
    parser.add_argument("--via", choices=("live", "render"), default="live")
    parser.add_argument("--lookahead", type=int, choices=LOOKAHEADS, default=2)
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of the gesture codes")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--speech", nargs="*", help="sets to use; default: all at hand")
    parser.add_argument("--out", type=Path, required=True, help="folder for sound and recordings")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    sets = speech_sets(args.data)
    wanted = args.speech or list(sets)
    if unknown := sorted(set(wanted) - set(sets)):
        raise UsageError(f"no speech set {', '.join(unknown)}; at hand are {', '.join(sets)}")
    clips = args.data / "smartbody_gestures"
    library = load_library(clips) if clips.is_dir() else None
    played = Played(via=args.via, model=args.model, lookahead=args.lookahead, seed=args.seed)
    rows: list[Row] = []
    for name in wanted:
        rows += evaluate(name, sets[name], args.out, library, played)
    header = list(rows[0].figures.to_json())
    print(
        " ".join(f"{h:>14.14}" for h in ("speech", "motion", *header, "verdict")), file=sys.stderr
    )
    for row in rows:
        values = [f"{v:>14.3f}" for v in row.figures.to_json().values()]
        verdict = "fails " + ",".join(row.failed) if row.failed else "passes"
        print(f"{row.speech:>14.14} {row.motion:>14.14}", *values, verdict, file=sys.stderr)
    if args.json:
        described = [
            {"speech": r.speech, "motion": r.motion, "failed": r.failed} | r.figures.to_json()
            for r in rows
        ]
        print(json.dumps({"limits": {k: v[0] for k, v in LIMITS.items()}, "rows": described}))
    honest = all(bool(row.failed) == row.motion.startswith("toy") for row in rows)
    return 0 if honest else 1
