"""Recordings on the disk: motion files with speech and words of the same name beside them.

BEAT and BEAT2 as published, and anybody's own BVH with WAV. Files belong
together by their name without suffix, wherever in the folder they lie, or by
folder and name where a name recurs; BEAT's
speakers are in the names, other recordings' speakers are their sub-folders.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from scipy.spatial.transform import Rotation

from streamer.errors import InputError
from streamer.skeleton import load_skeleton
from streamer.types import Float32
from training.convert.body import body_directions
from training.convert.bvh_file import read_bvh
from training.convert.rigs import bone_rotations, find_bones, read_map
from training.convert.smplx import SMPLX_JOINTS, smplx_rotations
from training.convert.takes import Recording, Take, file_stamp
from training.convert.words import SUFFIXES, read_words
from training.store.manifest import StoreSettings
from training.store.types import SAMPLE_RATE, Word
from training.store.writer import Problem

Kind = Literal["beat", "beat2", "bvh"]

_MOTION: Mapping[Kind, tuple[str, ...]] = {
    "beat": (".npz", ".bvh"),
    "beat2": (".npz", ".bvh"),
    "bvh": (".bvh",),
}
_AUDIO = (".wav", ".flac", ".ogg", ".mp3")
_ORIGIN: Mapping[Kind, tuple[str, str]] = {
    "beat": ("BEAT (Liu et al., 2022)", "CC BY-NC 4.0, see the dataset's own terms"),
    "beat2": ("BEAT2 (Liu et al., 2024)", "see the dataset card; the first BEAT is CC BY-NC 4.0"),
    "bvh": ("recordings of your own", "yours"),
}
_MAX_AUDIO_S = 4 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSource:
    """A folder of recordings."""

    folder: Path
    kind: Kind
    skeleton: str
    filters: bool = True
    min_words: int = 2
    clip_s: float = 20.0
    val_speakers: tuple[str, ...] = ()
    test_speakers: tuple[str, ...] = ()
    map_file: Path | None = None
    licence: str | None = None

    def settings(self) -> StoreSettings:
        """Return what identifies the conversion."""
        origin, licence = _ORIGIN[self.kind]
        return StoreSettings(
            kind=self.kind,
            source=str(self.folder.resolve()),
            skeleton=self.skeleton,
            filters=self.filters,
            min_words=self.min_words,
            clip_s=self.clip_s,
            val_speakers=self.val_speakers,
            test_speakers=self.test_speakers,
            origin=origin,
            licence=self.licence or licence,
        )

    def recordings(self) -> list[Recording]:
        """Return the motion files, in order, each with the files of its name."""
        if not self.folder.is_dir():
            raise InputError(f"{self.folder}: no such folder")
        by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                by_stem[_stem(path)].append(path)
        out: list[Recording] = []
        for stem, paths in by_stem.items():
            folders = sorted({p.parent for p in paths if _first([p], _MOTION[self.kind])})
            for folder in folders:
                # one name in several folders: those are several recordings
                own = paths if len(folders) == 1 else [p for p in paths if p.parent == folder]
                motion = _first(own, _MOTION[self.kind])
                assert motion is not None, "the folder has one"
                files = (motion, _first(own, _AUDIO), _first(own, SUFFIXES))
                name = (folder.relative_to(self.folder) / stem).as_posix()
                out.append(
                    Recording(
                        name=stem if len(folders) == 1 else name,
                        stamp=file_stamp(*(f for f in files if f is not None)),
                        place=tuple("" if f is None else str(f) for f in files),
                    )
                )
        if not out:
            wanted = " or ".join(f"*{suffix}" for suffix in _MOTION[self.kind])
            raise InputError(f"{self.folder}: no recordings of kind {self.kind}; expected {wanted}")
        return out

    def takes(self, recording: Recording) -> Iterator[Take | Problem]:
        """Yield the recording as one take."""
        motion, audio, words = recording.place
        if not audio:
            raise InputError(
                f"the audio is missing: expected {recording.name} with one of {', '.join(_AUDIO)}"
            )
        spoken: tuple[Word, ...] = ()
        if words:
            spoken = read_words(Path(words))
        elif self.min_words:
            yield Problem(
                part=recording.name,
                why="a file of words is missing, so every window has too few; give "
                f"{recording.name}.TextGrid, .tsv or .json, or --min-words 0",
            )
        directions = self._directions(Path(motion))
        yield Take(
            name=recording.name,
            speaker=self._speaker(_stem(Path(motion)), Path(motion)),
            start_s=0.0,
            audio=read_audio(Path(audio)),
            directions=directions,
            words=spoken,
        )

    def _directions(self, path: Path) -> Float32:
        layout = load_skeleton(self.skeleton)
        if path.suffix.lower() == ".npz":
            world, finite, fps = _read_smplx(path)
        else:
            bvh = read_bvh(path)
            bones = find_bones(bvh, read_map(self.map_file) if self.map_file else None)
            world, finite, fps = bone_rotations(bvh, bones), bvh.finite, bvh.fps
        directions = body_directions(world, layout, fps)
        # a frame that was not finite spoils those that are interpolated from it
        for frame in np.flatnonzero(~finite):
            first = int(np.floor((frame - 1) / fps * 15)) + 1
            last = int(np.ceil((frame + 1) / fps * 15))
            directions[max(0, first) : max(1, last)] = np.nan
        return directions

    def _speaker(self, stem: str, motion: Path) -> str:
        if self.kind != "bvh":
            parts = stem.split("_")
            return "_".join(parts[:2]) if len(parts) > 2 else parts[0]
        folder = motion.parent.relative_to(self.folder)
        return folder.parts[0] if folder.parts else "speaker"


def read_audio(path: Path) -> npt.NDArray[np.int16]:
    """Return an audio file as int16 [n], mono at 16 kHz; raises `InputError`."""
    try:
        with soundfile.SoundFile(path) as file:
            if file.frames > _MAX_AUDIO_S * file.samplerate:
                raise InputError(f"{path.name}: longer than {_MAX_AUDIO_S // 3600} h; cut it")
            rate = file.samplerate
            samples = np.asarray(file.read(dtype="float32", always_2d=True), np.float32)
    except soundfile.SoundFileError as error:
        raise InputError(f"{path.name}: not an audio file that can be read ({error})") from error
    if not len(samples):
        raise InputError(f"{path.name}: the audio is empty")
    mono = samples.mean(1)
    if not np.isfinite(mono).all():
        raise InputError(f"{path.name}: audio is not finite (NaN)")
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE)
    return np.clip(np.round(mono * 32768), -32768, 32767).astype(np.int16)


def _read_smplx(path: Path) -> tuple[dict[str, Rotation], npt.NDArray[np.bool_], float]:
    try:
        with np.load(path, allow_pickle=False) as data:
            if "poses" not in data:
                raise InputError(f"{path.name}: array 'poses' is missing; expected SMPL-X motion")
            poses: npt.NDArray[Any] = data["poses"]
            fps = float(data["mocap_frame_rate"]) if "mocap_frame_rate" in data else 30.0
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path.name}: not an .npz that can be read ({error})") from error
    if poses.ndim != 2 or poses.shape[1] != 3 * SMPLX_JOINTS or not len(poses):
        raise InputError(
            f"{path.name}: poses are {list(poses.shape)}, expected [frames, {3 * SMPLX_JOINTS}] "
            f"({SMPLX_JOINTS} SMPL-X joints): a channel is missing or it is another body model"
        )
    if not 1 <= fps <= 1000:
        raise InputError(f"{path.name}: {fps} frames a second")
    finite = np.asarray(np.isfinite(poses).all(axis=1))
    return smplx_rotations(np.where(finite[:, None], poses, 0.0)), finite, fps


def _stem(path: Path) -> str:
    return path.name.removesuffix(path.suffix).removesuffix(".words")


def _first(paths: list[Path], suffixes: tuple[str, ...]) -> Path | None:
    """Return the file with the earliest of the suffixes."""
    for suffix in suffixes:
        for path in paths:
            if path.name.lower().endswith(suffix.lower()):
                return path
    return None
