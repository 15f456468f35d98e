"""`hop_stream`: HOP (CVPR 2025) made causal, with its state carried exactly.

Its two branches as in the paper (spec/hop.md 2 to 4, 11): mel frames are
re-programmed into the word space of a frozen language model, which reads
audio and words as one token a frame; a graph of the body's bones with a
learnt adjacency and dilated gated convolutions turns audio into rhythm; both
are fused by concatenation and a uni-directional GRU draws the motion.

What is ours: no pose feedback (spec/streaming.md 4), so no pose is known and
a bone is told from its neighbours by a learnt embedding and gain instead; the
gesture code and style go into the graph too, as what there is to draw; the
audio node sees the front end's image instead of samples; the language model
is a small one distilled for this use, unless the configuration says otherwise;
and a rhythm decides when a gesture begins (`models/rhythm.py`). One parameter
set, two equal forms: `forward` and `generate` over whole sequences, `step`
over one frame with state.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.causal import Shapes, State, StreamGru
from models.dice import Dice
from models.frontend import LEVEL_FEATURES, LEVEL_STATE, LevelTracker, MelFrontEnd
from models.ha2g_stream import LOOKAHEADS, Drawn
from models.hop import FoldedReprogramming, Reprogramming
from models.hop_stream_graph import AudioFeature, StreamGraph
from models.rhythm import COURSE, MOVES, Course, Rhythm, course_features
from models.stream import COLUMNS, StreamBase
from models.stream_language import LanguageShape, StreamLanguage
from streamer.skeleton import Skeleton

Language = Literal["distilled", "none", "random", "minilm"]
_WORD_FACTS = 2
"""How long ago a word was spoken, and whether it is final (hop.md 12)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HopStreamConfig:
    """Sizes of a `hop_stream`.

    language: what the language model's weights are; `none` keeps its word
    table alone. width to positions: its `LanguageShape`. prototypes, heads,
    head: of the re-programming; channels, skip, end: of the graph; audio,
    audio_hidden: of its audio feature; per_bone: its numbers per bone and
    frame beside a direction; rhythm: width of the GRU that decides; hidden,
    layers: of the one that draws.
    """

    window: int = 640
    mels: int = 64
    buckets: int = 4096
    word_slots: int = 12
    language: Language = "distilled"
    width: int = 128
    language_layers: int = 2
    language_heads: int = 4
    feed: int = 512
    span: int = 64
    positions: int = 0
    prototypes: int = 256
    heads: int = 4
    head: int = 32
    channels: int = 16
    skip: int = 48
    end: int = 64
    per_bone: int = 4
    audio_hidden: int = 96
    audio: int = 32
    style: int = 32
    styles: tuple[str, ...] = ("calm", "lively", "big")
    code: int = 12
    rhythm: int = 128
    hidden: int = 272
    layers: int = 2
    lookaheads: tuple[int, ...] = LOOKAHEADS

    @property
    def shape(self) -> LanguageShape:
        """The language model's sizes."""
        return LanguageShape(
            buckets=self.buckets,
            width=self.width,
            layers=0 if self.language == "none" else self.language_layers,
            heads=self.language_heads,
            feed=self.feed,
            span=self.span,
            positions=0 if self.language == "none" else self.positions,
        )


