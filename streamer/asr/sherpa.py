"""sherpa-onnx: streaming transducers, Zipformer-CTC and Paraformer from a folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamer.asr.captions import is_ideograph
from streamer.asr.gate import Pcm
from streamer.asr.hearing import EVERY
from streamer.asr.hypothesis import Spoken
from streamer.clock import SAMPLE_RATE
from streamer.errors import InputError

_TAIL = np.zeros(round(0.6 * SAMPLE_RATE), np.float32)
_LAST_WORD = round(0.3 * SAMPLE_RATE)


def find_files(folder: Path) -> dict[str, Path]:
    """Return the model's files by part; raises `InputError` where the folder holds no model.

    Parts are encoder, decoder and joiner (a transducer), encoder and decoder
    (Paraformer) or model (Zipformer-CTC), always with `tokens.txt`. Of two
    precisions the int8 one is taken.
    """
    if not folder.is_dir():
        raise InputError(f"--asr sherpa:{folder}: no such folder")
    files = {"tokens": folder / "tokens.txt"}
    for part in ("encoder", "decoder", "joiner", "model"):
        found = sorted(folder.glob(f"{part}*.onnx"), key=lambda path: ".int8." not in path.name)
        if found:
            files[part] = found[0]
    whole = {"encoder", "decoder"} <= files.keys() or "model" in files
    if not whole or not files["tokens"].is_file():
        raise InputError(
            f"--asr sherpa:{folder}: no streaming model of sherpa-onnx; expected tokens.txt and "
            "encoder*.onnx, decoder*.onnx, joiner*.onnx (a transducer) or model*.onnx"
        )
    return files


class Sherpa:
    """One online recogniser; each utterance is a stream of its own."""

    every = EVERY

    def __init__(self, folder: Path, *, threads: int) -> None:
        import sherpa_onnx

        files = {part: str(path) for part, path in find_files(folder).items()}
        make: Any = sherpa_onnx.OnlineRecognizer
        options = {"num_threads": threads, "sample_rate": SAMPLE_RATE}
        if "joiner" in files:
            parts = ("tokens", "encoder", "decoder", "joiner")
            self._recogniser = make.from_transducer(**{p: files[p] for p in parts}, **options)
        elif "encoder" in files:
            parts = ("tokens", "encoder", "decoder")
            self._recogniser = make.from_paraformer(**{p: files[p] for p in parts}, **options)
        else:
            parts = ("tokens", "model")
            self._recogniser = make.from_zipformer2_ctc(**{p: files[p] for p in parts}, **options)
        self._stream: Any = None
        self._start = self._heard = 0

    def begin(self, sample: int) -> None:
        """Begin an utterance at a session sample."""
        self._start, self._heard = sample, 0
        self._stream = self._recogniser.create_stream()

    def feed(self, pcm: Pcm) -> None:
        """Hear the next samples of it."""
        self._heard += len(pcm)
        self._accept(pcm.astype(np.float32) / np.float32(32768))

    def words(self) -> Sequence[Spoken]:
        """Return the words so far."""
        result = self._recogniser.get_result_all(self._stream)
        end = self._start + self._heard
        return join_tokens(result.tokens, result.timestamps, start=self._start, end=end)

    def end(self) -> Sequence[Spoken]:
        """End the utterance, with silence that pushes its last word out, and return its words."""
        self._accept(_TAIL)
        self._stream.input_finished()
        self._decode()
        return self.words()

    def _accept(self, samples: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        self._stream.accept_waveform(SAMPLE_RATE, samples)
        self._decode()

    def _decode(self) -> None:
        while self._recogniser.is_ready(self._stream):
            self._recogniser.decode_stream(self._stream)


def join_tokens(
    tokens: Sequence[str], seconds: Sequence[float], *, start: int, end: int
) -> tuple[Spoken, ...]:
    """Join the pieces of a model into words with session samples.

    A piece that begins with a space (or with its sign in SentencePiece) begins
    a word; so does each ideograph, whose languages write no spaces. A word ends
    where the next begins, at most 0.3 s behind its last piece, and by `end`.
    """
    words = list[tuple[str, int, int]]()
    for token, at in zip(tokens, seconds, strict=False):
        sample = min(start + round(at * SAMPLE_RATE), end)
        text = token.replace("\u2581", " ")
        begins = text.startswith(" ") or is_ideograph(text[:1]) or not words
        text = text.strip()
        if not begins or (words and is_ideograph(words[-1][0][:1]) and not text):
            first, began, _ = words[-1]
            words[-1] = (first + text, began, sample)
        else:
            words.append((text, sample, sample))
    spoken = list[Spoken]()
    for i, (text, began, last) in enumerate(words):
        follows = words[i + 1][1] if i + 1 < len(words) else end
        if text:
            spoken.append(Spoken(text, began, max(min(last + _LAST_WORD, follows), began)))
    return tuple(spoken)
