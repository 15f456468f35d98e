"""Makes the speech of `--source demo`: `python tools/make_demo.py`.

Needs `flite` and `sox` (Debian packages of the same names) and, to verify,
`pocketsphinx`. Writes `speech.flac` and `words.json` to `streamer/data/demo/`.
The voice is flite's `rms` (CMU ARCTIC, free for any use): of the free voices
its pitch moves most (2.3 semitones standard deviation; slt 1.1, espeak-ng 1.8)
and a recogniser understands it as well as the best.

Word times are the synthesiser's own: each phrase is spoken alone, flite prints
when each of its phones ends, and each word takes as many phones as flite gives
it. A recogniser then aligns the finished audio with the same words; the two
must agree within 50 ms in the median, or nothing is written.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

RATE = 16_000
TARGET = Path(__file__).parents[1] / "streamer" / "data" / "demo"
SPEECH_DBFS = -20.0
PEAK_DBFS = -1.5
AGREEMENT_S = 0.05

# How long everything takes beside the voice's habit: a streamer is in no reading mood.
PACE = 0.92
# Phrase, how much slower than `PACE`, and the pause after it in seconds.
SCRIPT = (
    ("Hey everyone, welcome to the stream!", 1.0, 0.45),
    ("I talk, and my hands talk too.", 1.05, 0.5),
    ("No cameras, no suits, no wires.", 1.1, 0.35),
    ("All you need is a microphone, right here.", 1.0, 0.6),
    ("When I say something big, really big, my arms open wide.", 1.08, 0.45),
    ("When I say something small, I keep it close.", 1.05, 0.5),
    ("And if you want me to stop", 1.0, 0.3),
    ("Stop!", 1.15, 0.9),
    ("Can you see it? Does it look alive to you?", 1.0, 0.4),
    ("I really think so!", 1.05, 0.55),
    ("On one hand, it runs on any laptop.", 1.03, 0.3),
    ("On the other hand, it can move a whole crowd.", 1.03, 0.5),
    ("So everybody, all together, up, down, left, and right!", 1.1, 0.6),
    ("Who needs a script? We just talk, like people do.", 1.0, 0.55),
    ("Now let me be quiet for a moment, and rest.", 1.08, 5.0),
    ("And we are back! Thank you all for watching.", 1.0, 0.45),
    ("Any questions? Ask me, right now!", 1.05, 0.4),
)
LEAD_S = 0.3
# Clearer consonants and even loudness, as a streamer's voice chain does. No
# effect of it shifts time.
CHAIN = (
    "highpass 70 equalizer 250 1q -2 equalizer 3200 0.9q +3 treble +2 6000 "
    "compand 0.005,0.15 6:-60,-60,-40,-34,-20,-16,0,-8 0 -60 0"
).split()


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word and its times in seconds."""

    text: str
    start: float
    end: float


def main() -> int:
    """Make the demo, verify it and write it; return the exit code."""
    audio, words = assemble()
    audio = master(audio, words)
    apart = np.abs([a.start - b.start for a, b in zip(words, align(audio, words), strict=True)])
    median = float(np.median(apart))
    print(
        f"{len(audio) / RATE:.1f} s, {len(words)} words; "
        f"peak {dbfs(np.max(np.abs(audio))):.1f} dBFS, "
        f"speech {dbfs(speech_rms(audio, words)):.1f} dBFS; word onsets against pocketsphinx: "
        f"median {1000 * median:.0f} ms, 90 % within {1000 * np.quantile(apart, 0.9):.0f} ms"
    )
    if median > AGREEMENT_S:
        print("the recogniser and the synthesiser disagree about the words", file=sys.stderr)
        return 1
    TARGET.mkdir(parents=True, exist_ok=True)
    soundfile.write(TARGET / "speech.flac", audio, RATE, subtype="PCM_16", compression_level=1.0)
    rows = [
        json.dumps({"word": w.text, "start_s": round(w.start, 3), "end_s": round(w.end, 3)})
        for w in words
    ]
    text = "[\n  " + ",\n  ".join(rows) + "\n]\n"
    (TARGET / "words.json").write_text(text, encoding="utf-8")
    return 0


