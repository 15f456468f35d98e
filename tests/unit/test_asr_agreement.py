from collections.abc import Sequence

import numpy as np

from streamer.asr.agreement import LONG, LocalAgreement
from streamer.asr.hypothesis import Spoken
from streamer.types import Float32

SECOND = 16_000


class Oracle:
    """Transcribes a speech of one word a second, whose sample value is its number.

    It is wrong about the last word of every window, as networks are.
    """

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def __call__(self, window: Float32) -> Sequence[Spoken]:
        self.lengths.append(len(window))
        numbers = np.round(window * 32768).astype(int)
        words = list[Spoken]()
        for number in sorted(set(numbers)):
            (where,) = np.nonzero(numbers == number)
            whole = len(where) == SECOND
            text = f"w{number}" if whole else f"half{len(where)}"
            words.append(Spoken(text, int(where[0]), int(where[-1]) + 1))
        return words


def speech(seconds: int) -> np.ndarray:
    return np.repeat(np.arange(1, seconds + 1, dtype=np.int16), SECOND)


def test_windows_grow_then_give_up_what_is_agreed() -> None:
    oracle = Oracle()
    decoder = LocalAgreement(oracle)
    decoder.begin(5_000)
    pcm = speech(40)
    hypotheses = []
    for at in range(0, len(pcm), 24_000):  # 1.5 s: every other window ends within a word
        decoder.feed(pcm[at : at + 24_000])
        hypotheses.append(decoder.words())
    last = decoder.end()
    assert [w.text for w in last] == [f"w{i + 1}" for i in range(40)]
    assert [w.start for w in last] == [5_000 + i * SECOND for i in range(40)]
    assert max(oracle.lengths) <= LONG + 3 * SECOND, "the cost of a window is bounded"
    for words in hypotheses:
        texts = [w.text for w in words]
        assert texts[:-1] == [f"w{i + 1}" for i in range(len(texts) - 1)]


def test_the_next_utterance_knows_nothing_of_the_last() -> None:
    decoder = LocalAgreement(Oracle())
    decoder.begin(0)
    decoder.feed(speech(20))
    decoder.words()
    decoder.words()
    decoder.end()
    decoder.begin(1_000_000)
    decoder.feed(speech(1))
    assert decoder.end() == [Spoken("w1", 1_000_000, 1_016_000)]


def test_silence_says_nothing() -> None:
    decoder = LocalAgreement(lambda window: ())
    decoder.begin(0)
    decoder.feed(speech(1))
    assert list(decoder.words()) == list(decoder.end()) == []
