"""A small store of made-up motion and sound, for tests and for trying a loop.

Arms swing, sound pulses with them, words come at each pulse: enough for losses
to fall, and nothing more.
"""

from pathlib import Path

import numpy as np

from models.melspectrogram import ha2g_log_mel
from streamer.skeleton import Skeleton, load_skeleton
from training.store.manifest import Manifest, StoreSettings
from training.store.shards import write_shard
from training.store.types import FPS, SAMPLE_RATE, Clip, Word
from training.store.windows import window_begins
from training.store.writer import StoreWriter, UnitResult

WORDS = ("this", "is", "a", "big", "small", "gesture", "over", "there")


def write_example(
    folder: Path,
    *,
    skeleton: str = "upper_body",
    recordings: int = 6,
    seconds: float = 8.0,
    seed: int = 0,
) -> Manifest:
    """Write a store of `recordings` recordings of two clips each; two speakers."""
    layout = load_skeleton(skeleton)
    writer = StoreWriter(
        folder,
        StoreSettings(
            kind="example", source="made up", skeleton=skeleton, filters=False, licence="CC0-1.0"
        ),
    )
    units = [f"take{number}" for number in range(recordings)]
    for number, unit in enumerate(units):
        generator = np.random.default_rng([seed, number])
        clips = [
            example_clip(f"{unit}/{i}", f"speaker{number % 2}", layout, seconds, generator)
            for i in range(2)
        ]
        entry = write_shard(writer.shards, unit, clips)
        kept = sum(len(clip.reasons) for clip in clips)
        writer.record(UnitResult(unit=unit, stamp="0", entry=entry, reasons={"kept": kept}))
    return writer.finish(units)


def example_clip(
    name: str, speaker: str, skeleton: Skeleton, seconds: float, generator: np.random.Generator
) -> Clip:
    """Return one made-up clip; all its windows are kept."""
    frames = round(seconds * FPS)
    rate = generator.uniform(0.8, 1.6)  # pulses a second
    phase = generator.uniform(0, 1)
    beats = (np.arange(0, seconds * rate + 1) - phase) / rate
    beats = beats[(beats > 0) & (beats < seconds - 0.3)]
    at = np.arange(frames)[:, None] / FPS
    swing = np.exp(-((at - beats) ** 2) / 0.02).sum(1)  # [T], peaks at the beats
    ways = generator.normal(0, 0.4, (skeleton.vectors, 3))
    directions = skeleton.mean + swing[:, None, None] * ways
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    clock = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    loud = np.exp(-((clock[:, None] - beats) ** 2) / 0.01).sum(1)
    sound = 0.2 * loud * np.sin(2 * np.pi * 160 * clock) + generator.normal(0, 1e-3, len(clock))
    samples = np.clip(sound, -1, 1).astype(np.float32)
    return Clip(
        name=name,
        speaker=speaker,
        start_s=0.0,
        audio=np.round(samples * 32767).astype(np.int16),
        mel=np.ascontiguousarray(ha2g_log_mel(samples).T),
        directions=directions.astype(np.float32),
        valid=np.ones(frames, bool),
        words=tuple(
            Word(text=str(generator.choice(WORDS)), start_s=float(b), end_s=float(b) + 0.25)
            for b in beats
        ),
        reasons=np.zeros(len(window_begins(frames)), np.uint8),
    )
