"""Narrow offline networks in the published layouts, with statistics that are not neutral."""

import numpy as np
import torch
from torch import nn

from models.ha2g import HA2G, HA2GConfig
from models.ha2g_audio import AudioEncoder
from models.hop import Hop, HopConfig, Preset
from models.hop_graph import AUDIO_FEATURE, RHYTHM, WINDOW
from models.language import LanguageModel
from models.layers import FEATURE, STYLE, SummedGRU, TextEncoder
from models.melspectrogram import ha2g_log_mel
from streamer.skeleton import load_skeleton
from streamer.types import Float32

WORDS, SPEAKERS, PIECES = 12, 3, 40


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


def narrow_hop(preset: Preset = "hop", seed: int = 0) -> Hop:
    """Return an offline HOP with a tiny BERT, whose window takes milliseconds."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    bert = BertModel(
        BertConfig(
            vocab_size=PIECES,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=24,
            max_position_embeddings=40,
        ),
        add_pooling_layer=False,
    )
    for norm in bert.modules():
        if isinstance(norm, nn.LayerNorm):
            norm.weight.data.uniform_(0.5, 1.5)
            norm.bias.data.uniform_(-0.2, 0.2)
    table = bert.get_input_embeddings().weight
    language = LanguageModel(table=table, network=bert, empty=0)
    skeleton = load_skeleton("ted_gesture")
    config = HopConfig(skeleton=skeleton, speakers=SPEAKERS, preset=preset, prototypes=20)
    network = Hop(config, language)
    network.graph.audio.net = nn.Sequential(
        nn.Linear(WINDOW, 8), nn.LeakyReLU(0.2), nn.Linear(8, AUDIO_FEATURE)
    )
    dim = 3 * skeleton.vectors
    fused = dim + 1 + RHYTHM * skeleton.vectors + language.features + STYLE
    network.recurrent = SummedGRU(fused, 6, 2)
    network.head = nn.Sequential(nn.Linear(6, 5), nn.LeakyReLU(0.2), nn.Linear(5, dim))
    return network.eval()


def fitted(network: HA2G, samples: Float32, *, steps: int = 15) -> HA2G:
    """Return the network after some steps towards motion that follows the voice's loudness."""
    torch.manual_seed(0)
    spectrogram = torch.from_numpy(ha2g_log_mel(samples).astype(np.float32))
    loud = spectrogram.mean(0)
    loud = (loud - loud.mean()) / loud.std()
    dim = 3 * network.config.skeleton.vectors
    shape, sway = torch.randn(2, dim)
    starts = range(0, int(len(samples) / 16_000 * 15) - 34, 12)
    images, targets = [], []
    for start in starts:
        column = int(start / 15 * 16_000 / 512)
        images.append(spectrogram[:, column : column + 70])
        frames = torch.arange(start, start + 34)
        heard = nn.functional.avg_pool1d(loud[None, None], 15, 1, 7)[0, 0]
        heard = heard[(frames / 15 * 16_000 / 512).long()]
        targets.append(0.2 * heard[:, None] * shape + 0.1 * torch.sin(frames / 9)[:, None] * sway)
    image, target = torch.stack(images), torch.stack(targets)
    words = torch.randint(0, WORDS, (len(image), 34))
    speaker = torch.ones(len(image), dtype=torch.int64)
    optimiser = torch.optim.Adam(network.parameters(), lr=4e-3)
    for _ in range(steps):
        out = network.generate(network.audio(image, speaker), words, speaker, target[:, :4])
        loss = torch.stack(
            [
                (poses - target[..., network.level_channels(k)]).abs().mean()
                for k, poses in enumerate(out.poses)
            ]
        ).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()
