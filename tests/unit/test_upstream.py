"""Published checkpoints: the mapping of names, and reading files that nobody should trust."""

import argparse
import io
import os
import pickle
import struct
import subprocess
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.autoencoder import PoseAutoEncoder
from models.diffgesture import DiffGesture
from models.discriminator import Discriminator
from models.ha2g import HA2G, HA2GConfig
from models.joint_embedding import JointEmbedding
from models.seq2seq import Seq2Seq
from models.speech2gesture import PatchDiscriminator, Speech2GestureGenerator
from models.torch_files import read_torch_file
from models.trimodal import TrimodalGenerator
from models.upstream import Checkpoint, dump_parts, network_parts, read_checkpoint
from streamer.errors import ArtifactError
from streamer.skeleton import load_skeleton
from tests.golden_files import (
    SETS,
    layout,
    one_thread,  # noqa: F401  (an autouse fixture)
    published_state,
)

WORDS, SPEAKERS = 12, 3


# --- the mapping -----------------------------------------------------------------


def networks() -> Iterator[tuple[str, nn.Module, dict[str, dict[str, list[int]]]]]:
    """Yield every network with 100 words and 16 speakers, and its published layout."""
    for name in SETS:
        skeleton = load_skeleton(name)
        dim = 3 * skeleton.vectors
        suffix = "" if name == "ted_gesture" else "_ted_expressive"
        ha2g = layout(f"ha2g_state_dict_{name}")
        config = HA2GConfig.published(skeleton, words=100, speakers=16)
        yield name, HA2G(config), {k: v for k, v in ha2g.items() if k != "dis_dict"}
        yield name, Discriminator(dim, slope=0.01), {"dis_dict": ha2g["dis_dict"]}
        files = {f: layout(f"baseline_{f}_state_dict") for f in BASELINES}
        trimodal = files["trimodal"]
        for dict_name, model in (
            ("gen_dict", TrimodalGenerator(dim, words=100, speakers=16)),
            ("dis_dict", Discriminator(dim, slope=1.0)),
        ):
            yield name, model, {dict_name: trimodal[f"trimodal_{dict_name}{suffix}"]}
        s2g = files["speech2gesture"]
        yield name, Speech2GestureGenerator(dim), {"gen_dict": s2g[f"s2g_gen_{name}"]}
        yield name, PatchDiscriminator(dim), {"dis_dict": s2g[f"s2g_dis_{name}"]}
        seq = files["seq2seq"][f"seq2seq_{name}"]
        yield name, Seq2Seq(dim, words=100), {"gen_dict": seq}
        joint = files["joint_embedding"][f"joint_{name}"]
        yield name, JointEmbedding(dim, words=100), {"gen_dict": joint}
        width = 256 if name == "ted_gesture" else 512
        diffusion = files["diffgesture"][f"diffgesture_{name}"]
        yield name, DiffGesture(dim, width=width), {"state_dict": diffusion}
        fgd = layout("fgd_autoencoder_state_dict")[f"fgd_{name}"]
        gesture = name == "ted_gesture"
        model = PoseAutoEncoder(dim, 32 if gesture else 128, variational=gesture)
        yield name, model, {"gen_dict" if gesture else "motion_ae": fgd}


BASELINES = ("trimodal", "speech2gesture", "seq2seq", "joint_embedding", "diffgesture")


def test_every_network_has_exactly_the_published_layout() -> None:
    count = 0
    for name, model, want in networks():
        got = {
            dict_name: {key: list(value.shape) for key, value in state.items()}
            for dict_name, state in dump_parts(network_parts(model)).items()
        }
        assert got == want, f"{type(model).__name__} {name}"
        count += 1
    assert count == 2 * 10


# --- checkpoints that torch itself has written -------------------------------------


