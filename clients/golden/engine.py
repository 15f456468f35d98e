"""Write the golden files of the engine: `python clients/golden/engine.py [MODEL]`.

For engines in other languages, which must come to the same numbers. In `engine/`:

golden.json       names, shapes and everything that is not a table of numbers
audio.s16         10 s of the demo speech: 16 kHz mono PCM, little-endian
tiny/             a step graph of 60 kB with the contract of the real one
tiny.*.f32        its frames for the audio and its words
motion.*.f32      made-up vectors through postprocessing and retargeting: noise,
                  short vectors, NaN, resets and an interruption
default.*.f32     frames of the default model, or of MODEL (a name or a folder)

Tables are little-endian float32 in C order. Only `default.*` depends on trained
weights: run this again after a model has been exported anew.
"""

import argparse
import asyncio
import json
import math
import sys
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # for the tiny network, which the tests use too

from streamer.audio.demo import DemoSource  # noqa: E402
from streamer.audio.resample import FirResampler  # noqa: E402
from streamer.backends.loading import DEFAULT_MODEL, built_in_models, find_artifact  # noqa: E402
from streamer.backends.onnxruntime import OnnxRuntimeBackend  # noqa: E402
from streamer.clock import SAMPLE_RATE, FrameClock  # noqa: E402
from streamer.engine import Engine, rest_pose  # noqa: E402
from streamer.humanoid import BONES, PARENTS, REST_OFFSETS  # noqa: E402
from streamer.postprocess import PostProcessor, unit_rest  # noqa: E402
from streamer.retarget import Retargeter  # noqa: E402
from streamer.session import SessionOptions  # noqa: E402
from streamer.skeleton import Skeleton, load_skeleton  # noqa: E402
from streamer.spec import ModelSpec, load_manifest  # noqa: E402
from streamer.types import AudioChunk, WordEvent  # noqa: E402
from streamer.windowing import Windower, gesture_seed, style_mixture  # noqa: E402
from streamer.words import normalise, word_ids  # noqa: E402
from tests.fakes import tiny_artifact, tiny_spec  # noqa: E402

HERE = Path(__file__).resolve().parent / "engine"
SECONDS = 10
MOTION_FRAMES = 120
RESETS = (40, 43, 90)
SETTLES = (60,)
NOT_FINITE = 30
SEED = 12_345
WORDS = ("Hello", "don't", "naïve", "Straße", "ΣΊΣΥΦΟΣ", "ﬁnal", "１２３", "...", "", "a", "x" * 80)