def assemble() -> tuple[npt.NDArray[np.float64], list[Word]]:
    """Return the raw voice and its words."""
    parts = [np.zeros(round(LEAD_S * RATE))]
    words: list[Word] = []
    for phrase, stretch, pause in SCRIPT:
        at = sum(map(len, parts)) / RATE
        audio, ends, phones = speak(phrase, PACE * stretch)
        spoken = words_of(phrase, phones, ends)
        # flite's own silence around the phrase gives way to the script's pauses.
        first, last = spoken[0].start, spoken[-1].end + 0.06
        parts += [
            fade(audio[round(first * RATE) : round(last * RATE)]),
            np.zeros(round(pause * RATE)),
        ]
        words += [
            Word(text=w.text, start=w.start - first + at, end=w.end - first + at) for w in spoken
        ]
    return np.concatenate(parts), words


def speak(
    text: str, stretch: float = 1.0
) -> tuple[npt.NDArray[np.float64], list[float], list[str]]:
    """Return flite's audio, and the end time and name of each of its phones."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.wav"
        options = ["--setf", f"duration_stretch={stretch}", "-psdur", "-t", text, "-o", str(out)]
        command = ["flite", "-voice", "rms", *options]
        stdout = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        audio, rate = soundfile.read(out)
    assert rate == RATE, rate
    pairs = [pair.split(":") for pair in stdout.split()]
    return audio, [float(end) for _, end in pairs], [phone for phone, _ in pairs]


def words_of(phrase: str, phones: list[str], ends: list[float]) -> list[Word]:
    """Return the words of a phrase with their times.

    Raises `ValueError` when the phones do not add up.
    """
    starts = [0.0, *ends[:-1]]
    spoken = [i for i, phone in enumerate(phones) if phone != "pau"]
    words: list[Word] = []
    for token in phrase.split():
        text = "".join(c for c in token.lower() if c.isalnum() or c == "'")
        count = sum(phone != "pau" for phone in speak(text)[2])
        mine, spoken = spoken[:count], spoken[count:]
        words.append(Word(text=text, start=starts[mine[0]], end=ends[mine[-1]]))
    if spoken:
        raise ValueError(f"{phrase!r}: {len(spoken)} phones belong to no word")
    return words


def fade(audio: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a phrase with 5 ms ramps at both ends, so that cuts do not click."""
    ramp = np.linspace(0, 1, RATE // 200)
    gain = np.ones(len(audio))
    gain[: len(ramp)] = ramp
    gain[-len(ramp) :] = ramp[::-1]
    return audio * gain


def master(audio: npt.NDArray[np.float64], words: list[Word]) -> npt.NDArray[np.float64]:
    """Return the voice through `CHAIN`, at `SPEECH_DBFS` in its words, below `PEAK_DBFS`."""
    with tempfile.TemporaryDirectory() as folder:
        raw, done = Path(folder) / "raw.wav", Path(folder) / "done.wav"
        soundfile.write(raw, audio * 0.7, RATE, subtype="FLOAT")
        subprocess.run(["sox", raw, done, *CHAIN], check=True)
        shaped, _ = soundfile.read(done)
    assert len(shaped) == len(audio), (len(shaped), len(audio))
    shaped *= 10 ** (SPEECH_DBFS / 20) / speech_rms(shaped, words)
    ceiling = 10 ** (PEAK_DBFS / 20)
    return ceiling * np.tanh(shaped / ceiling)


def speech_rms(audio: npt.NDArray[np.float64], words: list[Word]) -> float:
    """Return the root mean square over the words."""
    spoken = [audio[round(w.start * RATE) : round(w.end * RATE)] for w in words]
    return float(np.sqrt(np.mean(np.square(np.concatenate(spoken)))))


def dbfs(value: float) -> float:
    """Return an amplitude in decibels of full scale."""
    return 20 * float(np.log10(value))


def align(audio: npt.NDArray[np.float64], words: list[Word]) -> list[Word]:
    """Return the same words as pocketsphinx finds them in the audio."""
    from pocketsphinx import Decoder

    decoder = Decoder(loglevel="FATAL")
    decoder.set_align_text(" ".join(word.text for word in words))
    decoder.start_utt()
    decoder.process_raw((audio * 32767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    found = [
        Word(
            text=seg.word.split("(")[0], start=seg.start_frame / 100, end=(seg.end_frame + 1) / 100
        )
        for seg in decoder.seg()
        if not seg.word.startswith(("<", "["))
    ]
    if [w.text for w in found] != [w.text for w in words]:
        raise ValueError(f"pocketsphinx could not align the words: {[w.text for w in found]}")
    return found


if __name__ == "__main__":
    sys.exit(main())
