"""What a recogniser hears in a store's clips: times are each clip's own."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from streamer.asr.process import BLOCK
from streamer.errors import InputError, UsageError
from training import transcribe
from training.loop.windows import HEARD, read_heard
from training.store.reader import Store

WORKER = Path(__file__).parents[1] / "asr_worker.py"
RATE = 16_000


class Clips:
    """A store of two clips; the worker says a final word in the blocks whose number is given."""

    def __init__(self, folder: Path, order: int = 2) -> None:
        self.folder, self.order = folder, order
        self.all_clips = (
            SimpleNamespace(name="a", words=()),
            SimpleNamespace(name="b", words=()),
        )
        self.said = {"a": (3,), "b": (0, 5)}

    def read(self, clip: Any) -> Any:
        audio = np.zeros(8 * BLOCK + 77, np.int16)
        for block in self.said[clip.name]:
            audio[block * BLOCK] = self.order
        return SimpleNamespace(audio=audio)


@pytest.fixture
def recogniser(monkeypatch: pytest.MonkeyPatch) -> None:
    command = (sys.executable, str(WORKER), "plain")
    monkeypatch.setattr(transcribe, "_command", lambda name: command)


async def test_words_have_their_clip_s_times(tmp_path: Path, recogniser: None) -> None:
    store = cast(Store, Clips(tmp_path))
    heard = await transcribe.transcribe(store, "worker")
    ends = {clip: [end for _, _, end in words] for clip, words in heard.items()}
    assert ends == {
        "a": [pytest.approx(4 * BLOCK / RATE)],
        "b": [pytest.approx(BLOCK / RATE), pytest.approx(6 * BLOCK / RATE)],
    }
    assert all(
        end - start == pytest.approx(100 / RATE) for w in heard.values() for _, start, end in w
    )
    (tmp_path / HEARD).write_text(json.dumps(heard), "utf-8")
    back = read_heard(store)
    assert [(w.text, w.end_s) for w in back["b"]] == [(t, e) for t, _, e in heard["b"]]


async def test_a_recogniser_that_fails_is_named(tmp_path: Path, recogniser: None) -> None:
    with pytest.raises(InputError, match="worker: "):
        await transcribe.transcribe(cast(Store, Clips(tmp_path, order=3)), "worker")


def test_what_is_no_recogniser() -> None:
    for name in ("none", "external", "loud"):
        with pytest.raises(UsageError):
            transcribe._command(name)
