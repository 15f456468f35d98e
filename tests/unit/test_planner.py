import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.skeleton import load_skeleton
from training import pose
from training.clips import Clip, Library
from training.drawing import draw
from training.listening import Heard
from training.planner import REST, STYLES, Phase, Planner, Timeline
from training.smartbody import unit

STEPS = 120
LIVELY = STYLES[1]
ME, YOU, BEAT, BIG = range(4)


def make_library() -> Library:
    """Return four simple clips: arms that rise forward from a hanging pose, and turn."""
    idle = unit(load_skeleton("upper_body").mean.astype(np.float64))
    for side in ("left", "right"):
        arm = pose.groups_to_vectors(pose.ARMS[side])
        idle[arm] = unit(0.2 * idle[arm] + [0.1 if side == "left" else -0.1, -1.0, 0.1])
    idle = 0.5 * (idle + pose.mirror(idle))
    idle = unit(idle)
    clips: list[Clip] = []
    for name, hands, angles in (
        ("me", ("right",), (-1.0, -1.7)),
        ("you", ("left",), (-1.2, -1.8)),
        ("beat", ("right",), (-1.5, -1.0)),
        ("big", ("left", "right"), (-1.2, -2.2)),
    ):
        raised = np.interp(np.arange(61), [6, 18, 28, 60], [0.0, *angles, angles[1]])
        turn = np.zeros((61, pose.G, 3))
        for hand in hands:
            turn[:, pose.ARMS[hand], 0] = raised[:, None] * [0.4, 1.0, 1.0]
        clips.append(
            Clip(
                name=name,
                gesture=name,
                hands=hands,
                directions=pose.rotate(np.broadcast_to(idle, (61, *idle.shape)), turn),
                start=0.2,
                cocked=0.6,
                apex=28 / 30,
                release=1.2,
            )
        )
    codes = np.random.default_rng(0).normal(size=(4, 12))
    sway = np.random.default_rng(1).normal(scale=0.004, size=(4, pose.G, 3))
    return Library(clips=tuple(clips), codes=codes, idle=idle, sway=sway)


LIBRARY = make_library()


def hear(voice: list[tuple[int, int]], accents: list[int], steps: int = STEPS) -> Heard:
    voiced, accent = np.zeros(steps, bool), np.zeros(steps, bool)
    for begin, end in voice:
        voiced[begin:end] = True
    accent[accents] = True
    return Heard(loudness=np.where(voiced, -25.0, -70.0), voiced=voiced, accent=accent)


def run(
    heard: Heard, codes: np.ndarray | int = BEAT, words: dict[int, str] | None = None
) -> Timeline:
    steps = len(heard.voiced)
    arrivals = [(words or {}).get(n) for n in range(steps)]
    return Planner(LIBRARY, LIVELY).run(heard, np.broadcast_to(codes, (steps,)), arrivals)


def phases(timeline: Timeline) -> list[Phase]:
    """Return the phases in order, each once."""
    kept = [Phase(int(timeline.phase[0]))]
    for number in timeline.phase.tolist():
        if number != kept[-1]:
            kept.append(Phase(number))
    return kept


def test_silence_stays_idle() -> None:
    timeline = run(hear([], []))
    assert phases(timeline) == [Phase.IDLE]
    assert set(timeline.clip) == {REST}


def test_a_word_in_silence_moves_nothing() -> None:
    assert phases(run(hear([], []), words={30: "me"})) == [Phase.IDLE]


def test_voice_raises_the_hands_the_accent_strikes_and_silence_sends_them_home() -> None:
    timeline = run(hear([(20, 60)], [40]))
    assert phases(timeline) == [
        Phase.IDLE,
        Phase.PREPARE,
        Phase.HOLD,
        Phase.STROKE,
        Phase.HOLD,
        Phase.RETRACT,
        Phase.IDLE,
    ]
    assert timeline.phase[19] == Phase.IDLE
    assert timeline.phase[20] == Phase.PREPARE  # at the onset, not later
    assert timeline.phase[39] == Phase.HOLD
    assert timeline.phase[40] == Phase.STROKE  # at the accent
    home = int(np.flatnonzero(timeline.phase == Phase.RETRACT)[0])
    assert 7 <= home - 60 <= 12  # 0.5 to 0.8 s after the voice


def test_without_an_accent_the_hands_wait() -> None:
    assert Phase.STROKE not in phases(run(hear([(20, 60)], [])))


def test_a_stroke_takes_as_long_as_people_do() -> None:
    timeline = run(hear([(20, 100)], [50]))
    stroke = (timeline.phase == Phase.STROKE) & (timeline.time < LIBRARY.clips[BEAT].apex)
    assert 0.25 <= stroke.sum() / 15 <= 0.6


def test_the_clip_follows_the_code_at_once_until_the_stroke() -> None:
    codes = np.full(STEPS, BEAT)
    codes[35:] = YOU
    codes[52:] = ME
    timeline = run(hear([(20, 100)], [50]), codes)
    assert timeline.clip[34] == BEAT
    assert timeline.clip[35] == YOU
    assert timeline.cut[35]
    stroke = np.flatnonzero(timeline.phase == Phase.STROKE)
    assert set(timeline.clip[stroke]) == {YOU}  # a stroke is not changed
    assert timeline.clip[stroke[-1] + 1] == ME


def test_a_trigger_overrides_the_code_for_one_gesture_from_its_arrival() -> None:
    timeline = run(hear([(20, 110)], [80]), BEAT, {50: "big"})
    assert timeline.clip[49] == BEAT
    assert timeline.clip[50] == BIG
    assert timeline.phase[50] == Phase.STROKE
    assert timeline.triggered[50]
    assert timeline.clip[80] == BEAT  # the next one is the code's again


