"""Narrow HA2G networks in the published layout, with statistics that are not neutral."""

import torch
from torch import nn

from models.ha2g import HA2G, HA2GConfig
from models.ha2g_audio import AudioEncoder
from models.layers import FEATURE, STYLE, SummedGRU, TextEncoder
from streamer.skeleton import load_skeleton

WORDS, SPEAKERS = 12, 3


def narrow_ha2g(name: str = "ted_gesture", seed: int = 0) -> HA2G:
    """Return an HA2G whose window takes milliseconds; every part is there."""
    torch.manual_seed(seed)
    skeleton = load_skeleton(name)
    network = HA2G(HA2GConfig.published(skeleton, words=WORDS, speakers=SPEAKERS))
    levels = len(skeleton.levels)
    network.audio = AudioEncoder(SPEAKERS, levels, channels=(8, 8, 8, 16), blocks=(1, 1, 1, 1))
    for generator, level in zip(network.generators, skeleton.levels, strict=True):
        dim = 3 * len(level)
        generator.text = TextEncoder(WORDS, channels=8, blocks=2)
        generator.recurrent = SummedGRU(dim + 1 + 2 * FEATURE + STYLE, 6, 2)
        generator.head = nn.Sequential(nn.Linear(6, 5), nn.LeakyReLU(0.01), nn.Linear(5, dim))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.5, 2.0)
    return network.eval()
