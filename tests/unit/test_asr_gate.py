"""Voice, here, is every frame whose first sample is not 0."""

import numpy as np
import pytest

from streamer.asr.gate import BEFORE, FRAME, LONGEST, PAUSE, Piece, VoiceGate, webrtc_gate
from streamer.asr.hearing import Hearing
from streamer.asr.hypothesis import Spoken
from tests.support import require


def gate() -> VoiceGate:
    return VoiceGate(lambda frame: frame[0] != 0)


def audio(pattern: str) -> np.ndarray:
    """A frame a character: `x` voice, `.` quiet; samples count up within a frame."""
    frame = np.arange(FRAME, dtype=np.int16)
    return np.concatenate([frame + 1 if c == "x" else frame for c in pattern])


def cut(gate: VoiceGate, samples: np.ndarray, size: int, start: int = 0) -> list[Piece]:
    pieces: list[Piece] = []
    for at in range(0, len(samples), size):
        pieces += gate.push(start + at, samples[at : at + size])
    return pieces


def utterances(pieces: list[Piece]) -> list[tuple[int, int]]:
    """Start and length in frames, checked to be whole and without gaps."""
    found: list[tuple[int, int]] = []
    start = at = -1
    for piece in pieces:
        if piece.first:
            assert start < 0
            start = at = piece.start
        assert piece.start == at
        at += len(piece.pcm)
        if piece.last:
            found.append((start // FRAME, (at - start) // FRAME))
            start = -1
    return found


def test_an_utterance_has_what_came_before_it_and_ends_in_a_pause() -> None:
    pattern = "." * 40 + "x" * 30 + "." * 60
    pieces = cut(gate(), audio(pattern), 320)
    # voice is believed in its 4th frame; 15 quiet frames before are kept
    assert utterances(pieces) == [(40 + 3 - BEFORE, BEFORE + 1 + 26 + PAUSE)]


@pytest.mark.parametrize("size", [1, 7, 319, 320, 1_000, 100_000])
def test_cutting_does_not_depend_on_chunks(size: int) -> None:
    pattern = "." * 5 + "x" * 12 + "." * 30 + "xx.x" * 6 + "." * 40
    samples = audio(pattern)[: 60 * FRAME if size == 1 else None]
    want = cut(gate(), samples, 320)
    got = cut(gate(), samples, size)
    assert utterances(got) == utterances(want)
    for a, b in ((want, got),):
        np.testing.assert_array_equal(
            np.concatenate([p.pcm for p in a]), np.concatenate([p.pcm for p in b])
        )


def test_a_click_is_no_utterance() -> None:
    assert cut(gate(), audio("." * 20 + "xxx" + "." * 40), 320) == []


def test_talk_without_a_pause_is_divided() -> None:
    pieces = cut(gate(), audio("x" * (3 * LONGEST)), 320)
    (first, length), (second, _) = utterances(pieces)[:2]
    assert LONGEST < length < LONGEST + 200
    assert second == first + length, "nothing is lost between them"


def test_a_gap_ends_an_utterance_and_times_go_on_behind_it() -> None:
    g = gate()
    pieces = cut(g, audio("x" * 20), 320)
    pieces += cut(g, audio("x" * 20 + "." * 40), 320, start=100 * FRAME)
    assert [start for start, _ in utterances(pieces)] == [0, 100]


def test_flush_ends_and_forgets() -> None:
    g = gate()
    pieces = [*cut(g, audio("x" * 20), 320), *g.flush()]
    assert utterances(pieces) == [(0, 20)]
    assert list(g.flush()) == []


def test_webrtc_hears_a_voice_and_no_silence() -> None:
    require(_has_webrtc(), "needs the asr extra (webrtcvad-wheels)")
    from importlib.resources import files

    from streamer.audio.file import AudioFile

    speech = files("streamer") / "data" / "demo" / "speech.flac"
    file = AudioFile(speech)  # type: ignore[arg-type]
    blocks = [block for block, _ in zip(file.blocks(), range(8), strict=False)]
    file.close()
    pcm = np.round(np.concatenate(blocks) * 32767).astype(np.int16)
    spoken = sum(len(piece.pcm) for piece in cut(webrtc_gate(), pcm, 320))
    assert spoken > 0.4 * len(pcm)
    assert cut(webrtc_gate(), np.zeros(32_000, np.int16), 320) == []


def _has_webrtc() -> bool:
    from importlib.util import find_spec

    return find_spec("webrtcvad") is not None


class Counter:
    """A decoder whose words are the frames that it was fed."""

    every = 5 * FRAME

    def __init__(self) -> None:
        self.log: list[str] = []

    def begin(self, sample: int) -> None:
        self.log.append(f"begin {sample // FRAME}")
        self.fed = 0

    def feed(self, pcm: np.ndarray) -> None:
        self.fed += len(pcm)

    def words(self) -> list[Spoken]:
        return [Spoken(str(self.fed // FRAME), 0, 1)]

    def end(self) -> list[Spoken]:
        return self.words()


def test_hearing_asks_now_and_then_and_at_the_end() -> None:
    decoder = Counter()
    hearing = Hearing(decoder, gate())
    said = hearing.push(0, audio("x" * 12)) + hearing.push(12 * FRAME, audio("x")) + hearing.flush()
    said += hearing.push(13 * FRAME, audio("x" * 6 + "." * 40))
    assert decoder.log == ["begin 0", "begin 13"]
    spoken = [(h.utterance, h.words[0].text, h.final, h.heard // FRAME) for h in said]
    assert spoken == [
        (0, "5", False, 12),
        (0, "10", False, 12),
        (0, "13", True, 13),
        *((1, str(n), False, 59) for n in (5, 10, 15, 20, 25, 30)),
        (1, "31", True, 59),
    ]
