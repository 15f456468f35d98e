import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from streamer.asr.captions import LONGEST, Captions, join, lines
from streamer.asr.hypothesis import Hypothesis, Spoken
from streamer.errors import UsageError
from streamer.sinks.captions import CaptionSink, Format, cue
from streamer.sinks.file import open_recording
from streamer.types import Event, WordEvent
from tests.support import require


def spoken(text: str, every: int = 4_000, start: int = 0) -> tuple[Spoken, ...]:
    return tuple(
        Spoken(word, start + i * every, start + (i + 1) * every)
        for i, word in enumerate(text.split())
    )


def said(text: str, *, final: bool = False, utterance: int = 0) -> Hypothesis:
    return Hypothesis(utterance=utterance, words=spoken(text), heard=0, final=final)


def shown(events: list[Event]) -> list[str]:
    return [e.data["text"] + ("" if e.data["final"] else "~") for e in events]


def word(text: str, start: int, *, revision: int = 0) -> WordEvent:
    return WordEvent(text=text, start=start, end=start + 4_000, revision=revision)


def test_a_hypothesis_is_shown_as_it_grows_and_once_when_it_is_final() -> None:
    captions = Captions()
    captions.hypothesis(said("hello"))
    assert shown(captions.poll(1_600)) == ["hello~"]
    assert captions.poll(3_200) == [], "nothing new"
    captions.hypothesis(said("hello there"))
    assert captions.poll(3_300) == [], "at most ten times a second"
    assert shown(captions.poll(4_800)) == ["hello there~"]
    captions.hypothesis(said("hello bear", final=True))
    (event,) = captions.poll(6_400)
    assert (event.kind, event.sample) == ("caption", 0)
    assert event.data == {"text": "hello bear", "start": 0, "end": 8_000, "final": True}
    assert captions.poll(8_000) == []
    assert captions.end() == []


def test_a_recogniser_that_died_leaves_its_last_line() -> None:
    captions = Captions()
    captions.hypothesis(said("half a"))
    captions.hypothesis(said("again", utterance=1))
    assert shown(captions.poll(1_600)) == ["half a", "again~"]
    assert shown(captions.end()) == ["again"]


def test_long_talk_becomes_lines_that_can_be_read() -> None:
    words = spoken("one " * 60)
    rows = lines(words)
    assert [word for row in rows for word in row] == list(words)
    assert all(len(join(row)) <= LONGEST for row in rows)
    assert all(row[-1].end - row[0].start <= 6 * 16_000 for row in rows)
    pause = [*spoken("before"), *spoken("after", start=4_000 + 12_801)]
    assert [join(row) for row in lines(pause)] == ["before", "after"]


def test_scripts_without_spaces_get_none() -> None:
    assert join(spoken("今日 は 良い nice day 天気")) == "今日は良い nice day 天気"
    assert join(spoken("مرحبا بالعالم")) == "مرحبا بالعالم"


def test_words_become_lines_when_their_time_comes() -> None:
    captions = Captions()
    captions.word(word("world", 20_000))  # known ahead, and out of order
    captions.word(word("hello", 16_000))
    assert captions.poll(10_000) == []
    assert shown(captions.poll(16_000)) == ["hello~"]
    assert shown(captions.poll(20_000)) == ["hello world~"]
    captions.word(word("word", 20_000, revision=1))
    assert shown(captions.poll(22_000)) == ["hello word~"]
    assert captions.poll(39_999) == []
    (event,) = captions.poll(41_600)
    assert event.data == {"text": "hello word", "start": 16_000, "end": 24_000, "final": True}


def test_forget_takes_back_what_was_not_spoken_yet() -> None:
    captions = Captions()
    captions.word(word("now", 0))
    captions.word(word("later", 50_000))
    assert shown(captions.poll(1_600)) == ["now~"]
    captions.forget()
    assert shown(captions.end()) == ["now"]


