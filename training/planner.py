"""The causal planner: from what is heard by a frame to what the hands should do.

A state machine per step: idle, prepare, hold, stroke, retract (streaming.md,
"What follows" 1). Voice onset raises the hands; the next accent releases the
stroke; a trigger word acts from its arrival; silence retracts. Which clip is
played follows the gesture code at once until the stroke begins. Everything it
reads, the network has too: nothing here is random.

A step s consumes frame s of audio, of words and of codes. A plan with
lookahead A shows step n + A in pose frame n.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from training.clips import Library
from training.listening import Heard

Float = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FPS = 15
REST = -1
"""The clip number of the idle pose."""


class Phase(IntEnum):
    """What the hands are doing."""

    IDLE = 0
    PREPARE = 1
    HOLD = 2
    STROKE = 3
    RETRACT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a speaker gestures.

    amplitude: of the rotations away from idle. pace: speed of the clips, 1 as
    captured. patience_frames: silence after which the hands go home.
    spacing_frames: the least time from one release of a stroke to the next.
    """

    name: str
    amplitude: float
    pace: float
    patience_frames: int
    spacing_frames: int


STYLES = (
    Style(name="calm", amplitude=0.75, pace=0.85, patience_frames=8, spacing_frames=20),
    Style(name="lively", amplitude=1.0, pace=1.05, patience_frames=8, spacing_frames=10),
    Style(name="big", amplitude=1.18, pace=1.05, patience_frames=8, spacing_frames=10),
)

_PREPARE_SECONDS = 0.4
_STROKE_SECONDS = (0.3, 0.45)
_AFTER_SECONDS = (0.15, 0.35)
_PREPARE_WARP = (0.3, 1.4)
_STROKE_WARP = (0.6, 1.4)
_HURRY = 1.2
_TRIGGER_SPACING_FRAMES = 18
_TRIGGER_WAIT_FRAMES = 20
_ONSET_FRAMES = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timeline:
    """The plan per step [S], before it is drawn.

    clip: index in the library, `REST` for the idle pose. time: seconds in that
    clip. cut: a new segment begins here; the drawing blends over it. phase:
    of `Phase`. released: a stroke begins here. triggered: it is a word's.
    """

    clip: Ints
    time: Float
    cut: npt.NDArray[np.bool_]
    phase: Ints
    released: npt.NDArray[np.bool_]
    triggered: npt.NDArray[np.bool_]


