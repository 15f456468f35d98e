"""Tiny seeded streaming networks for tests, with statistics that are not neutral."""

import torch

from models.ha2g_stream import Ha2gStream, StreamConfig
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
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.3, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2.0, generator=generator)
    return network
