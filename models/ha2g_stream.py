"""`ha2g_stream`: HA2G (CVPR 2022) made causal, with its state carried exactly.

Low, mid and high audio taps, a style coordinator that mixes them for each body
level, and a coarse-to-fine cascade of pose GRUs, as in the paper; causal
convolutions and squeezes, uni-directional GRUs and lookahead as spec/hop.md
14b; level tracker, redrawn gesture code and no pose feedback as
spec/streaming.md; and ours, a rhythm that decides when a gesture begins
(`models/rhythm.py`). One parameter set, two equal forms: `forward` and
`generate` over whole sequences, `step` over one frame with state.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.causal import SE_FRAMES, Shapes, SqueezeBlock, State, StreamGru, TextStack
from models.causal import CausalConv2d as Conv
from models.dice import Dice
from models.frontend import LEVEL_FEATURES, LEVEL_STATE, LevelTracker, MelFrontEnd
from models.rhythm import COURSE, MOVES, Course, Rhythm, course_features
from models.stream import COLUMNS, StreamBase
from streamer.skeleton import Skeleton

LOOKAHEADS = (0, 2, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """Sizes of an `ha2g_stream`.

    channels: of the four residual stages; blocks: residual blocks per stage;
    tap: width of each audio tap; word: width of the word embedding; style:
    width of z; rhythm: of the GRU that decides; hidden, layers: of each body
    level's GRU, torso to fingertips.
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
    rhythm: int = 128
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What a streaming network makes of a sequence.

    poses: each level's directions [B, T, D_k * 3] minus the mean, the last of
    them whole; moves: logits [B, T, MOVES] of each decision; voice: logits [B, T].
    """

    poses: list[Tensor]
    moves: Tensor
    voice: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    """All that does not depend on decisions: [B, T, ...] inputs of rhythm and levels."""

    rhythm: Tensor
    audio: Tensor
    text: Tensor
    extras: Tensor
    style: Tensor


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
        inputs = coarser * 3 + config.tap + config.word + config.style + EXTRAS + COURSE
        hidden = config.hidden[level]
        self.gru = StreamGru(f"gru{level}", inputs, hidden, config.layers[level])
        self.out = nn.Sequential(
            nn.Linear(hidden, hidden), nn.LeakyReLU(0.01), nn.Linear(hidden, vectors * 3)
        )


EXTRAS = LEVEL_FEATURES + 2 + len(LOOKAHEADS)
"""Level features, the two word scalars, and the lookahead as one of three."""


class Ha2gStream(StreamBase):
    """Causal HA2G over a skeleton's levels.

    codes: [M, code] table from which the gesture code is drawn.
    """

    def __init__(self, config: StreamConfig, skeleton: Skeleton, codes: Tensor) -> None:
        super().__init__()
        self.config, self.skeleton = config, skeleton
        self.allowed = config.lookaheads
        self.front = MelFrontEnd(config.window, config.mels)
        self.tracker = LevelTracker(config.mels)
        self.dice = Dice(len(codes), shortest=15, longest=30)
        self.register_buffer("codes", codes.float())
        self.register_buffer("mean", torch.tensor(skeleton.mean), False)
        self.audio = AudioEncoder(config)
        self.words = nn.EmbeddingBag(config.buckets, config.word, mode="sum", padding_idx=0)
        levels = skeleton.levels
        # one more than levels: the last is the rhythm's
        self.text = TextStack("text", len(levels) + 1, config.word)
        self.speaker = nn.Linear(len(config.styles), 16)
        self.coordinator = nn.Sequential(
            nn.ELU(), nn.Linear(16, 32), nn.ELU(), nn.Linear(32, 3 * len(levels))
        )
        self.style_mean = nn.Linear(16, config.style)
        # the code in force and the one that the present gesture was begun with
        self.code_in = nn.Sequential(
            nn.Linear(2 * config.code, 128), nn.ELU(), nn.Linear(128, config.style)
        )
        heard = 3 * config.tap + config.word + EXTRAS + config.style + config.code
        self.rhythm = Rhythm(heard, config.rhythm, config.code)
        sizes = [0] + [len(level) for level in levels]
        self.levels = nn.ModuleList(
            PoseLevel(k, sizes[k], sizes[k + 1], config) for k in range(len(levels))
        )

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
        course: Course,
    ) -> Drawn:
        """Run sequences whose decisions are given: how it is trained.

        image [B, T, COLUMNS, M] and level [B, T, LEVEL_FEATURES] from the front
        end; word int [B, T, slots]; word_info [B, T, 3]; lookahead int [B, 1];
        style [B, styles]; code [B, T, 12]. Row m is pose frame m - lookahead.
        """
        heard = self._hear(image, level, word, word_info, lookahead, style, code)
        moves, voice = self.rhythm(heard.rhythm, course)
        hot = functional.one_hot(course.move.long(), moves.shape[-1]).to(image.dtype)
        features = course_features(hot, course.age[..., None])
        poses = self._draw(heard, features, code, course.code)
        return Drawn(poses=poses, moves=moves, voice=voice)

    @torch.no_grad()
    def generate(
        self,
        image: Tensor,
        level: Tensor,
        word: Tensor,
        word_info: Tensor,
        lookahead: Tensor,
        style: Tensor,
        code: Tensor,
        seed: Tensor,
    ) -> Drawn:
        """Run new sessions of seeds [B, 3] whole: the numbers that `step` gives."""
        heard = self._hear(image, level, word, word_info, lookahead, style, code)
        course, voice = self.rhythm.decide(heard.rhythm, code, seed)
        hot = functional.one_hot(course.move, MOVES).to(image.dtype)
        features = course_features(hot, course.age[..., None])
        poses = self._draw(heard, features, code, course.code)
        return Drawn(poses=poses, moves=hot, voice=voice)

    def _hear(
        self,
        image: Tensor,
        level: Tensor,
        word: Tensor,
        word_info: Tensor,
        lookahead: Tensor,
        style: Tensor,
        code: Tensor,
    ) -> _Heard:
        taps = self.audio(image)
        mix, style_mean = self._style(style)
        text = self.text(self._word(word) * word_info[..., :1])
        ahead = self._lookahead(lookahead)[:, None].expand(-1, taps.shape[1], -1)
        extras = torch.cat([level, word_info[..., 1:], ahead], -1)
        style_mean = style_mean[:, None].expand(-1, taps.shape[1], -1)
        return _Heard(
            rhythm=torch.cat([taps.flatten(2), text[:, :, -1], extras, style_mean, code], -1),
            audio=torch.einsum("btcf,bkc->btkf", taps, mix),
            text=text,
            extras=extras,
            style=style_mean,
        )

    def _draw(self, heard: _Heard, course: Tensor, code: Tensor, latched: Tensor) -> list[Tensor]:
        z = heard.style + self.code_in(torch.cat([code, latched], -1))
        poses: list[Tensor] = []
        for k, part in enumerate(self.levels):
            parts = [heard.audio[:, :, k], heard.text[:, :, k], z, heard.extras, course]
            hidden = part.gru(torch.cat([*poses[-1:], *parts], -1))  # type: ignore[operator]
            poses.append(part.out(hidden))  # type: ignore[operator]
        return poses

    # -- one step ------------------------------------------------------------

    def state_shapes(self) -> Shapes:
        """Return the shape of every state tensor, without the slot axis."""
        shapes: Shapes = {
            "level": (LEVEL_STATE,),
            "clock": (1,),
            "dice": (4,),
            "code": (self.config.code,),
        }
        shapes |= self.audio.shapes() | self.text.shapes() | self.rhythm.shapes()
        for part in self.levels:
            shapes |= part.gru.shapes()  # type: ignore[operator]
        return shapes

    def step(self, inputs: Mapping[str, Tensor], state: State) -> tuple[dict[str, Tensor], State]:
        """Run one frame for S slots; see `streamer.spec` for the tensors."""
        new: State = {}
        image, level = self._hear_frame(inputs["audio"], state, new)
        new["clock"] = torch.clamp(state["clock"] + 1, max=float(SE_FRAMES))
        taps = self.audio.step(image, 1.0 / new["clock"], state, new)
        code = self._roll(state, new)

        mix, style_mean = self._style(inputs["style"])
        audio = mix @ taps
        word = self._word(inputs["word"]) * inputs["word_info"][:, :1]
        text = self.text.step(word, state, new)
        ahead = self._lookahead(inputs["lookahead"])
        extras = torch.cat([level, inputs["word_info"][:, 1:], ahead], -1)
        heard = torch.cat([taps.flatten(1), text[:, -1], extras, style_mean, code], -1)
        course, voice = self.rhythm.step(heard, code, state, new)
        z = style_mean + self.code_in(torch.cat([code, new["latched"]], -1))
        poses: list[Tensor] = []
        for k, part in enumerate(self.levels):
            parts = [audio[:, k], text[:, k], z, extras, course]
            joined = torch.cat([*poses[-1:], *parts], -1)
            hidden = part.gru.step(joined, state, new)  # type: ignore[operator]
            poses.append(part.out(hidden))  # type: ignore[operator]
        directions = poses[-1].unflatten(-1, (self.skeleton.vectors, 3)) + self.mean
        return {"directions": directions, "voice": torch.sigmoid(voice)}, new
