"""The language model interface: frozen, offline, words as means of their pieces."""

from pathlib import Path

import pytest
import torch

from models.language import LanguageModel, Pieces, load_language, minilm_folder, piece_slots
from streamer.errors import UsageError
from tests.golden_files import one_thread  # noqa: F401  (an autouse fixture)
from tests.support import require

transformers = pytest.importorskip("transformers")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def minilm() -> None:
    try:
        minilm_folder()
    except UsageError as error:
        require(False, str(error))


def tiny(folder: Path, kind: str) -> Path:
    """Write a tiny Hugging Face folder: 8 layers, so that two must be cut."""
    torch.manual_seed(1)
    if kind == "bert":
        config = transformers.BertConfig(
            vocab_size=30, hidden_size=16, num_hidden_layers=8, num_attention_heads=2,
            intermediate_size=32,
        )  # fmt: skip
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "he", "##llo", "world"]
        (folder / "vocab.txt").write_text("\n".join(words), "utf-8")
        model = transformers.BertModel(config)
        transformers.BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    else:
        config = transformers.GPT2Config(
            vocab_size=30, n_embd=16, n_layer=8, n_head=2, bos_token_id=0, eos_token_id=0
        )
        model = transformers.GPT2Model(config)
        letters = ["<|endoftext|>", "Ġ", "h", "i", "Ġh", "Ġhi"]
        tokenizer = transformers.GPT2Tokenizer(
            vocab={token: i for i, token in enumerate(letters)},
            merges=[("Ġ", "h"), ("Ġh", "i")],
        )
        tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def sequence(width: int) -> torch.Tensor:
    return torch.randn(1, 12, width, generator=torch.Generator().manual_seed(2))


def changed_frames(model: LanguageModel, at: int) -> list[bool]:
    x = sequence(model.width)
    y = x.clone()
    y[0, at] += torch.linspace(-2, 3, model.width)  # uneven: a layer norm drops what is even
    with torch.no_grad():
        moved = (model(x) - model(y)).abs().amax(-1)[0]
    return (moved > 0).tolist()


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_a_folder_gives_six_frozen_layers(tmp_path: Path, kind: str) -> None:
    model, _ = load_language(kind, tiny(tmp_path, kind))  # type: ignore[arg-type]
    assert model.network.config.num_hidden_layers == 6  # type: ignore[union-attr]
    assert not any(p.requires_grad for p in model.parameters())
    assert model.width == model.features == 16
    model.train()
    assert not any(module.training for module in model.network.modules())  # type: ignore[union-attr]
    x = sequence(16).requires_grad_()
    assert torch.equal(model(x), model(x))  # no dropout, even while training
    model(x).sum().backward()
    assert x.grad is not None


def test_bert_sees_the_whole_window_and_gpt2_the_past(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "g").mkdir()
    bert, _ = load_language("bert", tiny(tmp_path / "b", "bert"))
    gpt2, _ = load_language("gpt2", tiny(tmp_path / "g", "gpt2"))
    assert all(changed_frames(bert, 5))
    assert changed_frames(gpt2, 5) == [False] * 5 + [True] * 7


def test_six_layers_are_the_first_six(tmp_path: Path) -> None:
    model, _ = load_language("bert", tiny(tmp_path, "bert"))
    whole = transformers.BertModel.from_pretrained(tmp_path, output_hidden_states=True).eval()
    x = sequence(16)
    with torch.no_grad():
        want = whole(inputs_embeds=x).hidden_states[6]
        torch.testing.assert_close(model(x), want)


def test_words_become_pieces(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "g").mkdir()
    bert = Pieces(tiny(tmp_path / "b", "bert"), spaced=False)
    assert bert("hello") == [5, 6]
    assert bert("World") == [7]
    assert bert.empty == 0
    gpt2 = Pieces(tiny(tmp_path / "g", "gpt2"), spaced=True)
    assert gpt2("hi") == [5]
    assert gpt2.empty == 0


def test_a_slot_is_the_mean_of_its_pieces() -> None:
    table = torch.randn(9, 4)
    model = LanguageModel(table=table, network=None, empty=2)
    pieces = torch.tensor([[[5, 7, -1], [-1, -1, -1], [8, -1, -1]]])
    want = torch.stack([(table[5] + table[7]) / 2, table[2], table[8]])
    torch.testing.assert_close(model.embed(pieces)[0], want)


def test_shuffled_ids_are_a_fixed_permutation() -> None:
    table = torch.arange(9.0)[:, None]
    pieces = torch.arange(9).view(1, 9, 1)
    one, two, other = (
        LanguageModel(table=table, network=None, empty=0, shuffle=seed).embed(pieces).flatten()
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert sorted(one.tolist()) == list(range(9))
    assert one.tolist() != list(range(9))


def test_two_words_of_one_frame_take_two_slots() -> None:
    got = piece_slots([(0, [5, 6, 7]), (3, [8]), (3, [9]), (4, [4]), (7, [3]), (7, [2])], 8, 2)
    want = [[5, 6], None, None, [8], [9], [4], None, [3]]
    assert got.tolist() == [[-1, -1] if w is None else [*w, -1, -1][:2] for w in want]


def test_minilm_loads_from_the_package_without_a_network() -> None:
    minilm()
    model, pieces = load_language("minilm")
    assert (len(model.table), model.width, model.features) == (30522, 384, 384)
    slots = piece_slots([(0, pieces("gesture")), (2, pieces("hand")), (4, pieces("wave"))], 12, 4)
    with torch.no_grad():
        out = model(model.embed(slots[None]))
    assert out.shape == (1, 12, 384)
    assert all(changed_frames(model, 5))


def test_related_words_are_closer_in_minilm_than_in_its_shuffled_control() -> None:
    minilm()
    right, pieces = load_language("minilm")
    wrong, _ = load_language("minilm", shuffle=3)

    def margin(model: LanguageModel) -> float:
        near, far = ("hand", "arm"), ("hand", "economy")
        score = [
            torch.cosine_similarity(*(model.embed(torch.tensor([[pieces(w)]]))[0, 0] for w in p), 0)
            for p in (near, far)
        ]
        return (score[0] - score[1]).item()

    assert margin(right) > 0.1
    assert margin(wrong) < 0.1


def test_none_trains_one_linear_layer() -> None:
    minilm()
    model, _ = load_language("none")
    assert model.network is None
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained == ["project.weight", "project.bias"]
    assert model.features == 768
    assert changed_frames(model, 5) == [i == 5 for i in range(12)]


def test_random_is_bert_in_shape_and_reproducible() -> None:
    minilm()
    one, _ = load_language("random", seed=4)
    two, _ = load_language("random", seed=4)
    assert (one.width, one.features, len(one.table)) == (768, 768, 30522)
    assert torch.equal(one.table, two.table)
    assert not any(p.requires_grad for p in one.parameters())


def test_wrong_folders_say_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no config\.json"):
        load_language("bert", tmp_path)
    with pytest.raises(UsageError, match="needs the folder"):
        load_language("gpt2")
    with pytest.raises(UsageError, match="holds a 'gpt2' model, expected 'bert'"):
        load_language("bert", tiny(tmp_path, "gpt2"))