PRESETS: Mapping[str, HopStreamConfig] = {
    "small": HopStreamConfig(),
    # rows beside it: no language model, one of random weights, and MiniLM itself
    "small-none": HopStreamConfig(language="none"),
    "small-random": HopStreamConfig(language="random"),
    "minilm": HopStreamConfig(
        language="minilm",
        buckets=16_384,
        width=384,
        language_layers=6,
        language_heads=12,
        feed=1536,
        positions=512,
    ),
    # the paper's sizes (hop.md 2 to 4, 11), with a language model of GPT-2's and BERT's shape
    "full": HopStreamConfig(
        window=1024,
        mels=128,
        buckets=30_522,
        language="random",
        width=768,
        language_layers=6,
        language_heads=12,
        feed=3072,
        positions=512,
        prototypes=1500,
        heads=8,
        head=128,
        channels=64,
        skip=256,
        end=512,
        per_bone=20,
        audio_hidden=1700,
        audio=170,
        hidden=350,
        layers=4,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    """All that does not depend on decisions, [..., width] each."""

    audio: Tensor
    spoken: Tensor
    level: Tensor
    facts: Tensor
    style: Tensor


class HopStream(StreamBase):
    """Causal HOP over a skeleton's vectors.

    codes: [M, code] table from which the gesture code is drawn. The language
    model starts with random weights; `models.families.fresh_network` loads the
    frozen ones that the configuration names.
    """

    def __init__(self, config: HopStreamConfig, skeleton: Skeleton, codes: Tensor) -> None:
        super().__init__()
        self.config, self.skeleton = config, skeleton
        self.allowed = config.lookaheads
        self.front = MelFrontEnd(config.window, config.mels)
        self.tracker = LevelTracker(config.mels)
        self.dice = Dice(len(codes), shortest=15, longest=30)
        self.register_buffer("codes", codes.float())
        self.register_buffer("mean", torch.tensor(skeleton.mean), False)
        nodes, image = skeleton.vectors, COLUMNS * config.mels
        self.speaker = nn.Linear(len(config.styles), 16)
        self.style_mean = nn.Linear(16, config.style)
        # the code in force and the one that the present gesture was begun with
        self.code_in = nn.Sequential(
            nn.Linear(2 * config.code, 128), nn.ELU(), nn.Linear(128, config.style)
        )
        # audio-text branch
        self.language = StreamLanguage(config.shape).requires_grad_(False)
        self.reprogramming: Reprogramming | FoldedReprogramming = Reprogramming(
            config.buckets,
            config.width,
            config.prototypes,
            bands=image,
            heads=config.heads,
            head=config.head,
        )
        self.align = nn.Linear(2 * config.width + _WORD_FACTS, config.width)
        _keep_words(self.align, config.width)
        self.spoken = nn.Linear(config.width, config.width) if config.language == "none" else None
        # audio-action branch
        self.audio = AudioFeature("graph.audio", image, config.audio_hidden, config.audio)
        joined = config.audio + LEVEL_FEATURES + config.style + COURSE
        self.start = nn.Linear(joined, config.channels)
        self.bone = nn.Parameter(torch.randn(nodes, config.channels))
        self.gain = nn.Parameter(1 + torch.randn(nodes, config.channels))
        self.graph = StreamGraph(
            "graph",
            nodes,
            channels=config.channels,
            skip=config.skip,
            end=config.end,
            outputs=3 + config.per_bone,
        )
        # decisions, fusion and generator
        facts = _WORD_FACTS + len(config.lookaheads)
        heard = config.audio + config.width + LEVEL_FEATURES + facts + config.style
        self.rhythm = Rhythm(heard + config.code, config.rhythm, config.code)
        fused = nodes * (3 + config.per_bone) + config.width + config.style
        fused += LEVEL_FEATURES + facts + COURSE
        self.recurrent = StreamGru("gru", fused, config.hidden, config.layers)
        self.head = nn.Sequential(
            nn.Linear(config.hidden, config.hidden // 2 + 10),
            nn.LeakyReLU(0.2),
            nn.Linear(config.hidden // 2 + 10, 3 * nodes),
        )

    # -- shared by both forms ------------------------------------------------

    def _token(self, image: Tensor, word: Tensor, word_info: Tensor) -> Tensor:
        """Return the language model's input [..., width]: audio and word as one."""
        there = word_info[..., :1]
        parts = (
            self.reprogramming(image, self.language.table),
            self.language.embed(word, there),
            _facts(word_info),
        )
        return self.align(torch.cat(parts, -1))

    def _read(self, features: Tensor) -> Tensor:
        return features if self.spoken is None else self.spoken(features)

    def _decided_by(self, heard: _Heard, code: Tensor) -> Tensor:
        """Return what the rhythm hears, [..., I]."""
        parts = (heard.audio, heard.spoken, heard.level, heard.facts, heard.style, code)
        return torch.cat(parts, -1)

    def _z(self, heard: _Heard, code: Tensor, latched: Tensor) -> Tensor:
        return heard.style + self.code_in(torch.cat([code, latched], -1))

    def _shared(self, heard: _Heard, z: Tensor, course: Tensor) -> Tensor:
        """Return what every bone is told, [..., channels]."""
        return self.start(torch.cat([heard.audio, heard.level, z, course], -1))

    @staticmethod
    def _fused(moved: Tensor, heard: _Heard, z: Tensor, course: Tensor) -> Tensor:
        """Return the generator's input, [..., I]: both branches, style, decisions (hop.md 4)."""
        return torch.cat([moved, heard.spoken, z, heard.level, heard.facts, course], -1)

    def fold(self) -> None:
        """Make the re-programming's prototypes constant, for inference."""
        if isinstance(self.reprogramming, Reprogramming):
            self.reprogramming = self.reprogramming.folded(self.language.table)

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
        heard = self._hear(image, level, word, word_info, lookahead, style)
        moves, voice = self.rhythm(self._decided_by(heard, code), course)
        hot = F.one_hot(course.move.long(), MOVES).to(image.dtype)
        features = course_features(hot, course.age[..., None])
        poses = self._draw(heard, features, code, course.code)
        return Drawn(poses=[poses], moves=moves, voice=voice)

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
        heard = self._hear(image, level, word, word_info, lookahead, style)
        course, voice = self.rhythm.decide(self._decided_by(heard, code), code, seed)
        hot = F.one_hot(course.move, MOVES).to(image.dtype)
        features = course_features(hot, course.age[..., None])
        poses = self._draw(heard, features, code, course.code)
        return Drawn(poses=[poses], moves=hot, voice=voice)

    def _hear(
        self,
        image: Tensor,
        level: Tensor,
        word: Tensor,
        word_info: Tensor,
        lookahead: Tensor,
        style: Tensor,
    ) -> _Heard:
        flat = image.flatten(2)
        token = self._token(flat, word, word_info)
        offset: Tensor | None = None
        if self.training and self.config.shape.positions:
            # the wrap of absolute positions must be seen (hop.md 11)
            offset = torch.randint(self.config.positions, (len(flat),), device=flat.device)
        frames = flat.shape[1]
        ahead = self._lookahead(lookahead)[:, None].expand(-1, frames, -1)
        style_mean = self.style_mean(self.speaker(style))[:, None].expand(-1, frames, -1)
        return _Heard(
            audio=self.audio(flat),
            spoken=self._read(self.language(token, offset)),
            level=level,
            facts=torch.cat([_facts(word_info), ahead], -1),
            style=style_mean,
        )

    def _draw(self, heard: _Heard, course: Tensor, code: Tensor, latched: Tensor) -> Tensor:
        """Return directions [B, T, D * 3] minus the mean."""
        z = self._z(heard, code, latched)
        # nodes lead: [N, B, T, channels]
        nodes = self._shared(heard, z, course) * self.gain[:, None, None]
        moved = self.graph(nodes + self.bone[:, None, None])
        fused = self._fused(moved.permute(1, 2, 0, 3).flatten(2), heard, z, course)
        return self.head(self.recurrent(fused))

    # -- one step ------------------------------------------------------------

    def state_shapes(self) -> Shapes:
        """Return the shape of every state tensor, without the slot axis."""
        shapes: Shapes = {
            "level": (LEVEL_STATE,),
            "dice": (4,),
            "code": (self.config.code,),
        }
        shapes |= self.language.shapes() | self.audio.shapes() | self.graph.shapes()
        return shapes | self.rhythm.shapes() | self.recurrent.shapes()

    def step(self, inputs: Mapping[str, Tensor], state: State) -> tuple[dict[str, Tensor], State]:
        """Run one frame for S slots; see `streamer.spec` for the tensors."""
        new: State = {}
        image, level = self._hear_frame(inputs["audio"], state, new)
        flat = image.flatten(1)
        self._roll(state, new)

        word_info = inputs["word_info"]
        token = self._token(flat, inputs["word"], word_info)
        heard = _Heard(
            audio=self.audio.step(flat, state, new),
            spoken=self._read(self.language.step(token, state, new)),
            level=level,
            facts=torch.cat([_facts(word_info), self._lookahead(inputs["lookahead"])], -1),
            style=self.style_mean(self.speaker(inputs["style"])),
        )
        decided_by = self._decided_by(heard, new["code"])
        course, voice = self.rhythm.step(decided_by, new["code"], state, new)

        z = self._z(heard, new["code"], new["latched"])
        nodes = self._shared(heard, z, course)[:, None] * self.gain + self.bone
        moved = self.graph.step(nodes, state, new).flatten(1)
        hidden = self.recurrent.step(self._fused(moved, heard, z, course), state, new)
        directions = self.head(hidden).unflatten(-1, (self.skeleton.vectors, 3)) + self.mean
        return {"directions": directions, "voice": torch.sigmoid(voice)}, new


def _facts(word_info: Tensor) -> Tensor:
    """Return the facts [..., 2] about a word; a frame without a word has none."""
    return word_info[..., 1:] * word_info[..., :1]


def _keep_words(align: nn.Linear, width: int) -> None:
    """Start where the language model was distilled: words pass, audio is a small part."""
    with torch.no_grad():
        align.weight.mul_(0.3)
        align.weight[:, width : 2 * width] = torch.eye(width)
        align.bias.zero_()