class Planner:
    """Runs the state machine over one sequence."""

    def __init__(self, library: Library, style: Style) -> None:
        self._library = library
        self._style = style
        classes = {c.gesture for c in library.clips}
        self._of_class = {g: library.of_class(g) for g in classes}
        self._phase: Phase = Phase.IDLE
        self._clip = REST
        self._time = 0.0
        self._cut: bool = False
        self._pending = False
        self._wish: str | None = None
        self._wish_age = 0
        self._silence = 1_000
        self._since_release = 1_000
        self._since_trigger = 1_000
        self._fired = False

    def run(self, heard: Heard, codes: Ints, words: Sequence[str | None]) -> Timeline:
        """Return the timeline of S steps.

        heard: S frames. codes: [S] the code in force. words: the gesture class
        that a word arriving in each step triggers, None where none does.
        """
        rows: list[tuple[int, float, bool, int, bool, bool]] = []
        for step, code in enumerate(codes.tolist()):
            self._cut = self._fired = False
            self._step(bool(heard.voiced[step]), bool(heard.accent[step]), int(code), words[step])
            released = self._since_release == 0
            row = (self._clip, self._time, self._cut, int(self._phase), released, self._fired)
            rows.append(row)
        clip, time, cut, phase, released, fired = zip(*rows, strict=True)
        return Timeline(
            clip=np.array(clip),
            time=np.array(time),
            cut=np.array(cut),
            phase=np.array(phase),
            released=np.array(released),
            triggered=np.array(fired),
        )

    def _step(self, voiced: bool, accent: bool, code: int, word: str | None) -> None:
        self._silence = 0 if voiced else self._silence + 1
        self._since_release += 1
        self._since_trigger += 1
        self._hear_word(word)
        talking = self._silence < self._style.patience_frames
        accent = accent and self._since_release >= self._style.spacing_frames
        match self._phase:
            case Phase.IDLE | Phase.RETRACT:
                self._rest(voiced, accent, code)
            case Phase.PREPARE:
                self._prepare(accent, code, talking)
            case Phase.HOLD:
                self._hold(accent, code, talking)
            case Phase.STROKE:
                self._stroke(accent, code, talking)

    def _hear_word(self, word: str | None) -> None:
        if word in self._of_class and self._since_trigger >= _TRIGGER_SPACING_FRAMES:
            self._wish, self._wish_age, self._since_trigger = word, 0, 0
        elif self._wish is not None:
            self._wish_age += 1
            if self._wish_age > _TRIGGER_WAIT_FRAMES:
                self._wish = None

    def _choose(self, code: int) -> int:
        """Return the clip for a code: its own, or the nearest of a wished class."""
        if self._wish is None:
            return code
        of_class = self._of_class[self._wish]
        codes = self._library.codes
        return int(of_class[np.linalg.norm(codes[of_class] - codes[code], axis=1).argmin()])

    def _rest(self, voiced: bool, accent: bool, code: int) -> None:
        if not voiced:
            if self._phase is Phase.RETRACT and self._silence > 2 * FPS:
                self._phase: Phase = Phase.IDLE
            return
        chosen = self._library.clips[self._choose(code)]
        # A hand that is still on its way home goes straight to the raised pose.
        raised = self._phase is Phase.RETRACT and self._silence < FPS
        self._enter(Phase.PREPARE, self._choose(code), chosen.cocked if raised else chosen.start)
        self._pending = accent or self._wish is not None

    def _prepare(self, accent: bool, code: int, talking: bool) -> None:
        if not talking:
            self._enter(Phase.RETRACT, REST, 0.0)
            return
        self._follow(code)
        self._pending |= accent or self._wish is not None
        clip = self._library.clips[self._clip]
        whole = max(clip.cocked - clip.start, 1e-3)
        rate = np.clip(whole / _PREPARE_SECONDS, *_PREPARE_WARP) * self._style.pace
        self._time += rate * (_HURRY if self._pending else 1.0) / FPS
        if self._time >= clip.cocked:
            if self._pending:
                self._release()
            else:
                self._enter(Phase.HOLD, self._clip, clip.cocked)

    def _hold(self, accent: bool, code: int, talking: bool) -> None:
        if not talking:
            self._enter(Phase.RETRACT, REST, 0.0)
            return
        self._follow(code)
        if accent or self._wish is not None:
            self._release()

    def _follow(self, code: int) -> None:
        """Change to the clip of the code, at the same point of its preparation."""
        chosen = self._choose(code)
        if chosen == self._clip:
            return
        old, new = self._library.clips[self._clip], self._library.clips[chosen]
        done = (self._time - old.start) / max(old.cocked - old.start, 1e-3)
        time = new.start + min(done, 1.0) * (new.cocked - new.start)
        self._enter(self._phase, chosen, time)

    def _release(self) -> None:
        clip = self._library.clips[self._clip]
        self._enter(Phase.STROKE, self._clip, max(self._time, clip.cocked))
        self._fired = self._wish is not None
        self._wish, self._pending, self._since_release = None, False, 0

    def _stroke(self, accent: bool, code: int, talking: bool) -> None:
        clip = self._library.clips[self._clip]
        if self._time < clip.apex:
            whole = clip.apex - clip.cocked
            rate = np.clip(whole / np.clip(whole, *_STROKE_SECONDS), *_STROKE_WARP)
            self._time += rate * self._style.pace / FPS
            return
        whole = max(clip.release - clip.apex, 1e-3)
        rate = whole / np.clip(whole, *_AFTER_SECONDS)
        self._time = min(self._time + rate * self._style.pace / FPS, clip.release)
        again = accent or self._wish is not None
        if again or self._time >= clip.release:
            if not talking:
                self._enter(Phase.RETRACT, REST, 0.0)
                return
            chosen = self._choose(code)
            self._enter(Phase.HOLD, chosen, self._library.clips[chosen].cocked)
            if again:
                self._release()

    def _enter(self, phase: Phase, clip: int, time: float) -> None:
        self._cut |= phase != self._phase or clip != self._clip
        self._phase, self._clip, self._time = phase, clip, time