class Vocab:
    """Stands for `model.vocab.Vocab`, whose module does not exist here."""

    def __init__(self, name: str, words: list[str], *, embeddings: bool) -> None:
        self.name = name
        self.trimmed = False
        self.word2index = {word: i for i, word in enumerate(words)}
        self.word2count = dict.fromkeys(words, 1)
        self.index2word = dict(enumerate(words))
        self.n_words = len(words)
        self.word_embedding_weights = (
            np.random.default_rng(1).normal(size=(len(words), 300)).astype(np.float32)
            if embeddings
            else None
        )


@pytest.fixture
def vocab(monkeypatch: pytest.MonkeyPatch) -> type[Vocab]:
    """Make the class pickle as the published one does."""
    module = types.ModuleType("model.vocab")
    module.Vocab = Vocab  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "model", types.ModuleType("model"))
    monkeypatch.setitem(sys.modules, "model.vocab", module)
    monkeypatch.setattr(Vocab, "__module__", "model.vocab")
    return Vocab


def ha2g_content(vocab: type[Vocab], name: str = "ted_gesture") -> dict[str, Any]:
    skeleton = load_skeleton(name)
    config = HA2GConfig.published(skeleton, words=WORDS, speakers=SPEAKERS)
    torch.manual_seed(4)
    state = dump_parts(network_parts(HA2G(config)))
    judge = dump_parts(network_parts(Discriminator(3 * skeleton.vectors, slope=0.01)))
    mean = skeleton.mean.ravel() + 0.25
    words = ["<PAD>", "<SOS>", "<EOS>", "<UNK>", *(f"w{i}" for i in range(WORDS - 4))]
    return {
        "args": argparse.Namespace(
            n_poses=34, name="multimodal", mean_dir_vec=[[float(x)] for x in mean], ratio=1e-4
        ),
        "epoch": 27,
        "lang_model": vocab("words", words, embeddings=True),
        "speaker_model": vocab("vid", [f"v{i}" for i in range(SPEAKERS)], embeddings=False),
        "pose_dim": 3 * skeleton.vectors,
        **{k: OrderedDict(v) for k, v in (state | judge).items()},
    }


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_reads_what_torch_saved(tmp_path: Path, vocab: type[Vocab], zipped: bool) -> None:
    content = ha2g_content(vocab)
    path = tmp_path / "ha2g_checkpoint_best.bin"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    got = read_checkpoint(path)
    assert got.kind == "ha2g"
    assert got.epoch == 27
    assert got.skeleton.name == "ted_gesture"
    assert got.args["n_poses"] == 34
    assert got.args["ratio"] == 1e-4
    np.testing.assert_allclose(got.skeleton.mean, load_skeleton("ted_gesture").mean + 0.25)
    assert got.words is not None
    assert got.words.index == content["lang_model"].word2index
    assert got.words.embeddings is not None
    assert np.array_equal(got.words.embeddings, content["lang_model"].word_embedding_weights)
    assert got.speakers is not None
    assert got.speakers.rows == SPEAKERS
    for dict_name, state in got.dicts.items():
        assert list(state) == list(content[dict_name])
        assert all(torch.equal(state[k], content[dict_name][k]) for k in state)
    again = dump_parts(network_parts(got.network()))
    assert all(torch.equal(again[d][k], content[d][k]) for d in again for k in again[d])
    assert isinstance(got.discriminator(), Discriminator)


def test_expressive_weights_get_the_published_cascade(tmp_path: Path, vocab: type[Vocab]) -> None:
    path = tmp_path / "x.bin"
    torch.save(ha2g_content(vocab, "ted_expressive"), path)
    network = read_checkpoint(path).network()
    assert isinstance(network, HA2G)
    assert network.config.shifted_vectors == 5
    assert len(network.generators) == 6


def saved(path: Path, content: Any) -> Checkpoint:
    torch.save(content, path)
    return read_checkpoint(path)


