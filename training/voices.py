"""Free synthetic voices with word times: flite and espeak-ng through their C libraries.

Both are system packages (`flite`, `espeak-ng`); the commands that come with
them do not tell when each word is spoken, the libraries do.
"""

import _ctypes
import ctypes
import ctypes.util
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from streamer.errors import UsageError

Float32 = npt.NDArray[np.float32]

FLITE_VOICES = ("kal16", "awb", "rms", "slt")
ESPEAK_VOICES = (
    "en",
    "en-us",
    "en-gb-x-rp",
    "en-gb-scotland",
    "en-029",
    "en-us+f2",
    "en-us+f3",
    "en-us+f4",
    "en+f5",
    "en-us+m3",
    "en+m5",
    "en-us+m7",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A voice of an engine. rate: 1 is its usual speed. pitch: 1 its usual height."""

    engine: str
    name: str
    rate: float
    pitch: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenWord:
    """A word and when it is spoken, in seconds of its utterance."""

    text: str
    start: float
    end: float


def speak(voice: Voice, text: str) -> tuple[Float32, int, tuple[SpokenWord, ...]]:
    """Return what a voice says: samples, their rate, the words with their times."""
    # Both engines draw their breath noise from the C library's generator.
    ctypes.CDLL(None).srand(1)
    match voice.engine:
        case "flite":
            return _flite(voice, text)
        case "espeak":
            return _espeak(voice, text)
        case other:
            raise UsageError(f"no speech engine {other!r}; there are flite and espeak")


class _Wave(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    )


def _library(name: str, package: str) -> ctypes.CDLL:
    path = ctypes.util.find_library(name)
    if path is None:
        raise UsageError(f"lib{name} is not installed; install the system package {package}")
    return ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)


@cache
def _flite_library() -> ctypes.CDLL:
    for needed in ("flite_usenglish", "flite_cmulex"):
        _library(needed, "flite")
    flite = _library("flite", "flite")
    pointer = ctypes.c_void_p
    flite.flite_synth_text.restype = pointer
    flite.flite_synth_text.argtypes = [ctypes.c_char_p, pointer]
    flite.utt_wave.restype = ctypes.POINTER(_Wave)
    flite.utt_wave.argtypes = [pointer]
    for walk in ("utt_relation", "relation_head", "item_next"):
        getattr(flite, walk).restype = pointer
    flite.utt_relation.argtypes = [pointer, ctypes.c_char_p]
    flite.relation_head.argtypes = [pointer]
    flite.item_next.argtypes = [pointer]
    flite.item_feat_string.restype = ctypes.c_char_p
    flite.item_feat_string.argtypes = [pointer, ctypes.c_char_p]
    flite.ffeature_float.restype = ctypes.c_float
    flite.ffeature_float.argtypes = [pointer, ctypes.c_char_p]
    flite.ffeature_string.restype = ctypes.c_char_p
    flite.ffeature_string.argtypes = [pointer, ctypes.c_char_p]
    flite.flite_feat_set_float.restype = None
    flite.feat_set_float.argtypes = [pointer, ctypes.c_char_p, ctypes.c_float]
    flite.delete_utterance.argtypes = [pointer]
    flite.flite_init()
    return flite


@cache
def _flite_voice(name: str) -> int:
    _flite_library()
    library = _library(f"flite_cmu_us_{name}", "flite")
    register = getattr(library, f"register_cmu_us_{name}")
    register.restype = ctypes.c_void_p
    register.argtypes = [ctypes.c_char_p]
    return int(register(None))


class _VoiceHead(ctypes.Structure):
    """The beginning of flite's `cst_voice`."""

    _fields_ = (("name", ctypes.c_char_p), ("features", ctypes.c_void_p))


def _flite(voice: Voice, text: str) -> tuple[Float32, int, tuple[SpokenWord, ...]]:
    flite, handle = _flite_library(), _flite_voice(voice.name)
    features = ctypes.cast(handle, ctypes.POINTER(_VoiceHead)).contents.features
    usual = {"kal16": 105.0, "awb": 130.0, "rms": 100.0, "slt": 170.0}[voice.name]
    flite.feat_set_float(features, b"duration_stretch", 1 / voice.rate)
    flite.feat_set_float(features, b"int_f0_target_mean", usual * voice.pitch)
    utterance = flite.flite_synth_text(text.encode("ascii", "ignore"), handle)
    if not utterance:
        raise UsageError(f"flite could not speak {text!r}")
    wave = flite.utt_wave(utterance).contents
    samples = _floats(np.ctypeslib.as_array(wave.samples, (wave.num_samples,)))
    rate = int(wave.sample_rate)
    words: list[SpokenWord] = []
    item = flite.relation_head(flite.utt_relation(utterance, b"Word"))
    first = b"R:SylStructure.daughter1.daughter1.R:Segment.p.end"
    last = b"R:SylStructure.daughtern.daughtern.R:Segment.end"
    while item:
        start, end = (float(flite.ffeature_float(item, f)) for f in (first, last))
        name = flite.item_feat_string(item, b"name").decode()
        if end > start:
            words.append(SpokenWord(text=name, start=start, end=end))
        item = flite.item_next(item)
    flite.delete_utterance(utterance)
    written = [word.strip(".,?!;:") for word in text.split()]
    if len(written) == len(words):  # flite leaves out apostrophes
        words = [
            SpokenWord(text=name, start=word.start, end=word.end)
            for name, word in zip(written, words, strict=True)
        ]
    return samples, rate, tuple(words)


class _Event(ctypes.Structure):
    """espeak-ng's `espeak_EVENT`."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)
_EVENT_LIST_ENDS, _EVENT_WORD, _EVENT_END = 0, 1, 5
_RETRIEVAL, _UTF8, _END_PAUSE, _RATE, _PITCH = 1, 1, 0x1000, 1, 3


@contextmanager
def _espeak_library() -> Generator[tuple[ctypes.CDLL, int], None, None]:
    """Load espeak-ng and unload it again: it remembers what it has said before.

    Initialising it twice does not help; only a fresh copy says the same again.
    """
    library = _library("espeak-ng", "espeak-ng")
    try:
        rate = int(library.espeak_Initialize(_RETRIEVAL, 0, None, 0))
        if rate <= 0:
            raise UsageError("espeak-ng does not start; install the system package espeak-ng-data")
        yield library, rate
    finally:
        library.espeak_Terminate()
        _ctypes.dlclose(library._handle)


def _espeak(voice: Voice, text: str) -> tuple[Float32, int, tuple[SpokenWord, ...]]:
    pieces: list[Float32] = []
    marks: list[tuple[int, int]] = []
    end_ms = 0

    def collect(wave: Any, count: int, events: Any) -> int:
        nonlocal end_ms
        if count > 0 and wave:
            pieces.append(_floats(np.ctypeslib.as_array(wave, (count,))))
        i = 0
        while events[i].type != _EVENT_LIST_ENDS:
            event = events[i]
            if event.type == _EVENT_WORD:
                marks.append((event.text_position - 1, event.audio_position))
            elif event.type == _EVENT_END:
                end_ms = max(end_ms, event.audio_position)
            i += 1
        return 0

    with _espeak_library() as (library, rate):
        callback = _CALLBACK(collect)
        library.espeak_SetSynthCallback(callback)
        if library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise UsageError(f"espeak-ng has no voice {voice.name!r}; see espeak-ng --voices")
        library.espeak_SetParameter(_RATE, round(165 * voice.rate), 0)
        library.espeak_SetParameter(_PITCH, round(min(50 * voice.pitch, 99)), 0)
        spoken = text.encode()
        library.espeak_Synth(spoken, len(spoken) + 1, 0, 1, 0, _UTF8 | _END_PAUSE, None, None)
        library.espeak_Synchronize()
    samples = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    return samples, rate, _espeak_words(text, marks, min(end_ms, 1000 * len(samples) // rate))


def _floats(samples: npt.NDArray[np.int16]) -> Float32:
    return (samples / np.float32(32768)).astype(np.float32)


def _espeak_words(
    text: str, marks: Sequence[tuple[int, int]], end_ms: int
) -> tuple[SpokenWord, ...]:
    """Join espeak's word events; a word ends where the next begins."""
    ends = [ms for _, ms in marks[1:]] + [end_ms]
    words: list[SpokenWord] = []
    for (position, start), end in zip(marks, ends, strict=True):
        name = text[position:].split()[0].strip(".,?!;:")  # espeak cuts at apostrophes
        if name and end > start:
            words.append(SpokenWord(text=name, start=start / 1000, end=end / 1000))
    return tuple(words)