def test_triggers_keep_their_distance_and_unknown_classes_do_nothing() -> None:
    timeline = run(hear([(20, 110)], []), BEAT, {40: "me", 46: "you", 90: "no"})
    assert int(timeline.triggered.sum()) == 1


def test_a_calm_speaker_strikes_less() -> None:
    heard = hear([(10, 110)], list(range(15, 110, 9)))
    words: list[str | None] = [None] * STEPS
    codes = np.full(STEPS, BEAT)

    def strokes(style: int) -> int:
        timeline = Planner(LIBRARY, STYLES[style]).run(heard, codes, words)
        return int((timeline.cut & (timeline.phase == Phase.STROKE)).sum())

    assert strokes(0) < strokes(1)


events = st.lists(st.integers(0, STEPS - 1), max_size=25)
inputs = st.fixed_dictionaries(
    {
        "edges": events,
        "accents": events,
        "codes": st.lists(st.integers(0, 3), min_size=8, max_size=8),
        "words": st.dictionaries(
            st.integers(0, STEPS - 1), st.sampled_from(["me", "you", "big"]), max_size=8
        ),
        "style": st.integers(0, 2),
    }
)


def plan(case: dict, steps: int = STEPS) -> tuple[Timeline, np.ndarray]:
    voiced = np.zeros(steps, bool)
    for edge in case["edges"]:
        voiced[edge:] ^= True
    accent = np.zeros(steps, bool)
    accent[[a for a in case["accents"] if a < steps]] = True
    heard = Heard(loudness=np.where(voiced, -25.0, -70.0), voiced=voiced, accent=accent)
    codes = np.repeat(case["codes"], 15)[:steps]
    style = STYLES[case["style"]]
    words = [case["words"].get(n) for n in range(steps)]
    timeline = Planner(LIBRARY, style).run(heard, codes, words)
    return timeline, draw(LIBRARY, timeline, heard, codes, style)


@settings(max_examples=40, deadline=None)
@given(case=inputs)
def test_any_input_gives_a_bodily_possible_motion(case: dict) -> None:
    _, poses = plan(case)
    np.testing.assert_allclose(np.linalg.norm(poses, axis=-1), 1.0, atol=1e-6)
    wrists = pose.positions(poses)[:, pose.WRISTS]
    # Joined without jumps: under 0.35 m a frame (5 m/s), and speed changes gradually.
    assert np.linalg.norm(np.diff(wrists, axis=0), axis=-1).max() < 0.35
    assert np.linalg.norm(np.diff(wrists, n=2, axis=0), axis=-1).max() < 0.25


@settings(max_examples=25, deadline=None)
@given(case=inputs, step=st.integers(5, STEPS - 5), other=inputs)
def test_what_comes_later_changes_nothing_before(case: dict, step: int, other: dict) -> None:
    """Two inputs that agree up to a step give the same plan up to it."""
    spliced = {
        "edges": [e for e in case["edges"] if e < step] + [e for e in other["edges"] if e >= step],
        "accents": [a for a in case["accents"] if a < step]
        + [a for a in other["accents"] if a >= step],
        "codes": [
            a if 15 * i < step else b
            for i, (a, b) in enumerate(zip(case["codes"], other["codes"], strict=True))
        ],
        "words": {k: v for k, v in case["words"].items() if k < step}
        | {k: v for k, v in other["words"].items() if k >= step},
        "style": case["style"],
    }
    timeline, poses = plan(case)
    again, other_poses = plan(spliced)
    np.testing.assert_array_equal(timeline.clip[:step], again.clip[:step])
    np.testing.assert_array_equal(timeline.time[:step], again.time[:step])
    np.testing.assert_allclose(poses[:step], other_poses[:step], atol=1e-9)


def test_idle_is_alive_but_calm() -> None:
    steps = 600
    codes = np.repeat(np.random.default_rng(3).integers(0, 4, 30), 20)
    heard = hear([], [], steps)
    timeline = Planner(LIBRARY, LIVELY).run(heard, codes, [None] * steps)
    poses = draw(LIBRARY, timeline, heard, codes, LIVELY)
    wrists = pose.positions(poses)[:, pose.WRISTS]
    speed = np.linalg.norm(np.diff(wrists, axis=0), axis=-1) * 15
    assert 0.001 < speed.mean() < 0.05


def test_heads_nod_on_accents() -> None:
    heard, still = hear([(10, 110)], [60]), hear([(10, 110)], [])
    nose = pose.NAMES.index("neck>nose")
    codes = np.full(STEPS, BEAT)

    def height(events: Heard) -> np.ndarray:
        timeline = Planner(LIBRARY, LIVELY).run(events, codes, [None] * STEPS)
        return draw(LIBRARY, timeline, events, codes, LIVELY)[:, nose, 1]

    dip = height(still) - height(heard)
    assert abs(dip[:60]).max() < 1e-9
    assert dip[60:66].max() > 0.02


@pytest.mark.parametrize("number", [BIG])
def test_two_hands_do_not_move_alike(number: int) -> None:
    heard = hear([(10, 110)], [40, 60, 80])
    codes = np.full(STEPS, number)
    timeline = Planner(LIBRARY, LIVELY).run(heard, codes, [None] * STEPS)
    wrists = pose.positions(draw(LIBRARY, timeline, heard, codes, LIVELY))[:, pose.WRISTS]
    speed = np.linalg.norm(np.diff(wrists, axis=0), axis=-1)
    assert np.corrcoef(speed.T)[0, 1] < 0.99
