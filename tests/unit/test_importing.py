"""Published checkpoints to plain files, and HA2G's on to motion through the engine."""

import argparse
import json
import sys
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.autoencoder import PoseAutoEncoder
from models.trimodal import TrimodalGenerator
from models.upstream import dump_parts, network_parts
from streamer.skeleton import load_skeleton
from tests.window_networks import SPEAKERS, WORDS
from training.__main__ import main
from training.importing import _styles, read_imported


class Vocab:
    """Stands for `model.vocab.Vocab`, whose module does not exist here."""

    def __init__(self, words: list[str], *, embeddings: bool) -> None:
        self.name = "words"
        self.trimmed = False
        self.word2index = {word: i for i, word in enumerate(words)}
        self.word2count = dict.fromkeys(words, 1)
        self.index2word = dict(enumerate(words))
        self.n_words = len(words)
        rows = np.random.default_rng(1).normal(size=(len(words), 300)).astype(np.float32)
        self.word_embedding_weights = rows if embeddings else None


TABLE = ["<PAD>", "<SOS>", "<EOS>", "<UNK>", *(f"w{i}" for i in range(WORDS - 4))]


@pytest.fixture
def vocab(monkeypatch: pytest.MonkeyPatch) -> type[Vocab]:
    """Make the class pickle as the published one does."""
    module = types.ModuleType("model.vocab")
    module.Vocab = Vocab  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "model", types.ModuleType("model"))
    monkeypatch.setitem(sys.modules, "model.vocab", module)
    monkeypatch.setattr(Vocab, "__module__", "model.vocab")
    return Vocab


def save(path: Path, network: torch.nn.Module, dim: int, **more: Any) -> Path:
    parts = {k: OrderedDict(v) for k, v in dump_parts(network_parts(network)).items()}
    options = argparse.Namespace(n_poses=34, ratio=1e-4, device=torch.float32.__repr__())
    torch.save({"args": options, "epoch": 7, "pose_dim": dim, **parts, **more}, path)
    return path


def no_pickle(folder: Path) -> None:
    for file in folder.iterdir():
        assert file.suffix in {".json", ".safetensors", ".onnx", ".md"} or file.name == "LICENSE"


def test_trimodal_comes_back_as_it_was(tmp_path: Path, vocab: type[Vocab]):
    torch.manual_seed(3)
    network = TrimodalGenerator(27, words=WORDS, speakers=SPEAKERS)
    words = vocab(TABLE, embeddings=True)
    path = save(tmp_path / "t.bin", network, 27, lang_model=words)
    out = tmp_path / "plain"
    assert main(["import", "trimodal", str(path), "-o", str(out)]) == 0
    no_pickle(out)
    again = read_imported(out)
    assert isinstance(again, TrimodalGenerator)
    for key, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
    assert json.loads((out / "vocabulary.json").read_text("utf-8")) == words.word2index
    table = load_file(out / "embeddings.safetensors")["embeddings"]
    assert np.array_equal(table.numpy(), words.word_embedding_weights)
    described = json.loads((out / "imported.json").read_text("utf-8"))
    assert described["args"]["n_poses"] == 34
    assert described["epoch"] == 7


@pytest.mark.parametrize(("dim", "variational"), [(27, True), (126, False)])
def test_fgd_auto_encoders_come_back(tmp_path: Path, dim: int, variational: bool):
    network = PoseAutoEncoder(dim, 32 if variational else 128, variational=variational).eval()
    out = tmp_path / "plain"
    assert main(["import", "fgd", str(save(tmp_path / "f.bin", network, dim)), "-o", str(out)]) == 0
    again = read_imported(out)
    assert isinstance(again, PoseAutoEncoder)
    poses = torch.randn(2, 34, dim, generator=torch.Generator().manual_seed(1))
    assert torch.equal(again.features(poses), network.features(poses))


def test_the_wrong_network_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    network = PoseAutoEncoder(27, 32, variational=True)
    path = save(tmp_path / "f.bin", network, 27)
    assert main(["import", "ha2g", str(path), "-o", str(tmp_path / "x")]) == 2
    assert "holds autoencoder, expected ha2g" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_truncated_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = save(tmp_path / "f.bin", PoseAutoEncoder(27, 32, variational=True), 27)
    path.write_bytes(path.read_bytes()[:5000])
    assert main(["import", "fgd", str(path), "-o", str(tmp_path / "x")]) == 2
    assert "truncated" in capsys.readouterr().err


def test_speakers_without_a_name_have_a_number():
    assert _styles(None, 2) == ["speaker0", "speaker1"]
    assert load_skeleton("ted_gesture").vectors == 9
