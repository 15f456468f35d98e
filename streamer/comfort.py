"""The person's settings, applied to poses between retargeting and sinks.

Neutral settings hand every pose on untouched. Order: what the model did is made
smaller or larger, parts of it rest, moods and idle motion come on top, a locked
arm stays, filters smooth, and last of all arms are kept out of the body.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from streamer.avatar import Avatar
from streamer.clock import SAMPLE_RATE
from streamer.comfort_filters import Damped, Lately, OneEuro, RotationFilter, scaled
from streamer.comfort_idle import add_breathing, add_mood, add_sway
from streamer.comfort_rate import StrokeGate
from streamer.comfort_settings import Settings
from streamer.comfort_torso import TorsoGuard
from streamer.gestures import Performance
from streamer.humanoid import BONE_INDEX, BONES
from streamer.rotation import about, aligned_all, multiply_all, slerp_all
from streamer.types import Float32, SkeletonFrame

BLEND_S: Final = 0.3
"""How long the pose takes from one setting to another."""

_EASE_S: Final = 0.4  # time constant with which moods come and go
_LATELY_S: Final = 1.0
_LONGEST_S: Final = 0.5  # frames further apart than this do not follow from each other

_LEFT: Final = np.array([b.startswith("left") for b in BONES])
_RIGHT: Final = np.array([b.startswith("right") for b in BONES])
_FINGERS: Final = np.array(
    [any(f in b for f in ("Thumb", "Index", "Middle", "Ring", "Little")) for b in BONES]
)
_HEAD: Final = np.array([b in ("neck", "head") for b in BONES])
_BODY: Final = np.array([b in ("hips", "spine", "chest", "upperChest") for b in BONES])
_ARMS: Final = (_LEFT | _RIGHT) & ~_FINGERS


def hanging() -> Float32:
    """Return the rotations [B, 4] of a body at ease: arms down, fingers a little bent."""
    pose = np.tile(np.array([0, 0, 0, 1], np.float32), (len(BONES), 1))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        pose[BONE_INDEX[f"{side}UpperArm"]] = about((0, 0, 1), -sign * np.radians(72))
        pose[BONE_INDEX[f"{side}LowerArm"]] = about((0, 1, 0), -sign * np.radians(18))
        for i, bone in enumerate(BONES):
            if bone.startswith(side) and _FINGERS[i] and "Thumb" not in bone:
                pose[i] = about((0, 0, 1), -sign * np.radians(18))
    return pose


class Comfort:
    """Applies the settings to one stream, frame by frame; any one thread may.

    What it remembers: the filter, where bones have been lately, locked arms, a
    gesture that is being performed. avatar: for keeping arms out of its body.
    """

    def __init__(self, settings: Settings | None = None, *, avatar: Avatar | None = None) -> None:
        self._settings = settings or Settings()
        self._neutral = _is_neutral(self._settings)
        self._rest = hanging()
        self._guard = TorsoGuard(avatar)
        self._filter: RotationFilter | None = None
        self._lately = Lately(_LATELY_S)
        self._strokes = StrokeGate(_ARMS)
        self._mood = np.zeros(2)  # listening, thinking: how much of it is shown
        self._locked: dict[str, Float32] = {}
        self._gesture: Performance | None = None
        self._shown: Float32 | None = None
        self._root = np.zeros(3, np.float32)
        self._from: tuple[Float32, Float32] | None = None
        self._blended_s = 0.0
        self._sample: int | None = None

    @property
    def settings(self) -> Settings:
        """The settings in effect."""
        return self._settings

    def change(self, settings: Settings) -> None:
        """Take other settings; the pose blends over within 0.3 s."""
        old, self._settings = self._settings, settings
        if old == settings:
            return
        self._neutral = _is_neutral(settings)
        if (old.filter, old.smoothing_ms) != (settings.filter, settings.smoothing_ms):
            self._filter = _filter(settings)
        if self._shown is not None:
            self._from, self._blended_s = (self._shown, self._root), 0.0

    def set_avatar(self, avatar: Avatar | None) -> None:
        """Keep arms out of another body from now on."""
        self._guard = TorsoGuard(avatar)

    def perform(self, gesture: Performance) -> None:
        """Begin a gesture now; one that is under way makes room for it."""
        if self._shown is not None:
            self._from, self._blended_s = (self._shown, self._root), 0.0
        self._gesture = gesture

    def __call__(self, frame: SkeletonFrame) -> SkeletonFrame:
        """Return the frame with the settings applied to its rotations and root.

        Positions and directions stay the model's. With neutral settings, once a
        change has blended over, the frame itself comes back.
        """
        dt = self._step(frame)
        s = self._settings
        idle = self._neutral and self._gesture is None and self._mood.max() < 1e-3
        if idle and self._from is None:
            self._shown, self._root = frame.rotations, frame.root
            return frame
        rotations, root = frame.rotations, frame.root
        if not idle:
            rotations, root = self._applied(frame, dt)
        rotations, root = self._blended(rotations, root, dt)
        if s.torso_radius > 0:
            rotations = self._guard(rotations, s.torso_radius)
        if self._shown is not None:
            rotations = aligned_all(rotations, self._shown)
        rotations.flags.writeable = root.flags.writeable = False
        self._shown, self._root = rotations, root
        return replace(frame, rotations=rotations, root=root)

    def _applied(self, frame: SkeletonFrame, dt: float) -> tuple[Float32, Float32]:
        s, seconds = self._settings, frame.sample / SAMPLE_RATE
        rotations, root = self._sized(frame.rotations, dt), frame.root
        self._toward_mood(frame, dt)
        if self._mood.max() >= 1e-3:
            rotations = add_mood(rotations, seconds, *self._mood.tolist())
        if self._gesture is not None:
            done = self._gesture(rotations, dt)
            if done is None:
                self._gesture = None
            else:
                rotations = done
        if s.breathing > 0:
            rotations = add_breathing(rotations, seconds, s.breathing)
        if s.sway > 0:
            rotations, root = add_sway(rotations, root, seconds, s.sway)
        if s.spread != 0:
            rotations = _spread(rotations, s.spread)
        rotations = self._with_locked(rotations)
        if self._filter is not None:
            rotations = self._filter(rotations, dt)
        return rotations, root

    def _sized(self, rotations: Float32, dt: float) -> Float32:
        """Return the model's motion made smaller or larger, and its parts put to rest."""
        s = self._settings
        lately = self._lately(rotations, dt)
        if s.energy != 1.0:
            rotations = scaled(lately, rotations, np.where(_ARMS, s.energy, 1.0))
        strokes = self._strokes(rotations, dt, s.rate)
        follow = np.where(_ARMS, s.amplitude * strokes, 1.0)
        follow = follow * np.where(_LEFT, s.left, 1.0) * np.where(_RIGHT, s.right, 1.0)
        follow = follow * np.where(_FINGERS, s.fingers, 1.0)
        follow = follow * np.where(_HEAD, s.head, 1.0) * np.where(_BODY, s.body, 1.0)
        if s.still:
            follow = np.zeros_like(follow)
        if (follow == 1.0).all():
            return rotations
        return scaled(self._rest, rotations, follow)

    def _toward_mood(self, frame: SkeletonFrame, dt: float) -> None:
        s = self._settings
        listens = s.mood == "listening" or (s.mood == "auto" and frame.state != "speaking")
        strength = max(s.attention, 0.5) if s.mood == "listening" else s.attention
        goal = np.array([strength if listens else 0.0, float(s.mood == "thinking")])
        self._mood = self._mood + (goal - self._mood) * (dt / (dt + _EASE_S))

    def _with_locked(self, rotations: Float32) -> Float32:
        s = self._settings
        for side, mask, locked in (("left", _LEFT, s.lock_left), ("right", _RIGHT, s.lock_right)):
            if not locked:
                self._locked.pop(side, None)
                continue
            held = self._locked.get(side)
            if held is None:
                held = self._locked[side] = rotations if self._shown is None else self._shown
            rotations = np.where(mask[:, None], held, rotations)
        return rotations

    def _blended(self, rotations: Float32, root: Float32, dt: float) -> tuple[Float32, Float32]:
        if self._from is None:
            return rotations, root
        self._blended_s += dt
        share = self._blended_s / BLEND_S
        if share >= 1:
            self._from = None
            return rotations, root
        weight = share * share * (3 - 2 * share)
        old, place = self._from
        mixed = place + (root - place) * np.float32(weight)
        return slerp_all(old, rotations, weight), mixed.astype(np.float32)

    def _step(self, frame: SkeletonFrame) -> float:
        """Return the seconds since the frame before; a new stream starts with none."""
        last, self._sample = self._sample, frame.sample
        if last is None:
            self._filter = _filter(self._settings)
            return 1 / 15
        return min(max((frame.sample - last) / SAMPLE_RATE, 0.0), _LONGEST_S)


_NEUTRAL: Final = Settings()


def _is_neutral(settings: Settings) -> bool:
    return replace(settings, mouth=1.0) == _NEUTRAL  # the mouth is no part of the pose


def _filter(settings: Settings) -> RotationFilter | None:
    match settings.filter:
        case "none":
            return None
        case "damped":
            return Damped(settings.smoothing_ms / 1000)
        case "one_euro":
            return OneEuro(settings.smoothing_ms / 1000)


def _spread(rotations: Float32, degrees: float) -> Float32:
    out = rotations.copy()
    for side, sign in (("left", 1.0), ("right", -1.0)):
        bone = BONE_INDEX[f"{side}UpperArm"]
        turn = np.array(about((0, 0, 1), sign * np.radians(degrees)), np.float32)
        out[bone] = multiply_all(turn, out[bone])
    return out
