import dataclasses
import itertools

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from streamer.clock import FrameClock
from streamer.comfort import Comfort, hanging
from streamer.comfort_settings import LIMITS, Settings, as_mapping, changed
from streamer.errors import UsageError
from streamer.gestures import GESTURES, Performance
from streamer.humanoid import BONE_INDEX, BONES
from streamer.retarget_inverse import bone_frames
from streamer.types import SkeletonFrame
from tests.takes import SPEC, frame, take

SOURCE = take(90)
CLOCK = FrameClock(fps=SPEC.fps)
ARMS = [i for i, b in enumerate(BONES) if b.startswith(("left", "right"))]


def run(comfort: Comfort, frames: range, **fields: object) -> list[SkeletonFrame]:
    return [comfort(dataclasses.replace(frame(SOURCE, n), **fields)) for n in frames]


def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return degrees between rotations."""
    return np.degrees((Rotation.from_quat(a).inv() * Rotation.from_quat(b)).magnitude())


def settled(**values: object) -> Comfort:
    """Return settings that were there from the start."""
    return Comfort(changed(Settings(), values))


def test_neutral_settings_change_nothing_bit_for_bit() -> None:
    comfort = Comfort()
    for n in range(90):
        given = frame(SOURCE, n)
        assert comfort(given) is given


def test_neutral_again_after_a_change_is_untouched_again() -> None:
    comfort = Comfort()
    run(comfort, range(10))
    comfort.change(Settings(amplitude=0.3))
    run(comfort, range(10, 20))
    comfort.change(Settings())
    run(comfort, range(20, 27))
    given = frame(SOURCE, 30)
    assert comfort(given) is given


@pytest.mark.parametrize(
    "values",
    [
        {"amplitude": 0.0},
        {"still": True},
        {"left": 0.0, "spread": 30.0},
        {"energy": 2.0},
        {"mood": "thinking"},
        {"torso_radius": 0.2},
    ],
)
def test_a_change_blends_over_and_never_jumps(values: dict[str, object]) -> None:
    """Between two frames there is never more than what the motion and a smooth blend make."""
    comfort, still = Comfort(), []
    given = frame(SOURCE, 0)
    for n in range(30):
        if n == 10:
            comfort.change(changed(Settings(), values))
        shown = comfort(dataclasses.replace(given, sample=CLOCK.start(n)))
        still.append(shown.rotations)
    steps = np.array([apart(a, b).max() for a, b in itertools.pairwise(still)])
    whole = apart(still[9], still[-1]).max()
    assert steps.max() < max(0.45 * whole, 3), "spread over 0.3 s, five frames"
    assert (np.sum(np.array(still[1:]) * np.array(still[:-1]), axis=-1) >= 0).all()


def test_amplitude_goes_from_hanging_through_as_computed_and_beyond() -> None:
    given = frame(SOURCE, 5)
    arm = BONE_INDEX["leftUpperArm"]
    whole = apart(hanging()[arm], given.rotations[arm])
    for amplitude in (0.0, 0.5, 1.2):
        got = settled(amplitude=amplitude)(given).rotations
        assert apart(hanging()[arm], got[arm]) == pytest.approx(amplitude * whole, abs=0.1)
        # the way there is the same
        turn = Rotation.from_quat(hanging()[arm]).inv() * Rotation.from_quat(given.rotations[arm])
        want = Rotation.from_quat(hanging()[arm]) * Rotation.from_rotvec(
            amplitude * turn.as_rotvec()
        )
        assert apart(want.as_quat(), got[arm]) < 0.1
    np.testing.assert_array_equal(got[:6], given.rotations[:6])


def test_masks_rest_their_part_and_nothing_else() -> None:
    given = frame(SOURCE, 5)
    for name, wanted in (
        ("left", lambda b: b.startswith("left")),
        ("right", lambda b: b.startswith("right")),
        ("head", lambda b: b in ("neck", "head")),
        ("body", lambda b: b in ("hips", "spine", "chest", "upperChest")),
        ("fingers", lambda b: any(f in b for f in ("Thumb", "Index", "Middle", "Ring", "Little"))),
    ):
        got = settled(**{name: 0.0})(given).rotations
        for i, bone in enumerate(BONES):
            if wanted(bone):
                assert apart(got[i], hanging()[i]) < 0.05, bone
            else:
                assert apart(got[i], given.rotations[i]) < 0.05, bone


def test_energy_scales_the_movement_and_keeps_where_it_is() -> None:
    arm = BONE_INDEX["leftLowerArm"]

    def shown(energy: float) -> np.ndarray:
        comfort = settled(energy=energy)
        # a hand that goes to and fro by 15 degrees, 2 times a second
        turns = Rotation.from_euler(
            "y", (40 + 15 * np.sin(np.arange(90) / 15 * 4 * np.pi))[:, None], degrees=True
        ).as_quat()
        out = []
        for n in range(90):
            rotations = np.tile(np.array([0, 0, 0, 1], np.float32), (44, 1))
            rotations[arm] = turns[n]
            given = dataclasses.replace(
                frame(SOURCE, 0), rotations=rotations, sample=CLOCK.start(n)
            )
            out.append(comfort(given).rotations[arm])
        return Rotation.from_quat(np.array(out[45:])).as_euler("yxz", degrees=True)[:, 0]

    once, half, twice = shown(1.0), shown(0.5), shown(1.8)
    assert np.ptp(half) == pytest.approx(0.5 * np.ptp(once), rel=0.15)
    assert np.ptp(twice) == pytest.approx(1.8 * np.ptp(once), rel=0.15)
    assert half.mean() == pytest.approx(once.mean(), abs=2)


def test_a_locked_arm_stays_while_the_other_moves() -> None:
    comfort = Comfort()
    held = run(comfort, range(10))[-1].rotations
    comfort.change(Settings(lock_left=True))
    later = run(comfort, range(10, 60))[-1].rotations
    left = [i for i in ARMS if BONES[i].startswith("left")]
    right = [i for i in ARMS if BONES[i].startswith("right")]
    assert apart(held[left], later[left]).max() < 0.05
    assert apart(SOURCE.rotations[59][right], later[right]).max() < 0.05
    comfort.change(Settings())
    free = run(comfort, range(60, 80))[-1].rotations
    np.testing.assert_array_equal(free, SOURCE.rotations[79])


def test_spread_moves_elbows_outwards() -> None:
    rest = dataclasses.replace(frame(SOURCE, 0), rotations=hanging())
    wide = settled(spread=25.0)(rest).rotations
    for elbow, sign in (("leftLowerArm", 1), ("rightLowerArm", -1)):
        i = BONE_INDEX[elbow]
        before, after = bone_frames(hanging())[0][i], bone_frames(wide)[0][i]
        assert sign * (after - before)[0] > 0.08
    np.testing.assert_array_equal(wide[:6], hanging()[:6])


def test_breathing_and_sway_are_small_and_never_stop() -> None:
    comfort = settled(breathing=1.0, sway=1.0)
    given = dataclasses.replace(frame(SOURCE, 0), root=np.zeros(3, np.float32))
    out = [comfort(dataclasses.replace(given, sample=CLOCK.start(n))) for n in range(15 * 30)]
    rotations = np.array([f.rotations for f in out])
    steps = np.array([apart(a, b).max() for a, b in itertools.pairwise(rotations)])
    assert 0 < steps.max() < 0.5
    assert apart(rotations[0], rotations[200]).max() < 6
    roots = np.array([f.root for f in out])
    assert 0.005 < np.ptp(roots[:, 0]) < 0.03
    assert not np.array_equal(rotations[-1], rotations[-30]), "also after half a minute"


def test_still_is_still() -> None:
    out = run(settled(still=True), range(60))
    assert apart(out[-1].rotations, out[20].rotations).max() < 1e-3
    assert apart(out[-1].rotations[ARMS], hanging()[ARMS]).max() < 0.05


def test_who_listens_leans_in_and_nods_and_who_speaks_does_not() -> None:
    head = BONE_INDEX["head"]
    given = dataclasses.replace(frame(SOURCE, 0), rotations=hanging())

    def heads(state: str, **values: object) -> np.ndarray:
        comfort = settled(attention=1.0, **values)
        out = []
        for n in range(150):
            shown = comfort(dataclasses.replace(given, sample=CLOCK.start(n), state=state))
            out.append(bone_frames(shown.rotations)[1][head])
        return apart(np.tile(np.array([0, 0, 0, 1]), (150, 1)), np.array(out))

    assert heads("speaking").max() == 0
    assert heads("listening")[60:].max() > 5
    assert np.ptp(heads("listening")[60:]) > 3, "a nod within four seconds"
    assert heads("speaking", mood="thinking")[60:].min() > 5, "told, whatever the voice does"


@pytest.mark.parametrize("name", GESTURES)
def test_every_gesture_moves_its_part_smoothly_and_ends(name: str) -> None:
    comfort = Comfort(Settings())
    given = dataclasses.replace(frame(SOURCE, 0), rotations=hanging())
    comfort(dataclasses.replace(given, sample=0))
    comfort.perform(Performance(name))
    out = [comfort(dataclasses.replace(given, sample=CLOCK.start(n))) for n in range(1, 75)]
    away = np.array([apart(f.rotations, hanging()).max() for f in out])
    assert away.max() > 8
    steps = np.array([apart(a.rotations, b.rotations).max() for a, b in itertools.pairwise(out)])
    assert steps.max() < 60, "15 frames a second; a wave is quick"
    last = dataclasses.replace(given, sample=CLOCK.start(75))
    assert comfort(last) is last, "and then nothing is left of it"
    moved = {
        b for i, b in enumerate(BONES) if any(apart(f.rotations[i], hanging()[i]) > 1 for f in out)
    }
    match name:
        case "nod" | "shake":
            assert moved == {"head"}
        case "wave" | "point":
            assert all(b.startswith("right") for b in moved)
        case "wave_left" | "point_left":
            assert all(b.startswith("left") for b in moved)
        case _:
            assert {b[:4] for b in moved} == {"left", "righ"[:4]}


def test_a_wave_lifts_the_hand_above_the_shoulder() -> None:
    show = Performance("wave")
    pose = show(hanging(), 0.8)
    assert pose is not None
    places, _ = bone_frames(pose)
    assert places[BONE_INDEX["rightHand"]][1] > places[BONE_INDEX["rightShoulder"]][1] + 0.03


def test_frames_that_come_out_are_read_only_and_unit() -> None:
    comfort = settled(amplitude=0.7, spread=10, breathing=1, torso_radius=0.15, filter="damped")
    for shown in run(comfort, range(40)):
        assert not shown.rotations.flags.writeable
        np.testing.assert_allclose(np.linalg.norm(shown.rotations, axis=-1), 1, atol=1e-5)
        assert shown.rotations.dtype == np.float32


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"amplitude": 7}, "amplitude: 7, expected 0 to 1.5"),
        ({"amplitude": "much"}, "expected 0 to 1.5"),
        ({"amplitude": True}, "expected 0 to 1.5"),
        ({"amplitude": float("nan")}, "expected 0 to 1.5"),
        ({"still": 1}, "expected true or false"),
        ({"filter": "kalman"}, "expected none, damped, one_euro"),
        ({"loudness": 1}, "no setting 'loudness'; there are amplitude"),
    ],
)
def test_settings_that_do_not_exist_or_fit(wanted: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        changed(Settings(), {"energy": 1.5, **wanted})


def test_every_number_has_limits_and_starts_within_them() -> None:
    for name, value in as_mapping(Settings()).items():
        if isinstance(value, float):
            low, high = LIMITS[name]
            assert low <= value <= high
    assert set(LIMITS) <= set(as_mapping(Settings()))
