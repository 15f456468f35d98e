"""`python -m training corpus`: the rule-aligned corpus that the shipped weights learn from.

Real gesture clips with stroke times, played over real and synthesised speech
by the causal planner (DESIGN 9). The folder it writes:

- `codes.npz`: `table` float32 [M, 12], the gesture codes; `clip` names,
  `gesture` classes, `hands` [M, 2] bool (left, right), `apex` [M, 2, 3]
  wrists at the apex in metres from the pelvis on the layout's bone lengths.
- `rest.npz`: `idle` [45, 3] the idle pose, `mean` [45, 3] the mean direction
  of the corpus, which a network subtracts.
- `NNNN.npz`: a minute each. `audio` int16 [n] at 16 kHz as the network hears
  it; `directions` float16 [3, 900, 45, 3], the plan for each lookahead A of
  `lookaheads`; `code` int16 [900]; `phase` int8 [900] of `planner.Phase` and
  `released` bool [900], a stroke begins, both by step; `word_frame`, `word_start` int32 [W],
  `word` [W], `word_final` bool [W], `voiced`, `accent` bool [900] (truth, from
  the clean speech), `style` int8, `kind`, `seed`. Step s of the network
  consumes frame s of audio, `code[s]`, and the word with `word_frame == s`;
  with lookahead A it then emits pose s - A, whose target is
  `directions[a, s - A]`. The last A targets would need steps past the end.
- `corpus.json`: where everything comes from, counts, licences, digest.
- `corpus.png`: a figure to look at.
"""

import argparse
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamer.errors import UsageError
from training.arrays import save_arrays
from training.clips import Library, load_library
from training.corpus_figure import draw_corpus
from training.plan_measures import measure_plan
from training.planner import FPS, STYLES
from training.progress import track
from training.sequences import FRAMES, LOOKAHEADS, Sources, make_sequence
from training.speech import LJ_HELD_APART, Synthesiser, load_ljspeech
from training.voices import ESPEAK_VOICES, FLITE_VOICES

FORMAT = 2

