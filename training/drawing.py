"""Draws a timeline: clips joined without jumps in place or speed, head and trunk on top."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from training import pose
from training.clips import Library
from training.listening import Heard
from training.planner import FPS, REST, Phase, Style, Timeline
from training.torso import push_out

Float = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# How fast a jump dies out, 1/s: at 10, half of it is left after 0.17 s.
_SETTLE = 9.5
_SETTLE_BETWEEN = 5.5  # from one gesture to the next one's start: slower than a stroke
_SETTLE_TRUNK = 7.0
_SETTLE_IDLE_ARM = 4.5
_SETTLE_HOME = 7.0
_LAG_SECONDS = 0.06
_SECOND_HAND = 0.9
_BEAT_SECONDS = 0.13
_BEAT_DEGREES = 3.0  # of a steady accent; a single one peaks at 2.8 times as much

_SPINE = pose.GROUPS.index("pelvis>spine3")
_CHEST = pose.GROUPS.index("spine3>neck")
_SHOULDERS = [pose.GROUPS.index(f"neck>{side}_shoulder") for side in ("left", "right")]


def draw(library: Library, timeline: Timeline, heard: Heard, codes: Ints, style: Style) -> Float:
    """Return the poses [S, 45, 3] of S steps.

    heard, codes: as given to the planner; nods follow the accents, gaze, sway
    and breath the code, slowly.
    """
    arms = _join(library, timeline, style)
    overlay = _overlay(library, heard, codes, style)
    overlay += _beats(library, timeline, heard, style)
    return push_out(pose.rotate(arms, overlay))


def _join(library: Library, timeline: Timeline, style: Style) -> Float:
    """Return the clips of a timeline, joined.

    At each cut what the body does differently from the new clip, in place and
    in speed, is kept as an offset that dies out critically damped.
    """
    steps = len(timeline.clip)
    out = np.empty((steps, *library.idle.shape))
    cuts = [0, *np.flatnonzero(timeline.cut[1:]) + 1, steps]
    last = before = library.idle
    for begin, end in pairwise(cuts):
        clip = int(timeline.clip[begin])
        times = timeline.time[begin:end]
        phase = Phase(int(timeline.phase[begin]))
        moving = phase in (Phase.PREPARE, Phase.STROKE)
        lead = times[0] - (style.pace / FPS if moving else 0.0)
        target = _target(library, clip, np.concatenate([[lead], times]), style)
        turn, residue = pose.offset(target[0], last)
        speed = (pose.between(before, last) - pose.between(target[0], target[1])) * FPS
        settle = _settle(library, clip, phase, style)[None, :, None]
        after = np.arange(1, end - begin + 1)[:, None, None] / FPS
        fade = np.exp(-settle * after)
        turned = (turn + (speed + settle * turn) * after) * fade
        kept = ((1 + settle * after) * fade)[:, pose.GROUP_OF] * residue
        out[begin:end] = pose.apply(target[1:], turned, kept)
        before = out[end - 2] if end - begin > 1 else last
        last = out[end - 1]
    return out


def _settle(library: Library, clip: int, phase: Phase, style: Style) -> Float:
    """Return how fast [G] an offset dies out, per group, in 1/s."""
    settle = np.full(pose.G, _SETTLE_BETWEEN if phase is Phase.HOLD else _SETTLE)
    settle[pose.TRUNK] = _SETTLE_TRUNK
    if clip == REST or phase is Phase.RETRACT:
        settle[:] = _SETTLE_HOME
        return settle
    for side in ("left", "right"):
        if side not in library.clips[clip].hands:
            settle[pose.ARMS[side]] = _SETTLE_IDLE_ARM
    return settle * style.pace


def _target(library: Library, number: int, times: Float, style: Style) -> Float:
    """Return the poses [n, 45, 3] of a clip at its own times, in the speaker's style."""
    if number == REST:
        return np.broadcast_to(library.idle, (len(times), *library.idle.shape))
    clip = library.clips[number]
    target = clip.at(times)
    amplitude = np.full(pose.G, style.amplitude)
    if len(clip.hands) == 2:
        # People's hands do not move alike: the second one is late and smaller.
        second = "left" if number % 2 else "right"
        vectors = pose.groups_to_vectors(pose.ARMS[second])
        target[:, vectors] = clip.at(times - _LAG_SECONDS)[:, vectors]
        amplitude[pose.ARMS[second]] *= _SECOND_HAND
    idle = np.broadcast_to(library.idle, target.shape)
    return pose.blend(idle, target, amplitude)


def _overlay(library: Library, heard: Heard, codes: Ints, style: Style) -> Float:
    """Return rotations [S, G, 3] to add: nods, gaze, lean, weight shift, breath."""
    steps = len(codes)
    code = np.clip(library.codes[codes], -2.0, 2.0)
    talking = _slow(heard.voiced.astype(float), 0.5)
    out = np.einsum("sk,kgx->sgx", _slow(3.5 * code[:, :4], 0.9), library.sway)
    accent = (heard.accent & heard.voiced).astype(float)
    nod = _slow(accent * FPS, 0.12) * 0.9 * style.amplitude
    gaze = _slow(code[:, 4:6], 0.35)
    shift = _slow(code[:, 7:10], 0.6) * style.amplitude
    breath = _slow(np.sign(code[:, 10]), 0.7)
    degrees = np.zeros((steps, pose.G, 3))
    # The whole upper body turns and leans; hands and head go along.
    degrees[:, :, 1] = 4.0 * talking[:, None] * shift[:, :1]
    degrees[:, _SPINE, 0] = 2.0 * talking * style.amplitude + (0.7 + 1.7 * talking) * shift[:, 1]
    degrees[:, _SPINE, 2] = (1.0 + 1.4 * talking) * shift[:, 2]
    degrees[:, _CHEST, 0] = 0.4 * degrees[:, _SPINE, 0] + 0.1 * nod - 0.8 * breath
    degrees[:, _CHEST, 2] = 0.5 * degrees[:, _SPINE, 2]
    degrees[:, _SHOULDERS[0], 2] = 1.0 * breath
    degrees[:, _SHOULDERS[1], 2] = -1.0 * breath
    degrees[:, pose.HEAD, 0] = nod + (1.0 + 2.0 * talking) * gaze[:, 1]
    degrees[:, pose.HEAD, 1] += (3.0 + 4.0 * talking) * gaze[:, 0]
    degrees[:, pose.HEAD, 2] = 2.0 * talking * _slow(code[:, 6], 0.4)
    return out + np.deg2rad(degrees)


def _beats(library: Library, timeline: Timeline, heard: Heard, style: Style) -> Float:
    """Return rotations [S, G, 3] of small downward beats of raised forearms on accents."""
    steps = len(timeline.clip)
    out = np.zeros((steps, pose.G, 3))
    accent = _slow((heard.accent & heard.voiced).astype(float) * FPS, _BEAT_SECONDS)
    for side, arm in pose.ARMS.items():
        uses = np.array([side in c.hands for c in library.clips] + [False])  # the last: REST
        raised = _slow(uses[timeline.clip].astype(float), 0.12)
        turn = np.deg2rad(_BEAT_DEGREES * style.amplitude) * accent * raised
        out[:, arm, 0] = turn[:, None] * np.array([0.3, 1.0, 1.0])
    return out


def _slow(signal: Float, seconds: float) -> Float:
    """Low-pass along the first axis, causal and critically damped: no jump in speed."""
    keep = np.exp(-1 / (seconds * FPS))
    once = lfilter([1 - keep], [1, -keep], signal, axis=0)
    return np.asarray(lfilter([1 - keep], [1, -keep], once, axis=0))
