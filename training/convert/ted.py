"""TED Gesture and TED Expressive as their authors publish them: LMDB (ha2g.md 1.4, 1.5)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import lmdb
import numpy as np
import numpy.typing as npt

from streamer.errors import InputError
from streamer.skeleton import load_skeleton
from training.convert.arrow_records import read_record
from training.convert.takes import Recording, Take
from training.metrics import directions_of
from training.store.manifest import StoreSettings
from training.store.types import FPS, MEL_BANDS, Split, Word
from training.store.writer import Problem

SPLIT_FOLDERS: Mapping[str, tuple[str, ...]] = {
    "train": ("lmdb_train", "train"),
    "val": ("lmdb_val", "val"),
    "test": ("lmdb_test", "test"),
}
_FIELDS = ("words", "skeletons_3d", "audio_feat", "audio_raw", "start_time", "end_time")


@dataclass(frozen=True, slots=True, kw_only=True)
class TedSource:
    """A folder with the LMDBs of the three splits."""

    folder: Path
    skeleton: Literal["ted_gesture", "ted_expressive"]

    def settings(self) -> StoreSettings:
        """Return the papers' settings: nothing of them can be chosen."""
        return StoreSettings(
            kind=self.skeleton.replace("_", "-"),
            source=str(self.folder.resolve()),
            skeleton=self.skeleton,
            published=True,
            origin="TED talks; words, audio and poses as the dataset's authors extracted them",
            licence="CC BY-NC-ND 4.0 (the talks); see the dataset's own terms",
        )

    def recordings(self) -> list[Recording]:
        """Return the records of the three splits, in order."""
        out: list[Recording] = []
        for split, names in SPLIT_FOLDERS.items():
            found = [self.folder / n for n in names if (self.folder / n / "data.mdb").is_file()]
            if not found:
                continue
            path = found[0]
            with _open(path) as environment, environment.begin(buffers=True) as transaction:
                for key, value in transaction.cursor():
                    name = bytes(key).decode("ascii", "replace")
                    out.append(
                        Recording(
                            name=f"{split}/{name}",
                            stamp=str(len(value)),
                            place=(str(path), name, split),
                        )
                    )
        if not out:
            wanted = " or ".join(SPLIT_FOLDERS["train"])
            raise InputError(
                f"{self.folder}: no LMDB; expected folders {wanted} (and val, test) with data.mdb"
            )
        return out

    def takes(self, recording: Recording) -> Iterator[Take | Problem]:
        """Yield the clips of a video, whole, as the datasets have them."""
        path, key, split = recording.place
        with _open(Path(path)) as environment, environment.begin() as transaction:
            value = transaction.get(key.encode("ascii"))
            if value is None:
                raise InputError(f"record {key} is missing from {path}")
            record = read_record(bytes(value))
        match record:
            case {"vid": str() as video, "clips": list() as clips}:
                pass
            case _:
                raise InputError("record without 'vid' and 'clips'; expected the published LMDB")
        for number, clip in enumerate(clips):
            name = f"{split}/{video}/{number}"
            try:
                yield self._take(name, video, clip, cast(Split, split))
            except InputError as error:
                yield Problem(part=name, why=str(error))

    def _take(self, name: str, video: str, clip: Any, split: Split) -> Take:
        if not isinstance(clip, dict):
            raise InputError("clip is no dict")
        missing = [field for field in _FIELDS if field not in clip]
        if missing:
            raise InputError(f"field {', '.join(missing)} is missing")
        layout = load_skeleton(self.skeleton)
        try:
            poses = np.asarray(clip["skeletons_3d"], np.float64)
            mel = np.asarray(clip["audio_feat"], np.float16)
            audio = np.asarray(clip["audio_raw"], np.float16)
            start, end = float(clip["start_time"]), float(clip["end_time"])
            words = tuple(
                Word(text=str(word), start_s=float(a) - start, end_s=float(b) - start)
                for word, a, b in clip["words"]
            )
        except (TypeError, ValueError) as error:
            raise InputError(f"fields are not of the published kind ({error})") from error
        joints = (len(layout.joints), 3)
        if poses.ndim != 3 or poses.shape[1:] != joints or not len(poses):
            raise InputError(
                f"skeletons_3d is {list(poses.shape)}, expected [frames, {joints[0]}, 3] "
                f"for {self.skeleton}"
            )
        if mel.ndim != 2 or len(mel) != MEL_BANDS:
            raise InputError(f"audio_feat is {list(mel.shape)}, expected [{MEL_BANDS}, columns]")
        if audio.ndim != 1 or not end > start:
            raise InputError(f"audio_raw is {list(audio.shape)} from {start} to {end} s")
        resampled = resample_poses(poses, end - start)
        return Take(
            name=name,
            speaker=video,
            start_s=start,
            audio=audio,
            directions=directions_of(resampled, layout.bones).astype(np.float32),
            words=words,
            poses=resampled.astype(np.float32),
            mel=np.ascontiguousarray(mel.T),
            split=split,
            whole=True,
        )


def resample_poses(poses: npt.NDArray[np.float64], seconds: float) -> npt.NDArray[np.float64]:
    """Return poses [n, J, 3] of a clip at 15 fps, as the datasets' own step does.

    Linear between frames at positions 0, n / (15 * seconds), ...; the last may
    lie beyond the last frame and is extrapolated.
    """
    count = len(poses)
    if count < 2:
        return poses
    at = np.arange(0, count, count / (seconds * FPS))
    before = np.minimum(at.astype(np.int64), count - 2)
    share = (at - before)[:, None, None]
    return poses[before] * (1 - share) + poses[before + 1] * share


def _open(path: Path) -> "lmdb.Environment":
    try:
        return lmdb.open(str(path), readonly=True, lock=False, readahead=False)
    except lmdb.Error as error:
        raise InputError(f"{path}: not an LMDB that can be read ({error})") from error
