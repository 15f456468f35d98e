"""`python -m training distil`: the frozen language models of `hop_stream`.

`distilled`: a small causal transformer over hashed n-grams learns, frame by
frame, what MiniLM under a causal mask makes of the words so far; its words
begin where MiniLM's embeddings put them. `minilm`:
MiniLM's own layers, its word embeddings refitted to hashed n-grams, so that
every word has one and the stream needs no tokenizer. Text comes from the
sentence grammar, the LJSpeech transcripts and MiniLM's own word list; nothing
is downloaded.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional as F

from models.families import LANGUAGE_FOLDER
from models.hop_stream import PRESETS
from models.language import Pieces, minilm_folder
from models.stream_language import LanguageShape, StreamLanguage
from streamer.spec import WordSpec
from streamer.words import normalise, word_ids
from training.progress import track
from training.sentences import sentence
from training.speech import LJ_HELD_APART

_TEACHER = LanguageShape(
    buckets=30_522, width=384, layers=6, heads=12, feed=1536, span=24, positions=512
)
"""MiniLM, one position a piece; it looks back about as many words as the student's frames hold."""
Float32 = npt.NDArray[np.float32]
_SLOTS = 12
_MOST_ROUNDS = 100
_FRAMES = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class DistilOptions:
    """Settings of a run.

    texts: streams of about `words` words each; salad: share of words that are
    replaced by any of MiniLM's, so that all of them are met.
    """

    texts: int = 1200
    words: int = 48
    salad: float = 0.25
    steps: int = 700
    batch: int = 16
    rate: float = 2e-3
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """Words of one stream of text, and what the teacher makes of each: [words, 384]."""

    words: tuple[str, ...]
    states: Tensor


def minilm(shape: LanguageShape = _TEACHER) -> StreamLanguage:
    """Return MiniLM as a `StreamLanguage` over its own pieces, with a causal mask."""
    weights = load_file(minilm_folder() / "model.safetensors")
    model = StreamLanguage(shape)
    kinds = {"query": "attention.self.query", "key": "attention.self.key"}
    kinds |= {"value": "attention.self.value", "out": "attention.output.dense"}
    kinds |= {"attended": "attention.output.LayerNorm", "up": "intermediate.dense"}
    kinds |= {"down": "output.dense", "fed": "output.LayerNorm"}
    named = model.state_dict()
    for key in [k for k in named if k.startswith("layers.") and not k.endswith(".bias")] + [
        k for k in named if k.count(".") == 3 and k.endswith(".bias")
    ]:
        _, number, part, leaf = key.split(".")
        named[key] = weights[f"encoder.layer.{number}.{kinds[part]}.{leaf}"]
    named["norm.weight"] = weights["embeddings.LayerNorm.weight"]
    named["norm.bias"] = weights["embeddings.LayerNorm.bias"]
    # every piece is of type 0, so its embedding is part of the word's
    words = weights["embeddings.word_embeddings.weight"]
    words = words + weights["embeddings.token_type_embeddings.weight"][0]
    if shape.buckets == len(words):
        named["table"] = words
    named["empty"] = words[0]  # [PAD]
    named["places"] = weights["embeddings.position_embeddings.weight"]
    model.load_state_dict(named)
    return model.requires_grad_(False).eval()


def whole_words() -> list[str]:
    """Return the whole words of MiniLM's list, letters only."""
    lines = (minilm_folder() / "vocab.txt").read_text("utf-8").splitlines()
    return [w for w in lines if w.isascii() and w.isalpha() and len(w) > 1]


def transcripts(folder: Path) -> list[str]:
    """Return the LJSpeech transcripts of a folder that no evaluation uses; none without it."""
    path = folder / "metadata.csv"
    if not path.is_file():
        return []
    rows = [line.split("|") for line in path.read_text("utf-8").splitlines()]
    return [text for name, _, text in rows if name not in LJ_HELD_APART]


def stream_of_words(
    generator: np.random.Generator,
    options: DistilOptions,
    read: Sequence[str],
    vocabulary: Sequence[str],
) -> tuple[str, ...]:
    """Return about `options.words` spoken words: sentences of the grammar or read ones."""
    words: list[str] = []
    while len(words) < options.words:
        from_reading = bool(read) and generator.random() < 0.1
        text = read[generator.integers(len(read))] if from_reading else sentence(generator)
        words += [w for w in map(normalise, text.split()) if w]
    salad = generator.random(len(words)) < options.salad
    return tuple(
        vocabulary[generator.integers(len(vocabulary))] if wild else word
        for word, wild in zip(words, salad, strict=True)
    )


