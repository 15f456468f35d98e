"""`ha2g_window`: the published HA2G live, on a window of 34 frames that slides.

The published network reads its whole window backwards and forwards, so no part
of it can be carried from step to step (hop.md 14a). Each step runs the window
that ends now and emits the K frames that end A frames before its end
(`models.sliding`). The state is what the window is made of: its samples, its
words, the poses that seed it, and the style's noise, drawn once a session.

Two things differ from a clip: the level that decibels refer to is the loudest
heard so far, slowly forgotten, since the clip's maximum lies in the future; and
a session starts from the mean pose.
"""

import copy
from collections.abc import Mapping

import librosa
import numpy as np
import torch
from torch import Tensor, nn

from models.dice import Dice
from models.ha2g import HA2G, SEEDS, LevelGenerator
from models.layers import STYLE, TemporalBlock, over_time
from models.melspectrogram import BANDS, FLOOR_DB, SAMPLE_RATE
from models.sliding import (
    FRAMES,
    SAMPLES,
    emission,
    heard,
    kept_poses,
    of_step,
    onset,
    per_frame,
    pushed,
    seeds_of,
)
from streamer.spec import WordSpec

State = dict[str, Tensor]

NOISES = 256
"""Style draws that a session chooses from."""

_FFT, _HOP, _COLUMNS = 1024, 512, 70
_LEAST = 1e-10
_PER_FRAME = SAMPLE_RATE / 15 / _HOP
"""Spectrogram columns in a pose frame."""
LEVEL_START = 10.0
"""Loudest mel band in dB that a fresh session assumes: a voice at about -30 dBFS."""
LEVEL_LEAST = -10.0
"""Below this the level does not fall: the noise of a quiet room stays noise."""
LEVEL_FALL = 2.0 / 15.0
"""Decibels that the level falls in a frame."""
_AUDIBLE_DB = -25.0


