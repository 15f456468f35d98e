"""The frozen causal language model inside `hop_stream`: one position a frame, cached.

A transformer in BERT's order of operations that sees the last `span` frames.
Its words are sums of hashed character n-grams (`streamer.words`), so there is
no unknown word and no vocabulary. Two equal forms: whole sequences, and one
frame with the keys and values of the last `span` frames as its state.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from models.causal import Shapes, State
from streamer.errors import ArtifactError

_EPSILON = 1e-12
"""BERT's, so that its weights give its numbers."""
_BLOCK = 256
"""Frames of a whole sequence that attend at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageShape:
    """Sizes of a language model.

    buckets: rows of the n-gram table; span: frames that attention sees;
    positions: rows of an absolute position table, used modulo itself, or 0
    where the learnt bias by distance is all that tells positions apart.
    """

    buckets: int = 4096
    width: int = 128
    layers: int = 2
    heads: int = 4
    feed: int = 512
    span: int = 64
    positions: int = 0


class CausalLayer(nn.Module):
    """Attention over the last `span` frames, then a feed-forward part, each normed after."""

    slots: Tensor

    def __init__(self, name: str, shape: LanguageShape) -> None:
        super().__init__()
        self.name, self.shape = name, shape
        width = shape.width
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.attended = nn.LayerNorm(width, _EPSILON)
        self.up = nn.Linear(width, shape.feed)
        self.down = nn.Linear(shape.feed, width)
        self.fed = nn.LayerNorm(width, _EPSILON)
        # in the order of the cache: the oldest frame first, the present one last
        self.bias = nn.Parameter(torch.zeros(shape.heads, shape.span))
        self.register_buffer("slots", torch.arange(shape.span, dtype=torch.float32), False)

    def shapes(self) -> Shapes:
        """Return the shapes of its state."""
        cache = (self.shape.span, self.shape.width)
        return {f"{self.name}.key": cache, f"{self.name}.value": cache}

    def _heads(self, x: Tensor) -> Tensor:
        """Return [..., heads, T, width / heads] of x [..., T, width]."""
        return x.unflatten(-1, (self.shape.heads, -1)).transpose(-2, -3)

    def _finish(self, x: Tensor, mixed: Tensor) -> Tensor:
        x = self.attended(x + self.out(mixed))
        return self.fed(x + self.down(F.gelu(self.up(x))))

    def forward(self, x: Tensor) -> Tensor:
        """Run sequences [B, T, width]."""
        query, key, value = (self._heads(part(x)) for part in (self.query, self.key, self.value))
        frames = torch.arange(x.shape[1], device=x.device)
        mixed: list[Tensor] = []
        # block by block, so that an hour needs no more memory than it has frames
        for at in range(0, x.shape[1], _BLOCK):
            asking = slice(at, at + _BLOCK)
            seen = slice(max(0, at - self.shape.span + 1), at + _BLOCK)
            mask = self._mask(frames[asking], frames[seen])
            mixed.append(
                F.scaled_dot_product_attention(
                    query[:, :, asking], key[:, :, seen], value[:, :, seen], attn_mask=mask
                )
            )
        return self._finish(x, torch.cat(mixed, 2).transpose(1, 2).flatten(2))

    def _mask(self, asking: Tensor, seen: Tensor) -> Tensor:
        """Return what is added to the scores [heads, asking, seen] of frames."""
        slot = self.shape.span - 1 - (asking[:, None] - seen)
        inside = (slot >= 0) & (slot < self.shape.span)
        bias = self.bias[:, slot.clamp(0, self.shape.span - 1)]
        return bias.masked_fill(~inside, float("-inf"))

    def step(self, x: Tensor, age: Tensor, state: State, new: State) -> Tensor:
        """Run one frame [S, width]; age [S, 1]: frames in sight, this one included."""
        caches: list[Tensor] = []
        for part, made in (
            (f"{self.name}.key", self.key(x)),
            (f"{self.name}.value", self.value(x)),
        ):
            new[part] = torch.cat([state[part][:, 1:], made[:, None]], 1)
            caches.append(self._heads(new[part]))
        key, value = caches
        query = self._heads(self.query(x)[:, None])
        scores = query @ key.transpose(-1, -2) * (self.shape.width // self.shape.heads) ** -0.5
        empty = (self.slots < self.shape.span - age)[:, None, None]
        scores = (scores + self.bias[:, None]).masked_fill(empty, float("-inf"))
        mixed = torch.softmax(scores, -1) @ value
        return self._finish(x, mixed.flatten(1))


class StreamLanguage(nn.Module):
    """A frozen word table and a frozen causal transformer over frames.

    With no layers it is the table and a norm alone.
    """

    def __init__(self, shape: LanguageShape) -> None:
        super().__init__()
        self.shape = shape
        self.table = nn.Parameter(torch.randn(shape.buckets, shape.width) * 0.3)
        self.empty = nn.Parameter(torch.zeros(shape.width))
        self.places = nn.Parameter(torch.zeros(shape.positions, shape.width))
        self.norm = nn.LayerNorm(shape.width, _EPSILON)
        self.layers = nn.ModuleList(
            CausalLayer(f"language.{i}", shape) for i in range(shape.layers)
        )

    def shapes(self) -> Shapes:
        """Return the shapes of its state."""
        shapes: Shapes = {}
        for layer in self._layers():
            shapes |= layer.shapes()
        if shapes:
            shapes["language.age"] = (1,)
        if self.shape.positions:
            shapes["language.place"] = (1,)
        return shapes

    def _layers(self) -> list[CausalLayer]:
        return list(self.layers)  # type: ignore[arg-type]

    def embed(self, word: Tensor, present: Tensor) -> Tensor:
        """Return input vectors [..., width] of words.

        word: n-gram ids int [..., slots], 0 for none; present [..., 1]: 1 where
        a word enters. A frame without a word is `empty`, which is attended like
        all others (hop.md 1).
        """
        ids = word.clamp(0, self.shape.buckets - 1).long()
        there = (ids > 0).unsqueeze(-1)
        summed = (F.embedding(ids, self.table) * there).sum(-2)
        spoken = there.any(-2) & (present > 0.5)
        return torch.where(spoken, summed, self.empty)

    def forward(self, vectors: Tensor, offset: Tensor | None = None) -> Tensor:
        """Return features [B, T, width] of input vectors [B, T, width].

        offset: int [B], the absolute position of frame 0, else 0.
        """
        x = vectors
        if self.shape.positions:
            frames = torch.arange(x.shape[1], device=x.device)
            first = frames[:1] if offset is None else offset[:, None]
            x = x + self.places[(first + frames) % self.shape.positions]
        x = self.norm(x)
        for layer in self._layers():
            x = layer(x)
        return x

    def step(self, vectors: Tensor, state: State, new: State) -> Tensor:
        """Return features [S, width] of one frame's input vectors [S, width]."""
        x = vectors
        if self.shape.positions:
            place, last = state["language.place"], float(self.shape.positions - 1)
            # a NaN must not become an index outside the table
            row = place[:, 0].to(torch.int64).clamp(0, self.shape.positions - 1)
            x = x + self.places[row]
            new["language.place"] = torch.where(place >= last, place * 0, place + 1)
        x = self.norm(x)
        if self.layers:
            age = torch.clamp(state["language.age"] + 1, max=float(self.shape.span))
            new["language.age"] = age
            for layer in self._layers():
                x = layer.step(x, age, state, new)
        return x

    def save(self, path: Path) -> None:
        """Write the weights in half precision."""
        halves = {k: v.half().contiguous() for k, v in self.state_dict().items()}
        save_file(halves, path)

    def load(self, path: Path) -> None:
        """Read weights of this shape, more layers than it has left out.

        Raises `ArtifactError` where the file is missing or does not fit.
        """
        if not path.is_file():
            raise ArtifactError(f"{path}: no language model; make it: python -m training distil")
        wanted = self.state_dict()
        found = {k: v.float() for k, v in load_file(path).items() if k in wanted}
        try:
            self.load_state_dict(found)
        except RuntimeError as error:
            raise ArtifactError(f"{path.name}: does not fit this language model: {error}") from None
