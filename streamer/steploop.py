"""The inference thread: runs one back end, step by step, for every open session."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from streamer.backends.base import MakeBackend, StepBackend
from streamer.clock import Clock
from streamer.durations import Durations
from streamer.errors import BackendError, GestureError
from streamer.metrics import Metrics
from streamer.slots import Slot, SlotTable
from streamer.spec import ModelSpec
from streamer.types import Float32, StepInputs, Window

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What one step gave one session.

    directions: [K, D, 3] as the network put them out, one pose for each frame of
    the step, NaN if it failed. voice: [K], 0..1. fresh: the state began anew in
    this step. finite: False if the state was spoilt, so that the next step will
    begin anew.
    """

    window: Window
    directions: Float32
    voice: Float32
    fresh: bool
    finite: bool


class Receiver(Protocol):
    """Who is told of a lane's results, in order, on the event loop."""

    def on_step(self, result: StepResult) -> None:
        """A step of this session is done."""
        ...

    def on_warning(self, message: str) -> None:
        """Something went wrong and the stream goes on."""
        ...

    def on_failure(self, error: BaseException) -> None:
        """No step will ever be done again."""
        ...


class Lane:
    """One session's way through the inference thread.

    `pending` is guarded by the loop's condition; `restart` is the inference
    thread's own: the next step begins a fresh state.
    """

    __slots__ = ("pending", "receiver", "restart", "slot")

    def __init__(self, slot: Slot, receiver: Receiver) -> None:
        self.slot = slot
        self.receiver = receiver
        self.pending = deque[Window]()
        self.restart = False


