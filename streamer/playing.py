"""What `live` and `render` share: a source into a session, and the report at the end."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from streamer.asr.listening import Listening
from streamer.audio.source import AudioSource
from streamer.backends.loading import BackendChoice, choose_backend, find_artifact
from streamer.clock import SAMPLE_RATE, Clock
from streamer.config import ModelConfig
from streamer.durations import Durations
from streamer.engine import Engine
from streamer.memory import peak_resident_mb
from streamer.metrics import Metrics
from streamer.postprocess import Retarget
from streamer.session import Session, SessionOptions
from streamer.skeleton import Skeleton
from streamer.types import AudioChunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """An engine and why its back end was taken."""

    engine: Engine
    backend: BackendChoice


def load_engine(
    config: ModelConfig, *, clock: Clock, slots: int = 1, metrics: Metrics | None = None
) -> Loaded:
    """Load a model; onnxruntime takes over once from a back end that fails."""
    backend = choose_backend(
        config.backend, find_artifact(config.model), precision=config.precision, slots=slots
    )
    engine = Engine(
        backend.make,
        slots=slots,
        fallback=backend.fallback,
        retarget=retargeter,
        clock=clock,
        metrics=metrics,
    )
    return Loaded(engine=engine, backend=backend)


def session_options(config: ModelConfig) -> SessionOptions:
    """Return the local session's options."""
    return SessionOptions(lookahead=config.lookahead, style=config.style, seed=config.seed)


def retargeter(skeleton: Skeleton, fps: float) -> Retarget:
    """Return the retargeting of one stream."""
    from streamer.retarget import Retargeter

    return Retargeter(skeleton, fps)


async def pump(
    source: AudioSource,
    push: Callable[[AudioChunk], Awaitable[None]],
    *,
    listening: Listening,
    limit: int | None,
) -> None:
    """Push a source's audio and its words into a session, up to `limit` samples, until it ends."""
    async for chunk in source.chunks():
        if limit is not None and chunk.end > limit:
            chunk = _cut(chunk, limit)
        await listening.hear(chunk)
        await push(chunk)
        if limit is not None and chunk.end >= limit:
            break
    await listening.finish()


def report(
    engine: Engine,
    session: Session,
    *,
    fps: float,
    deadline_misses: int,
    mic_to_wire: Durations | None,
    dropped: int,
) -> dict[str, Any]:
    """Return the JSON report of DESIGN 7.

    fps: frames per second of wall time. mic_to_wire: None where nothing was
    live. dropped: frames that slow viewers did not get.
    """
    stats = session.stats()
    return {
        "frames": stats.frames,
        "seconds": round(session.position / SAMPLE_RATE, 3),
        "fps": round(fps, 2),
        "latency_ms": {
            "algorithmic": round(session.latency().algorithmic_ms, 2),
            "compute": engine.step_times.summary_ms(),
            "mic_to_wire": mic_to_wire.summary_ms() if mic_to_wire is not None else None,
        },
        "deadline_misses": deadline_misses,
        "skipped": stats.skipped,
        "dropped": dropped,
        "resets": stats.resets,
        "filled_s": round(stats.filled / SAMPLE_RATE, 3),
        "words": stats.words,
        "rss_mb": round(peak_resident_mb(), 1),
        "model": engine.spec.name,
        "backend": engine.backend,
        "lookahead": session.lookahead,
    }


def _cut(chunk: AudioChunk, limit: int) -> AudioChunk:
    kept = max(limit - chunk.start, 0)
    late = (len(chunk.samples) - kept) / SAMPLE_RATE
    return replace(chunk, samples=chunk.samples[:kept], captured_at=chunk.captured_at - late)
