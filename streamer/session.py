"""One stream: audio and words go in, skeleton frames and events come out."""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import numpy as np

from streamer import __version__
from streamer.beat import Beat
from streamer.clock import SAMPLE_RATE, Clock
from streamer.durations import Durations
from streamer.errors import InputError, SessionClosed, UsageError
from streamer.humanoid import BONES, PARENTS, REST_OFFSETS
from streamer.latency import LatencyMeter
from streamer.metrics import Metrics
from streamer.outbox import Item, Outbox
from streamer.postprocess import MakeRetarget, PostProcessor
from streamer.steploop import StepLoop, StepResult
from streamer.types import AudioChunk, Event, Float32, Hello, Latency, SkeletonFrame, WordEvent
from streamer.windowing import DEFAULT_SEED, Windower, style_mixture
from streamer.wire import word_event

MOST_BACKLOG_S = 1.0
"""Audio that may wait for compute; beyond it the session is reset."""

_FRAMES_WAITING = 150
_LONGEST_CHUNK = 10 * SAMPLE_RATE


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """What a session may choose.

    name: its identity on the wire. lookahead: A in frames, None for the
    model's default. style: weights by style name, None for the model's default. seed:
    the same audio, words and seed give the same frames.
    """

    name: str = "local"
    lookahead: int | None = None
    style: Mapping[str, float] | None = None
    seed: int = DEFAULT_SEED


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStats:
    """What a session has counted.

    skipped: frames that were lost to a backlog or to a consumer that was away.
    filled: samples of counted silence. deadline_misses: frames that came more
    than a frame's duration after their last sample.
    """

    frames: int
    skipped: int
    resets: int
    words: int
    words_dropped: int
    filled: int
    deadline_misses: int