@pytest.mark.parametrize("name", SETS)
def test_reads_the_other_published_networks(tmp_path: Path, name: str) -> None:
    dim = 3 * load_skeleton(name).vectors
    gesture = name == "ted_gesture"
    builds: list[tuple[str, nn.Module]] = [
        ("trimodal", TrimodalGenerator(dim, words=WORDS, speakers=SPEAKERS)),
        ("autoencoder", PoseAutoEncoder(dim, 32 if gesture else 128, variational=gesture)),
        ("seq2seq", Seq2Seq(dim, words=WORDS)),
        ("speech2gesture", Speech2GestureGenerator(dim)),
        ("joint_embedding", JointEmbedding(dim, words=WORDS)),
        ("diffgesture", DiffGesture(dim, width=64)),
    ]
    for kind, model in builds:
        content = {"pose_dim": dim, "epoch": 3, "dis_dict": None}
        got = saved(tmp_path / f"{kind}.bin", content | dump_parts(network_parts(model)))
        assert got.kind == kind
        ours = model.state_dict()
        read = got.network().state_dict()
        assert ours.keys() == read.keys()
        assert all(torch.equal(ours[key], read[key]) for key in ours)


def test_reads_arrays_scalars_and_parameters_too(tmp_path: Path) -> None:
    content = {
        "a": np.arange(6, dtype=np.int64).reshape(2, 3).T,
        "s": np.float64(2.5),
        "p": nn.Parameter(torch.ones(3)),
        "t": torch.arange(12).reshape(3, 4)[:, 1::2],
        "h": torch.ones(2, dtype=torch.bfloat16),
        "l": [np.zeros(2), (1, None, True)],
    }
    content["again"] = content["a"]
    torch.save(content, tmp_path / "x.bin")
    got = read_torch_file(tmp_path / "x.bin")
    assert np.array_equal(got["a"], content["a"])
    assert got["again"] is got["a"]
    assert got["s"] == 2.5
    assert torch.equal(got["t"], content["t"])
    assert torch.equal(got["p"], torch.ones(3))
    assert got["h"].dtype == torch.bfloat16
    assert np.array_equal(got["l"][0], np.zeros(2))
    assert got["l"][1] == (1, None, True)


# --- files that are broken, or made to do harm ---------------------------------------


def as_zip(path: Path, program: bytes, data: dict[str, bytes] | None = None, **kind: Any) -> Path:
    with zipfile.ZipFile(path, "w", **kind) as archive:
        archive.writestr("archive/data.pkl", program)
        for key, value in (data or {}).items():
            archive.writestr(f"archive/data/{key}", value)
    return path


def as_stream(path: Path, program: bytes) -> Path:
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    path.write_bytes(b"".join(pickle.dumps(x, 2) for x in head) + program)
    return path


class Reduced:
    """Pickles as a call of anything."""

    def __init__(self, *what: Any) -> None:
        self.what = what

    def __reduce__(self) -> Any:
        return self.what


MARK = "GESTURE_STREAMER_WAS_HERE"


@pytest.mark.parametrize("form", [as_zip, as_stream])
@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Reduced(os.system, (f"touch {MARK}",)), "system"),
        (Reduced(eval, (f"open('{MARK}', 'w')",)), "builtin.*eval"),
        (Reduced(subprocess.Popen, (["touch", MARK],)), "Popen"),
        (Reduced(getattr, ("x", "format")), "builtin.*getattr"),
        ({"args": [1, {"deep": Reduced(exec, ("1",))}]}, "builtin.*exec"),
        (Reduced(Reduced, (Reduced(os.system, ("true",)),)), "Reduced"),
        (Reduced(torch.load, ("x",)), "torch"),
        (Path("x"), "pathlib"),
    ],
)
def test_a_pickle_that_calls_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Any, value: Any, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = form(tmp_path / "evil.bin", pickle.dumps(value, 2))
    with pytest.raises(ArtifactError, match=f"refused: the file asks for '.*{name}"):
        read_checkpoint(path)
    assert not (tmp_path / MARK).exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_every_pickle_protocol_is_refused_alike(tmp_path: Path, protocol: int) -> None:
    path = as_zip(tmp_path / "evil.bin", pickle.dumps(Reduced(os.system, ("true",)), protocol))
    with pytest.raises(ArtifactError, match=r"refused: the file asks for '.*system'"):
        read_checkpoint(path)


