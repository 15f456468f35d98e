from fractions import Fraction

import pytest

from streamer.asr.scripted import ScriptedWords
from streamer.asr.timeline import CAPACITY, WordTimeline
from streamer.clock import FrameClock
from streamer.types import WordEvent

CLOCK = FrameClock(fps=Fraction(15))


def word(text: str, start: int, end: int | None = None) -> WordEvent:
    return WordEvent(text=text, start=start, end=start + 3_000 if end is None else end)


def taken(timeline: WordTimeline, steps: int) -> dict[int, tuple[str, int]]:
    out = {}
    for step in range(steps):
        if timed := timeline.take(step):
            out[step] = (timed.word.text, timed.age)
    return out


def test_a_late_word_enters_in_the_first_step_that_is_not_complete() -> None:
    timeline = WordTimeline(CLOCK)
    # step 14 ends at sample 16000 exactly: it was complete when the word came
    timeline.push(word("late", 10_000), arrival=16_000)
    assert taken(timeline, 30) == {15: ("late", 15 - 9)}


def test_a_word_one_sample_earlier_still_makes_the_step() -> None:
    timeline = WordTimeline(CLOCK)
    timeline.push(word("now", 10_000), arrival=15_999)
    assert taken(timeline, 30) == {14: ("now", 14 - 9)}


def test_a_word_that_is_known_ahead_waits_for_its_own_audio() -> None:
    timeline = WordTimeline(CLOCK)
    timeline.push(word("soon", 16_000), arrival=0)
    assert taken(timeline, 30) == {15: ("soon", 0)}


def test_one_word_a_step_in_order_of_their_steps() -> None:
    timeline = WordTimeline(CLOCK)
    for text, start in (("c", 2_000), ("a", 0), ("b", 100)):
        timeline.push(word(text, start), arrival=0)
    assert taken(timeline, 9) == {0: ("a", 0), 1: ("b", 1), 2: ("c", 1)}


def test_a_revision_enters_again_and_changes_nothing_taken() -> None:
    timeline = WordTimeline(CLOCK)
    first = word("wreck", 0)
    timeline.push(first, arrival=0)
    assert taken(timeline, 4) == {0: ("wreck", 0)}
    revised = WordEvent(text="recognise", start=0, end=3_000, revision=1)
    timeline.push(revised, arrival=4_300)
    timed = timeline.take(4)
    assert timed is not None
    assert (timed.word.revision, timed.age) == (1, 4)


@pytest.mark.parametrize(
    "useless",
    [word("", 0), word("?!", 0), word("far", 16_000 * 31), word("old", -16_000 * 31)],
)
def test_useless_words_are_dropped_and_counted(useless: WordEvent) -> None:
    timeline = WordTimeline(CLOCK)
    assert not timeline.push(useless, arrival=0)
    assert timeline.dropped == 1
    assert taken(timeline, 1_000) == {}


def test_a_negative_time_is_the_session_start_and_a_long_word_does_no_harm() -> None:
    timeline = WordTimeline(CLOCK)
    assert timeline.push(word("x" * 10_000, -5), arrival=-5)
    assert taken(timeline, 2)[0][1] == 0


def test_a_flood_is_bounded() -> None:
    timeline = WordTimeline(CLOCK)
    for _ in range(CAPACITY + 7):
        timeline.push(word("la", 0), arrival=0)
    assert timeline.dropped == 7
    assert len(taken(timeline, CAPACITY + 50)) == CAPACITY


def test_clear_forgets() -> None:
    timeline = WordTimeline(CLOCK)
    timeline.push(word("a", 0), arrival=0)
    timeline.clear()
    assert taken(timeline, 5) == {}


def test_scripted_words_are_told_once_when_they_arrive() -> None:
    script = ScriptedWords([word("b", 5_000, 6_000), word("a", 0, 1_000)], delay=100)
    assert [h.word.text for h in script.until(1_099)] == []
    assert [(h.word.text, h.arrival) for h in script.until(1_100)] == [("a", 1_100)]
    assert script.until(1_100) == []
    assert [h.word.text for h in script.until(99_999)] == ["b"]


def test_scripted_words_come_again_in_each_loop() -> None:
    script = ScriptedWords([word("a", 0, 1_000)], delay=0, period=10_000)
    heard = script.until(21_000)
    assert [(h.word.start, h.word.end, h.arrival) for h in heard] == [
        (0, 1_000, 1_000),
        (10_000, 11_000, 11_000),
        (20_000, 21_000, 21_000),
    ]
