"""The command `gesture`: runs one subcommand and says errors in one line."""

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TextIO

from streamer import options
from streamer.errors import ArtifactError, ConfigError, GestureError, InputError, UsageError

_BAD_USE = (UsageError, InputError, ArtifactError, ConfigError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; return the exit code: 0 done, 2 bad use or input, 1 else."""
    began = time.perf_counter()
    try:
        told = options.parse(sys.argv[1:] if arguments is None else list(arguments))
        logging.basicConfig(
            level=logging.DEBUG if told.verbose else logging.ERROR,
            format="%(levelname)s %(name)s: %(message)s",
        )
        return _run(told, began)
    except GestureError as error:
        print(f"gesture: {error}", file=sys.stderr)
        return 2 if isinstance(error, _BAD_USE) else 1
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # Whoever read our output has gone; nothing more can be said to them.
        sys.stderr.close()
        return 0


def _run(told: argparse.Namespace, began: float) -> int:
    """Run a subcommand; each imports only what it needs."""
    match told.command:
        case "live":
            from streamer.live import live

            result = _wait(live(options.live_config(told), began=began))
            _show(result, told, _figures, sys.stderr)
        case "render":
            from streamer.render import render

            result = _wait(render(options.render_config(told)))
            _show(result, told, _figures, sys.stderr)
        case "replay":
            from streamer.replay import replay

            result = _wait(replay(options.replay_config(told)))
            _show(result, told, _replayed, sys.stderr)
        case "serve":
            from streamer.serve import serve

            _wait(serve(options.serve_config(told)))
        case "bench":
            from streamer import bench

            _show(bench.bench(options.bench_config(told)), told, bench.table)
        case "engine":
            from streamer import engine_build

            built = engine_build.engine_build(
                told.model, precision=told.precision, slots=told.slots, backend=told.backend
            )
            _show(built, told, engine_build.table)
        case "doctor":
            from streamer import doctor

            result = doctor.doctor(told.model, told.port)
            _show(result, told, doctor.table)
            return 0 if result["ok"] else 1
        case "devices":
            from streamer import doctor

            _show(doctor.devices(), told, doctor.devices_table)
        case "models":
            from streamer import doctor

            _show(doctor.models(), told, doctor.models_table)
        case command:
            raise AssertionError(f"command {command!r} has options but does nothing")
    return 0


def _wait(coroutine: Coroutine[Any, Any, Any]) -> Any:
    import asyncio

    return asyncio.run(coroutine)


def _show(
    result: dict[str, Any],
    told: argparse.Namespace,
    table: Callable[[dict[str, Any]], str],
    stream: TextIO | None = None,
) -> None:
    """Print a result: as one JSON object on standard output, or as text."""
    if told.json:
        print(json.dumps(result, ensure_ascii=False), flush=True)
    else:
        print(table(result), file=stream or sys.stdout, flush=True)


def _replayed(result: dict[str, Any]) -> str:
    return f"{result['frames']} frames of {result['seconds']:.1f} s"


def _figures(result: dict[str, Any]) -> str:
    latency = result["latency_ms"]
    wire = latency["mic_to_wire"]
    wired = f"mic to wire p99 {wire['p99']:.1f} ms, " if wire else ""
    return (
        f"{result['frames']} frames of {result['seconds']:.1f} s, "
        f"step p50 {latency['compute']['p50']:.1f} p99 {latency['compute']['p99']:.1f} ms, "
        f"{wired}{result['fps']:.1f} fps, "
        f"{result['deadline_misses']} late, {result['skipped']} skipped, {result['rss_mb']:.0f} MB"
    )


if __name__ == "__main__":
    sys.exit(main())