def test_an_allowed_name_is_not_called_with_other_arguments(tmp_path: Path) -> None:
    for value in (
        Reduced(argparse.Namespace, (1,)),
        Reduced(np.dtype, (["O"],)),
        Reduced(OrderedDict, ({"a": 1},)),
    ):
        path = as_zip(tmp_path / "evil.bin", pickle.dumps(value, 2))
        with pytest.raises(ArtifactError, match="arguments that no checkpoint has"):
            read_torch_file(path)


def test_calling_a_result_is_refused(tmp_path: Path) -> None:
    # argparse.Namespace() called once more: c, ), R, ), R
    path = as_zip(tmp_path / "evil.bin", b"\x80\x02cargparse\nNamespace\n)R)R.")
    with pytest.raises(ArtifactError, match="calls something that is no name"):
        read_torch_file(path)


def test_object_arrays_are_refused(tmp_path: Path) -> None:
    path = as_zip(tmp_path / "evil.bin", pickle.dumps(np.array([{}], object), 2))
    with pytest.raises(ArtifactError, match="refused"):
        read_torch_file(path)


def tensor_program(count: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """Return a pickle of one tensor with made-up sizes, written by torch's own pickler."""
    buffer = io.BytesIO()
    torch.save(torch.zeros(4), buffer)
    program = zipfile.ZipFile(buffer).read("archive/data.pkl")
    sizes = pickle.dumps(size, 2)[2:-1], pickle.dumps(stride, 2)[2:-1]
    before, after = b"K\x04\x85", b"K\x01\x85"  # (4,) and (1,)
    assert program.count(before) == program.count(after) == 1
    program = program.replace(before, sizes[0])
    program = program.replace(after, sizes[1])
    numel = b"K\x04t"  # the storage's count ends its persistent id
    assert program.count(numel) == 1
    return program.replace(numel, pickle.dumps(count, 2)[2:-1] + b"t")


def test_the_helper_makes_a_readable_tensor(tmp_path: Path) -> None:
    program = tensor_program(4, (2, 2), (2, 1))
    path = as_zip(tmp_path / "x.bin", program, {"0": np.arange(4, dtype=np.float32).tobytes()})
    assert read_torch_file(path).tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("count", "size", "stride"),
    [
        (1 << 40, (1 << 40,), (1,)),  # a storage of 4 TiB in a file of 16 bytes
        (4, (1 << 40,), (0,)),  # one number shown 2**40 times
        (4, (1 << 20, 1 << 20), (0, 0)),
        (4, (5,), (1,)),  # past the end
        (4, (2,), (4,)),
        (4, (-1,), (1,)),
        (-4, (4,), (1,)),
        (4, (4,), (1 << 70,)),
    ],
)
def test_a_huge_or_impossible_tensor_is_refused(
    tmp_path: Path, count: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    path = as_zip(tmp_path / "huge.bin", tensor_program(count, size, stride), {"0": bytes(16)})
    with pytest.raises(ArtifactError, match=r"storage|tensor of size"):
        read_torch_file(path)


def test_a_huge_storage_in_the_old_format_is_refused(tmp_path: Path) -> None:
    program = tensor_program(1 << 40, (1 << 40,), (1,))
    path = as_stream(tmp_path / "huge.bin", program)
    tail = pickle.dumps(["0"], 2) + struct.pack("<q", 1 << 40) + bytes(16)
    path.write_bytes(path.read_bytes() + tail)
    with pytest.raises(ArtifactError, match="storage '0'"):
        read_torch_file(path)


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    program = tensor_program(1 << 22, (1 << 22,), (1,))
    data = {"0": bytes(1 << 24)}
    path = as_zip(tmp_path / "bomb.bin", program, data, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ArtifactError, match="unpacks to more"):
        read_torch_file(path)


def test_a_huge_memo_index_allocates_nothing(tmp_path: Path) -> None:
    program = b"\x80\x02]r\xff\xff\xff\x7f."  # an empty list, memo 2**31 - 1
    assert read_torch_file(as_zip(tmp_path / "x.bin", program)) == []


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.97])
def test_a_truncated_file_says_so(tmp_path: Path, zipped: bool, kept: float) -> None:
    model = Seq2Seq(27, words=WORDS)
    content = {"pose_dim": 27, **dump_parts(network_parts(model))}
    path = tmp_path / "whole.bin"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ArtifactError, match=r"whole\.bin: truncated"):
        read_checkpoint(path)


