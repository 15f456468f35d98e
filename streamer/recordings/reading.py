"""Reading recordings back: `.npz` and `.jsonl`, from whoever made them."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from streamer import __version__
from streamer.clock import SAMPLE_RATE
from streamer.errors import InputError, ProtocolError
from streamer.humanoid import BONES, PARENTS, REST_OFFSETS
from streamer.recordings.take import Take
from streamer.types import Event, Float32, Hello, Latency, SkeletonFrame, VoiceState
from streamer.wire import Layout, decode_event, decode_frame_json, decode_hello

MAX_BYTES: Final = 1 << 30
"""Of a recording, unpacked: 8 hours."""

_MAX_LINE: Final = 256 * 1024
_MAX_NAMES: Final = 1_000
_UNIT: Final = 1e-2  # how far a rotation's norm may be from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A take and what was said and happened meanwhile.

    states: the voice state of each frame; events: in order of their samples.
    faces: of each frame, none where it was recorded without.
    """

    take: Take
    states: tuple[VoiceState, ...]
    events: tuple[Event, ...]
    faces: tuple[Float32, ...] = ()

    def frame(self, n: int, *, at: float) -> SkeletonFrame:
        """Return frame n as if it had been computed at a wall time."""
        take = self.take
        return SkeletonFrame(
            index=n,
            sample=int(take.sample[n]),
            rotations=take.rotations[n],
            root=take.root[n],
            positions=take.positions[n],
            directions=take.directions[n],
            state=self.states[n],
            reset=n == 0,
            captured_at=at,
            emitted_at=at,
            face=self.faces[n] if self.faces else None,
        )


def read_recording(path: Path) -> Recording:
    """Read a `.npz` or `.jsonl` recording of ours; raises `InputError`."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path.name}: larger than {MAX_BYTES >> 20} MB; cut it in parts")
        match path.suffix.lower():
            case ".npz":
                recording = _read_npz(path)
            case ".jsonl":
                recording = _read_jsonl(path)
            case suffix:
                raise InputError(
                    f"{path.name}: recordings that can be replayed are .jsonl and .npz, "
                    f"not {suffix or 'without suffix'}"
                )
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    _check(path.name, recording.take)
    return recording


def _read_jsonl(path: Path) -> Recording:
    frames, states, events = list[Any](), list[VoiceState](), list[Event]()
    with path.open("rb") as file:
        number = 0
        try:
            hello = decode_hello(_line(file.readline(_MAX_LINE)))
            layout = Layout.of(hello)
            while line := file.readline(_MAX_LINE):
                number += 1
                text = _line(line)
                if '"event"' in text[:40]:
                    events.append(decode_event(text))
                    continue
                frame = decode_frame_json(text, layout)
                if frame.positions is None or frame.directions is None:
                    raise ProtocolError("a frame without positions or directions")
                frames.append(frame)
                states.append(frame.state)
        except ProtocolError as error:
            raise InputError(f"{path.name}: line {number + 1}: {error}") from error
    take = Take(
        hello=hello,
        sample=np.array([f.sample for f in frames], np.int64),
        root=_stacked([f.root for f in frames], (3,)),
        rotations=_stacked([f.rotations for f in frames], (layout.bones, 4)),
        positions=_stacked([f.positions for f in frames], (layout.joints, 3)),
        directions=_stacked([f.directions for f in frames], (layout.directions, 3)),
    )
    faces = tuple(f.face for f in frames if f.face is not None)
    return Recording(
        take=take,
        states=tuple(states),
        events=tuple(events),
        faces=faces if len(faces) == len(frames) else (),
    )


def _line(data: bytes) -> str:
    if not data.endswith(b"\n") and len(data) >= _MAX_LINE:
        raise ProtocolError(f"longer than {_MAX_LINE >> 10} kB")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("not UTF-8") from error


def _stacked(rows: list[Any], shape: tuple[int, ...]) -> Float32:
    return np.array(rows, np.float32).reshape(len(rows), *shape)


def _read_npz(path: Path) -> Recording:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_BYTES:
            raise InputError(f"{path.name}: {size >> 20} MB unpacked, at most {MAX_BYTES >> 20}")
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: data[name] for name in data.files}
        take = _take(arrays)
    except (zipfile.BadZipFile, EOFError, KeyError, TypeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)[:80]
        raise InputError(f"{path.name}: no recording of ours, or damaged ({reason})") from error
    # The archive holds no voice; a head that is not told otherwise listens.
    return Recording(take=take, states=("listening",) * len(take.sample), events=())


def _take(arrays: Mapping[str, npt.NDArray[Any]]) -> Take:
    bones = _names(arrays["bone_names"])
    joints, directions = _names(arrays["joint_names"]), _names(arrays["direction_names"])
    count = len(arrays["sample"])
    hello = Hello(
        session="recording",
        version=__version__,
        model="recording",
        backend="none",
        fps=float(arrays["fps"]),
        lookahead=0,
        bones=bones,
        parents=PARENTS,
        rest=REST_OFFSETS,
        joints=joints,
        directions=directions,
        latency=Latency(algorithmic_ms=0.0, compute_ms=0.0, mic_to_wire_ms=0.0, visible_ms=0.0),
        avatar={},
    )
    return Take(
        hello=hello,
        sample=_shaped(arrays["sample"], "iu", (count,)).astype(np.int64),
        root=_shaped(arrays["root"], "f", (count, 3)).astype(np.float32),
        rotations=_shaped(arrays["rotations"], "f", (count, len(bones), 4)).astype(np.float32),
        positions=_shaped(arrays["positions"], "f", (count, len(joints), 3)).astype(np.float32),
        directions=_shaped(arrays["directions"], "f", (count, len(directions), 3)).astype(
            np.float32
        ),
    )


def _names(array: npt.NDArray[Any]) -> tuple[str, ...]:
    if array.dtype.kind != "U" or array.ndim != 1 or len(array) > _MAX_NAMES:
        raise ValueError(f"names as {array.dtype} {list(array.shape)}")
    return tuple(cast(list[str], array.tolist()))


def _shaped(array: npt.NDArray[Any], kinds: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    if array.dtype.kind not in kinds or array.shape != shape:
        raise ValueError(f"an array is {array.dtype} {list(array.shape)}, expected {list(shape)}")
    return array


def _check(name: str, take: Take) -> None:
    """Raise `InputError` for a take that the engine's sinks must not see."""
    if take.hello.bones != BONES:
        raise InputError(f"{name}: other bones than this version's; record it again")
    if not len(take.sample):
        raise InputError(f"{name}: holds no frame")
    if not (np.diff(take.sample) > 0).all() or int(take.sample[0]) < 0:
        raise InputError(f"{name}: its times do not grow")
    if int(take.sample[-1]) > SAMPLE_RATE * 86_400 * 365:
        raise InputError(f"{name}: its last frame is over a year away")
    if not 1 <= take.hello.fps <= 240:
        raise InputError(f"{name}: {take.hello.fps} frames a second, expected 1 to 240")
    arrays = (take.root, take.rotations, take.positions, take.directions)
    if not all(np.isfinite(array).all() for array in arrays):
        raise InputError(f"{name}: holds NaN or infinite numbers")
    norms = np.linalg.norm(take.rotations, axis=-1)
    if np.abs(norms - 1).max() > _UNIT:
        raise InputError(f"{name}: holds rotations that are none (norm {norms.min():.3f})")
    for array in arrays:
        array.flags.writeable = False
