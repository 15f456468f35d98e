"""Word files: TextGrid long and short, tables, JSON; spelling as the datasets have it."""

import itertools
from pathlib import Path

import pytest

from streamer.errors import InputError
from training.convert.words import normalise, read_words

LONG = '''File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2.5
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "TextTier"
        name = "clicks"
        xmin = 0
        xmax = 2.5
        points: size = 1
        points [1]:
            number = 0.5
            mark = "x"
    item [2]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 2.5
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 2.5
            text = "AH0"
    item [3]:
        class = "IntervalTier"
        name = "Words"
        xmin = 0
        xmax = 2.5
        intervals: size = 4
        intervals [1]:
            xmin = 0
            xmax = 0.25
            text = ""
        intervals [2]:
            xmin = 0.25
            xmax = 1.0e0
            text = "Don't"
        intervals [3]:
            xmin = 1
            xmax = 1.5
            text = "say ""no"""
        intervals [4]:
            xmin = 1.5
            xmax = 2.5
            text = "5 [12] times"
'''
SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
2.5
<exists>
1
"IntervalTier"
"anything"
0
2.5
2
0
1
"hello"
1
2.5
"sp"
"""


def rows(folder: Path, name: str, text: str, encoding: str = "utf-8") -> list[tuple]:
    path = folder / name
    path.write_text(text, encoding)
    return [(w.text, round(w.start_s, 4), round(w.end_s, 4)) for w in read_words(path)]


def test_textgrid(tmp_path: Path) -> None:
    want = [
        ("dont", 0.25, 1.0),
        ("say", 1.0, 1.25),
        ("no", 1.25, 1.5),
        ("times", 1.5, 2.5),
    ]
    assert rows(tmp_path, "a.TextGrid", LONG) == want
    assert rows(tmp_path, "b.TextGrid", LONG, "utf-16") == want
    assert rows(tmp_path, "c.textgrid", SHORT) == [("hello", 0.0, 1.0)]


def test_a_real_textgrid(shared: Path) -> None:
    words = read_words(shared / "data/beat2_sample/speech_only/2_scott_0_2_2.TextGrid")
    assert [w.text for w in words[:5]] == ["so", "when", "i", "have", "time"]
    assert words[0].start_s == 1.45
    assert all(a.start_s <= b.start_s for a, b in itertools.pairwise(words))
    assert words[-1].end_s < 62


def test_tables(tmp_path: Path) -> None:
    want = [("hello", 0.5, 0.9), ("there", 1.0, 1.25)]
    assert rows(tmp_path, "a.tsv", "start\tend\tword\n0.5\t0.9\tHello\n1\t1.25\tthere\n") == want
    assert rows(tmp_path, "b.tsv", "0.5\t0.9\thello\n1.0\t1.25\tthere") == want
    assert rows(tmp_path, "c.csv", "text,start,end\nhello,0.5,0.9\nthere,1.0,1.25\n") == want
    assert rows(tmp_path, "d.csv", "") == []


def test_json(tmp_path: Path) -> None:
    want = [("hello", 0.5, 0.9)]
    assert rows(tmp_path, "a.json", '[{"word": "hello", "start": 0.5, "end": 0.9}]') == want
    wrapped = '{"words": [{"text": "hello", "start": 0.5, "end": 0.9}]}'
    assert rows(tmp_path, "b.json", wrapped) == want
    assert rows(tmp_path, "c.words.json", '[["hello", 0.5, 0.9]]') == want


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.TextGrid", "nothing of the kind"),
        ("b.TextGrid", SHORT[:120]),
        ("c.TextGrid", LONG.replace('"Words"', '"other"')),
        ("d.json", '{"no": 1}'),
        ("e.json", "[1, 2]"),
        ("f.json", "{"),
        ("g.tsv", "begin\tstop\tword\n1\t2\tx"),
        ("h.tsv", "0.5\tlate\tx\n"),
        ("i.csv", "0.5,0.9\n"),
    ],
)
def test_what_is_no_word_file_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(InputError, match=name):
        read_words(tmp_path / name)


def test_spelling() -> None:
    """ha2g.md 1.6; scripts that are not Latin stay."""
    assert normalise("Don't") == "dont"
    assert normalise("Café,") == "cafe"
    assert normalise("state-of-the-art") == "state of the art"
    assert normalise("42") == ""
    assert normalise("Привет!") == "привет"
    assert normalise("日本語") == "日本語"
