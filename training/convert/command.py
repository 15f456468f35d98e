"""`python -m training convert`: other people's data to a store."""

import argparse
import json
from pathlib import Path
from typing import Any

from streamer.errors import InputError, UsageError
from streamer.skeleton import BUILT_IN
from training.convert.gestures import SmartBodySource
from training.convert.pipeline import convert
from training.convert.planned import CorpusSource
from training.convert.recorded import RecordedSource
from training.convert.summary import FIGURE, summary_lines
from training.convert.takes import Source
from training.convert.ted import TedSource
from training.store.windows import CACHED

KINDS = ("ted-gesture", "ted-expressive", "beat", "beat2", "bvh", "smartbody", "corpus")


def add_parser(subparsers: Any) -> None:
    """Add `convert` to the commands of `python -m training`."""
    parser = subparsers.add_parser(
        "convert",
        help="recordings or a published dataset to a store",
        description="Convert recordings or a published dataset to a store. Interrupted, "
        "the same command continues.",
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("source", type=Path, help="folder with the data")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the store")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--skeleton", choices=BUILT_IN, help="layout to write (upper_body)")
    parser.add_argument("--clip-seconds", type=float, help="longest clip (20)")
    parser.add_argument("--min-words", type=int, help="windows with fewer are dropped (2)")
    parser.add_argument("--no-filters", action="store_true", help="keep resting and bent poses")
    parser.add_argument("--val-speakers", metavar="A,B", help="speakers of the split val")
    parser.add_argument("--test-speakers", metavar="A,B", help="speakers of the split test")
    parser.add_argument("--map", type=Path, help="JSON: humanoid bone to joint name of a BVH")
    parser.add_argument("--licence", help="of your recordings, kept in the manifest")
    parser.add_argument("--json", action="store_true", help="print the totals as JSON")
    parser.set_defaults(run=_run)


def make_source(arguments: argparse.Namespace) -> Source:
    """Return the source that a command line asks for; raises `UsageError`."""
    folder: Path = arguments.source
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    kind: str = arguments.kind
    given = {
        "--skeleton": arguments.skeleton,
        "--clip-seconds": arguments.clip_seconds,
        "--min-words": arguments.min_words,
        "--no-filters": arguments.no_filters or None,
        "--val-speakers": arguments.val_speakers,
        "--test-speakers": arguments.test_speakers,
        "--map": arguments.map,
        "--licence": arguments.licence,
    }
    allowed = {
        "ted-gesture": set[str](),
        "ted-expressive": set[str](),
        "smartbody": {"--skeleton", "--clip-seconds"},
        "corpus": {"--skeleton", "--clip-seconds", "--min-words"},
    }.get(kind, set(given))
    for option, value in given.items():
        if value is not None and option not in allowed:
            raise UsageError(f"convert {kind}: {option} does not apply, its recipe is fixed")
    skeleton = arguments.skeleton or "upper_body"
    clip_s = 20.0 if arguments.clip_seconds is None else arguments.clip_seconds
    if clip_s < CACHED / 15:
        raise UsageError(f"convert: --clip-seconds {clip_s}; a window needs {CACHED / 15:.1f}")
    min_words = 2 if arguments.min_words is None else arguments.min_words
    if min_words < 0:
        raise UsageError("convert: --min-words must be 0 or more")
    match kind:
        case "ted-gesture":
            return TedSource(folder=folder, skeleton="ted_gesture")
        case "ted-expressive":
            return TedSource(folder=folder, skeleton="ted_expressive")
        case "smartbody":
            return SmartBodySource(folder=folder, skeleton=skeleton, clip_s=clip_s)
        case "corpus":
            return CorpusSource(
                folder=folder, skeleton=skeleton, clip_s=clip_s, min_words=min_words
            )
        case "beat" | "beat2" | "bvh":
            return RecordedSource(
                folder=folder,
                kind=kind,
                skeleton=skeleton,
                filters=not arguments.no_filters,
                min_words=min_words,
                clip_s=clip_s,
                val_speakers=_names(arguments.val_speakers),
                test_speakers=_names(arguments.test_speakers),
                map_file=arguments.map,
                licence=arguments.licence,
            )
        case _:
            raise UsageError(f"convert: no kind {kind!r}; {', '.join(KINDS)}")


def _run(arguments: argparse.Namespace) -> int:
    if arguments.jobs < 1:
        raise UsageError("convert: --jobs must be at least 1")
    manifest = convert(make_source(arguments), arguments.out, jobs=arguments.jobs)
    if arguments.json:
        print(json.dumps(dict(manifest.totals)))
        return 0
    for line in summary_lines(manifest):
        print(line)
    print(f"{arguments.out}: done; what was kept and why: {arguments.out / FIGURE}")
    return 0


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())
