"""One stream of an engine that comes back by itself."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
import numpy.typing as npt
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from streamer.client.buffer import Item, JitterBuffer
from streamer.client.config import ClientConfig
from streamer.client.playback import Playback, Shown
from streamer.client.recorder import Recorder
from streamer.clock import Clock
from streamer.errors import InputError, ProtocolError, SessionClosed, UsageError
from streamer.security import is_loopback
from streamer.types import AudioChunk, Event, Hello, WordEvent
from streamer.wire import (
    BINARY_SUBPROTOCOL,
    JSON_SUBPROTOCOL,
    CloseCode,
    Layout,
    WireFrame,
    decode_event,
    decode_frame_bytes,
    decode_frame_json,
    decode_hello,
    loads,
)
from streamer.wire_requests import (
    Ack,
    Choose,
    Control,
    End,
    Interrupt,
    Request,
    Scalar,
    Subscribe,
    encode_audio,
    encode_request,
)

_log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES: Final = 1 << 20
AUDIO_SAMPLES: Final = 640
"""Of one message: 40 ms."""

_PING_EVERY_S: Final = 5.0
_PING_TIMEOUT_S: Final = 10.0
_CLOSE_S: Final = 2.0
_FIRST_S, _LAST_S = 0.4, 5.0
# Trying again would meet the same answer.
_FINAL: Final = (
    CloseCode.BAD_MESSAGE,
    CloseCode.UNAUTHORISED,
    CloseCode.TOO_LARGE,
    CloseCode.FLOOD,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStats:
    """What a client has seen so far.

    received: frames that came. missed: frames the engine replaced because we
    were slow. dropped: items that nobody read in time. connections: hellos.
    jitter_ms: what frames wait now to keep the beat.
    """

    received: int
    missed: int
    dropped: int
    connections: int
    jitter_ms: float


def backoff_s(attempt: int, chance: Callable[[], float]) -> float:
    """Return the delay before the next attempt: doubles from 0.4 s to 5 s, with jitter."""
    return min(_LAST_S, _FIRST_S * 2 ** min(attempt, 8)) * (0.75 + 0.5 * chance())


class GestureClient:
    """Reads a stream, acknowledges it, and pushes audio and words; one event loop's.

    `async with` connects (it waits for the engine unless `reconnect` is off),
    `items` or `frames` yields what comes, to the beat of the audio clock;
    `shown` gives the pose for any moment to those who draw. One reader at a
    time. Raises `ProtocolError` when the engine refuses us for good, and
    `UsageError` when there is none and `reconnect` is off.
    """

    def __init__(
        self,
        config: ClientConfig | None = None,
        *,
        clock: Clock = time.perf_counter,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._config = config or ClientConfig()
        self._clock = clock
        self._chance = chance
        self._buffer = JitterBuffer(most_jitter_s=self._config.most_jitter_s)
        self._playback = Playback()
        self._recorder = Recorder(self._config.record)
        self._hello: Hello | None = None
        self._ws: ClientConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._greeted = asyncio.Event()
        self._attempt = 0
        self._received = self._missed = self._connections = 0
        self._next_sample = 0

    async def __aenter__(self) -> "GestureClient":
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(lambda _: self._news.set())
        greeted = asyncio.create_task(self._greeted.wait())
        try:
            await asyncio.wait((greeted, self._task), return_when=asyncio.FIRST_COMPLETED)
            if self._hello is None:
                self._task.result()
        except BaseException:
            await self.aclose()
            raise
        finally:
            greeted.cancel()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def hello(self) -> Hello:
        """The header of the stream we are on, or were on last."""
        if self._hello is None:
            raise SessionClosed("the client has not connected; use it with `async with`")
        return self._hello

    @property
    def connected(self) -> bool:
        """Whether the engine is there now."""
        return self._ws is not None

    @property
    def next_sample(self) -> int:
        """Index of the next sample that `push_audio` sends; 0 again in a new session."""
        return self._next_sample

    @property
    def stats(self) -> ClientStats:
        """What has come so far."""
        return ClientStats(
            received=self._received,
            missed=self._missed,
            dropped=self._buffer.dropped,
            connections=self._connections,
            jitter_ms=1000 * self._buffer.jitter_s,
        )

    async def items(self) -> AsyncIterator[Item]:
        """Yield a `Hello` for each connection, and its frames and events, in order.

        Ends when the session ends, or the connection if `reconnect` is off.
        """
        while True:
            wait = self._buffer.wait(self._clock())
            if wait == 0:
                yield self._buffer.pop()
                continue
            if wait is None and (self._task is None or self._task.done()):
                if self._task is not None and not self._task.cancelled():
                    self._task.result()
                return
            self._news.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def frames(self) -> AsyncIterator[WireFrame]:
        """Yield the frames alone."""
        async for item in self.items():
            if isinstance(item, WireFrame):
                yield item

    def shown(self, at: float | None = None) -> Shown:
        """Return the pose to draw now, or at a time of the client's clock that never goes back."""
        return self._playback.update(self._clock() if at is None else at)

    async def push_audio(
        self, samples: npt.NDArray[np.float32] | npt.NDArray[np.int16], start: int | None = None
    ) -> None:
        """Send mono audio at 16 kHz: float32 in [-1, 1] or int16 (PCM16), as it is captured.

        start: index of its first sample, the next one if None; an index that
        leaves a gap makes the engine fill it with silence. Raises `InputError`
        for other audio, `SessionClosed` while the engine is away.
        """
        if samples.ndim != 1 or samples.dtype.name not in ("float32", "int16"):
            raise InputError(
                f"audio is {samples.dtype} {samples.shape}, expected mono float32 or int16 [n]"
            )
        whole = np.float32(32768 if samples.dtype.kind == "i" else 1)
        mono = samples.astype(np.float32) / whole
        if not np.isfinite(mono).all():
            raise InputError("audio holds values that are not finite")
        first = self._next_sample if start is None else start
        self._next_sample = first + len(mono)
        for at in range(0, len(mono), AUDIO_SAMPLES):
            part = mono[at : at + AUDIO_SAMPLES]
            chunk = AudioChunk(samples=part, start=first + at, captured_at=self._clock())
            await self._send(encode_audio(chunk))

    async def push_word(self, word: WordEvent) -> None:
        """Send a recognised word."""
        await self._say(word)

    async def interrupt(self) -> None:
        """Stop the gesture at hand: the speaker was cut off."""
        await self._say(Interrupt())

    async def control(self, **settings: Scalar) -> None:
        """Change settings of the stream; a `settings` event answers."""
        await self._say(Control(settings=settings))

    async def choose(
        self, *, device: str | None = None, model: str | None = None, rescan: bool = False
    ) -> None:
        """Ask for another microphone or model of a live engine; nothing asks what there is.

        A `choices` event answers; before it a `warning` where it cannot be had.
        """
        await self._say(Choose(device=device, model=model, rescan=rescan))

    async def end(self) -> None:
        """Say that no more audio comes; `items` ends after the last frame."""
        await self._say(End())

    async def aclose(self) -> None:
        """Leave, and finish the recordings; again is nothing."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._recorder.aclose()

    async def _say(self, request: Request) -> None:
        await self._send(encode_request(request))

    async def _send(self, message: str | bytes) -> None:
        if self._ws is None:
            raise SessionClosed("the engine is not connected; wait for the next hello")
        try:
            await self._ws.send(message)
        except ConnectionClosed as error:
            raise SessionClosed("the connection to the engine was lost") from error

    async def _run(self) -> None:
        try:
            while not await self._visit():
                if not self._config.reconnect:
                    return
                await asyncio.sleep(backoff_s(self._attempt, self._chance))
                self._attempt += 1
        finally:
            await self._recorder.aclose()

    async def _visit(self) -> bool:
        """Connect once and read to the end; True when the session has ended for good."""
        config = self._config
        form = BINARY_SUBPROTOCOL if config.form == "bin" else JSON_SUBPROTOCOL
        try:
            async with connect(
                config.url,
                subprotocols=[Subprotocol(form)],
                compression=None,
                max_size=MAX_MESSAGE_BYTES,
                ping_interval=_PING_EVERY_S,
                ping_timeout=_PING_TIMEOUT_S,
                close_timeout=_CLOSE_S,
                ssl=config.trust,
                proxy=None if is_loopback(config.host) else True,
            ) as ws:
                return await self._read(ws)
        except InvalidStatus as error:
            status = error.response.status_code
            if 400 <= status < 500:
                raise ProtocolError(
                    f"{config.url}: the engine refuses with HTTP {status}"
                ) from error
            self._unreachable(error)
        except (OSError, InvalidHandshake, TimeoutError) as error:
            self._unreachable(error)
        return False

    def _unreachable(self, error: Exception) -> None:
        if not self._config.reconnect:
            raise UsageError(
                f"{self._config.url}: no engine answers ({error}); start `gesture live`"
            ) from error
        _log.debug("%s: %s", self._config.url, error)

    async def _read(self, ws: ClientConnection) -> bool:
        try:
            if (greeting := self._config.greeting) is not None:
                await ws.send(encode_request(greeting))
            if self._config.subscription:
                await ws.send(encode_request(Subscribe(include=self._config.subscription)))
            layout: Layout | None = None
            last = -1
            async for message in ws:
                at = self._clock()
                kind = "frame" if isinstance(message, bytes) else cast(str, loads(message)["type"])
                if kind == "hello":
                    layout = await self._begin(ws, cast(str, message), at)
                elif kind == "frame" and layout is not None:
                    frame = _frame(message, layout)
                    await ws.send(encode_request(Ack(seq=frame.seq)))
                    self._missed += max(0, frame.seq - last - 1) if last >= 0 else 0
                    last = frame.seq
                    await self._frame(frame, at)
                elif kind == "event":
                    await self._event(cast(str, message), at)
                elif kind == "frame":
                    raise ProtocolError("a frame came before the hello; update the older side")
        except ConnectionClosed:
            pass
        finally:
            self._ws = None
        code = ws.close_code
        if code is not None and code in _FINAL:
            raise ProtocolError(f"the engine closed the stream: {ws.close_reason}", code=code)
        return code == 1000

    async def _begin(self, ws: ClientConnection, text: str, at: float) -> Layout:
        hello = decode_hello(text)
        await self._recorder.begin(hello)
        self._hello, self._ws = hello, ws
        self._attempt = 0
        self._next_sample = 0
        self._connections += 1
        self._playback.begin(hello, at)
        self._put(hello, at)
        self._greeted.set()
        return Layout.of(hello)

    async def _frame(self, frame: WireFrame, at: float) -> None:
        self._received += 1
        self._playback.push(frame, at)
        self._put(frame, at)
        await self._recorder.frame(frame, at)

    async def _event(self, text: str, at: float) -> None:
        try:
            event = decode_event(text)
        except ProtocolError as error:
            _log.debug("ignored: %s", error)  # newer engines have newer events
            return
        self._put(event, at)
        await self._recorder.event(event)

    def _put(self, item: Hello | WireFrame | Event, at: float) -> None:
        self._buffer.push(item, at)
        self._news.set()


def _frame(message: str | bytes, layout: Layout) -> WireFrame:
    if isinstance(message, bytes):
        return decode_frame_bytes(message, layout)
    return decode_frame_json(message, layout)
