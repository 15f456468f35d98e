"""What holds for every log of words: no emitted step changes, no word is lost or told twice."""

from dataclasses import dataclass
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.asr.captions import LONGEST, Captions
from streamer.asr.hypothesis import Hypothesis, Spoken
from streamer.asr.policy import POLICIES, STALE, Policy, WordPolicy
from streamer.asr.timeline import FURTHEST, TimedWord, WordTimeline
from streamer.clock import FrameClock
from streamer.types import WordEvent
from streamer.words import normalise

CLOCK = FrameClock(fps=Fraction(15))
STEPS = 90
END = CLOCK.end(STEPS)
THOROUGH = settings(max_examples=60, deadline=None)


@dataclass(frozen=True)
class Told:
    word: WordEvent
    arrival: int


samples = st.integers(-FURTHEST - 5, END + FURTHEST + 5)
# any script, nothing, 10 000 characters, control characters, half an emoji
texts = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["", " ", "\x00", "…", "日本", "مرحبا", "हिन्दी", "🙂", "x" * 10_000, "don't"]),
)
events = st.builds(
    lambda text, start, length, final, revision: WordEvent(
        text=text, start=start, end=start + length, final=final, revision=revision
    ),
    texts,
    samples,
    st.integers(-1_000, 20_000),
    st.booleans(),
    st.integers(0, 3),
)
logs = st.lists(st.builds(Told, events, st.integers(0, END)), max_size=30).map(
    lambda log: sorted(log, key=lambda told: told.arrival)
)


def replay(log: list[Told]) -> list[TimedWord | None]:
    """Take every step as soon as its last sample is there, as the stream does."""
    timeline, steps, waiting = WordTimeline(CLOCK), [], list(log)
    for step in range(STEPS):
        while waiting and waiting[0].arrival < CLOCK.end(step):
            told = waiting.pop(0)
            timeline.push(told.word, told.arrival)
        steps.append(timeline.take(step))
    return steps


@THOROUGH
@given(logs, logs, st.integers(0, END))
def test_logs_that_agree_up_to_a_time_agree_on_every_step_up_to_it(
    first: list[Told], second: list[Told], time: int
) -> None:
    common = [told for told in first if told.arrival < time]
    left = common + [told for told in first if told.arrival >= time]
    right = common + [told for told in second if told.arrival >= time]
    complete = CLOCK.frames_in(time)
    assert replay(left)[:complete] == replay(right)[:complete]


@THOROUGH
@given(logs)
def test_a_word_enters_once_not_before_it_is_known_nor_before_it_is_spoken(
    log: list[Told],
) -> None:
    steps = replay(log)
    entered = [timed.word for timed in steps if timed is not None]
    left = list(log)
    for step, timed in enumerate(steps):
        if timed is None:
            continue
        told = next(t for t in left if t.word == timed.word)
        left.remove(told)
        assert CLOCK.end(step) > told.arrival
        assert CLOCK.end(step) > told.word.start
        assert timed.age == step - CLOCK.frame_of(max(told.word.start, 0))
        assert abs(told.word.start - told.arrival) <= FURTHEST
    assert len(entered) <= len(log)
    useful = [t for t in left if normalise(t.word.text) and 0 <= t.word.start < END // 2]
    near = [t for t in useful if abs(t.word.start - t.arrival) <= FURTHEST]
    assert not [t for t in near if t.arrival < END // 2], "a useful word never entered"


spoken = st.builds(
    lambda text, start, length: Spoken(text, start, start + length),
    st.sampled_from(["a", "b", "c", "d", "A", "?", "日"]),
    st.integers(0, 10_000),
    st.integers(0, 3_000),
)


@st.composite
def hypotheses(draw: st.DrawFn) -> list[Hypothesis]:
    out: list[Hypothesis] = []
    for utterance in range(draw(st.integers(1, 3))):
        for words in draw(st.lists(st.lists(spoken, max_size=6), min_size=1, max_size=5)):
            out.append(Hypothesis(utterance=utterance, words=tuple(words), heard=12_000))
        last = out[-1]
        out[-1] = Hypothesis(
            utterance=last.utterance, words=last.words, heard=last.heard, final=True
        )
    return out


@THOROUGH
@given(hypotheses(), st.sampled_from(POLICIES))
def test_after_the_final_hypothesis_every_word_of_it_was_told(
    said: list[Hypothesis], policy: Policy
) -> None:
    choose = WordPolicy(policy)
    told: list[str] = []
    for hypothesis in said:
        told += [normalise(word.text) for word in choose(hypothesis)]
        if hypothesis.final:
            words = [normalise(word.text) for word in hypothesis.words if normalise(word.text)]
            remaining = list(told)
            for word in words:
                assert word in remaining
                remaining.remove(word)
            told = []
            again = choose(hypothesis)
            assert again == [], "the same hypothesis again tells nothing"


@THOROUGH
@given(hypotheses())
def test_a_stable_prefix_waits_for_a_second_hypothesis(said: list[Hypothesis]) -> None:
    choose, before, utterance = WordPolicy("stable_prefix"), (), -1
    for hypothesis in said:
        if hypothesis.utterance != utterance:
            before, utterance = (), hypothesis.utterance
        texts = tuple(t for word in hypothesis.words if (t := normalise(word.text)))
        for word in choose(hypothesis):
            assert hypothesis.final or normalise(word.text) in before
            assert word.final == hypothesis.final
            assert word.end > hypothesis.heard - STALE
        before = texts


@THOROUGH
@given(st.lists(st.one_of(events, st.integers(1, 40_000)), max_size=60))
def test_captions_are_bounded_whatever_comes(script: list[WordEvent | int]) -> None:
    """Words at any time and polls in between: few events, short lines, none after the end."""
    captions, sample, told = Captions(), 0, []
    for item in script:
        if isinstance(item, WordEvent):
            captions.word(item)
        else:
            sample += item
            new = captions.poll(sample)
            assert len(new) <= 9
            told += new
            assert captions.poll(sample) == []
    told += captions.end()
    assert captions.end() == []
    for event in told:
        assert 0 < len(event.data["text"]) <= LONGEST
        assert 0 <= event.data["start"] <= event.data["end"]