class ClipMel(nn.Module):
    """HA2G's spectrogram of a window as matrix products (ha2g.md 1.3)."""

    analysis: Tensor
    mel: Tensor

    def __init__(self) -> None:
        super().__init__()
        hann = np.hanning(_FFT + 1)[:-1]
        phase = 2 * np.pi * np.outer(np.arange(_FFT), np.arange(_FFT // 2 + 1)) / _FFT
        basis = np.concatenate([np.cos(phase), -np.sin(phase)], axis=1) * hann[:, None]
        bank = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=_FFT, n_mels=BANDS)
        self.register_buffer("analysis", torch.tensor(basis, dtype=torch.float32), False)
        self.register_buffer("mel", torch.tensor(bank.T, dtype=torch.float32), False)

    def forward(self, samples: Tensor) -> Tensor:
        """samples: [S, SAMPLES]. Result: decibels [S, 128, 70] of full scale."""
        # centred columns: half a window of zeros before the first sample
        padded = nn.functional.pad(samples[:, : _HOP * _COLUMNS], (_HOP, 0))
        halves = padded.unflatten(1, (_COLUMNS + 1, _HOP))
        spectrum = torch.cat([halves[:, :-1], halves[:, 1:]], -1) @ self.analysis
        bins = self.mel.shape[0]
        power = (spectrum[..., :bins] ** 2 + spectrum[..., bins:] ** 2) @ self.mel
        return 10.0 * torch.log10(torch.clamp(power, min=_LEAST)).transpose(1, 2)


class HA2GWindow(nn.Module):
    """A step of the published network.

    noise: [NOISES, levels, 16] standard normal numbers, one of which a session
    keeps (None: drawn here). frames: K. The input `style` weighs the speakers'
    rows.
    """

    family = "ha2g_window"
    noise: Tensor

    def __init__(self, network: HA2G, noise: Tensor | None = None, *, frames: int = 1) -> None:
        super().__init__()
        self.frames = frames
        self.network = written_out(network)
        self.skeleton = network.config.skeleton
        self.levels = len(self.skeleton.levels)
        if noise is None:
            generator = torch.Generator().manual_seed(0)
            noise = torch.randn(NOISES, self.levels, STYLE, generator=generator)
        self.register_buffer("noise", noise)
        self.register_buffer("mean", torch.tensor(self.skeleton.mean), False)
        self.register_buffer("places", torch.arange(FRAMES, dtype=torch.float32), False)
        self.dice = Dice(len(noise), shortest=1, longest=1)
        self.mel = ClipMel()

    @property
    def words(self) -> WordSpec:
        """One row of the published vocabulary for each word."""
        return WordSpec(buckets=self.network.config.words, slots=1, kind="vocabulary")

    # -- the state -----------------------------------------------------------

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every state tensor, without the slot axis.

        poses: what was emitted last, mean-subtracted, oldest first; words:
        vocabulary rows at the frames of the window.
        """
        return {
            "samples": (SAMPLES,),
            "words": (FRAMES,),
            "poses": (kept_poses(self.frames), 3 * self.skeleton.vectors),
            "noise": (self.levels, STYLE),
            "level": (1,),
        }

    def fresh_state(self, state: State, inputs: Mapping[str, Tensor]) -> State:
        """Return a fresh state for the slots of `state`."""
        fresh = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
        dice = torch.cat([inputs["seed"], fresh["level"]], -1)
        fresh["noise"] = self.noise[self.dice.step(dice)[1]]
        fresh["level"] = fresh["level"] + LEVEL_START
        return fresh

    # -- one step ------------------------------------------------------------

    def step(self, inputs: Mapping[str, Tensor], state: State) -> tuple[State, State]:
        """Run the window that ends now, for S slots."""
        frames = per_frame(inputs, self.frames)
        new: State = {"noise": state["noise"]}
        new["samples"] = heard(state["samples"], frames)
        new["words"] = self._words(state["words"], frames)
        decibels = self.mel(new["samples"])
        loudest = decibels.amax((1, 2)).unsqueeze(-1)
        kept = torch.clamp(state["level"] - self.frames * LEVEL_FALL, min=LEVEL_LEAST)
        new["level"] = torch.maximum(kept, loudest)
        image = torch.clamp(decibels - new["level"].unsqueeze(-1), min=FLOOR_DB)

        ahead = inputs["lookahead"]
        seeds = seeds_of(state["poses"], ahead, SEEDS)
        rows = new["words"].clamp(0, self.network.config.words - 1).to(torch.int64)
        window = self.window(image, rows, inputs["style"], seeds, state["noise"])
        poses = emission(window, state["poses"], ahead, self.frames)
        # onnxruntime's GRU makes numbers of NaN; a spoilt slot must show that it is
        known = (new["samples"], inputs["style"], seeds.flatten(1), state["noise"].flatten(1))
        spoilt = sum((part * 0.0).sum(-1, keepdim=True) for part in known)
        poses = poses + spoilt.unsqueeze(1)
        new["poses"] = pushed(state["poses"], poses)
        directions = poses.unflatten(-1, (self.skeleton.vectors, 3)) + self.mean
        outputs = {"directions": directions, "voice": self._voice(image)}
        return {name: of_step(value, self.frames) for name, value in outputs.items()}, new

    def _voice(self, image: Tensor) -> Tensor:
        """Return [S, K, 1] how sure it is that somebody speaks in the step's frames.

        The network has no head for it: loud in the two columns that end a frame.
        """
        ends = [round((FRAMES - self.frames + k + 1) * _PER_FRAME) for k in range(self.frames)]
        loud = torch.stack([image[:, :, end - 3 : end - 1].amax((1, 2)) for end in ends], 1)
        return torch.sigmoid((loud.unsqueeze(-1) - _AUDIBLE_DB) / 3.0)

    def _words(self, words: Tensor, frames: Mapping[str, Tensor]) -> Tensor:
        """Return the window's words [S, 34] with the new ones in the frames where they began."""
        for k in range(self.frames):
            words = torch.cat([words[:, 1:], torch.zeros_like(words[:, :1])], 1)
            came, place = onset(frames["word_info"][:, k])
            here = came & (self.places == place)
            words = torch.where(here, frames["word"][:, k].to(words.dtype), words)
        return words

    def window(
        self, image: Tensor, words: Tensor, style: Tensor, seeds: Tensor, noise: Tensor
    ) -> Tensor:
        """Return the poses [S, 34, D] of a window, mean-subtracted.

        image: [S, 128, 70]; words: int64 [S, 34]; style: [S, speakers] weights;
        seeds: [S, 4, D]; noise: [S, K, 16].
        """
        network = self.network
        blend = network.audio.coordinator
        audio = network.audio.blended(image, blend.blend(style @ blend.table.weight))
        pose: Tensor | None = None
        for k, generator in enumerate(network.generators):
            assert isinstance(generator, LevelGenerator)
            row = style @ generator.style.table.weight
            z = over_time(generator.style.encode(row, noise[:, k]).z, FRAMES)
            parts = (network.pre_seq(k, seeds, pose), audio.blends[k], generator.text(words), z)
            pose = generator.head(generator.recurrent(torch.cat(parts, -1)))
        assert pose is not None
        return pose


def written_out(network: HA2G) -> HA2G:
    """Return a copy in evaluation mode whose weight norms are folded into plain weights."""
    plain = copy.deepcopy(network).eval()
    del plain.contrast_text  # only a loss reads it
    for block in plain.modules():
        if isinstance(block, TemporalBlock):
            block.conv1, block.conv2 = _folded(block.conv1), _folded(block.conv2)
    return plain


@torch.no_grad()
def _folded(conv: nn.Conv1d) -> nn.Conv1d:
    # Removing the parametrisation would reach the original too: copies share its class.
    size = conv.kernel_size[0]
    out = nn.Conv1d(conv.in_channels, conv.out_channels, size, dilation=conv.dilation[0])
    assert conv.bias is not None
    assert out.bias is not None
    out.weight.copy_(conv.weight)
    out.bias.copy_(conv.bias)
    return out
