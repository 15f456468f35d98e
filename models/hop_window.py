"""`hop_window`: the offline HOP live, on a window of 34 frames that slides (hop.md 14a).

The bi-GRU and the language model read the whole window both ways, so each step
runs the window that ends now and emits the K frames that end A frames before
its end (`models.sliding`). The state is what the window is made of: its
samples, the pieces of its words, the poses that seed it and which of them were
emitted, and the style's noise, drawn once a session.

Both presets: `hop` takes 4 seeds, none of them before the session's first
frames; `hop_released` takes 16 and begins from the mean pose.
"""

import copy
from collections.abc import Mapping

import librosa
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.dice import Dice
from models.hop import Hop
from models.hop_graph import ReleasedGraph
from models.layers import STYLE, over_time
from models.melspectrogram import BANDS, FLOOR_DB, SAMPLE_RATE, frame_end
from models.plain_bert import PlainBert
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

PIECES = 4
"""Pieces of a word that a frame holds."""
NOISES = 256
"""Style draws that a session chooses from."""
LEVEL_START = {"hop": -40.0, "hop_released": 10.0}
"""Loudest mel band in dB that a fresh session assumes; the presets' scales differ."""
LEVEL_DEPTH = 20.0
"""The level falls no further below its start: the noise of a quiet room stays noise."""
LEVEL_FALL = 2.0 / 15.0
"""Decibels that the level falls in a frame."""
AUDIBLE_DB = -25.0
"""Under the level: a frame as loud as this is as likely voice as not."""


