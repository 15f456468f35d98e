"""The engine: one model, one back end, many sessions."""

import time
from collections.abc import Sequence
from typing import Any
from weakref import WeakSet

import numpy as np

from streamer.backends.base import MakeBackend, StepBackend
from streamer.clock import SAMPLE_RATE, Clock
from streamer.durations import Durations
from streamer.metrics import Metrics, NoMetrics
from streamer.postprocess import MakeRetarget, unit_rest
from streamer.session import Session, SessionOptions
from streamer.spec import ModelSpec
from streamer.steploop import StepLoop
from streamer.types import AudioChunk, Float32, StepInputs
from streamer.vectors import unit
from streamer.windowing import Windower, style_mixture

_WARM_UP_S = 2


class Engine:
    """Opens sessions on one back end, which an inference thread runs.

    Everything here belongs to the event loop; making it loads the model and
    runs 2 s of silence through it, which warms it up and shows how it rests.
    fallback: makes the back ends that take over, in order, when one fails.
    retarget: makes each session's retargeting. Raises what the first back end
    raises.
    """

    def __init__(
        self,
        make_backend: MakeBackend,
        *,
        slots: int = 1,
        fallback: Sequence[MakeBackend] = (),
        retarget: MakeRetarget,
        clock: Clock = time.perf_counter,
        metrics: Metrics | None = None,
    ) -> None:
        self._clock = clock
        self._retarget = retarget
        self._metrics = metrics or NoMetrics()
        self._steps = StepLoop(
            make_backend,
            slots=slots,
            fallback=fallback,
            warm_up=rest_pose,
            clock=clock,
            metrics=self._metrics,
        )
        self._sessions = WeakSet[Session]()

    @property
    def spec(self) -> ModelSpec:
        """The model that runs."""
        return self._steps.spec

    @property
    def backend(self) -> str:
        """Name of the back end that runs now."""
        return self._steps.backend

    @property
    def free_slots(self) -> int:
        """How many sessions may still be opened."""
        return self._steps.free

    @property
    def step_times(self) -> Durations:
        """How long each step took."""
        return self._steps.steps

    def open_session(self, options: SessionOptions | None = None) -> Session:
        """Open a session; raises `UsageError` when every slot is taken or an option is wrong."""
        session = Session(
            self._steps,
            options or SessionOptions(),
            retarget=self._retarget,
            clock=self._clock,
            metrics=self._metrics,
        )
        self._sessions.add(session)
        return session

    def take_over(self, session: Session, other: "Engine") -> None:
        """Run another engine's session from now on; raises `UsageError` as `Session.move` does."""
        session.move(self._steps)
        other._sessions.discard(session)
        self._sessions.add(session)

    async def aclose(self) -> None:
        """Close every session and stop the inference thread."""
        for session in tuple(self._sessions):
            await session.aclose()
        self._steps.shut_down()


def rest_pose(backend: StepBackend[Any]) -> Float32:
    """Return the pose [D, 3] to which a model comes in silence, as unit vectors."""
    spec = backend.spec
    style = style_mixture(spec, None)
    windower = Windower(spec, lookahead=spec.default_lookahead, style=style, seed=0)
    silence = np.zeros(_WARM_UP_S * SAMPLE_RATE, np.float32)
    state = backend.initial_state(1)
    mean = unit_rest(spec.skeleton)
    directions = mean
    for window in windower.push_audio(AudioChunk(samples=silence, start=0, captured_at=0.0)):
        inputs = StepInputs(
            tensors={name: tensor[None] for name, tensor in window.tensors.items()},
            start=np.array([window.start]),
            ready=np.array([True]),
        )
        outputs, state = backend.step(inputs, state)
        directions = outputs["directions"][0].reshape(-1, *mean.shape)[-1]
    return unit(directions, mean)
