"""Tiny seeded streaming networks for tests, with statistics that are not neutral."""

from dataclasses import replace
from typing import Any

import torch

from models.ha2g_stream import Ha2gStream, StreamConfig
from models.hop_stream import HopStream, HopStreamConfig
from streamer.skeleton import load_skeleton

TINY = StreamConfig(
    mels=16,
    channels=(4, 4, 8, 8),
    tap=4,
    word=4,
    buckets=64,
    style=4,
    hidden=(6, 8, 8, 6, 6, 6),
    layers=(2, 1, 2, 1, 1, 1),
)


def tiny_network(seed: int = 0, config: StreamConfig = TINY) -> Ha2gStream:
    """Return an `ha2g_stream` whose batch norms have uneven statistics."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    codes = torch.randn(20, config.code, generator=generator)
    network = Ha2gStream(config, load_skeleton("upper_body"), codes).eval()
    _unsettle(network, generator)
    return network


HOP_TINY = HopStreamConfig(
    mels=16,
    buckets=64,
    width=8,
    language_heads=2,
    feed=12,
    span=9,
    prototypes=6,
    heads=2,
    head=4,
    channels=4,
    skip=6,
    end=8,
    audio_hidden=10,
    audio=5,
    style=4,
    rhythm=6,
    hidden=12,
)


def tiny_hop(seed: int = 0, **changed: Any) -> HopStream:
    """Return a `hop_stream` whose norms and attention are uneven; changed: of its config."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    codes = torch.randn(20, HOP_TINY.code, generator=generator)
    network = HopStream(replace(HOP_TINY, **changed), load_skeleton("upper_body"), codes).eval()
    _unsettle(network, generator)
    with torch.no_grad():
        network.language.places.normal_(generator=generator)
        network.language.empty.normal_(generator=generator)
        for name, parameter in network.language.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(generator=generator)
    return network


def _unsettle(network: torch.nn.Module, generator: torch.Generator) -> None:
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.3, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2.0, generator=generator)
