import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.asr.hypothesis import Hypothesis, Spoken
from streamer.asr.pipe import (
    Answer,
    Audio,
    Failed,
    Flush,
    Heard,
    Ready,
    answer_line,
    audio_bytes,
    flush_bytes,
    read_answer,
    read_message,
)

sample = st.integers(0, 2**53)
spoken = st.builds(Spoken, st.text(max_size=20), sample, sample)
said = st.builds(
    Hypothesis,
    utterance=sample,
    words=st.lists(spoken, max_size=5).map(tuple),
    heard=sample,
    final=st.booleans(),
)
answers = st.one_of(
    st.just(Ready()),
    st.builds(Failed, message=st.text()),
    st.builds(
        Heard,
        sample=sample,
        hypotheses=st.lists(said, max_size=3).map(tuple),
        flushed=st.booleans(),
    ),
)


@given(answers)
def test_answers_come_back_as_they_were(answer: Answer) -> None:
    line = answer_line(answer)
    assert line.count(b"\n") == 1
    assert read_answer(line) == answer


def test_messages_come_back_and_the_end_is_none() -> None:
    samples = np.array([0.0, 0.5, -1.0, 2.0, 1 / 32768], np.float32)
    stream = io.BytesIO(audio_bytes(123, samples) + flush_bytes() + audio_bytes(9, samples)[:-1])
    audio = read_message(stream)
    assert isinstance(audio, Audio)
    assert audio.start == 123
    np.testing.assert_array_equal(audio.pcm, [0, 16_384, -32_768, 32_767, 1])
    assert read_message(stream) == Flush()
    assert read_message(stream) is None, "cut off"
    assert read_message(stream) is None


@pytest.mark.parametrize(
    "line",
    [b"", b"Segmentation fault", b"[]", b"{}", b'{"heard": 1, "said": [1], "flushed": false}',
     b'{"heard": null, "said": [], "flushed": false}', b"\xff\xfe", b"7"],
)  # fmt: skip
def test_nonsense_is_an_error(line: bytes) -> None:
    with pytest.raises(ValueError, match="not an answer"):
        read_answer(line)
