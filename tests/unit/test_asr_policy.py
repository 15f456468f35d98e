import pytest

from streamer.asr.hypothesis import Hypothesis, Spoken, spread
from streamer.asr.policy import Policy, WordPolicy


def said(text: str, *, final: bool = False, utterance: int = 0, heard: int = 20_000) -> Hypothesis:
    words = tuple(Spoken(t, 1_000 * i, 1_000 * i + 900) for i, t in enumerate(text.split()))
    return Hypothesis(utterance=utterance, words=words, heard=heard, final=final)


def told(policy: Policy, *hypotheses: Hypothesis) -> list[list[str]]:
    choose = WordPolicy(policy)
    return [
        [f"{w.text}{w.revision or ''}{'' if w.final else '~'}" for w in choose(h)]
        for h in hypotheses
    ]


LOG = (
    said("I"),
    said("I wreck"),
    said("I wreck a nice"),
    said("I recognise"),
    said("I recognise speech", final=True),
)


def test_final_only_waits_for_the_end() -> None:
    assert told("final_only", *LOG) == [[], [], [], [], ["I", "recognise", "speech"]]


def test_a_stable_prefix_needs_two_hypotheses_that_agree() -> None:
    assert told("stable_prefix", *LOG) == [
        [],
        ["I~"],
        ["wreck~"],
        [],  # the prefix ends where they disagree; what was told is not unsaid
        ["recognise1", "speech"],
    ]


def test_all_partials_tells_every_change_at_once() -> None:
    assert told("all_partials", *LOG) == [
        ["I~"],
        ["wreck~"],
        ["a~", "nice~"],
        ["recognise1~"],
        ["speech"],
    ]


def test_a_word_in_between_is_new_and_no_revision() -> None:
    assert told("all_partials", said("we go home"), said("we all go home")) == [
        ["we~", "go~", "home~"],
        ["all~"],
    ]


def test_revisions_count_up() -> None:
    assert told("all_partials", said("a"), said("b"), said("c")) == [["a~"], ["b1~"], ["c2~"]]


def test_the_next_utterance_starts_afresh() -> None:
    first, second = said("yes", final=True), said("yes", utterance=1, final=True)
    assert told("stable_prefix", first, second) == [["yes"], ["yes"]]


def test_case_and_punctuation_are_no_revision_and_noise_is_no_word() -> None:
    log = said("hello"), said("Hello, …"), said("Hello! there.", final=True)
    assert told("stable_prefix", *log) == [[], ["Hello,~"], ["there."]]


def test_words_that_are_known_too_late_are_left_out() -> None:
    late = said("one two", final=True, heard=1_900 + 48_000)
    assert told("final_only", late) == [[]]
    assert told("final_only", said("one two", final=True, heard=1_899 + 48_000)) == [["two"]]


@pytest.mark.parametrize("policy", ["final_only", "stable_prefix", "all_partials"])
def test_an_utterance_without_end_stays_bounded(policy: Policy) -> None:
    choose = WordPolicy(policy)
    words = [len(choose(said("la " * 10_000, final=True))) for _ in range(2)]
    assert words == [400, 0]


def test_a_phrase_is_spread_over_its_words_by_their_lengths() -> None:
    assert spread(" a bbb ", 1_000, 1_600) == (
        Spoken("a", 1_000, 1_200),
        Spoken("bbb", 1_200, 1_600),
    )
    assert spread("", 0, 10) == ()
