"""What a microphone adds to a voice: noise, room, colour, level, and sounds that are no speech.

Everything is synthesised from a generator; every sound comes at an RMS of 1
(over its loud parts) and is scaled by whoever mixes it.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

from streamer.clock import SAMPLE_RATE

Float = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Generator = np.random.Generator
Sound = Callable[[Generator, int], Float]


def white(generator: Generator, count: int) -> Float:
    """Return white noise [count]."""
    return generator.standard_normal(count)


def pink(generator: Generator, count: int) -> Float:
    """Return noise [count] that falls by 3 dB an octave: air, traffic, fans."""
    spectrum = np.fft.rfft(generator.standard_normal(count))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 20 * count / SAMPLE_RATE))
    return _loud(np.fft.irfft(spectrum, count))


def hum(generator: Generator, count: int) -> Float:
    """Return mains hum [count] with harmonics."""
    time = np.arange(count) / SAMPLE_RATE
    base = generator.choice([50.0, 60.0])
    tones = [
        generator.uniform(0.1, 1)
        / k
        * np.sin(2 * np.pi * base * k * time + generator.uniform(0, 6))
        for k in range(1, 9)
    ]
    return _loud(np.sum(tones, 0) + 0.02 * generator.standard_normal(count))


def typing(generator: Generator, count: int) -> Float:
    """Return keyboard clicks [count] in bursts."""
    out = np.zeros(count)
    place = 0.0
    while (start := int(place * SAMPLE_RATE)) < count:
        length = int(generator.uniform(0.01, 0.03) * SAMPLE_RATE)
        decay = np.exp(-np.arange(length) / (length * generator.uniform(0.1, 0.3)))
        click = generator.standard_normal(length) * decay
        click = lfilter([1.0], [1.0, -1.4 * generator.random(), 0.6], click)
        _add(out, start, click / np.abs(click).max() * generator.uniform(0.3, 1.0))
        burst = generator.random() < 0.92
        place += generator.uniform(0.06, 0.22) if burst else generator.uniform(0.5, 3.0)
    return _loud(out)


def music(generator: Generator, count: int) -> Float:
    """Return simple music [count]: chords, a melody, drums on a steady beat."""
    out = np.zeros(count)
    beat = 60 / generator.uniform(70, 150)
    root = generator.uniform(80, 160)
    drums = generator.random() < 0.7
    scale = np.array([0, 2, 4, 5, 7, 9, 11, 12])
    for i in range(int(count / SAMPLE_RATE / beat) + 1):
        start = int(i * beat * SAMPLE_RATE)
        if i % 4 == 0:
            chord = scale[generator.integers(5)]
            for interval in (0, 4, 7):
                pitch = root * 2 ** ((chord + interval) / 12)
                _add(out, start, 0.3 * _note(generator, pitch, 3.5 * beat))
        if generator.random() < 0.7:
            pitch = 2 * root * 2 ** (scale[generator.integers(8)] / 12)
            _add(out, start, 0.4 * _note(generator, pitch, beat))
        if drums:
            length = int(0.12 * SAMPLE_RATE)
            thump = np.exp(-np.arange(length) / (0.03 * SAMPLE_RATE))
            tone = np.sin(2 * np.pi * 60 * np.arange(length) / SAMPLE_RATE)
            hat = generator.standard_normal(length)
            _add(out, start, thump * (tone if i % 2 == 0 else 0.4 * hat))
    return _loud(out)


def game(generator: Generator, count: int) -> Float:
    """Return game sounds [count]: blips, sweeps, bangs, between pauses."""
    out = np.zeros(count)
    place = 0.0
    while (start := int(place * SAMPLE_RATE)) < count:
        length = int(generator.uniform(0.05, 0.6) * SAMPLE_RATE)
        time = np.arange(length) / SAMPLE_RATE
        kind = generator.integers(3)
        if kind == 0:  # a square blip, with a jump
            pitch = generator.uniform(200, 1500) * np.where(time > time[-1] / 2, 1.5, 1.0)
            sound = np.sign(np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE))
        elif kind == 1:  # a sweep
            ends = generator.uniform(150, 3000, 2)
            pitch = np.geomspace(ends[0], ends[1], length)
            sound = np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE)
        else:  # a bang
            bang = lfilter([1.0], [1.0, -0.9], generator.standard_normal(length))
            sound = 0.5 * np.asarray(bang)
        _add(out, start, sound * np.exp(-3 * time / time[-1]) * generator.uniform(0.2, 1.0))
        place += generator.uniform(0.1, 1.2)
    return _loud(out)


SOUNDS: dict[str, Sound] = {
    "white": white,
    "pink": pink,
    "hum": hum,
    "typing": typing,
    "music": music,
    "game": game,
}


def babble(generator: Generator, voices: list[Float32], count: int) -> Float:
    """Return other people's talk [count] in the distance, from utterances."""
    out = np.zeros(count)
    for voice in voices:
        start = int(generator.integers(-len(voice) // 2, max(count - len(voice) // 2, 1)))
        _add(out, start, voice.astype(np.float64) * generator.uniform(0.3, 1.0))
    far = sosfilt(butter(2, generator.uniform(1200, 3500), fs=SAMPLE_RATE, output="sos"), out)
    return _loud(_reverberate(generator, np.asarray(far), wet=0.7))


def colour(generator: Generator, sound: Float) -> Float:
    """Return a voice [n] as through some room, microphone and codec."""
    out = sound
    if generator.random() < 0.5:
        out = _reverberate(generator, out, wet=generator.uniform(0.05, 0.4))
    if generator.random() < 0.6:
        low = generator.uniform(40, 250)
        out = np.asarray(sosfilt(butter(2, low, "high", fs=SAMPLE_RATE, output="sos"), out))
    if generator.random() < 0.4:  # a shelf: dull or bright microphones
        tilt = generator.uniform(-0.6, 0.6)
        out = lfilter([1.0, tilt], [1.0], out)
    if generator.random() < 0.3:
        high = generator.choice([3400.0, 3800.0, 5500.0, 7000.0])
        out = np.asarray(sosfilt(butter(6, high, fs=SAMPLE_RATE, output="sos"), out))
    return np.asarray(out)


def _reverberate(generator: Generator, sound: Float, wet: float) -> Float:
    seconds = generator.uniform(0.1, 0.45)
    length = int(seconds * SAMPLE_RATE)
    tail = generator.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    tail /= np.sqrt((tail**2).sum())
    return sound + wet * fftconvolve(sound, tail)[: len(sound)]


def _note(generator: Generator, pitch: float, seconds: float) -> Float:
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tones = [np.sin(2 * np.pi * pitch * k * time) / k ** generator.uniform(1, 2) for k in (1, 2, 3)]
    return np.sum(tones, 0) * np.exp(-2.5 * time / seconds) * np.minimum(time / 0.01, 1)


def _add(out: Float, start: int, sound: Float) -> None:
    """Add a sound to out at a place, what lies outside left away."""
    low, high = max(start, 0), min(start + len(sound), len(out))
    if low < high:
        out[low:high] += sound[low - start : high - start]


def _loud(sound: Float) -> Float:
    """Return a sound at an RMS of 1 over the loudest third of its 50 ms blocks."""
    block = SAMPLE_RATE // 20
    count = max(len(sound) // block, 1)
    power = np.sort((sound[: count * block].reshape(count, -1) ** 2).mean(1))
    return sound / np.sqrt(max(power[-max(count // 3, 1) :].mean(), 1e-12))
