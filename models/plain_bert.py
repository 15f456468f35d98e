"""BERT's encoder written out, without `transformers`, so that a step graph can hold it.

The weights are those of a Hugging Face model; its own forward builds masks and
chooses kernels in ways that no exporter follows. Equal within rounding (a test).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamer.errors import ArtifactError


class PlainBert(nn.Module):
    """Input vectors to the last hidden state, every position attending to every one."""

    place: Tensor

    def __init__(self, network: nn.Module, frames: int) -> None:
        """network: a `transformers.BertModel`; frames: the length of the sequences."""
        super().__init__()
        config = getattr(network, "config", None)
        if getattr(config, "model_type", None) != "bert" or config.hidden_act != "gelu":
            raise ArtifactError(
                f"language model {type(network).__name__}: only those of BERT's kind can go into "
                "a step graph; use minilm, bert or none"
            )
        embeddings, encoder = network.embeddings, network.encoder
        with torch.no_grad():
            place = embeddings.position_embeddings.weight[:frames]
            place = place + embeddings.token_type_embeddings.weight[0]
        self.register_buffer("place", place.detach().clone())
        self.norm = embeddings.LayerNorm
        self.layers = nn.ModuleList(_Layer(layer) for layer in encoder.layer)

    def forward(self, vectors: Tensor) -> Tensor:
        """vectors: [B, frames, width]. Result: the same shape."""
        x = self.norm(vectors + self.place)
        for layer in self.layers:
            x = layer(x)
        return x


class _Layer(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        attention = layer.attention.self
        self.heads = attention.num_attention_heads
        self.query, self.key, self.value = attention.query, attention.key, attention.value
        self.out, self.norm = layer.attention.output.dense, layer.attention.output.LayerNorm
        self.wide, self.narrow = layer.intermediate.dense, layer.output.dense
        self.last_norm = layer.output.LayerNorm

    def forward(self, x: Tensor) -> Tensor:
        heads = (self.heads, x.shape[-1] // self.heads)
        query, key, value = (
            part(x).unflatten(-1, heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        weights = F.softmax(query @ key.transpose(2, 3) * heads[1] ** -0.5, dim=-1)
        x = self.norm(x + self.out((weights @ value).transpose(1, 2).flatten(2)))
        return self.last_norm(x + self.narrow(F.gelu(self.wide(x))))