@pytest.mark.parametrize("data", [b"", b"RIFF....WAVEfmt ", b"{}", bytes(100), b"PK\x03\x04"])
def test_another_file_says_so(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"song\.wav: .*(PyTorch file|refused)"):
        read_checkpoint(path)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no such file"):
        read_checkpoint(tmp_path / "none.bin")


# --- whole files of the wrong network --------------------------------------------------


def test_an_unknown_network_says_what_it_holds(tmp_path: Path) -> None:
    content = {"pose_dim": 27, "model": {"layer.weight": torch.ones(2)}}
    with pytest.raises(ArtifactError, match=r"no network that is known here \(it holds model\)"):
        saved(tmp_path / "x.bin", content)


def test_an_unknown_skeleton_says_which_are_known(tmp_path: Path) -> None:
    content = {"pose_dim": 30, **dump_parts(network_parts(Seq2Seq(30, words=WORDS)))}
    with pytest.raises(ArtifactError, match="pose_dim is 30, expected 27"):
        saved(tmp_path / "x.bin", content)


def test_wrong_levels_say_so(tmp_path: Path, vocab: type[Vocab]) -> None:
    content = ha2g_content(vocab)
    del content["gen_dict_3"]
    with pytest.raises(ArtifactError, match="2 levels for ted_gesture, which has 3"):
        saved(tmp_path / "x.bin", content).network()


def test_a_wrong_shape_names_tensor_and_shapes(tmp_path: Path, vocab: type[Vocab]) -> None:
    content = ha2g_content(vocab)
    content["gen_dict_2"]["out.2.weight"] = torch.zeros(22, 150)
    message = r"gen_dict_2: out\.2\.weight has shape \(22, 150\), this network needs \(21, 150\)"
    with pytest.raises(ArtifactError, match=message):
        saved(tmp_path / "x.bin", content).network()


def test_missing_and_extra_tensors_are_named(tmp_path: Path, vocab: type[Vocab]) -> None:
    content = ha2g_content(vocab)
    gone = content["audio_dict"].pop("feat_extractor.fc_mid.bias")
    with pytest.raises(ArtifactError, match=r"audio_dict: no tensor 'feat_extractor\.fc_mid"):
        saved(tmp_path / "x.bin", content).network()
    content["audio_dict"]["feat_extractor.fc_mid.bias"] = gone
    content["text_dict"]["extra.weight"] = gone
    with pytest.raises(ArtifactError, match=r"text_dict: 1 tensors .* 'extra\.weight'"):
        saved(tmp_path / "x.bin", content).network()


def test_two_names_of_one_tensor_must_agree(tmp_path: Path, vocab: type[Vocab]) -> None:
    content = ha2g_content(vocab)
    key = "tcn.network.0.net.0.bias"
    content["text_dict"][key] = content["text_dict"][key] + 1
    with pytest.raises(ArtifactError, match="must be the same tensor"):
        saved(tmp_path / "x.bin", content).network()


def test_deterministic_weights_load_from_a_published_file(tmp_path: Path) -> None:
    shapes = layout("trimodal_state_dict")
    content = {
        "pose_dim": 27,
        "gen_dict": published_state("trimodal_gen_dict", shapes["trimodal_gen_dict"]),
        "dis_dict": published_state("trimodal_dis_dict", shapes["trimodal_dis_dict"]),
    }
    checkpoint = saved(tmp_path / "x.bin", content)
    assert isinstance(checkpoint.network(), TrimodalGenerator)
    assert isinstance(checkpoint.discriminator(), Discriminator)