@torch.no_grad()
def lessons(texts: Sequence[tuple[str, ...]], label: str) -> list[Lesson]:
    """Run the teacher over texts; a word's state is that of its last piece."""
    teacher, split = minilm(), Pieces(minilm_folder(), spaced=False)
    out: list[Lesson] = []
    for words in track(texts, len(texts), label):
        pieces = [split(word)[:6] or [split.empty] for word in words]
        ids = torch.tensor([piece for word in pieces for piece in word])
        last = torch.tensor([len(word) for word in pieces]).cumsum(0) - 1
        states = teacher(teacher.table[ids][None])[0, last]
        out.append(Lesson(words=words, states=states))
    return out


def lay_out(
    lesson: Lesson, spec: WordSpec, generator: np.random.Generator
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Return (ids [_FRAMES, slots], the word in force [_FRAMES], -1 for none) at random times.

    Words come in bursts, at a speaking pace and after pauses, as recognisers
    give them; one in twenty does not come at all.
    """
    ids = np.zeros((_FRAMES, spec.slots), np.int32)
    force = np.full(_FRAMES, -1, np.int64)
    frame = int(generator.integers(0, 20))
    for number, word in enumerate(lesson.words):
        if frame >= _FRAMES:
            break
        if generator.random() < 0.95:
            ids[frame] = word_ids(word, spec)
            force[frame:] = number
        kind = generator.random()
        if kind < 0.25:
            frame += 1
        elif kind < 0.95:
            frame += int(generator.integers(2, 9))
        else:
            frame += int(generator.integers(10, 40))
    return ids, force


class Pupil(nn.Module):
    """A student and the map from its features to the teacher's, which is not kept."""

    def __init__(self, shape: LanguageShape, teacher: int) -> None:
        super().__init__()
        self.model = StreamLanguage(shape)
        self.project = nn.Linear(shape.width, teacher)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the teacher's states as the student has them: ids [B, T, slots]."""
        present = torch.ones_like(ids[..., :1], dtype=torch.float32)
        return self.project(self.model(self.model.embed(ids, present)))


def distil(out: Path, read: Sequence[str], options: DistilOptions) -> dict[str, float]:
    """Train the small language model and write it; returns its figures on unseen text.

    Figures are of states from which the teacher's mean is taken off: 1 is the
    teacher itself, 0 knows nothing.
    """
    torch.manual_seed(options.seed)
    shape = PRESETS["small"].shape
    spec = WordSpec(buckets=shape.buckets, slots=_SLOTS)
    generator, vocabulary = np.random.default_rng(options.seed), whole_words()
    drawn = [
        stream_of_words(generator, options, read, vocabulary) for _ in range(options.texts + 40)
    ]
    taught = lessons(drawn, "teacher")
    train, held = taught[40:], taught[:40]
    states = torch.cat([lesson.states for lesson in train])
    mean, scale = states.mean(0), (states - states.mean(0)).std()
    pupil = Pupil(shape, states.shape[1])
    pupil.model.table.data = _first_table(shape)
    optimiser = torch.optim.AdamW(pupil.parameters(), lr=options.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, options.rate, total_steps=options.steps, pct_start=0.1
    )
    for _ in track(range(options.steps), options.steps, "distil"):
        chosen = [train[i] for i in generator.integers(len(train), size=options.batch)]
        ids, target, known = _batch(chosen, spec, generator, mean, scale)
        loss = _loss(pupil(ids)[known], target[known])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(pupil.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    figures = _figures(pupil, held, spec, mean, scale)
    out.parent.mkdir(parents=True, exist_ok=True)
    pupil.model.save(out)
    return figures


def _first_table(shape: LanguageShape) -> Tensor:
    """Return a table whose words lie as MiniLM's do, along their principal axes."""
    words, wanted = _word_embeddings()
    centred = wanted - wanted.mean(0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    main = centred @ vectors[:, -shape.width :]
    table, _ = _hashed_table(words, main / main.std(), shape.buckets)
    return table


def _batch(
    chosen: Sequence[Lesson],
    spec: WordSpec,
    generator: np.random.Generator,
    mean: Tensor,
    scale: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return ids [B, T, slots], targets [B, T, 384] and where they are known [B, T]."""
    laid = [lay_out(lesson, spec, generator) for lesson in chosen]
    force = torch.tensor(np.stack([f for _, f in laid]))
    target = torch.stack(
        [lesson.states[f.clamp(min=0)] for lesson, f in zip(chosen, force, strict=True)]
    )
    ids = torch.tensor(np.stack([i for i, _ in laid]))
    return ids, (target - mean) / scale, force >= 0


def _loss(got: Tensor, want: Tensor) -> Tensor:
    return F.smooth_l1_loss(got, want) + 1 - F.cosine_similarity(got, want, dim=-1).mean()


@torch.no_grad()
def _figures(
    pupil: Pupil, held: Sequence[Lesson], spec: WordSpec, mean: Tensor, scale: Tensor
) -> dict[str, float]:
    ids, target, known = _batch(held, spec, np.random.default_rng(0), mean, scale)
    got, want = pupil(ids)[known], target[known]
    explained = 1 - (got - want).square().mean() / want.square().mean()
    return {
        "cosine": round(float(F.cosine_similarity(got, want, dim=-1).mean()), 4),
        "explained": round(float(explained), 4),
        "frames": int(known.sum()),
    }


def refit(out: Path) -> dict[str, float]:
    """Write MiniLM over hashed words; returns how well its word embeddings are kept."""
    shape = PRESETS["minilm"].shape
    model = minilm(shape)
    words, wanted = _word_embeddings()
    table, explained = _hashed_table(words, wanted, shape.buckets)
    model.table.data = table
    out.parent.mkdir(parents=True, exist_ok=True)
    model.save(out)
    return {"explained": round(explained, 4), "words": len(words)}


def _word_embeddings() -> tuple[list[str], Float32]:
    """Return words and MiniLM's input for each: the mean of its pieces (hop.md 1)."""
    model, split = minilm(), Pieces(minilm_folder(), spaced=False)
    # the grammar's contracted words are no whole words of the list
    words = list(dict.fromkeys([*whole_words(), *_grammar_words()]))
    wanted = [model.table[torch.tensor(split(word))].mean(0) for word in words]
    return words, torch.stack(wanted).numpy()


def _hashed_table(words: Sequence[str], wanted: Float32, buckets: int) -> tuple[Tensor, float]:
    """Return the table [buckets, E] whose n-gram sums come nearest to `wanted`, and how near.

    Ridge regression of [words, E]; near: the share of variance that it explains.
    """
    spec = WordSpec(buckets=buckets, slots=_SLOTS)
    ids = np.stack([word_ids(word, spec) for word in words])
    row, slot = np.nonzero(ids)
    ones = np.ones(len(row), np.float32)
    design = sparse.csr_matrix((ones, (row, ids[row, slot])), (len(words), buckets))
    # what all words have in common is spread evenly over a word's n-grams
    mean = wanted.mean(0)
    share = mean / np.diff(design.indptr).mean()
    rest = wanted - design @ np.tile(share, (buckets, 1))
    table = _ridge(design, rest.astype(np.float32), 0.05)
    table += share
    table[0] = 0
    missed = np.square(design @ table - wanted).sum() / np.square(wanted - mean).sum()
    return torch.tensor(table), 1 - float(missed)


def _ridge(design: sparse.csr_matrix, wanted: Float32, penalty: float) -> Float32:
    """Return x [columns, E] that minimises |design x - wanted|^2 + penalty |x|^2.

    Conjugate gradients, all E right-hand sides at once; `scipy.sparse.linalg.cg`
    takes one, and hundreds of them take minutes.
    """
    turned = design.T.tocsr()
    left = turned @ wanted
    x, along = np.zeros_like(left), left.copy()
    size = np.square(left).sum(0)
    enough = 1e-6 * size.sum()
    for _ in track(range(_MOST_ROUNDS), _MOST_ROUNDS, "words"):
        moved = turned @ (design @ along) + penalty * along
        step = size / np.maximum((along * moved).sum(0), 1e-30)
        x += step * along
        left -= step * moved
        before, size = size, np.square(left).sum(0)
        along = left + along * (size / np.maximum(before, 1e-30))
        if size.sum() < enough:
            break
    return x


def _grammar_words() -> list[str]:
    generator = np.random.default_rng(0)
    return [w for _ in range(3000) for w in map(normalise, sentence(generator).split()) if w]


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `distil` to the training command line."""
    parser = commands.add_parser("distil", help="make the frozen language model of hop_stream")
    parser.add_argument("--language", choices=("distilled", "minilm"), default="distilled")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("-o", "--out", type=Path, default=LANGUAGE_FOLDER)
    defaults = DistilOptions()
    for name, value in asdict(defaults).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    began, path = time.perf_counter(), args.out / f"{args.language}.safetensors"
    match args.language:
        case "minilm":
            figures = refit(path)
        case _:
            options = DistilOptions(**{k: getattr(args, k) for k in asdict(DistilOptions())})
            figures = distil(path, transcripts(args.data / "speech_ljspeech"), options)
    seconds = round(time.perf_counter() - began)
    print(json.dumps({"file": str(path), "seconds": seconds, **figures}))
    return 0