def table(folder: Path, name: str, values: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Write a table and return what `golden.json` says of it."""
    (folder / f"{name}.f32").write_bytes(np.ascontiguousarray(values, "<f4").tobytes())
    return {"file": f"{name}.f32", "shape": list(values.shape)}


def speech() -> tuple[np.ndarray[Any, Any], list[WordEvent]]:
    """Return the first seconds of the demo, and the words that end in them."""
    source = DemoSource(realtime=False)

    async def read() -> np.ndarray[Any, Any]:
        parts = [chunk.samples async for chunk in source.chunks()]
        return np.concatenate(parts)[: SECONDS * SAMPLE_RATE]

    samples = asyncio.run(read())
    return samples, [word for word in source.words if word.end <= len(samples)]


def clocks() -> list[dict[str, Any]]:
    """Return frame starts and column ends, far into the stream too."""
    rows = list[dict[str, Any]]()
    for numerator, denominator, columns in ((15, 1, 2), (30_000, 1001, 3)):
        clock = FrameClock(fps=Fraction(numerator, denominator), columns=columns)
        frames = (0, 1, 2, 7, 1000, 123_456, 40_000_001)
        rows.append(
            {
                "fps": [numerator, denominator],
                "columns": columns,
                "frames": frames,
                "starts": [clock.start(n) for n in frames],
                "column_ends": [[clock.column_end(n, c) for c in range(columns)] for n in frames],
                "samples": (0, 1066, 1067, 99_999_999),
                "frame_of": [clock.frame_of(n) for n in (0, 1066, 1067, 99_999_999)],
            }
        )
    return rows


def windows(spec: ModelSpec, audio: np.ndarray[Any, Any], words: list[WordEvent]) -> dict[str, Any]:
    """Return the CRC-32 of each window's audio, and its word."""
    style = style_mixture(spec, None)
    windower = Windower(spec, lookahead=spec.default_lookahead, style=style, seed=SEED)
    for word in words:
        windower.push_word(word, arrival=word.end)
    made = windower.push_audio(AudioChunk(samples=audio, start=0, captured_at=0.0))
    return {
        "audio_crc32": [zlib.crc32(w.tensors["audio"].astype("<f4").tobytes()) for w in made],
        "word": [w.tensors["word"].tolist() for w in made],
        "word_info": [w.tensors["word_info"].tolist() for w in made],
    }


def frames(model: Path, audio: np.ndarray[Any, Any], words: list[WordEvent]) -> dict[str, Any]:
    """Return the frames of a model for the audio: arrays by name, and voice states."""

    async def run() -> dict[str, Any]:
        engine = Engine(lambda: OnnxRuntimeBackend(model), retarget=Retargeter)
        session = engine.open_session(SessionOptions(seed=SEED))
        for word in words:
            session.push_word(word, arrival=word.end)

        async def feed() -> None:
            for at in range(0, len(audio), SAMPLE_RATE):
                part = audio[at : at + SAMPLE_RATE]
                await session.feed_audio(AudioChunk(samples=part, start=at, captured_at=0.0))
            await session.finish()

        feeding = asyncio.create_task(feed())
        got = [frame async for frame in session]
        await feeding
        await engine.aclose()
        return {
            "directions": np.array([f.directions for f in got]),
            "rotations": np.array([f.rotations for f in got]),
            "positions": np.array([f.positions for f in got]),
            "root": np.array([f.root for f in got]),
            "states": [f.state for f in got],
            "samples": [f.sample for f in got],
        }

    return asyncio.run(run())


def motion(skeleton: Skeleton) -> dict[str, Any]:
    """Return made-up vectors and what postprocessing and retargeting make of them."""
    rng = np.random.default_rng(3)
    rest = unit_rest(skeleton)
    count = skeleton.vectors * 3
    rate = rng.uniform(0.3, 1.6, count)
    phase = rng.uniform(0, 2 * math.pi, count)
    size = np.repeat(rng.uniform(0.1, 0.9, skeleton.vectors), 3)
    time = np.arange(MOTION_FRAMES)[:, None] / 15
    raw = rest.reshape(-1) + size * np.sin(2 * math.pi * rate * time + phase)
    raw = raw.reshape(MOTION_FRAMES, -1, 3).astype(np.float32)
    raw[20:24, 4] *= 0.1  # too short to have a direction
    raw[NOT_FINITE, 7] = np.nan
    voice = np.clip(0.55 + 0.6 * np.sin(time[:, 0] * 2.4), 0, 1).astype(np.float32)
    voice[75:] = 0.0
    post = PostProcessor(skeleton, fps=15.0, rest=rest, retarget=Retargeter(skeleton, 15.0))
    posed = list[Any]()
    for n in range(MOTION_FRAMES):
        if n in SETTLES:
            post.settle()
        posed.append(post(raw[n], float(voice[n]), reset=n in RESETS))
    return {
        "raw": raw,
        "voice": voice,
        "directions": np.array([p.directions for p in posed]),
        "rotations": np.array([p.rotations for p in posed]),
        "positions": np.array([p.positions for p in posed]),
        "root": np.array([p.root for p in posed]),
        "states": [p.state for p in posed],
        "resets": RESETS,
        "settles": SETTLES,
        "skeleton": skeleton.to_json(),
    }


def write(folder: Path, model: Path | None) -> None:
    """Write every file; without a model those of the default one stay away."""
    folder.mkdir(exist_ok=True)
    audio, words = speech()
    (folder / "audio.s16").write_bytes(np.round(audio * 32768).astype("<i2").tobytes())
    tiny = tiny_artifact(folder / "tiny")

    def stored(prefix: str, values: dict[str, Any]) -> dict[str, Any]:
        return {
            key: table(folder, f"{prefix}.{key}", value) if isinstance(value, np.ndarray) else value
            for key, value in values.items()
        }

    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 4410).astype(np.float32)
    backend = OnnxRuntimeBackend(tiny)
    golden: dict[str, Any] = {
        "seed": SEED,
        "words": [{"text": w.text, "start": w.start, "end": w.end} for w in words],
        "clocks": clocks(),
        "gesture_seeds": [
            {"seed": s, "start": n, "values": gesture_seed(s, n).tolist()}
            for s, n in ((SEED, 0), (0, 0), (0, 1), (1, 0), (SEED, 3), (2**40 + 7, 2))
        ],
        "hashes": [
            {
                "text": text,
                "normalised": normalise(text),
                "ids": word_ids(text, tiny_spec().words).tolist(),
            }
            for text in WORDS
        ],
        "humanoid": {"bones": BONES, "parents": PARENTS, "rest": REST_OFFSETS.tolist()},
        "resampling": {
            "input": table(folder, "resample.input", noise),
            "44100": table(folder, "resample.44100", FirResampler(44_100).push(noise)),
            "48000": table(folder, "resample.48000", FirResampler(48_000).push(noise)),
        },
        "windows": windows(tiny_spec(), audio, words),
        "motion": stored("motion", motion(load_skeleton("upper_body"))),
        "tiny": {
            "rest": table(folder, "tiny.rest", rest_pose(backend)),
            **stored("tiny", frames(tiny, audio, words)),
        },
    }
    if model is not None:
        manifest = load_manifest(model)
        golden["default"] = {
            "model": manifest.spec.name,
            "model.onnx": manifest.files["model.onnx"],
            **stored("default", frames(model, audio, words)),
        }
    text = json.dumps(golden, indent=None, separators=(",", ":"), ensure_ascii=False)
    (folder / "golden.json").write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Write the golden files into `engine/`."""
    parser = argparse.ArgumentParser(description="Write the golden files of the engine.")
    parser.add_argument("model", nargs="?", help=f"name or folder (default: {DEFAULT_MODEL})")
    parser.add_argument("--out", type=Path, default=HERE, help="folder (default: engine/)")
    arguments = parser.parse_args()
    model = find_artifact(arguments.model) if arguments.model else None
    write(arguments.out, model or built_in_models().get(DEFAULT_MODEL))


if __name__ == "__main__":
    main()
