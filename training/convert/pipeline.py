"""Runs a conversion: recordings in, shards out, several processes, resumable."""

import contextlib
from collections import Counter
from collections.abc import Generator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from pathlib import Path

from streamer.errors import InputError
from streamer.skeleton import load_skeleton
from training.convert.clips import reasons_of, take_clips
from training.convert.summary import write_summary
from training.convert.takes import Recording, Source
from training.progress import track
from training.store.manifest import SHARDS, Manifest, StoreSettings
from training.store.shards import write_shard
from training.store.types import Clip
from training.store.writer import Problem, StoreWriter, UnitResult

_AHEAD = 4
"""Recordings handed out in advance for each process."""


def convert(source: Source, folder: Path, *, jobs: int = 1) -> Manifest:
    """Convert a source into a store; what was done before is not done again.

    Parts that cannot be used are left out and named, in the manifest and in
    `report.json`. Raises `InputError` where nothing could be kept, or where the
    disk would not take the store: the same command continues.
    """
    settings = source.settings()
    recordings = source.recordings()
    writer = StoreWriter(folder, settings)
    todo = [r for r in recordings if writer.pending(r.name, r.stamp)]
    done = 0
    try:
        # closed at once on an error, so that no process works on
        with contextlib.closing(_run(source, settings, todo, folder / SHARDS, jobs)) as results:
            for result in track(results, len(todo), "convert"):
                writer.record(result)
                done += 1
        manifest = writer.finish([r.name for r in recordings])
        write_summary(folder, manifest)
    except BrokenExecutor as error:
        raise InputError(
            f"a process was ended from outside, perhaps for lack of memory, after {done} of "
            f"{len(todo)} recordings; run the same command with fewer --jobs, it continues"
        ) from error
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({error.strerror or error}) after {done} of {len(todo)} "
            "recordings; make room and run the same command again, it continues"
        ) from error
    return manifest


def convert_recording(
    source: Source, settings: StoreSettings, recording: Recording, shards: Path
) -> UnitResult:
    """Convert one recording; a whole shard is on the disk afterwards, or none.

    Raises `OSError` where the shard cannot be written.
    """
    skeleton = load_skeleton(settings.skeleton)
    clips: list[Clip] = []
    problems: list[Problem] = []
    reasons: Counter[str] = Counter()
    failed = False
    try:
        for take in source.takes(recording):
            if isinstance(take, Problem):
                problems.append(take)
                continue
            try:
                for clip in take_clips(take, skeleton, settings):
                    if isinstance(clip, Problem):
                        problems.append(clip)
                        continue
                    clips.append(clip)
                    reasons.update(reasons_of(clip))
            except InputError as error:
                problems.append(Problem(part=take.name, why=str(error)))
    except (InputError, OSError) as error:
        problems.append(Problem(part=recording.name, why=str(error)))
        failed = True
        clips, reasons = [], Counter()
    return UnitResult(
        unit=recording.name,
        stamp=recording.stamp,
        entry=write_shard(shards, recording.name, clips) if clips else None,
        reasons=dict(reasons),
        problems=tuple(problems),
        failed=failed,
    )


def _run(
    source: Source, settings: StoreSettings, todo: list[Recording], shards: Path, jobs: int
) -> Generator[UnitResult, None, None]:
    """Yield a result for each recording as they are done."""
    if jobs == 1 or len(todo) < 2:
        for recording in todo:
            yield convert_recording(source, settings, recording, shards)
        return
    waiting = iter(todo)
    with ProcessPoolExecutor(jobs) as pool:
        running: set[Future[UnitResult]] = set()
        try:
            while True:
                for recording in waiting:
                    running.add(pool.submit(convert_recording, source, settings, recording, shards))
                    if len(running) >= _AHEAD * jobs:
                        break
                if not running:
                    return
                ready, running = wait(running, return_when=FIRST_COMPLETED)
                for future in ready:
                    yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