class HopMel(nn.Module):
    """A preset's spectrogram of a window as matrix products, in decibels (hop.md 1)."""

    analysis: Tensor
    mel: Tensor

    def __init__(self, *, clean: bool) -> None:
        super().__init__()
        self.width = 1600 if clean else 1024
        fft = 2048 if clean else 1024
        self.least = 10 ** (FLOOR_DB / 10) if clean else 1e-10
        # one past each column's last sample, in the window
        self.ends = (
            [frame_end(n) for n in range(FRAMES)]
            if clean
            else [1096 * n + 512 for n in range(FRAMES)]
        )
        hann = np.hanning(self.width + 1)[:-1]
        phase = 2 * np.pi * np.outer(np.arange(self.width), np.arange(fft // 2 + 1)) / fft
        scale = 2 / hann.sum() if clean else 1.0
        basis = np.concatenate([np.cos(phase), -np.sin(phase)], axis=1) * hann[:, None] * scale
        norm = None if clean else "slaney"
        bank = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=fft, n_mels=BANDS, norm=norm)
        self.register_buffer("analysis", torch.tensor(basis, dtype=torch.float32), False)
        self.register_buffer("mel", torch.tensor(bank.T, dtype=torch.float32), False)

    def forward(self, samples: Tensor) -> Tensor:
        """samples: [S, SAMPLES]. Result: [S, 34, 128]."""
        padded = F.pad(samples, (self.width, max(0, self.ends[-1] - SAMPLES)))
        windows = torch.stack([padded[:, end : end + self.width] for end in self.ends], 1)
        spectrum = windows @ self.analysis
        bins = self.mel.shape[0]
        power = (spectrum[..., :bins] ** 2 + spectrum[..., bins:] ** 2) @ self.mel
        return 10.0 * torch.log10(torch.clamp(power, min=self.least))


class HopWindow(nn.Module):
    """A step of the offline network; frames: K. `style` weighs the speakers' rows."""

    family = "hop_window"
    noise: Tensor

    def __init__(self, network: Hop, *, frames: int = 1) -> None:
        super().__init__()
        self.frames = frames
        self.network = written_out(network)
        self.skeleton = network.config.skeleton
        self.preset = network.config.preset
        self.seeds = network.config.seeds
        self.table = len(network.language.table)
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("noise", torch.randn(NOISES, STYLE, generator=generator))
        self.register_buffer("mean", torch.tensor(self.skeleton.mean), False)
        self.register_buffer("places", torch.arange(FRAMES, dtype=torch.float32), False)
        self.dice = Dice(NOISES, shortest=1, longest=1)
        self.mel = HopMel(clean=self.preset == "hop")

    mean: Tensor
    places: Tensor

    @property
    def words(self) -> WordSpec:
        """The first pieces of each word, in the language model's own table."""
        return WordSpec(buckets=self.table, slots=PIECES, kind="pieces")

    # -- the state -----------------------------------------------------------

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every state tensor, without the slot axis.

        poses: what was emitted last, mean-subtracted, oldest first; known: 1 for
        those that were emitted; words: piece rows at the frames of the window.
        """
        kept = kept_poses(self.frames)
        return {
            "samples": (SAMPLES,),
            "words": (FRAMES, PIECES),
            "poses": (kept, 3 * self.skeleton.vectors),
            "known": (kept, 1),
            "noise": (STYLE,),
            "level": (1,),
        }

    def fresh_state(self, state: State, inputs: Mapping[str, Tensor]) -> State:
        """Return a fresh state for the slots of `state`."""
        fresh = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
        dice = torch.cat([inputs["seed"], fresh["level"]], -1)
        fresh["noise"] = self.noise[self.dice.step(dice)[1]]
        fresh["level"] = fresh["level"] + LEVEL_START[self.preset]
        return fresh

    # -- one step ------------------------------------------------------------

    def step(self, inputs: Mapping[str, Tensor], state: State) -> tuple[State, State]:
        """Run the window that ends now, for S slots."""
        frames = per_frame(inputs, self.frames)
        new: State = {"noise": state["noise"]}
        new["samples"] = heard(state["samples"], frames)
        new["words"] = self._words(state["words"], frames)
        decibels = self.mel(new["samples"])
        least = LEVEL_START[self.preset] - LEVEL_DEPTH
        kept = torch.clamp(state["level"] - self.frames * LEVEL_FALL, min=least)
        new["level"] = torch.maximum(kept, decibels.amax((1, 2)).unsqueeze(-1))

        ahead = inputs["lookahead"]
        seeds = seeds_of(state["poses"], ahead, self.seeds)
        known = seeds_of(state["known"], ahead, self.seeds)
        window = self.window(decibels, new, inputs["style"], seeds, known)
        poses = emission(window, state["poses"], ahead, self.frames)
        # onnxruntime's GRU makes numbers of NaN; a spoilt slot must show that it is
        parts = (new["samples"], inputs["style"], seeds.flatten(1), state["noise"])
        spoilt = sum((part * 0.0).sum(-1, keepdim=True) for part in parts)
        poses = poses + spoilt.unsqueeze(1)
        new["poses"] = pushed(state["poses"], poses)
        new["known"] = pushed(state["known"], torch.ones_like(poses[..., :1]))
        directions = poses.unflatten(-1, (self.skeleton.vectors, 3)) + self.mean
        loud = decibels[:, -self.frames :].amax(-1, keepdim=True) - new["level"].unsqueeze(1)
        outputs = {
            "directions": directions,
            "voice": torch.sigmoid((loud - AUDIBLE_DB) / 3.0),
        }
        return {name: of_step(value, self.frames) for name, value in outputs.items()}, new

    def _words(self, words: Tensor, frames: Mapping[str, Tensor]) -> Tensor:
        """Return the window's pieces [S, 34, 4], each word in the frame where it began.

        A word whose frame is taken goes to the next free one (hop.md 1); the
        frame that is heard now is always free.
        """
        for k in range(self.frames):
            words = torch.cat([words[:, 1:], torch.zeros_like(words[:, :1])], 1)
            came, place = onset(frames["word_info"][:, k])
            ids = frames["word"][:, k].to(words.dtype)
            free = (words[..., 0] < 0.5) & (self.places >= place) & (place >= 0) & came
            first = free & (torch.cumsum(free.to(words.dtype), 1) < 1.5)
            words = torch.where(first.unsqueeze(-1), ids.unsqueeze(1), words)
        return words

    def window(
        self, decibels: Tensor, state: State, style: Tensor, seeds: Tensor, known: Tensor
    ) -> Tensor:
        """Return the poses [S, 34, D] of a window, mean-subtracted.

        decibels: [S, 34, 128]; style: [S, speakers] weights; seeds: [S, s, D];
        known: [S, s, 1].
        """
        network = self.network
        heard = network.reprogramming(self._image(decibels), network.language.table)
        both = torch.cat((heard, self._embedded(state["words"])), dim=-1)
        spoken = network.language(network.align(both))
        later = (0, 0, 0, FRAMES - self.seeds)
        if isinstance(network.graph, ReleasedGraph):
            graph = network.graph(state["samples"], seeds)
        else:
            graph = network.graph(
                state["samples"], F.pad(seeds * known, later), F.pad(known, later)
            )
        row = style @ network.style.table.weight
        z = over_time(network.style.encode(row, state["noise"]).z, FRAMES)
        fused = torch.cat((graph.pose, graph.rhythm, spoken, z), dim=-1)
        return network.head(network.recurrent(fused))

    def _embedded(self, words: Tensor) -> Tensor:
        """Return `LanguageModel.embed` of piece rows [S, 34, 4], 0 for none: [S, 34, width]."""
        language = self.network.language
        rows = words.clamp(0, self.table - 1).to(torch.int64)
        there = (rows > 0).to(language.table.dtype)
        count = there.sum(-1, keepdim=True)
        mean = (F.embedding(rows, language.table) * there.unsqueeze(-1)).sum(-2)
        mean = mean / torch.clamp(count, min=1.0)
        return torch.where(count > 0.5, mean, language.table[language.empty])

    def _image(self, decibels: Tensor) -> Tensor:
        if self.preset == "hop":
            return (decibels + 40.0) / 40.0
        # the released code's reference is the window's own maximum
        under = decibels - decibels.amax((1, 2), keepdim=True)
        return torch.clamp(under, min=FLOOR_DB)


def written_out(network: Hop) -> Hop:
    """Return a copy for inference: folded, with a language model that can be exported."""
    plain = copy.deepcopy(network).eval()
    with torch.no_grad():
        plain.fold()
    if (order := dict(plain.language.named_buffers()).get("_order")) is not None:
        plain.language.table = plain.language.table[order]
    if plain.language.network is not None:
        plain.language.network = _Embedded(PlainBert(plain.language.network, FRAMES))
    return plain


class _Embedded(nn.Module):
    """A plain encoder where `LanguageModel` calls a Hugging Face one."""

    def __init__(self, encoder: PlainBert) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, *, inputs_embeds: Tensor) -> "_Output":
        return _Output(self.encoder(inputs_embeds))


class _Output:
    def __init__(self, state: Tensor) -> None:
        self.last_hidden_state = state
