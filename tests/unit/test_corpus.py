import ctypes.util
import json
from pathlib import Path

import numpy as np
import pytest

from streamer.clock import SAMPLE_RATE
from streamer.errors import UsageError
from tests.support import require
from training import pose
from training.__main__ import main
from training.arrays import save_arrays
from training.clips import Library, load_library
from training.corpus import Job, build_corpus
from training.plan_measures import accent_correlation, effective_clips
from training.sequences import FRAMES, LOOKAHEADS, Sources, deliver, draw_codes, make_sequence
from training.speech import Synthesiser, load_ljspeech

SPOKEN = [(20 + 5 * i, f"word{i}") for i in range(120)]


def test_saved_bytes_depend_on_the_values_alone(tmp_path: Path) -> None:
    arrays = {"a": np.arange(5), "style": np.array(3, np.int8), "w": np.array(["x", "yy"])}
    assert save_arrays(tmp_path / "a.npz", **arrays) == save_arrays(tmp_path / "b.npz", **arrays)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz") as loaded:
        assert loaded["style"].shape == ()
        assert loaded["w"].tolist() == ["x", "yy"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_codes_are_redrawn_every_one_to_two_seconds() -> None:
    codes = draw_codes(np.random.default_rng(1), 100, 5000)
    edges = np.flatnonzero(np.diff(codes)) + 1
    lengths = np.diff(edges)
    assert lengths.min() == 15
    assert lengths.max() == 30
    assert len(set(codes.tolist())) > 80


def test_words_arrive_by_the_delay_mixture() -> None:
    late, first_frames = {"exact": 0, "ahead": 0, "late": 0, "none": 0}, []
    dropped = wrong = total = 0
    for seed in range(400):
        arrivals = deliver(np.random.default_rng(seed), SPOKEN)
        if not arrivals:
            late["none"] += 1
            continue
        frames = [a.frame for a in arrivals]
        assert len(set(frames)) == len(frames)  # one word enters per frame
        assert frames == sorted(frames)
        assert max(frames) < FRAMES
        delay = float(np.median([a.frame - a.spoken for a in arrivals if a.final]))
        late["exact" if delay == 0 else "ahead" if delay < 0 else "late"] += 1
        first_frames.append(delay / 15)
        finals = [a for a in arrivals if a.final]
        total += len(SPOKEN)
        dropped += len(SPOKEN) - len({a.spoken for a in finals})
        wrong += len(arrivals) - len(finals)
        assert all(a.text.startswith("word") for a in finals)  # the wrong ones are corrected
    assert late["none"] / 400 == pytest.approx(0.15, abs=0.05)
    heard = 400 - late["none"]
    assert late["exact"] / heard == pytest.approx(0.2, abs=0.06)
    assert late["ahead"] / heard == pytest.approx(0.3, abs=0.07)
    assert late["late"] / heard == pytest.approx(0.5, abs=0.08)
    assert -1.0 <= min(first_frames)
    assert max(first_frames) <= 1.5
    assert dropped / total == pytest.approx(0.1, abs=0.02)
    assert wrong / total == pytest.approx(0.045, abs=0.015)


def test_effective_clips_counts_what_is_used() -> None:
    table = np.random.default_rng(0).normal(size=(10, 2, 3))
    assert effective_clips(table[[0, 1, 2, 3]].repeat(5, 0), table) == pytest.approx(4.0)
    assert effective_clips(table[[7]].repeat(9, 0), table) == pytest.approx(1.0)


def test_accent_correlation_finds_the_lag() -> None:
    generator = np.random.default_rng(0)
    accent = generator.random(600) < 0.08
    speed = np.roll(np.convolve(accent, [0.3, 1.0, 0.3], "same"), 3)
    lag, value = accent_correlation(accent, speed, np.ones(600, bool))
    assert lag == 3
    assert value > 0.9
    unrelated = accent_correlation(accent, generator.random(600), np.ones(600, bool))
    assert unrelated[1] < 0.25


@pytest.fixture(scope="module")
def sources(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Sources:
    missing = [n for n in ("flite", "espeak-ng") if ctypes.util.find_library(n) is None]
    require(not missing, f"needs the system packages {', '.join(missing)}")
    return Sources(
        library=load_library(shared / "data" / "smartbody_gestures"),
        recorded=load_ljspeech(shared / "data" / "speech_ljspeech"),
        synthesiser=Synthesiser(tmp_path_factory.mktemp("cache")),
        utterances=40,
    )


def of_kind(sources: Sources, kind: str) -> dict[str, np.ndarray]:
    for number in range(60):
        generator = np.random.default_rng([7, number])
        which = int(np.searchsorted([0.74, 0.93], generator.random()))
        if ("speech", "mixed", "nonspeech")[which] == kind:
            arrays = make_sequence(sources, 7, number)
            assert str(arrays["kind"]) == kind
            return arrays
    raise AssertionError(kind)


@pytest.fixture(scope="module")
def speech(sources: Sources) -> dict[str, np.ndarray]:
    return of_kind(sources, "speech")


def test_a_sequence_keeps_the_contract(sources: Sources, speech: dict[str, np.ndarray]) -> None:
    assert speech["audio"].dtype == np.int16
    assert abs(len(speech["audio"]) - FRAMES * SAMPLE_RATE / 15) <= 1
    assert speech["directions"].dtype == np.float16
    assert speech["directions"].shape == (len(LOOKAHEADS), FRAMES, 45, 3)
    norms = np.linalg.norm(speech["directions"].astype(np.float64), axis=-1)
    np.testing.assert_allclose(norms, 1.0, atol=2e-3)  # half precision
    assert speech["code"].dtype == np.int16
    assert speech["code"].shape == (FRAMES,)
    assert 0 <= speech["code"].min()
    assert speech["code"].max() < len(sources.library.clips)
    words = len(speech["word"])
    assert [len(speech[k]) for k in ("word_frame", "word_start", "word_final")] == [words] * 3
    assert speech["voiced"].dtype == bool
    assert speech["voiced"].shape == (FRAMES,)
    assert 0.2 < speech["voiced"].mean() < 0.9
    assert int(speech["style"]) in (0, 1, 2)


def test_a_plan_for_lookahead_a_is_a_steps_ahead(speech: dict[str, np.ndarray]) -> None:
    plans = speech["directions"]
    for i, ahead in enumerate(LOOKAHEADS):
        np.testing.assert_array_equal(plans[i, : FRAMES - ahead], plans[0, ahead:])


def test_speech_moves_the_hands_and_silence_rests_them(
    sources: Sources, speech: dict[str, np.ndarray]
) -> None:
    quiet = of_kind(sources, "nonspeech")
    assert not quiet["voiced"].any()
    assert len(quiet["word"]) == 0
    assert np.abs(quiet["audio"].astype(float)).max() > 100  # there is something to hear

    def speed(arrays: dict[str, np.ndarray]) -> np.ndarray:
        points = pose.positions(arrays["directions"][0].astype(np.float64))[:, pose.WRISTS]
        return np.linalg.norm(np.diff(points, axis=0), axis=-1) * 15

    assert speed(quiet).mean() < 0.05
    talk = speech["voiced"][1:]
    assert speed(speech)[talk].mean() > 8 * speed(quiet).mean()


def test_a_sequence_is_a_function_of_seed_and_number(
    sources: Sources, speech: dict[str, np.ndarray]
) -> None:
    seed, number = speech["seed"].tolist()
    again = make_sequence(sources, seed, number)
    for name, array in speech.items():
        np.testing.assert_array_equal(array, again[name], err_msg=name)


def test_a_corpus_is_reproducible_and_says_where_it_comes_from(
    sources: Sources, shared: Path, tmp_path: Path
) -> None:
    jobs = [
        Job(
            data=shared / "data",
            out=tmp_path / name,
            cache=tmp_path / "cache",
            hours=1 / 30,
            seed=5,
            jobs=processes,
        )
        for name, processes in (("a", 1), ("b", 2))
    ]
    first, second = (build_corpus(job) for job in jobs)
    assert first == second
    names = sorted(p.name for p in jobs[0].out.iterdir())
    assert names == ["0000.npz", "0001.npz", "codes.npz", "corpus.json", "corpus.png", "rest.npz"]
    for name in names:
        if name != "corpus.png":
            assert (jobs[0].out / name).read_bytes() == (jobs[1].out / name).read_bytes(), name
    assert json.loads((jobs[0].out / "corpus.json").read_text()) == first
    assert "LGPL-2.1" in json.dumps(first["licences"])
    assert set(first["held_apart"]["whole"]) == {"beat2_sample", "speech_jfk", "speech_librivox"}
    with np.load(jobs[0].out / "codes.npz") as codes:
        assert codes["table"].dtype == np.float32
        assert codes["table"].shape == (first["codes"], 12)
        assert len(codes["clip"]) == len(codes["gesture"]) == first["codes"]
    with pytest.raises(UsageError, match="already holds a corpus"):
        build_corpus(jobs[0])


@pytest.mark.parametrize("option", [["--hours", "0"], ["--jobs", "0"]])
def test_bad_use_is_one_line_and_exit_code_2(
    option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["corpus", "--out", str(tmp_path / "x"), *option]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_missing_data_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["corpus", "--out", str(tmp_path / "x"), "--data", str(tmp_path / "none")]
    assert main(arguments) == 2
    assert "smartbody_gestures" in capsys.readouterr().err


def test_a_library_is_what_the_codes_index(sources: Sources) -> None:
    library: Library = sources.library
    assert len(library.codes) == len(library.clips) == len(library.apexes)
