"""`python -m export.drift`: how far a lower precision wanders while the demo speech loops.

Two back ends run the same session freely, each on its own state, so that what
one rounds off stays in its state. A network that decides (models/rhythm.py) may
decide otherwise at a frame where rounding tips the scales; then both move, but
not alike, until they agree again. Hence the share of frames that are far apart
is given beside the distance, and whether both grow from minute to minute shows
drift. `export.parity.rounding` compares one step at a time instead.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from export.half import halve
from streamer.audio.demo import DemoSource
from streamer.backends.base import StepBackend
from streamer.backends.loading import BACKENDS, DEFAULT_MODEL, choose_backend, find_artifact
from streamer.backends.onnxruntime import OnnxRuntimeBackend
from streamer.backends.precision import PRECISIONS
from streamer.bench import commit, machine
from streamer.clock import SAMPLE_RATE
from streamer.errors import GestureError
from streamer.spec import ModelSpec, load_manifest, sha256, write_manifest
from streamer.types import AudioChunk, Float32, StepInputs, Window
from streamer.windowing import DEFAULT_SEED, Windower, style_mixture

FAR = 5.0
"""Degrees between two directions at which they look different."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wandering:
    """Angles between the same direction of both, in degrees.

    mean, far: of each minute, the mean over all directions and the share of
    frames with one more than `FAR` apart; worst: of all frames.
    """

    mean: tuple[float, ...]
    far: tuple[float, ...]
    worst: float


def wandering(
    full: StepBackend[Any], lower: StepBackend[Any], windows: Sequence[Window]
) -> Wandering:
    """Run one session on both back ends and compare them."""
    one, other = _directions(full, windows), _directions(lower, windows)
    apart = np.array([angles(a, b) for a, b in zip(one, other, strict=True)])
    minute = round(60 * float(full.spec.fps) / full.spec.frames_per_step)
    parts = [apart[at : at + minute] for at in range(0, len(apart), minute)]
    return Wandering(
        mean=tuple(round(float(part.mean()), 4) for part in parts),
        far=tuple(round(float((part.max(-1) > FAR).mean()), 4) for part in parts),
        worst=round(float(apart.max()), 3),
    )


def angles(one: Float32, other: Float32) -> npt.NDArray[np.float64]:
    """Return the angles in degrees between directions [..., 3] of any length."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    across = np.linalg.norm(np.cross(a, b), axis=-1)
    return np.degrees(np.arctan2(across, (a * b).sum(-1)))


def speech_windows(spec: ModelSpec, seconds: float) -> list[Window]:
    """Return the step inputs of the demo speech, again and again."""
    speech = asyncio.run(_speech())
    count = int(seconds * SAMPLE_RATE)
    samples = np.tile(speech, -(-count // len(speech)))[:count]
    windower = Windower(
        spec,
        lookahead=spec.default_lookahead,
        style=style_mixture(spec, None),
        seed=DEFAULT_SEED,
    )
    return windower.push_audio(AudioChunk(samples=samples, start=0, captured_at=0.0))


def with_half(folder: Path, into: Path) -> Path:
    """Return an artifact that has a float16 graph: the folder itself, or a copy that gets one."""
    if (folder / "model.fp16.onnx").is_file():
        return folder
    made = into / folder.name
    shutil.copytree(folder, made)
    halve(made / "model.onnx", made / "model.fp16.onnx")
    manifest = load_manifest(made)
    files = {**manifest.files, "model.fp16.onnx": sha256(made / "model.fp16.onnx")}
    write_manifest(made, replace(manifest, files=files))
    return made


def main(argv: list[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m export.drift", description=__doc__)
    parser.add_argument("model", nargs="?", default=DEFAULT_MODEL, metavar="NAME|DIR")
    parser.add_argument("--backend", choices=BACKENDS, default="onnxruntime")
    parser.add_argument("--precision", choices=PRECISIONS, default="float16")
    parser.add_argument("--minutes", type=float, default=10.0, help="of speech (10)")
    told = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            folder = with_half(find_artifact(told.model), Path(scratch))
            choice = choose_backend(told.backend, folder, precision=told.precision)
            full, lower = OnnxRuntimeBackend(folder), choice.make()
            found = wandering(full, lower, speech_windows(full.spec, told.minutes * 60))
            full.close()
            lower.close()
    except (GestureError, OSError, RuntimeError) as error:
        print(f"drift: {error}", file=sys.stderr)
        return 2
    compared = {"model": full.spec.name, "backend": lower.name, "precision": lower.precision}
    where = {"reason": choice.reason, "machine": machine(), "commit": commit()}
    print(json.dumps({**compared, **asdict(found), **where}))
    return 0


async def _speech() -> Float32:
    chunks = [chunk.samples async for chunk in DemoSource(realtime=False).chunks()]
    return np.concatenate(chunks)


def _directions(backend: StepBackend[Any], windows: Sequence[Window]) -> Iterator[Float32]:
    state = backend.initial_state(1)
    for window in windows:
        inputs = StepInputs(
            tensors={name: tensor[None] for name, tensor in window.tensors.items()},
            start=np.array([window.start]),
            ready=np.array([True]),
        )
        outputs, state = backend.step(inputs, state)
        yield outputs["directions"][0].copy()


if __name__ == "__main__":
    raise SystemExit(main())
