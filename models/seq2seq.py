"""Attention seq2seq (Yoon et al. 2019) as the gesture repositories have it (baselines.md 3)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

FRAMES = 34
SEEDS = 4
_HIDDEN = 200
_LAYERS = 2


class WordEncoder(nn.Module):
    """A word list SOS .. EOS to one vector per word and the GRU's last states."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, 300)
        self.gru = nn.GRU(300, _HIDDEN, _LAYERS, batch_first=True, bidirectional=True, dropout=0.1)

    def forward(self, words: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """words: int64 [B, L], padded with 0; lengths: int64 [B], descending.

        Result: [B, L, 200], zero past a sample's length, and states [4, B, 200].
        """
        packed = pack_padded_sequence(self.embedding(words), lengths.cpu(), batch_first=True)
        out, hidden = self.gru(packed)
        both, _ = pad_packed_sequence(out, batch_first=True, total_length=words.shape[1])
        return both[..., :_HIDDEN] + both[..., _HIDDEN:], hidden


class Attention(nn.Module):
    """Additive attention over all positions of the batch, padding included.

    The published model does not mask: padded positions are zero vectors and
    still take probability, so a sample depends on the longest text beside it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.randn(_HIDDEN) * _HIDDEN**-0.5)
        self.score = nn.Linear(2 * _HIDDEN, _HIDDEN)

    def forward(self, query: Tensor, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """query: [B, 200]; encoded: [B, L, 200]. Result: context [B, 200], weights [B, L]."""
        pairs = torch.cat((query.unsqueeze(1).expand_as(encoded), encoded), dim=-1)
        weights = F.softmax(torch.tanh(self.score(pairs)) @ self.vector, dim=1)
        return (weights.unsqueeze(1) @ encoded).squeeze(1), weights


class PoseStep(nn.Module):
    """One frame of the decoder."""

    def __init__(self, pose_dim: int) -> None:
        super().__init__()
        self.attention = Attention()
        self.inputs = nn.Sequential(
            nn.Linear(pose_dim + _HIDDEN, _HIDDEN), nn.BatchNorm1d(_HIDDEN), nn.ReLU()
        )
        self.gru = nn.GRU(_HIDDEN, _HIDDEN, _LAYERS, dropout=0.1)
        self.head = nn.Linear(_HIDDEN, pose_dim)

    def forward(
        self, pose: Tensor, hidden: Tensor, encoded: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """pose: [B, D]; hidden: [2, B, 200]. Result: next pose, hidden, weights [B, L]."""
        context, weights = self.attention(hidden[-1], encoded)
        x = self.inputs(torch.cat((pose, context), dim=1))
        out, hidden = self.gru(x.unsqueeze(0), hidden)
        return self.head(out.squeeze(0)), hidden, weights


class Seq2Seq(nn.Module):
    """Words and seed poses to poses, frame by frame; no audio, no speaker, no noise."""

    def __init__(self, pose_dim: int, *, words: int) -> None:
        super().__init__()
        self.encoder = WordEncoder(words)
        self.decoder = PoseStep(pose_dim)

    def forward(self, words: Tensor, lengths: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
        """words: int64 [B, L]; lengths: int64 [B]; seeds: [B, 4, D].

        Result: poses [B, 34, D], of which frame 0 is seed 0 and frames 1 to 3
        are predictions, and attention weights [B, 33, L].
        """
        encoded, states = self.encoder(words, lengths)
        # Forward and backward state of the encoder's lower layer, as published.
        hidden = states[:_LAYERS].contiguous()
        poses, attention = [seeds[:, 0]], list[Tensor]()
        for t in range(1, FRAMES):
            before = seeds[:, t - 1] if t <= SEEDS else poses[-1]
            pose, hidden, weights = self.decoder(before, hidden, encoded)
            poses.append(pose)
            attention.append(weights)
        return torch.stack(poses, dim=1), torch.stack(attention, dim=1)
