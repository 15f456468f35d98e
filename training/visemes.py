"""The mouth's vowel classifier: fitted to synthesised speech, measured on other voices.

    python -m training visemes --out streamer/data/mouth.json
    python -m training visemes --measure WAV TEXTGRID

Flite tells when each phone is spoken. A fit sees its voices `kal16`, `awb` and
`rms` with vocal tracts of many sizes, over noise; `slt` is kept for measuring.
"""

import argparse
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
import torch

from streamer.clock import SAMPLE_RATE
from streamer.errors import InputError, UsageError
from streamer.mouth import BANDS, CLASSES, HOP, REACH, WINDOW, Mouth, VowelNet, bands, vowel_net
from streamer.types import AudioChunk
from training.sentences import sentence

Float32 = npt.NDArray[np.float32]

SEEN: Final = ("kal16", "awb", "rms")
KEPT_APART: Final = "slt"

_HIDDEN: Final = 32
_SENTENCES: Final = 260
_TRACTS: Final = (0.84, 0.9, 0.96, 1.0, 1.06, 1.13, 1.22)
_LOUD_DB: Final = 24.0

# ARPABET to what a mouth shows; a diphthong is its first sound, then its second.
_SHOWN: Final[dict[str, tuple[str, ...]]] = {
    "aa": ("aa",), "ae": ("aa",), "ah": ("aa",), "ax": ("aa",),
    "ay": ("aa", "ih"), "aw": ("aa", "ou"),
    "ih": ("ih",), "iy": ("ih",), "y": ("ih",),
    "uw": ("ou",), "uh": ("ou",), "w": ("ou",),
    "eh": ("ee",), "ey": ("ee", "ih"),
    "ao": ("oh",), "ow": ("oh", "ou"), "oy": ("oh", "ih"),
    "m": ("none",), "b": ("none",), "p": ("none",), "f": ("none",), "v": ("none",),
    "s": ("none",), "z": ("none",), "sh": ("none",), "zh": ("none",), "ch": ("none",),
    "jh": ("none",), "t": ("none",), "d": ("none",), "k": ("none",), "g": ("none",),
    "th": ("none",), "dh": ("none",), "n": ("none",), "ng": ("none",), "hh": (),
    "l": (), "r": (), "er": (), "pau": ("none",), "sil": ("none",), "": ("none",),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """A phone by its ARPABET name, and when it is spoken, in seconds."""

    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spoken:
    """Speech at 16 kHz with its phones."""

    samples: Float32
    phones: tuple[Phone, ...]


def speak_phones(voice: str, text: str, *, tract: float = 1.0) -> Spoken:
    """Return what a flite voice says; tract: how much smaller its vocal tract shall be."""
    program = shutil.which("flite")
    if program is None:
        raise UsageError("flite is not installed; install the system package flite")
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "said.wav"
        told = [program, "-voice", voice, "-psdur", "-o", str(wav), "-t", text]
        said = subprocess.run(told, capture_output=True, text=True, check=True)
        samples, rate = soundfile.read(wav, dtype="float32")
    phones, start = list[Phone](), 0.0
    for name, end in re.findall(r"([a-z]+):([0-9.]+)", said.stdout):
        phones.append(Phone(name=name, start=start / tract, end=float(end) / tract))
        start = float(end)
    resampled = np.asarray(soxr.resample(samples, rate * tract, SAMPLE_RATE), np.float32)
    return Spoken(samples=resampled, phones=tuple(phones))


def read_textgrid(path: Path) -> tuple[Phone, ...]:
    """Return the tier `phones` of a Praat TextGrid; raises `InputError`."""
    text = path.read_text("utf-8")
    tier = text.partition('name = "phones"')[2]
    if not tier:
        raise InputError(f"{path.name}: no tier 'phones'")
    row = r'xmin = ([0-9.]+)\s+xmax = ([0-9.]+)\s+text = "([^"]*)"'
    return tuple(
        Phone(name=re.sub(r"[0-9]", "", name).lower(), start=float(start), end=float(end))
        for start, end, name in re.findall(row, tier)
    )


def labels(phones: Sequence[Phone], hops: int) -> npt.NDArray[np.int64]:
    """Return the class of each hop by its middle, -1 for a sound that shows nothing certain."""
    out = np.full(hops, -1, np.int64)
    middles = (np.arange(hops) * HOP + WINDOW / 2) / SAMPLE_RATE
    for phone in phones:
        shown = _SHOWN.get(phone.name, ())
        for i, name in enumerate(shown):
            step = (phone.end - phone.start) / len(shown)
            begin = phone.start + i * step
            out[(middles >= begin) & (middles < begin + step)] = CLASSES.index(name)
    return out


def examples(spoken: Spoken, colour: Float32 | None = None) -> tuple[Float32, Any, Float32]:
    """Return inputs, classes and levels of the hops of speech as `Mouth` would see them.

    colour: None for that of the speech itself.
    """
    found, levels = bands(spoken.samples)
    if colour is None:
        colour = found[levels > levels.max() - _LOUD_DB].mean(0)
    middle = slice(REACH, -REACH)
    clear = found - colour
    stack = np.concatenate([clear[: -2 * REACH], clear[middle], clear[2 * REACH :]], axis=-1)
    return stack, labels(spoken.phones, len(found))[middle], levels[middle]


def corpus(seed: int, count: int) -> Iterator[Spoken]:
    """Yield sentences by the voices that a fit may hear, over noise of many levels."""
    generator = np.random.default_rng([0x115, seed])
    for number in range(count):
        voice = SEEN[number % len(SEEN)]
        tract = float(_TRACTS[generator.integers(len(_TRACTS))])
        spoken = speak_phones(voice, sentence(generator), tract=tract)
        noise = generator.normal(size=len(spoken.samples)).astype(np.float32)
        noise = np.cumsum(noise) * 0.02 if generator.random() < 0.3 else noise
        level = float(np.sqrt((spoken.samples**2).mean())) * 10 ** -generator.uniform(0.7, 2.5)
        loud = noise / np.sqrt((noise**2).mean()) * level
        yield Spoken(samples=(spoken.samples + loud).astype(np.float32), phones=spoken.phones)


def fit(out: Path, *, sentences: int = _SENTENCES, epochs: int = 24, seed: int = 0) -> None:
    """Fit the classifier and write it."""
    torch.manual_seed(seed)
    parts = [examples(spoken) for spoken in corpus(seed, sentences)]
    x = torch.from_numpy(np.concatenate([p[0] for p in parts]))
    y = torch.from_numpy(np.concatenate([p[1] for p in parts]))
    x, y = x[y >= 0], y[y >= 0]
    found = [bands(spoken.samples) for spoken in corpus(seed + 1, 12)]
    colour = np.concatenate([b[v > v.max() - _LOUD_DB] for b, v in found]).mean(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(3 * BANDS, _HIDDEN), torch.nn.Tanh(), torch.nn.Linear(_HIDDEN, 6)
    )
    share = torch.bincount(y, minlength=6) / len(y)
    loss = torch.nn.CrossEntropyLoss(weight=share.rsqrt() / 6**0.5, label_smoothing=0.03)
    optimiser = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=1e-2)
    rounds = epochs * (len(x) // 512)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=8e-3, total_steps=rounds)
    for _ in range(rounds):
        pick = torch.randint(len(x), (512,))
        shift = 0.25 * torch.randn(512, 1)  # of what `Mouth` knows of the speaker by then
        optimiser.zero_grad()
        loss(net(x[pick] + shift), y[pick]).backward()
        optimiser.step()
        schedule.step()
    first, second = net[0], net[2]
    rounded = {
        "colour": colour,
        "first": first.weight.detach().T.numpy(),
        "first_bias": first.bias.detach().numpy(),
        "second": second.weight.detach().T.numpy(),
        "second_bias": second.bias.detach().numpy(),
    }
    # Four decimals of numbers about 1: the file is read by Python and by a page.
    text = {name: np.round(v.astype(np.float64), 4).tolist() for name, v in rounded.items()}
    out.write_text(json.dumps(text, separators=(",", ":")) + "\n", "utf-8", newline="\n")


def confusions(spoken: Spoken, net: VowelNet | None = None) -> npt.NDArray[np.int64]:
    """Return how often each class [6] was taken for each [6], by a `Mouth` as it runs."""
    mouth, out = Mouth(net), np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    wanted = labels(spoken.phones, len(spoken.samples) // HOP + 1)
    done = 0
    for start in range(0, len(spoken.samples), SAMPLE_RATE):
        part = spoken.samples[start : start + SAMPLE_RATE]
        mouth.hear(AudioChunk(samples=part, start=start, captured_at=0.0))
        first, shares, _ = mouth.shares(done, len(wanted))
        for hop, taken in enumerate(shares.argmax(-1).tolist(), first):
            if wanted[hop] >= 0:
                out[wanted[hop], taken] += 1
        done = first + len(shares)
    return out


def table(counts: npt.NDArray[np.int64]) -> str:
    """Return a confusion table in per cent, and the balanced accuracy."""
    rows = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    lines = ["spoken  " + "".join(f"{name:>7}" for name in CLASSES) + "     hops"]
    for name, row, total in zip(CLASSES, rows, counts.sum(1), strict=True):
        lines.append(f"{name:8}" + "".join(f"{100 * v:6.0f}%" for v in row) + f"{total:9}")
    vowels = counts[1:, 1:]
    right = vowels.trace() / max(vowels.sum(), 1)
    lines.append(
        f"right: {100 * np.diag(rows).mean():.0f}% balanced over six classes, "
        f"{100 * right:.0f}% of vowels taken for vowels"
    )
    return "\n".join(lines)


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser("visemes", help="the mouth's vowel classifier")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="fit it and write it here")
    parser.add_argument("--sentences", type=int, default=_SENTENCES, metavar="N")
    parser.add_argument(
        "--measure",
        type=Path,
        nargs=2,
        action="append",
        default=[],
        metavar=("WAV", "TEXTGRID"),
        help="recorded speech with phones; may be repeated",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Fit if asked to, and measure."""
    if options.out is not None:
        fit(options.out, sentences=options.sentences)
    net = vowel_net() if options.out is None else VowelNet.of(json.loads(options.out.read_text()))
    print(f"flite {KEPT_APART}, a voice it never heard")
    print(table(sum(confusions(s, net) for s in apart(40))))
    for wav, textgrid in options.measure:
        samples, rate = soundfile.read(wav, dtype="float32")
        heard = np.asarray(soxr.resample(samples, rate, SAMPLE_RATE), np.float32)
        print(f"\n{wav.name}")
        print(table(confusions(Spoken(samples=heard, phones=read_textgrid(textgrid)), net)))
    return 0


def apart(count: int) -> Iterator[Spoken]:
    """Yield sentences by the voice that is kept apart."""
    generator = np.random.default_rng([0x115, 0xAAA])
    for _ in range(count):
        yield speak_phones(KEPT_APART, sentence(generator))
