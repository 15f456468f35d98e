"""Files in the published format, full size, with the deterministic weights of the golden files.

`python -m tests.published FOLDER` writes one of each kind: stand-ins for the
authors' downloads, to try `python -m training import` with.
"""

import argparse
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streamer.skeleton import load_skeleton
from tests.golden_files import layout, published_state

SPECIAL = ("<PAD>", "<SOS>", "<EOS>", "<UNK>")
SPOKEN = (
    "we really don't know what this is about so i think that you and the people here can".split()
)
DIMS = {"ted_gesture": 27, "ted_expressive": 126}


class Vocab:
    """Stands for `model.vocab.Vocab`, whose module does not exist here."""

    def __init__(self, words: list[str], *, embeddings: bool = False) -> None:
        self.name = "words"
        self.trimmed = False
        self.word2index = {word: i for i, word in enumerate(words)}
        self.word2count = dict.fromkeys(words, 1)
        self.index2word = dict(enumerate(words))
        self.n_words = len(words)
        rows = np.random.default_rng(1).normal(size=(len(words), 300)).astype(np.float32)
        self.word_embedding_weights = rows if embeddings else None


@contextmanager
def published_vocab() -> Iterator[type[Vocab]]:
    """Make `Vocab` pickle as `model.vocab.Vocab`, as the published one does."""
    module = types.ModuleType("model.vocab")
    module.Vocab = Vocab  # type: ignore[attr-defined]
    before, Vocab.__module__ = Vocab.__module__, "model.vocab"
    sys.modules |= {"model": types.ModuleType("model"), "model.vocab": module}
    try:
        yield Vocab
    finally:
        Vocab.__module__ = before
        del sys.modules["model"], sys.modules["model.vocab"]


def _filled(name: str, shapes: dict[str, list[int]]) -> OrderedDict[str, torch.Tensor]:
    return OrderedDict(published_state(name, shapes))


def _common(name: str) -> dict[str, Any]:
    mean = load_skeleton(name).mean.ravel()
    args = argparse.Namespace(
        n_poses=34, n_pre_poses=4, mean_dir_vec=[[float(x)] for x in mean], name="stand-in"
    )
    return {"args": args, "epoch": 27, "pose_dim": DIMS[name]}


def _vocabularies() -> dict[str, Vocab]:
    words = [*SPECIAL, *(word.replace("'", "") for word in SPOKEN)]
    words += [f"w{i}" for i in range(100 - len(words))]
    return {
        "lang_model": Vocab(words, embeddings=True),
        "speaker_model": Vocab([f"video{i}" for i in range(16)]),
    }


def write_ha2g(path: Path, name: str) -> Path:
    """Write an HA2G checkpoint of a TED skeleton: 100 words, 16 speakers."""
    dicts = {key: _filled(key, shapes) for key, shapes in layout(f"ha2g_state_dict_{name}").items()}
    return _save(path, {**_common(name), **_vocabularies(), **dicts})


def write_trimodal(path: Path) -> Path:
    """Write Trimodal's generator and discriminator for TED Gesture."""
    shapes = layout("trimodal_state_dict")
    dicts = {
        key: _filled(f"trimodal_{key}", shapes[f"trimodal_{key}"])
        for key in ("gen_dict", "dis_dict")
    }
    return _save(path, {**_common("ted_gesture"), **_vocabularies(), **dicts})


def write_autoencoder(path: Path, name: str) -> Path:
    """Write the FGD auto-encoder of a TED skeleton."""
    key = "gen_dict" if name == "ted_gesture" else "motion_ae"
    filled = _filled(f"fgd_{name}", layout("fgd_autoencoder_state_dict")[f"fgd_{name}"])
    more = {} if name == "ted_gesture" else {"latent_dim": 128}
    return _save(path, {**_common(name), key: filled, **more})


def _save(path: Path, content: dict[str, Any]) -> Path:
    with published_vocab():
        torch.save(content, path)
    return path


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for skeleton in DIMS:
        print(write_ha2g(folder / f"ha2g_{skeleton}.bin", skeleton))
        print(write_autoencoder(folder / f"fgd_{skeleton}.bin", skeleton))
    print(write_trimodal(folder / "trimodal.bin"))
