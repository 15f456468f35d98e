"""A Whisper-like network from a local folder; loaded in its own process, never downloaded."""

import re
from pathlib import Path
from typing import Any

from streamer.asr.agreement import Transcribe
from streamer.asr.hypothesis import Spoken, spread
from streamer.clock import SAMPLE_RATE
from streamer.errors import InputError
from streamer.types import Float32

_MARK = re.compile(r"<\|.*?\|>")  # a token that is no text and slipped through
_NEEDED = ("config.json", "preprocessor_config.json")


def check_folder(folder: Path) -> None:
    """Raise `InputError` unless the folder looks like a speech model with safe weights."""
    if not folder.is_dir():
        raise InputError(f"--asr transformers:{folder}: no such folder")
    for name in _NEEDED:
        if not (folder / name).is_file():
            raise InputError(
                f"--asr transformers:{folder}: has no {name}; expected the folder of a "
                "speech-to-text model, as save_pretrained or a download of it leaves it"
            )
    if not any(folder.glob("*.safetensors")):
        raise InputError(
            f"--asr transformers:{folder}: has no *.safetensors; weights as pickles are not "
            "loaded, save the model again with safe_serialization=True"
        )


def load_transcriber(folder: Path, *, threads: int) -> Transcribe:
    """Load a model; return the function from a window to its words.

    Words have times of their own where the model can align them (Whisper with
    `alignment_heads`), else each phrase's time is spread over its words.
    """
    import torch
    from transformers import pipeline

    torch.set_num_threads(threads)
    recognise: Any = pipeline(
        "automatic-speech-recognition",
        model=str(folder),
        model_kwargs={"use_safetensors": True},
        trust_remote_code=False,
    )
    generation: Any = getattr(recognise.model, "generation_config", None)
    times = "word" if getattr(generation, "alignment_heads", None) else True
    if not recognise.model.can_generate():
        times = "word"  # CTC: its frames are times

    def transcribe(window: Float32) -> list[Spoken]:
        if not len(window):
            return []
        heard = {"raw": window, "sampling_rate": SAMPLE_RATE}
        found: Any = recognise(heard, return_timestamps=times)
        return _spoken(found.get("chunks", []), len(window))

    return transcribe


def _spoken(chunks: list[dict[str, Any]], length: int) -> list[Spoken]:
    """Return the words of a transcript's chunks; an end that is not known is the window's."""
    spoken = list[Spoken]()
    before = 0
    for chunk in chunks:
        first, last = chunk["timestamp"]
        start = before if first is None else min(round(first * SAMPLE_RATE), length)
        end = length if last is None else min(round(last * SAMPLE_RATE), length)
        start = max(start, before)
        text = _MARK.sub(" ", str(chunk["text"]))
        spoken += spread(text, start, max(end, start))
        before = start
    return spoken
