"""SmartBody's gesture clips as a store: motion alone, over silence.

They hold no speech, so nothing can be learnt from them about words or voice;
they are for auto-encoders and for measuring (Frechet distances). The corpus
that the default model learns from is `python -m training corpus`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamer.errors import InputError
from streamer.retarget import Retargeter
from streamer.retarget_inverse import directions_from
from streamer.skeleton import Skeleton, load_skeleton
from streamer.types import Float32
from training.convert.takes import Recording, Take, file_stamp
from training.smartbody import (
    CharacterSkeleton,
    forward_kinematics,
    read_motion,
    read_names,
    read_skeleton,
    resample,
    to_directions,
)
from training.store.manifest import StoreSettings
from training.store.types import FPS, SAMPLE_RATE
from training.store.windows import CACHED
from training.store.writer import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartBodySource:
    """The folder `smartbody_gestures`: one sub-folder a performer, with one `.sk` each."""

    folder: Path
    skeleton: str
    clip_s: float = 20.0

    def settings(self) -> StoreSettings:
        """Return what identifies the conversion; there are no words to ask for."""
        return StoreSettings(
            kind="smartbody",
            source=str(self.folder.resolve()),
            skeleton=self.skeleton,
            filters=False,
            min_words=0,
            clip_s=self.clip_s,
            origin="SmartBody (USC ICT): gesture clips without speech, over silence",
            licence="LGPL-2.1",
        )

    def recordings(self) -> list[Recording]:
        """Return the motions of all performers, in order."""
        out: list[Recording] = []
        for character in sorted(self.folder.glob("*/*.sk")):
            names = character.parent / "joint_name_map.json"
            for motion in sorted(character.parent.glob("*.skm")):
                out.append(
                    Recording(
                        name=f"{character.parent.name}/{motion.stem}",
                        stamp=file_stamp(character, motion),
                        place=(str(character), str(motion), str(names) if names.is_file() else ""),
                    )
                )
        if not out:
            raise InputError(f"{self.folder}: no performers; expected */*.sk with *.skm beside")
        return out

    def takes(self, recording: Recording) -> Iterator[Take | Problem]:
        """Yield a motion over silence."""
        character, path, names = recording.place
        own: CharacterSkeleton = read_skeleton(Path(character))
        motion = read_motion(Path(path), read_names(Path(names)) if names else None)
        upper = to_directions(own, forward_kinematics(own, motion))
        first, last = float(motion.times[0]), float(motion.times[-1])
        # a clip ends at rest: what is shorter than a window holds its last pose
        frames = max(CACHED, int((last - first) * FPS + 1e-6) + 1)
        at = first + np.arange(frames) / FPS
        directions = resample(upper, motion.times, at).astype(np.float32)
        yield Take(
            name=recording.name,
            speaker=recording.name.split("/", 1)[0],
            start_s=0.0,
            audio=np.zeros(round(len(directions) / FPS * SAMPLE_RATE), np.int16),
            directions=to_layout(directions, load_skeleton(self.skeleton)),
            words=(),
        )


def to_layout(directions: Float32, skeleton: Skeleton) -> Float32:
    """Return `upper_body` directions [T, 45, 3] in another layout and its axes.

    Vectors that both have are taken over; a layout with others is posed
    through the humanoid.
    """
    upper = load_skeleton("upper_body")
    if skeleton.name == upper.name:
        return directions
    names = upper.vector_names
    if set(skeleton.vector_names) <= set(names):
        picked = directions[:, [names.index(name) for name in skeleton.vector_names]]
        return skeleton.to_vrm(upper.to_vrm(picked))
    retargeter = Retargeter(upper, fps=FPS)
    rotations = np.stack([retargeter(upper.to_vrm(d)).rotations for d in directions])
    return directions_from(rotations, skeleton)
