"""Our parameter names to those of the published checkpoints: the one mapping.

Each class of ours has a table: dotted child name -> published name(s). An empty
published name drops that step of the path. What no table names keeps its name.
Two published names mean that checkpoints hold the same tensor twice.
"""

from collections.abc import Mapping

from torch import nn

from models.autoencoder import PoseDecoder, PoseEncoder
from models.diffgesture import Attention, Block, Denoiser, DiffGesture, Schedule
from models.discriminator import Discriminator
from models.ha2g import LevelGenerator
from models.ha2g_audio import AudioEncoder, GatedBlock
from models.joint_embedding import ContextEncoder, JointEmbedding, PoseGenerator
from models.layers import StyleEncoder, SummedGRU, TemporalBlock, TextEncoder, WaveEncoder
from models.seq2seq import PoseStep, Seq2Seq
from models.speech2gesture import (
    AudioNet,
    ConvBlock,
    PatchDiscriminator,
    Speech2GestureGenerator,
)
from models.trimodal import TrimodalGenerator

Names = Mapping[str, str | tuple[str, ...]]

_GENERATOR: Names = {
    "audio": "audio_encoder",
    "text": "text_encoder",
    "style": "",
    "recurrent": "",
    "head": "out",
}

TABLES: Mapping[type[nn.Module], Names] = {
    TextEncoder: {"blocks": "tcn.network", "project": "decoder"},
    TemporalBlock: {
        "conv1": ("conv1", "net.0"),
        "conv2": ("conv2", "net.4"),
        "shortcut": "downsample",
    },
    StyleEncoder: {
        "table": "speaker_embedding.0",
        "project": "speaker_embedding.1",
        "mean": "speaker_mu",
        "log_variance": "speaker_logvar",
    },
    WaveEncoder: {"net": "feat_extractor"},
    SummedGRU: {},
    LevelGenerator: _GENERATOR,
    TrimodalGenerator: _GENERATOR,
    Discriminator: {"convs": "pre_conv", "recurrent": "", "frame": "out", "window": "out2"},
    AudioEncoder: {
        "stem.conv": "feat_extractor.conv1",
        "stem.norm": "feat_extractor.bn1",
        **{f"stages.{i}": f"feat_extractor.layer{i + 1}" for i in range(4)},
        **{f"{tap}.conv.conv": f"feat_extractor.conv_{tap}" for tap in ("low", "mid", "high")},
        **{f"{tap}.conv.norm": f"feat_extractor.bn_{tap}" for tap in ("low", "mid", "high")},
        **{f"{tap}.project": f"feat_extractor.fc_{tap}" for tap in ("low", "mid", "high")},
        "coordinator.table": "feat_extractor.speaker_embedding.0",
        "coordinator.project": "feat_extractor.speaker_embedding.1",
        "coordinator.hidden": "feat_extractor.fc1",
        "coordinator.mix": "feat_extractor.fc2",
    },
    GatedBlock: {
        "first.conv": "conv1",
        "first.norm": "bn1",
        "second": "conv2",
        "norm": "bn2",
        "gate.squeeze": "se.fc.0",
        "gate.excite": "se.fc.2",
        "shortcut": "downsample",
    },
    PoseEncoder: {
        "convs": "net",
        "dense": "out_net",
        "mean": "fc_mu",
        "log_variance": "fc_logvar",
    },
    PoseDecoder: {"dense": "pre_net", "convs": "net"},
    Seq2Seq: {"decoder": "decoder.decoder"},
    PoseStep: {
        "attention.vector": "attn.v",
        "attention.score": "attn.attn",
        "inputs": "pre_linear",
        "head": "out",
    },
    ConvBlock: {"conv": "0", "norm": "1"},
    AudioNet: {
        "image": "first_net",
        **{f"down.{i}": f"down{i + 1}" for i in range(6)},
        **{f"up.{i}": f"up{i + 1}.conv" for i in range(5)},
    },
    Speech2GestureGenerator: {
        "audio": "audio_encoder",
        "seeds": "pre_pose_encoder",
        "head": "final_out",
    },
    PatchDiscriminator: {"first": "net.0", "second": "net.2", "third": "net.3", "last": "net.4"},
    JointEmbedding: {"context": "context_encoder", "pose": "pose_encoder"},
    ContextEncoder: {
        "text": "text_encoder",
        "audio": "audio_encoder",
        "dense": "out",
        "mean": "fc_mu",
        "log_variance": "fc_logvar",
    },
    PoseGenerator: {"seeds": "pre_pose_net", "recurrent": "", "head": "out"},
    DiffGesture: {
        "audio": "audio_encoder",
        "null_context": "null_cond_emb",
        "denoiser": "diffusion_net.net",
        "schedule": "diffusion_net.var_sched",
    },
    Schedule: {
        "beta": "betas",
        "alpha": "alphas",
        "alpha_bar": "alpha_bars",
        "sigma_flexible": "sigmas_flex",
        "sigma": "sigmas_inflex",
    },
    Denoiser: {
        "positions": "pos_embedding",
        "inputs": "linear",
        "late_blocks": "decoder_blocks",
        "late_norm": "decoder_norm",
        "head": "out",
    },
    Block: {"attention": "attn", "expand": "mlp.fc1", "contract": "mlp.fc2"},
    Attention: {"project": "proj"},
}

_WEIGHT_NORM = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}


def published_names(module: nn.Module, key: str) -> tuple[str, ...]:
    """Return the published name(s) of one of a module's own state-dict keys."""
    table = TABLES.get(type(module), {})
    for ours in sorted(table, key=len, reverse=True):
        if key == ours or key.startswith(f"{ours}."):
            theirs = table[ours]
            names = (theirs,) if isinstance(theirs, str) else theirs
            rest = _inner(module, ours, key[len(ours) + 1 :])
            return tuple(_join(name, r) for name in names for r in rest)
    child = key.partition(".")[0]
    if child not in module._modules:
        return (_WEIGHT_NORM.get(key, key),)
    return tuple(_join(child, r) for r in _inner(module, child, key[len(child) + 1 :]))


def _inner(module: nn.Module, child: str, rest: str) -> tuple[str, ...]:
    if not rest:
        return ("",)
    if rest in _WEIGHT_NORM:
        return (_WEIGHT_NORM[rest],)
    return published_names(module.get_submodule(child), rest)


def _join(*parts: str) -> str:
    return ".".join(p for p in parts if p)
