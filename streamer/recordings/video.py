"""MP4 with sound: the avatar drawn in software, packed by ffmpeg."""

import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from streamer.clock import SAMPLE_RATE
from streamer.errors import InputError, UsageError
from streamer.humanoid import BONES
from streamer.recordings.drawing import Camera, Painter
from streamer.recordings.skin import Skin, load_mannequin, read_skin
from streamer.recordings.take import Motion, Take, even_motion
from streamer.recordings.textures import read_textures
from streamer.rotation import IDENTITY
from streamer.types import AudioChunk

WIDTH: Final = 540
HEIGHT: Final = 540
FPS: Final = 30.0

_SAMPLE_BYTES: Final = 2


def find_ffmpeg() -> str:
    """Return the path of ffmpeg; raises `UsageError` where there is none.

    The system's own is taken first, then that of the package `imageio-ffmpeg`.
    """
    if found := shutil.which("ffmpeg"):
        return found
    try:
        module: Any = import_module("imageio_ffmpeg")
        return str(module.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise UsageError(
            "an .mp4 needs ffmpeg, which is not here; install it, "
            "or pip install 'gesture-streamer[video]'"
        ) from error


class VideoWriter:
    """Keeps the voice of a take, then draws the take and packs both; a `WriteTake`.

    path: of the video; the voice waits beside it until then. avatar: a .vrm in place
    of the mannequin; it is read at once, so that a bad one is told of. `hear` belongs to
    the event loop; the call draws for longer than the take lasts, in a thread.
    Raises `UsageError` without ffmpeg, `InputError` for an avatar that cannot be drawn.
    """

    def __init__(self, path: Path, *, avatar: Path | None = None) -> None:
        self._ffmpeg = find_ffmpeg()
        self._skin = load_mannequin() if avatar is None else read_skin(avatar)
        self._path = path.with_name(path.name + ".pcm")
        self._sound: IO[bytes] | None = None

    def hear(self, chunk: AudioChunk) -> None:
        """Keep audio at its place; what never came is silence."""
        if self._sound is None:
            self._sound = self._path.open("wb")
        self._sound.seek(chunk.start * _SAMPLE_BYTES)  # a gap reads as zeros
        pcm = np.clip(np.round(chunk.samples * 32767.0), -32767, 32767)
        self._sound.write(pcm.astype("<i2").tobytes())

    def __call__(self, take: Take, path: Path) -> None:
        """Write the video; raises `InputError` where ffmpeg fails."""
        try:
            if self._sound is not None:
                self._sound.close()
            self._pack(take, path)
        finally:
            self._path.unlink(missing_ok=True)

    def _pack(self, take: Take, path: Path) -> None:
        motion = even_motion(take, FPS) if len(take.sample) else _still()
        command = [
            *(self._ffmpeg, "-y", "-nostdin", "-loglevel", "error"),
            *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}"),
            *("-r", str(FPS), "-i", "pipe:0"),
            *self._sound_options(take),
            *("-t", f"{len(motion.rotations) / FPS:.4f}"),
            *("-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p"),
            *("-movflags", "+faststart", "-f", "mp4", str(path)),
        ]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdin is not None
        try:
            self._draw(motion, process.stdin)
        except BrokenPipeError:
            pass  # it says why on its way out
        except BaseException:
            process.kill()
            raise
        _, said = process.communicate()
        if process.returncode:
            reason = said.decode(errors="replace").strip().splitlines() or ["no reason given"]
            raise InputError(f"ffmpeg could not make the video: {reason[-1][:200]}")

    def _draw(self, motion: Motion, out: IO[bytes]) -> None:
        paint = Painter(
            self._skin,
            width=WIDTH,
            height=HEIGHT,
            camera=camera_for(self._skin),
            textures=read_textures(self._skin.materials, self._ffmpeg),
        )
        for rotations, root in zip(motion.rotations, motion.root, strict=True):
            out.write(paint(rotations, root).tobytes())

    def _sound_options(self, take: Take) -> list[str]:
        if self._sound is None:
            return []
        first = int(take.sample[0]) if len(take.sample) else 0
        return [
            *("-ss", f"{first / SAMPLE_RATE:.6f}", "-f", "s16le", "-ar", str(SAMPLE_RATE)),
            *("-ac", "1", "-i", str(self._path), "-map", "0:v", "-map", "1:a"),
            *("-c:a", "aac", "-b:a", "128k"),
        ]


def camera_for(skin: Skin) -> Camera:
    """Return a camera that sees a body from the thighs to the crown, arms out."""
    top = float(np.percentile(skin.vertices[:, 1], 99.9)) if len(skin.vertices) else 1.8
    low = 0.64 * float(skin.rest[0, 1])
    field = max(1.08 * (top - low), 1.3 * skin.size)
    return Camera(centre=(0.0, (top + low) / 2, 0.0), distance=2.6 * field, field=field)


def _still() -> Motion:
    rest = np.tile(np.array(IDENTITY, np.float32), (1, len(BONES), 1))
    return Motion(fps=FPS, root=np.zeros((1, 3), np.float32), rotations=rest)
