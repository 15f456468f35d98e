"""The pictures of an avatar, read by ffmpeg: whatever it knows, we know."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from streamer.errors import InputError
from streamer.recordings.skin import Material
from streamer.types import Float32

SIZE: Final = 512
"""Pixels to a side; more would not be seen in the video."""

_PATIENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Texture:
    """A picture [SIZE, SIZE, 4], sRGB with alpha, and how its coordinates lie."""

    pixels: npt.NDArray[np.uint8]
    shift: tuple[float, float]
    scale: tuple[float, float]

    def __call__(self, spots: Float32) -> Float32:
        """Return red, green, blue (linear) and alpha [P, 4] at coordinates [P, 2]."""
        at = spots * np.array(self.scale, np.float32) + np.array(self.shift, np.float32)
        size = len(self.pixels)
        column, row = (np.floor((at % 1.0) * size).astype(np.int32).clip(0, size - 1)).T
        seen: Float32 = self.pixels[row, column].astype(np.float32) / np.float32(255)
        seen[:, :3] *= seen[:, :3]  # within 0.02 of sRGB's curve, as when it is drawn
        return seen


def read_textures(materials: Sequence[Material], ffmpeg: str) -> tuple[Texture | None, ...]:
    """Return a texture for each material that has a picture; raises `InputError`."""
    read = dict[bytes, npt.NDArray[np.uint8]]()
    out = list[Texture | None]()
    for material in materials:
        if material.image is None:
            out.append(None)
            continue
        if material.image not in read:
            read[material.image] = _decoded(material.image, ffmpeg)
        out.append(Texture(pixels=read[material.image], shift=material.shift, scale=material.scale))
    return tuple(out)


def _decoded(image: bytes, ffmpeg: str) -> npt.NDArray[np.uint8]:
    command = [
        *(ffmpeg, "-loglevel", "error", "-i", "pipe:0", "-frames:v", "1"),
        *("-vf", f"scale={SIZE}:{SIZE}:flags=area", "-pix_fmt", "rgba"),
        *("-f", "rawvideo", "pipe:1"),
    ]
    try:
        done = subprocess.run(
            command, input=image, capture_output=True, timeout=_PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise InputError("a picture of the avatar takes ffmpeg too long; export it anew") from error
    if done.returncode or len(done.stdout) != SIZE * SIZE * 4:
        reason = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise InputError(f"a picture of the avatar cannot be read: {reason[-1][:120]}")
    return np.frombuffer(done.stdout, np.uint8).reshape(SIZE, SIZE, 4)
