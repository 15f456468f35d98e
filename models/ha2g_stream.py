"""`ha2g_stream`: HA2G (CVPR 2022) made causal, with its state carried exactly.

Low, mid and high audio taps, a style coordinator that mixes them for each body
level, and a coarse-to-fine cascade of pose GRUs, as in the paper; causal
convolutions and squeezes, uni-directional GRUs and lookahead as spec/hop.md
14b; level tracker, redrawn gesture code and no pose feedback as
spec/streaming.md. One parameter set, two equal forms: `forward` over whole
sequences, `step` over one frame with state.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.causal import SE_FRAMES, Shapes, SqueezeBlock, State, StreamGru, TextStack
from models.causal import CausalConv2d as Conv
from models.dice import Dice
from models.frontend import LEVEL_START, LevelTracker, MelFrontEnd
from streamer.skeleton import Skeleton

COLUMNS = 2
LOOKAHEADS = (0, 2, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """Sizes of an `ha2g_stream`.

    channels: of the four residual stages; blocks: residual blocks per stage;
    tap: width of each audio tap; word: width of the word embedding; style:
    width of z; hidden, layers: of each body level's GRU, torso to fingertips.
    """

    window: int = 640
    mels: int = 64
    channels: tuple[int, int, int, int] = (8, 16, 32, 64)
    blocks: tuple[int, int, int, int] = (1, 1, 1, 1)
    tap: int = 32
    word: int = 32
    buckets: int = 4096
    word_slots: int = 12
    style: int = 32
    styles: tuple[str, ...] = ("calm", "lively", "big")
    code: int = 12
    hidden: tuple[int, ...] = (128, 160, 192, 128, 96, 96)
    layers: tuple[int, ...] = (2, 2, 2, 1, 1, 1)
    lookaheads: tuple[int, ...] = LOOKAHEADS


PRESETS: Mapping[str, StreamConfig] = {
    "small": StreamConfig(),
    # the published network's sizes (ha2g.md 2), for TED Expressive or upper_body
    "full": StreamConfig(
        window=1024,
        mels=128,
        channels=(32, 64, 128, 256),
        blocks=(3, 4, 6, 3),
        hidden=(300,) * 6,
        layers=(4,) * 6,
    ),
}


class AudioEncoder(nn.Module):
    """Mel image to three aligned taps at pose rate: [B, T, 3, tap].

    Time is strided once (30 to 15 Hz); stages 3 and 4 stride frequency only
    and dilate time, so every tap is as fresh as its frame.
    """

    def __init__(self, config: StreamConfig) -> None:
        super().__init__()
        c1, c2, c3, c4 = config.channels
        height = config.mels // 2
        self.stem = Conv("stem", 1, c1, config.mels, stride=(2, 1))
        self.stem_norm = nn.BatchNorm2d(c1)
        plan = (
            (c1, c1, height, (1, 1), 1),
            (c1, c2, height, (2, 2), 1),
            (c2, c3, height // 2, (2, 1), 2),
            (c3, c4, height // 4, (2, 1), 4),
        )
        self.stages = nn.ModuleList()
        for number, ((a, b, h, stride, dilation), count) in enumerate(
            zip(plan, config.blocks, strict=True), start=1
        ):
            stage = nn.ModuleList()
            for i in range(count):
                first = i == 0
                stage.append(
                    SqueezeBlock(
                        f"layer{number}.{i}",
                        a if first else b,
                        b,
                        h if first else h // stride[0],
                        stride=stride if first else (1, 1),
                        dilation=dilation,
                    )
                )
            self.stages.append(stage)
        self.shuffles = (1, 2, 4)
        taps = ((c2, height // 2), (c3, height // 4), (c4, height // 8))
        self.head_convs = nn.ModuleList()
        self.head_norms = nn.ModuleList()
        self.heads = nn.ModuleList()
        for (channels, bins), factor in zip(taps, self.shuffles, strict=True):
            width = channels // factor
            self.head_convs.append(nn.Conv2d(width, width, (3, 1), padding=(1, 0)))
            self.head_norms.append(nn.BatchNorm2d(width))
            self.heads.append(nn.Linear(width * bins * factor, config.tap))

    def shapes(self) -> Shapes:
        """Return the shapes of its state."""
        out = dict(self.stem.shapes())
        for block in self._blocks():
            out |= block.shapes()
        return out

    def _blocks(self) -> list[SqueezeBlock]:
        return [block for stage in self.stages for block in stage]  # type: ignore[union-attr]

    def _taps(self, features: list[Tensor]) -> Tensor:
        """Return [B, T, 3, tap] of the three stage outputs [B, C, H, T]."""
        taps: list[Tensor] = []
        for i, x in enumerate(features):
            factor = self.shuffles[i]
            b, c, h, t = x.shape
            # pixel shuffle in frequency only: channels become frequency
            x = x.reshape(b, c // factor, factor, h, t).transpose(2, 3)
            x = x.reshape(b, c // factor, h * factor, t)
            x = self.head_norms[i](functional.relu(self.head_convs[i](x)))
            taps.append(self.heads[i](x.permute(0, 3, 1, 2).flatten(2)))
        return torch.stack(taps, 2)

    def forward(self, image: Tensor) -> Tensor:
        """Encode a sequence image [B, T, COLUMNS, M]."""
        x = image.flatten(1, 2).transpose(1, 2)[:, None]
        x = self.stem_norm(functional.relu(self.stem(x)))
        features: list[Tensor] = []
        for number, stage in enumerate(self.stages):
            for block in stage:  # type: ignore[union-attr]
                x = block(x, COLUMNS if number == 0 else 1)
            features.append(x)
        return self._taps(features[1:])

    def step(self, image: Tensor, weight: Tensor, state: State, new: State) -> Tensor:
        """Encode one frame [S, COLUMNS, M]; returns [S, 3, tap]."""
        x = image.transpose(1, 2)[:, None]
        x = self.stem_norm(functional.relu(self.stem.step(x, state, new)))
        features: list[Tensor] = []
        for stage in self.stages:
            for block in stage:  # type: ignore[union-attr]
                x = block.step(x, weight, state, new)
            features.append(x)
        return self._taps(features[1:])[:, 0]


class PoseLevel(nn.Module):
    """One level of the cascade: coarser pose, audio, text and style to directions."""

    def __init__(self, level: int, coarser: int, vectors: int, config: StreamConfig) -> None:
        super().__init__()
        inputs = coarser * 3 + config.tap + config.word + config.style + _EXTRAS
        hidden = config.hidden[level]
        self.gru = StreamGru(f"gru{level}", inputs, hidden, config.layers[level])
        self.out = nn.Sequential(
            nn.Linear(hidden, hidden), nn.LeakyReLU(0.01), nn.Linear(hidden, vectors * 3)
        )


_EXTRAS = 3 + 2 + len(LOOKAHEADS)
"""Level features, the two word scalars, and the lookahead as one of three."""


class Ha2gStream(nn.Module):
    """Causal HA2G over a skeleton's levels.

    codes: [M, code] table from which the gesture code is drawn.
    """

    codes: Tensor
    mean: Tensor

    def __init__(self, config: StreamConfig, skeleton: Skeleton, codes: Tensor) -> None:
        super().__init__()
        self.config, self.skeleton = config, skeleton
        self.front = MelFrontEnd(config.window, config.mels)
        self.tracker = LevelTracker(config.mels)
        self.dice = Dice(len(codes), shortest=15, longest=30)
        self.register_buffer("codes", codes.float())
        self.register_buffer("mean", torch.tensor(skeleton.mean), False)
        self.audio = AudioEncoder(config)
        self.words = nn.EmbeddingBag(config.buckets, config.word, mode="sum", padding_idx=0)
        levels = skeleton.levels
        self.text = TextStack("text", len(levels), config.word)
        self.speaker = nn.Linear(len(config.styles), 16)
        self.coordinator = nn.Sequential(
            nn.ELU(), nn.Linear(16, 32), nn.ELU(), nn.Linear(32, 3 * len(levels))
        )
        self.style_mean = nn.Linear(16, config.style)
        self.code_in = nn.Sequential(
            nn.Linear(config.code, 64), nn.ELU(), nn.Linear(64, config.style)
        )
        sizes = [0] + [len(level) for level in levels]
        self.levels = nn.ModuleList(
            PoseLevel(k, sizes[k], sizes[k + 1], config) for k in range(len(levels))
        )
        self.voice = nn.Linear(config.hidden[0], 1)

    # -- shared by both forms ------------------------------------------------

    def _style(self, style: Tensor) -> tuple[Tensor, Tensor]:
        """Return (mix [..., K, 3], style mean [..., style]) of weights [..., styles]."""
        speaker = self.speaker(style)
        mix = self.coordinator(speaker).unflatten(-1, (len(self.levels), 3))
        return torch.softmax(mix, -1), self.style_mean(speaker)

    def _word(self, word: Tensor) -> Tensor:
        """Return the summed embeddings [..., word] of ids [..., slots]."""
        ids = word.clamp(0, self.config.buckets - 1).long()
        return (self.words.weight[ids] * (ids > 0).unsqueeze(-1)).sum(-2)

    def _lookahead(self, lookahead: Tensor) -> Tensor:
        """Return the one-of-three code [..., 3] of lookahead frames [..., 1]."""
        allowed = torch.tensor(self.config.lookaheads, device=lookahead.device)
        return (lookahead == allowed).to(self.mean.dtype)

    # -- whole sequences -----------------------------------------------------

    def forward(
        self,
        image: Tensor,
        level: Tensor,
        word: Tensor,
        word_info: Tensor,
        lookahead: Tensor,
        style: Tensor,
        code: Tensor,
    ) -> tuple[list[Tensor], Tensor]:
        """Run sequences that start fresh.

        image [B, T, COLUMNS, M] and level [B, T, 3] from the front end; word
        int [B, T, slots]; word_info [B, T, 3]; lookahead int [B, 1]; style
        [B, styles]; code [B, T, 12]. Returns (each level's directions [B, T,
        D_k * 3] minus the mean, voice logits [B, T]). Row m is pose frame
        m - lookahead.
        """
        taps = self.audio(image)
        mix, style_mean = self._style(style)
        audio = torch.einsum("btcf,bkc->btkf", taps, mix)
        text = self.text(self._word(word) * word_info[..., :1])
        z = style_mean[:, None] + self.code_in(code)
        ahead = self._lookahead(lookahead)[:, None].expand(-1, z.shape[1], -1)
        extras = torch.cat([level, word_info[..., 1:], ahead], -1)
        pose: Tensor | None = None
        poses: list[Tensor] = []
        voice: Tensor | None = None
        for k, part in enumerate(self.levels):
            parts = [audio[:, :, k], text[:, :, k], z, extras]
            hidden = part.gru(torch.cat(parts if pose is None else [pose, *parts], -1))
            if voice is None:
                voice = self.voice(hidden)[..., 0]
            pose = part.out(hidden)
            poses.append(pose)
        assert voice is not None
        return poses, voice

    def features(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Return (image [T, COLUMNS, M], level [T, 3]) of windows [T, COLUMNS, W]."""
        mel = self.front(windows).flatten(0, 1)
        energy = self.tracker.energy(mel)
        image, level = self.tracker.features(mel, energy, self.tracker.scan(energy))
        frames = windows.shape[0]
        level = level.unflatten(0, (frames, COLUMNS))[:, -1]
        return image.unflatten(0, (frames, COLUMNS)), level

    # -- one step ------------------------------------------------------------

    def state_shapes(self) -> Shapes:
        """Return the shape of every state tensor, without the slot axis."""
        shapes: Shapes = {"level": (2,), "age": (1,), "dice": (4,), "code": (self.config.code,)}
        shapes |= self.audio.shapes() | self.text.shapes()
        for part in self.levels:
            shapes |= part.gru.shapes()  # type: ignore[operator]
        return shapes

    def fresh_state(self, state: State, inputs: Mapping[str, Tensor]) -> State:
        """Return a fresh state for the slots of `state` (zeros but level and dice)."""
        fresh = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
        fresh["level"] = fresh["level"] + torch.tensor(LEVEL_START)
        fresh["dice"] = torch.cat([inputs["seed"], fresh["dice"][:, :1]], -1)
        return fresh

    def step(self, inputs: Mapping[str, Tensor], state: State) -> tuple[dict[str, Tensor], State]:
        """Run one frame for S slots; see `streamer.spec` for the tensors."""
        new: State = {}
        mel = self.front(inputs["audio"])
        energy = self.tracker.energy(mel)
        tracked, images = state["level"], list[Tensor]()
        level = tracked
        for column in range(COLUMNS):
            tracked = self.tracker.step(energy[:, column], tracked)
            image, level = self.tracker.features(mel[:, column], energy[:, column], tracked)
            images.append(image)
        new["level"] = tracked
        new["age"] = torch.clamp(state["age"] + 1, max=float(SE_FRAMES))
        taps = self.audio.step(torch.stack(images, 1), 1.0 / new["age"], state, new)
        new["dice"], index, drawn = self.dice.step(state["dice"])
        new["code"] = torch.where(drawn, self.codes[index], state["code"])

        mix, style_mean = self._style(inputs["style"])
        audio = mix @ taps
        word = self._word(inputs["word"]) * inputs["word_info"][:, :1]
        text = self.text.step(word, state, new)
        z = style_mean + self.code_in(new["code"])
        ahead = self._lookahead(inputs["lookahead"])
        extras = torch.cat([level, inputs["word_info"][:, 1:], ahead], -1)
        pose: Tensor | None = None
        voice: Tensor | None = None
        for k, part in enumerate(self.levels):
            parts = [audio[:, k], text[:, k], z, extras]
            joined = torch.cat(parts if pose is None else [pose, *parts], -1)
            hidden = part.gru.step(joined, state, new)  # type: ignore[operator]
            if voice is None:
                voice = torch.sigmoid(self.voice(hidden))
            pose = part.out(hidden)  # type: ignore[operator]
        assert pose is not None
        assert voice is not None
        directions = pose.unflatten(-1, (self.skeleton.vectors, 3)) + self.mean
        return {"directions": directions, "voice": voice}, new