LICENCES = {
    "gesture clips and idle loops": "SmartBody (USC ICT), LGPL-2.1",
    "recorded speech": "LJSpeech 1.1, public domain",
    "flite voices": "flite 2.2 (CMU), BSD-like; the voices' output is free",
    "espeak-ng voices": "espeak-ng, GPL-3.0 program; its output is free",
    "noise, music, game sounds, texts": "made by this program",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to build. data: the folder shared/data. cache: of synthesised utterances."""

    data: Path
    out: Path
    cache: Path
    hours: float
    seed: int
    jobs: int

    @property
    def sequences(self) -> int:
        """How many sequences make up the hours."""
        return max(1, round(self.hours * 3600 * FPS / FRAMES))

    @property
    def utterances(self) -> int:
        """How many different synthesised utterances there are to draw from."""
        return int(np.clip(600 * self.hours, 200, 12_000))


def add_parser(subparsers: Any) -> None:
    """Add `corpus` to the commands of `python -m training`."""
    parser = subparsers.add_parser("corpus", help="build the rule-aligned corpus")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--hours", type=float, default=1.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(__file__).parents[2] / "shared" / "data",
        help="folder with smartbody_gestures and speech_ljspeech",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path.home() / ".cache" / "gesture-streamer",
        help="folder for synthesised utterances",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.hours <= 0 or arguments.jobs < 1:
        raise UsageError("corpus: --hours must be above 0 and --jobs at least 1")
    summary = build_corpus(
        Job(
            data=arguments.data,
            out=arguments.out,
            cache=arguments.cache,
            hours=arguments.hours,
            seed=arguments.seed,
            jobs=arguments.jobs,
        )
    )
    print(json.dumps(summary, indent=1))
    return 0


def build_corpus(job: Job) -> dict[str, Any]:
    """Build a corpus and return what `corpus.json` holds."""
    job.out.mkdir(parents=True, exist_ok=True)
    if any(job.out.glob("[0-9]*.npz")):
        raise UsageError(f"{job.out}: already holds a corpus; choose an empty folder")
    library = load_library(job.data / "smartbody_gestures")
    sources = Sources(
        library=library,
        recorded=load_ljspeech(job.data / "speech_ljspeech"),
        synthesiser=Synthesiser(job.cache),
        utterances=job.utterances,
    )
    digests = {"codes.npz": _save_codes(job.out, library)}
    rows: list[dict[str, Any]] = []
    for row in track(_build_all(job, sources), job.sequences, "corpus"):
        digests[row["file"]] = row["sha256"]
        rows.append(row)
    mean = np.sum([row.pop("mean") for row in rows], 0)
    mean = (mean / len(rows)).astype(np.float32)
    idle = library.idle.astype(np.float32)
    digests["rest.npz"] = save_arrays(job.out / "rest.npz", idle=idle, mean=mean)
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(digests.items()))
    figures = [row["plan"] for row in rows if row["plan"] is not None]
    draw_corpus(job.out, library, figures)
    summary: dict[str, Any] = {
        "format": FORMAT,
        "kind": "rule-aligned motion capture",
        "seed": job.seed,
        "hours": round(len(rows) * FRAMES / FPS / 3600, 3),
        "sequences": len(rows),
        "frames": FRAMES,
        "fps": FPS,
        "lookaheads": list(LOOKAHEADS),
        "skeleton": "upper_body",
        "styles": [style.name for style in STYLES],
        "kinds": dict(Counter(row["kind"] for row in rows)),
        "voiced_share": round(float(np.mean([row["voiced"] for row in rows])), 4),
        "words": int(sum(row["words"] for row in rows)),
        "accents": int(sum(row["accents"] for row in rows)),
        "plan": _average(figures),
        "codes": len(library.clips),
        "gestures": dict(Counter(clip.gesture for clip in library.clips)),
        "utterances": job.utterances,
        "recordings": len(sources.recorded),
        "voices": {"flite": list(FLITE_VOICES), "espeak-ng": list(ESPEAK_VOICES)},
        "held_apart": {
            "speech_ljspeech": list(LJ_HELD_APART),
            "whole": ["beat2_sample", "speech_jfk", "speech_librivox"],
        },
        "licences": LICENCES,
        "digest": hashlib.sha256(lines.encode()).hexdigest(),
    }
    text = json.dumps(summary, indent=1, ensure_ascii=False)
    (job.out / "corpus.json").write_text(text + "\n", encoding="utf-8")
    return summary


def _save_codes(out: Path, library: Library) -> str:
    clips = library.clips
    return save_arrays(
        out / "codes.npz",
        table=library.codes.astype(np.float32),
        clip=np.array([c.name for c in clips]),
        gesture=np.array([c.gesture for c in clips]),
        hands=np.array([["left" in c.hands, "right" in c.hands] for c in clips]),
        apex=library.apexes.astype(np.float32),
    )


def _build_all(job: Job, sources: Sources) -> Iterator[dict[str, Any]]:
    """Yield a row for each sequence, in order."""
    tasks = [(sources, job.seed, n, job.out) for n in range(job.sequences)]
    if job.jobs == 1:
        yield from map(_build_one, tasks)
        return
    with ProcessPoolExecutor(job.jobs, initializer=_be_polite) as pool:
        yield from pool.map(_build_one, tasks)


def _be_polite() -> None:
    if hasattr(os, "nice"):
        os.nice(10)


def _build_one(task: tuple[Sources, int, int, Path]) -> dict[str, Any]:
    sources, seed, number, out = task
    arrays = make_sequence(sources, seed, number)
    name = f"{number:04d}.npz"
    return {
        "file": name,
        "sha256": save_arrays(out / name, **arrays),
        "kind": str(arrays["kind"]),
        "voiced": float(arrays["voiced"].mean()),
        "words": len(arrays["word"]),
        "accents": int(arrays["accent"].sum()),
        "mean": arrays["directions"][0].astype(np.float64).mean(0),
        "plan": _figures(arrays, sources.library) if arrays["voiced"].any() else None,
    }


def _figures(arrays: dict[str, Any], library: Library) -> dict[str, Any]:
    poses = arrays["directions"][0].astype(np.float64)
    found = measure_plan(poses, arrays["voiced"], arrays["accent"], library.apexes)
    return {"style": STYLES[int(arrays["style"])].name} | found.to_json()


def _average(figures: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the mean of each figure per style, over sequences that have it."""
    out: dict[str, dict[str, float]] = {}
    for style in STYLES:
        chosen = [f for f in figures if f["style"] == style.name]
        values = (
            {n: [f[n] for f in chosen if np.isfinite(f[n])] for n in chosen[0] if n != "style"}
            if chosen
            else {}
        )
        out[style.name] = {n: round(float(np.mean(v)), 4) for n, v in values.items() if v}
    return out