def test_a_flood_is_few_events_and_absurd_words_are_cut() -> None:
    captions = Captions()
    for i in range(100_000):
        captions.word(word(f"w{i}", 0))
    captions.word(word("x" * 10_000, 0))
    captions.word(word(" \n\t\x00 ", 0))
    captions.word(word("a\nb", 0))
    events = captions.poll(1_600)
    assert len(events) <= 9
    every = [event.data["text"] for event in [*events, *captions.end()]]
    assert max(map(len, every)) <= LONGEST
    assert not any(c < " " for text in every for c in text)
    assert len(every) < 260


async def written(path: Path, form: Format, *events: Event) -> str:
    sink = CaptionSink(path, form)
    for event in events:
        await sink.event(event)
    await sink.aclose()
    return await asyncio.to_thread(path.read_text, "utf-8")


def caption(text: str, start: int, end: int, *, final: bool = True) -> Event:
    data = {"text": text, "start": start, "end": end, "final": final}
    return Event(kind="caption", sample=start, data=data)


THREE = (
    caption("inter", 0, 100, final=False),
    caption("1 < 2 & so on -->", 8_000, 40_000),
    Event(kind="word", sample=0, data={"text": "no"}),
    caption("short", 56_000, 57_000),
    caption("日本語 مرحبا", 64_000, 80_000),
    caption("overlaps", 70_000, 71_000),
)


async def test_webvtt(tmp_path: Path) -> None:
    assert await written(tmp_path / "a.vtt", "vtt", *THREE) == (
        "WEBVTT\n"
        "\n00:00:00.500 --> 00:00:02.500\n1 &lt; 2 &amp; so on --&gt;\n"
        "\n00:00:03.500 --> 00:00:04.000\nshort\n"
        "\n00:00:04.000 --> 00:00:05.000\n日本語 مرحبا\n"
        "\n00:00:05.000 --> 00:00:06.000\noverlaps\n"
    )


async def test_subrip(tmp_path: Path) -> None:
    assert await written(tmp_path / "a.srt", "srt", *THREE[:2], *THREE[3:4]) == (
        "1\n00:00:00,500 --> 00:00:02,500\n1 < 2 & so on ->\n"
        "\n2\n00:00:03,500 --> 00:00:04,500\nshort\n"
    )


def test_ffmpeg_reads_both_alike(tmp_path: Path) -> None:
    require(shutil.which("ffmpeg") is not None, "needs ffmpeg")
    texts = []
    for form in ("vtt", "srt"):
        path = tmp_path / f"a.{form}"
        asyncio.run(written(path, form, *THREE[3:]))
        done = subprocess.run(
            ["ffmpeg", "-v", "error", "-i", path, "-f", "srt", "-"], capture_output=True, check=True
        )
        texts.append(done.stdout.decode())
    assert texts[0] == texts[1]
    assert "日本語 مرحبا" in texts[0]
    assert texts[0].count("-->") == 3


async def test_a_stream_without_captions_is_a_file_without_cues(tmp_path: Path) -> None:
    assert await written(tmp_path / "a.vtt", "vtt") == "WEBVTT\n"
    assert await written(tmp_path / "a.srt", "srt") == ""


def test_hours_have_two_digits_or_more() -> None:
    assert cue("vtt", 1, 0, 16_000 * 360_000, "x").splitlines()[1] == (
        "00:00:00.000 --> 100:00:00.000"
    )


def test_what_was_written_is_whole_while_the_stream_runs(tmp_path: Path) -> None:
    path = tmp_path / "a.vtt"

    async def stream() -> None:
        sink = CaptionSink(path, "vtt")
        for event in THREE:
            await sink.event(event)

    asyncio.run(stream())  # and it is never closed
    text = path.read_text("utf-8")
    assert text.count("-->") == 3
    assert text.endswith("\n")


def test_record_takes_captions_by_suffix(tmp_path: Path) -> None:
    def no_hello() -> None:
        raise AssertionError

    for name in ("a.vtt", "a.SRT"):
        sink = open_recording(tmp_path / name, no_hello)  # type: ignore[arg-type]
        assert isinstance(sink, CaptionSink)
        assert sink.policy == "every"
    with pytest.raises(UsageError, match="cannot be written"):
        open_recording(tmp_path / "no" / "a.vtt", no_hello)  # type: ignore[arg-type]