class Session:
    """One stream through the engine; everything belongs to the event loop.

    Iterate over it once, or over `items` for the events too: words, resets,
    warnings, latencies. Frames wait in a queue of 10 s, of which the oldest is
    dropped and counted; audio waits at most 1 s for compute, then the session
    starts afresh and the pose is blended over.
    """

    def __init__(
        self,
        steps: StepLoop,
        options: SessionOptions,
        *,
        retarget: MakeRetarget,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self.spec = spec = steps.spec
        self.options = options
        self.lookahead = spec.default_lookahead if options.lookahead is None else options.lookahead
        style = style_mixture(spec, options.style)
        fps = float(spec.fps)
        self._frame_clock = spec.clock
        self._clock = clock
        self._steps = steps
        self._meter = LatencyMeter(
            spec, lookahead=self.lookahead, steps=steps.steps, metrics=metrics
        )
        self._windower = Windower(spec, lookahead=self.lookahead, style=style, seed=options.seed)
        self._make_retarget = retarget
        self._post = PostProcessor(
            spec.skeleton, fps=fps, rest=steps.rest, retarget=retarget(spec.skeleton, fps)
        )
        self._beat = Beat[_Pose](1 / fps, self._emit)
        self._live = False
        self._outbox = Outbox("latest", _FRAMES_WAITING)
        self._room = asyncio.Event()
        self._under_way = 0
        self._end: int | None = None
        self._whole: int | None = None
        self._all_in = False
        self._closed = False
        self._failure: BaseException | None = None
        self._frames = self._skipped = self._resets = self._words = 0
        self._spoilt = False
        self._afresh = False
        self._next_index = 0
        self._lane = steps.open(self)

    @property
    def position(self) -> int:
        """One past the last session sample that was pushed."""
        return self._windower.position if self._end is None else self._end

    @property
    def wire_times(self) -> Durations:
        """From the capture of each frame's last sample until it left the session."""
        return self._meter.wire_times

    @property
    def ended(self) -> bool:
        """Whether no more audio will come."""
        return self._closed or self._end is not None

    # -- going in ------------------------------------------------------------

    def push_audio(self, chunk: AudioChunk) -> None:
        """Take live audio; never waits.

        Samples that were already there are ignored, a gap is silence (see
        `Windower`). More than 1 s that no step has taken yet is forgotten and
        resets the session. Raises `InputError` for samples that cannot be used
        and `SessionClosed` after the end.
        """
        self._check_open()
        _check(chunk)
        self._live = True
        self._submit(chunk)
        if self._under_way > self._most_waiting:
            dropped = self._steps.drop(self._lane)
            self._under_way -= dropped
            dropped *= self.spec.frames_per_step
            self._skipped += dropped
            self._windower.restart()
            self._reset("backlog", dropped_frames=dropped)

    async def feed_audio(self, chunk: AudioChunk) -> None:
        """Take audio of any length as fast as it is computed and consumed; drops nothing."""
        self._check_open()
        _check(chunk)
        self._live = False
        piece = self._frame_clock.end(0)
        for at in range(0, len(chunk.samples), piece):
            await self._wait_for_room()
            samples = chunk.samples[at : at + piece]
            rest = len(chunk.samples) - at - len(samples)
            self._submit(
                AudioChunk(
                    samples=samples,
                    start=chunk.start + at,
                    captured_at=chunk.captured_at - rest / SAMPLE_RATE,
                    filled=chunk.filled if at == 0 else 0,
                )
            )

    def push_word(self, word: WordEvent, arrival: int | None = None) -> bool:
        """Take a word, which arrives now unless a session sample is given.

        Returns False for a word of no use (empty, absurd times, a flood); such
        words are counted.
        """
        self._check_open()
        return self._windower.push_word(word, arrival)

    def interrupt(self) -> None:
        """Forget the words and the audio that no step has taken; stop within 200 ms, then rest.

        Time goes on: what is forgotten is heard as silence. The hands stand
        still, then ease home, until the voice begins anew. See `settling`.
        """
        self._check_open()
        self._windower.forget()
        self._steps.change(self._lane, self._windower.silenced)
        self._post.settle()

    def move(self, steps: StepLoop) -> None:
        """Go on in another engine, with a fresh state, from the next audio on.

        Samples, counts and what waits for the consumer stay; the pose is blended
        over within 300 ms. The look-ahead and the style stay where that model has
        them. Raises `UsageError` for a model of another frame rate and for an
        engine without a free slot; then nothing has changed.
        """
        self._check_open()
        old, spec = self.spec, steps.spec
        if spec.fps != old.fps:
            raise UsageError(
                f"model {spec.name} makes {float(spec.fps):g} frames a second, this stream has "
                f"{float(old.fps):g}; start anew with --model {spec.name}"
            )
        lookahead = self.lookahead if self.lookahead in spec.lookaheads else spec.default_lookahead
        wanted = self.options.style or {}
        style = style_mixture(spec, wanted if set(wanted) <= set(spec.styles) else None)
        windower = Windower(spec, lookahead=lookahead, style=style, seed=self.options.seed)
        windower.begin_at(self.position)
        windower.filled = self._windower.filled
        lane = steps.open(self)
        self._beat.flush()
        self._skipped += self._under_way * old.frames_per_step
        self._under_way = 0
        self._steps.close(self._lane)
        post = PostProcessor(
            spec.skeleton,
            fps=float(spec.fps),
            rest=steps.rest,
            retarget=self._make_retarget(spec.skeleton, float(spec.fps)),
        )
        if spec.skeleton.vector_names == old.skeleton.vector_names:
            post.follow(self._post)
        self._steps, self._lane, self._windower, self._post = steps, lane, windower, post
        self.spec, self.lookahead = spec, lookahead
        self._meter.follow(spec, lookahead=lookahead, steps=steps.steps)
        self._reset("model", model=spec.name)

    async def finish(self) -> None:
        """Say that the audio has ended; iteration ends after its last frame.

        The frames that wait for their lookahead are completed with silence.
        """
        self._check_open()
        self._end = self._windower.position
        self._whole = self._frame_clock.frames_in(self._end)
        size = self.spec.frames_per_step
        for step in range(self._whole // size, math.ceil((self._whole + self.lookahead) / size)):
            await self._wait_for_room()
            at = self._windower.position
            silence = np.zeros(self._frame_clock.end((step + 1) * size - 1) - at, np.float32)
            self._submit(AudioChunk(samples=silence, start=at, captured_at=self._clock()))
        self._all_in = True
        self._end_if_done()

    async def aclose(self) -> None:
        """End now: what is under way is forgotten, iteration ends, the slot is free."""
        self._closed = True
        self._beat.cancel()
        self._steps.close(self._lane)
        self._outbox.close()
        self._room.set()

    # -- coming out ----------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[SkeletonFrame]:
        """Iterate over the frames alone."""
        return self._only_frames()

    async def items(self) -> AsyncIterator[Item]:
        """Yield frames and events in order; raises what stopped the engine, if anything did."""
        while (item := await self._outbox.get()) is not None:
            self._room.set()
            yield item
        if self._failure is not None:
            raise self._failure

    def stats(self) -> SessionStats:
        """Return the counts so far."""
        return SessionStats(
            frames=self._frames,
            skipped=self._skipped + self._outbox.dropped,
            resets=self._resets,
            words=self._words,
            words_dropped=self._windower.words_dropped,
            filled=self._windower.filled,
            deadline_misses=self._meter.misses,
        )

    def latency(self) -> Latency:
        """Return the latencies measured so far (DESIGN 3)."""
        return self._meter.latency()

    def hello(self, avatar: Mapping[str, object] | None = None) -> Hello:
        """Return the header of this stream."""
        skeleton = self.spec.skeleton
        return Hello(
            session=self.options.name,
            version=__version__,
            model=self.spec.name,
            backend=self._steps.backend,
            fps=float(self.spec.fps),
            lookahead=self.lookahead,
            bones=BONES,
            parents=PARENTS,
            rest=REST_OFFSETS,
            joints=skeleton.joints,
            directions=skeleton.vector_names,
            latency=self.latency(),
            avatar=dict(avatar or {}),
        )

    def tell(self, event: Event) -> None:
        """Hand on an event, such as a caption, among the items."""
        self._outbox.put(event)

    # -- told by the step loop -----------------------------------------------

    def on_step(self, result: StepResult) -> None:
        """Turn a step's result into frames."""
        if not self._closed:
            self._take(result)
        # only now: frames of the step before may have gone out just above, and not end it
        self._under_way -= 1
        self._room.set()
        self._end_if_done()

    def on_warning(self, message: str) -> None:
        """Pass a warning on as an event."""
        self._outbox.put(
            Event(kind="warning", sample=self._windower.position, data={"message": message})
        )

    def on_failure(self, error: BaseException) -> None:
        """End with an error, which the consumer gets."""
        self._beat.cancel()
        self._failure = error
        self._closed = True
        self._outbox.close()
        self._room.set()

    # -- inside --------------------------------------------------------------

    @property
    def _most_waiting(self) -> int:
        """Steps of audio that may wait for compute."""
        return math.ceil(MOST_BACKLOG_S * float(self.spec.fps) / self.spec.frames_per_step)

    async def _only_frames(self) -> AsyncIterator[SkeletonFrame]:
        async for item in self.items():
            if isinstance(item, SkeletonFrame):
                yield item

    def _submit(self, chunk: AudioChunk) -> None:
        behind, jumps = self._windower.position, self._windower.jumps
        windows = self._windower.push_audio(chunk)
        if self._windower.jumps > jumps:
            self._reset("gap", missing_samples=chunk.start - behind)
        self._under_way += len(windows)
        self._steps.submit(self._lane, windows)

    def _take(self, result: StepResult) -> None:
        self._beat.flush()
        for word in result.window.words:
            self._words += 1
            self._outbox.put(word_event(word))
        if result.fresh and not result.window.start and not self._spoilt:
            self._reset("backend")
        self._afresh |= result.fresh
        self._beat.put(self._poses(result))
        if not (self._live and result.finite):
            self._beat.flush()
        if not result.finite:
            self._reset("not_finite")
        self._spoilt = not result.finite

    def _poses(self, result: StepResult) -> list["_Pose"]:
        """Return the poses of a step that belong to the stream and were not there yet."""
        first = result.window.step * self.spec.frames_per_step - self.lookahead
        frame_s = 1 / float(self.spec.fps)
        return [
            _Pose(
                index=first + k,
                directions=directions,
                voice=float(result.voice[k]),
                # live, each frame of a step is due as long after its own audio as the first
                due_at=result.window.captured_at + (k * frame_s if self._live else 0.0),
            )
            for k, directions in enumerate(result.directions)
            if first + k >= self._next_index and (self._whole is None or first + k < self._whole)
        ]

    def _emit(self, pose: "_Pose") -> None:
        try:
            self._put_out(pose)
        except Exception as error:  # from a timer nobody else would hear of it
            self._steps.close(self._lane)
            self.on_failure(error)
        self._end_if_done()

    def _put_out(self, pose: "_Pose") -> None:
        reset = self._afresh and self._frames > 0
        self._afresh = False
        self._next_index = pose.index + 1
        posed = self._post(pose.directions, pose.voice, reset=reset)
        now = self._clock()
        sample = self._frame_clock.start(pose.index)
        self._outbox.put(
            SkeletonFrame(
                index=pose.index,
                sample=sample,
                rotations=posed.rotations,
                root=posed.root,
                positions=posed.positions,
                directions=posed.directions,
                state=posed.state,
                reset=reset,
                captured_at=pose.due_at,
                emitted_at=now,
            )
        )
        self._frames += 1
        measured = self._meter.note(now - pose.due_at, sample)
        if measured is not None:
            self._outbox.put(measured)

    def _reset(self, reason: str, **data: int | str) -> None:
        self._resets += 1
        self._outbox.put(
            Event(kind="reset", sample=self._windower.position, data={"reason": reason, **data})
        )

    async def _wait_for_room(self) -> None:
        """Wait until little is under way and the consumer keeps up."""
        while (
            self._under_way > self._most_waiting // 2 or self._outbox.frames > _FRAMES_WAITING // 2
        ):
            self._check_alive()
            self._room.clear()
            await self._room.wait()
        self._check_alive()

    def _end_if_done(self) -> None:
        if self._all_in and self._under_way == 0 and self._beat.waiting == 0:
            self._outbox.close()

    def _check_alive(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise SessionClosed(f"session {self.options.name} has ended")

    def _check_open(self) -> None:
        self._check_alive()
        if self._end is not None:
            raise SessionClosed(f"session {self.options.name}: its audio has ended")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pose:
    """One frame of a step's result; due_at: wall time from which it may go out."""

    index: int
    directions: Float32
    voice: float
    due_at: float


def _check(chunk: AudioChunk) -> None:
    """Raise `InputError` for audio that the windower must not see."""
    samples = chunk.samples
    if samples.ndim != 1 or samples.dtype != np.float32:
        raise InputError(
            f"audio: {samples.dtype} {list(samples.shape)}, expected mono float32 at 16 kHz"
        )
    if len(samples) > _LONGEST_CHUNK:
        raise InputError(f"audio: a chunk of {len(samples) / SAMPLE_RATE:.0f} s; send at most 10 s")
    if chunk.start < 0:
        raise InputError(f"audio: starts at sample {chunk.start}, expected 0 or more")
    if not np.isfinite(samples).all():
        raise InputError("audio: NaN or infinite samples; send finite numbers in -1 to 1")