class StepLoop:
    """Runs one back end for many sessions.

    `open`, `submit`, `change`, `drop` and `close` belong to the event loop and
    never wait for a step. `_run` is the inference thread and alone touches the
    back end and its state: it takes the next window of every session that has
    one, and runs them as one step. Each session's windows run in order and none
    is left out. A back end that fails is replaced by the next of `fallback`.
    """

    def __init__(
        self,
        make_backend: MakeBackend,
        *,
        slots: int,
        fallback: Sequence[MakeBackend],
        warm_up: Callable[[StepBackend[Any]], Float32],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._make = deque([make_backend, *fallback])
        self._warm_up = warm_up
        self._table = SlotTable(slots)
        self._lanes = dict[int, Lane]()
        self._ready = dict[int, Lane]()
        self._condition = threading.Condition()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opened: Future[Float32] = Future()
        self.steps = Durations()
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()
        self.rest: Float32 = self._opened.result()
        """What `warm_up` returned, once the first back end ran."""

    @property
    def spec(self) -> ModelSpec:
        """The model that runs."""
        return self._spec

    @property
    def backend(self) -> str:
        """Name of the back end that runs now."""
        return self._backend.name

    @property
    def free(self) -> int:
        """Slots that nobody has."""
        return self._table.free

    def open(self, receiver: Receiver) -> Lane:
        """Take a slot; raises `UsageError` when all are taken."""
        self._loop = asyncio.get_running_loop()
        if not self._thread.is_alive():
            raise BackendError("the engine has stopped; start it again")
        lane = Lane(self._table.acquire(), receiver)
        with self._condition:
            self._lanes[lane.slot.index] = lane
        return lane

    def submit(self, lane: Lane, windows: Sequence[Window]) -> None:
        """Queue windows of a session."""
        if not windows:
            return
        with self._condition:
            lane.pending.extend(windows)
            self._ready[lane.slot.index] = lane
            self._condition.notify()

    def change(self, lane: Lane, change: Callable[[Window], Window]) -> None:
        """Replace each window that no step has taken yet."""
        with self._condition:
            lane.pending = deque(map(change, lane.pending))

    def drop(self, lane: Lane) -> int:
        """Forget the windows that no step has taken yet; return how many."""
        with self._condition:
            dropped = len(lane.pending)
            lane.pending.clear()
            self._ready.pop(lane.slot.index, None)
        return dropped

    def close(self, lane: Lane) -> None:
        """Give the slot back; results that are under way go nowhere."""
        if self._table.owns(lane.slot):
            self.drop(lane)
            with self._condition:
                del self._lanes[lane.slot.index]
            self._table.release(lane.slot)

    def shut_down(self) -> None:
        """Stop the thread after the step that runs, and close the back end."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        self._thread.join()

    # -- the inference thread ------------------------------------------------

    def _run(self) -> None:
        try:
            self._backend = self._make.popleft()()
            self._spec = self._backend.spec
            self._state: Any = self._backend.initial_state(self._table.capacity)
            self._batch = _Batch(self._spec, self._table.capacity)
            rest = self._warm_up(self._backend)
        except BaseException as error:  # whoever constructs the loop waits for it
            self._opened.set_exception(error)
            return
        self._opened.set_result(rest)
        try:
            while taken := self._take():
                self._tell(self._hand_over, self._step(taken))
        except Exception as error:  # every session waits for it
            _log.debug("inference stopped", exc_info=True)
            self._tell(self._fail, error)
        finally:
            self._backend.close()

    def _take(self) -> list[tuple[Lane, Window]]:
        """Wait for windows; take one of each session that has any. Empty: stop."""
        with self._condition:
            while not self._ready and not self._stopping:
                self._condition.wait()
            if self._stopping:
                return []
            taken = [(lane, lane.pending.popleft()) for lane in self._ready.values()]
            self._ready = {i: lane for i, lane in self._ready.items() if lane.pending}
        return taken

    def _step(self, taken: list[tuple[Lane, Window]]) -> list[tuple[Lane, StepResult]]:
        inputs = self._batch.fill(taken)
        began = self._clock()
        try:
            outputs, self._state = self._backend.step(inputs, self._state)
        except BackendError as error:
            outputs, self._state = self._fall_back(error, taken)
        took = self._clock() - began
        self.steps.add(took)
        self._metrics.step(took)
        shape = (-1, *outputs["directions"].shape[-2:])
        directions, voice = outputs["directions"], outputs["voice"]
        results = list[tuple[Lane, StepResult]]()
        for lane, window in taken:
            row = lane.slot.index
            finite = bool(np.isfinite(directions[row]).all())
            result = StepResult(
                window=window,
                directions=np.array(directions[row]).reshape(shape),
                voice=np.array(voice[row]).reshape(-1),
                fresh=window.start or lane.restart,
                finite=finite,
            )
            lane.restart = not finite
            results.append((lane, result))
        return results

    def _fall_back(self, error: BackendError, taken: list[tuple[Lane, Window]]) -> tuple[Any, Any]:
        """Run the step that failed on the next back end, from the old state if it can be read.

        A back end that raises has either not touched its state or refuses to
        save it.
        """
        while self._make:
            old = self._backend
            try:
                new = self._make.popleft()()
                if new.spec != self._spec:
                    new.close()
                    raise BackendError(f"{new.name} runs another model")
                state, lost = self._move(old, new)
                outputs, state = new.step(self._batch.fill(taken), state)
            except GestureError as another:
                error = BackendError(f"{error}; then: {another}")
                continue
            old.close()
            self._backend = new
            kept = f"{lost} sessions start afresh" if lost else "nothing was lost"
            message = f"back end {old.name} failed ({error}); {new.name} took over, {kept}"
            _log.warning("%s", message)
            self._tell(self._warn, message)
            return outputs, state
        raise error

    def _move(self, old: StepBackend[Any], new: StepBackend[Any]) -> tuple[Any, int]:
        """Return a state for `new` with the sessions of `old`, and how many were lost."""
        state = new.initial_state(self._table.capacity)
        lost = 0
        with self._condition:
            lanes = list(self._lanes.values())
        for lane in lanes:
            try:
                state = new.restore(state, lane.slot.index, old.save(self._state, lane.slot.index))
            except BackendError:
                lane.restart = True
                lost += 1
        return state, lost

    def _tell(self, function: Callable[[Any], None], argument: Any) -> None:
        """Call a function on the event loop."""
        try:
            assert self._loop is not None  # windows come from sessions, which `open` made
            self._loop.call_soon_threadsafe(function, argument)
        except RuntimeError:
            # The program's loop has closed without closing the engine: nobody listens.
            _log.debug("results after the event loop closed")

    # -- back on the event loop ----------------------------------------------

    def _hand_over(self, results: list[tuple[Lane, StepResult]]) -> None:
        for lane, result in results:
            if not self._table.owns(lane.slot):
                continue
            try:
                lane.receiver.on_step(result)
            except Exception as error:  # one session's trouble; its consumer gets it
                self.close(lane)
                lane.receiver.on_failure(error)

    def _warn(self, message: str) -> None:
        for lane in tuple(self._lanes.values()):
            lane.receiver.on_warning(message)

    def _fail(self, error: BaseException) -> None:
        for lane in tuple(self._lanes.values()):
            lane.receiver.on_failure(error)


class _Batch:
    """The inputs of a step for all slots, filled row by row and reused."""

    def __init__(self, spec: ModelSpec, slots: int) -> None:
        self._tensors: dict[str, npt.NDArray[Any]] = {
            t.name: np.zeros((slots, *t.shape), np.dtype(t.dtype)) for t in spec.inputs
        }
        self._start = np.zeros(slots, np.bool_)
        self._ready = np.zeros(slots, np.bool_)
        self._inputs = StepInputs(tensors=self._tensors, start=self._start, ready=self._ready)

    def fill(self, taken: Sequence[tuple[Lane, Window]]) -> StepInputs:
        """Return the inputs in which these sessions are ready and no others."""
        self._ready[:] = False
        for lane, window in taken:
            row = lane.slot.index
            for name, tensor in window.tensors.items():
                self._tensors[name][row] = tensor
            self._start[row] = window.start or lane.restart
            self._ready[row] = True
        return self._inputs
