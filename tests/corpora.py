"""Recordings of one's own, small: BVH by our writer, WAV and words beside it."""

from pathlib import Path

import numpy as np
import soundfile
from scipy.spatial.transform import Rotation

from streamer.humanoid import BONE_INDEX, BONES
from streamer.recordings.bvh import bvh_text
from streamer.recordings.take import Motion, TakeRig

SECONDS = 9.0


def swinging(seconds: float = SECONDS, *, fps: float = 30.0, seed: int = 0) -> np.ndarray:
    """Return rotations [T, B, 4] of somebody upright whose hands move."""
    rng = np.random.default_rng(seed)
    at = np.arange(round(seconds * fps)) / fps
    out = np.zeros((len(at), len(BONES), 4), np.float32)
    out[..., 3] = 1
    rate, phase = rng.uniform(0.5, 1.2, 2), rng.uniform(0, 6, 2)
    for i, (side, sign) in enumerate((("left", 1), ("right", -1))):
        swing = np.sin(2 * np.pi * rate[i] * at + phase[i])
        hang = _about("z", np.full(len(at), -65 * sign))
        lift = _about("x", -25 - 20 * swing)
        bend = _about("y", -(60 + 25 * swing) * sign)
        curl = _about("z", -(10 + 8 * swing) * sign)
        out[:, BONE_INDEX[f"{side}UpperArm"]] = (lift * hang).as_quat()
        out[:, BONE_INDEX[f"{side}LowerArm"]] = bend.as_quat()
        out[:, BONE_INDEX[f"{side}IndexProximal"]] = curl.as_quat()
    lean = _about("x", 4 + 2 * np.sin(at))
    out[:, BONE_INDEX["spine"]] = lean.as_quat()
    return out


def swinging_bvh(seconds: float = SECONDS, *, fps: float = 30.0, seed: int = 0) -> str:
    """Return `swinging` as a BVH file."""
    rotations = swinging(seconds, fps=fps, seed=seed)
    root = np.zeros((len(rotations), 3), np.float32)
    return bvh_text(Motion(fps=fps, root=root, rotations=rotations), TakeRig.of(None))


def write_recording(
    folder: Path, name: str, *, seconds: float = SECONDS, seed: int = 0, words: bool = True
) -> None:
    """Write NAME.bvh, NAME.wav (24 kHz, two channels) and NAME.tsv: a word every half second."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.bvh").write_text(swinging_bvh(seconds, seed=seed), "utf-8")
    rng = np.random.default_rng(seed)
    at = np.arange(round(seconds * 24_000)) / 24_000
    tone = 0.2 * np.sin(2 * np.pi * 220 * at) * (1 + np.sin(2 * np.pi * 2 * at))
    sound = np.stack([tone, tone], 1) + rng.normal(0, 1e-3, (len(at), 2))
    soundfile.write(folder / f"{name}.wav", sound, 24_000)
    if words:
        lines = [f"{t:.2f}\t{t + 0.3:.2f}\tword{'abc'[int(2 * t) % 3]}" for t in _starts(seconds)]
        (folder / f"{name}.tsv").write_text("\n".join(["start\tend\tword", *lines]), "utf-8")


def _starts(seconds: float) -> list[float]:
    return [0.2 + 0.5 * i for i in range(int((seconds - 0.6) * 2))]


def _about(axis: str, degrees: np.ndarray) -> Rotation:
    return Rotation.from_rotvec(np.radians(degrees)[:, None] * np.eye(3)["xyz".index(axis)])
