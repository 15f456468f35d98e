"""Word vectors to begin with: fastText's text format into the networks' word tables.

The papers start from fastText's `crawl-300d-2M-subword` and go on training them
in every table (ha2g.md 1.7).
"""

import gzip
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from streamer.errors import InputError, UsageError
from streamer.types import Float32

WIDTH = 300


def read_vectors(path: Path, vocabulary: Mapping[str, int]) -> dict[int, Float32]:
    """Return row to vector [300] of the words of a `.vec` or `.vec.gz` that are asked for.

    Raises `InputError` where it is no such file.
    """
    found: dict[int, Float32] = {}
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", errors="replace", newline="\n") as file:
            for number, line in enumerate(file, 1):
                word, _, rest = line.rstrip("\n ").partition(" ")
                if number == 1 and rest.isdigit():
                    continue  # the header: count and width
                if (row := vocabulary.get(word)) is None:
                    continue
                vector = _numbers(rest)
                if len(vector) != WIDTH or not np.isfinite(vector).all():
                    raise InputError(
                        f"{path}: line {number} has {len(vector)} numbers, expected {WIDTH} "
                        "finite ones; a text file of fastText vectors is needed (.vec)"
                    )
                found[row] = vector
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    if not found:
        raise InputError(f"{path}: holds none of the store's {len(vocabulary)} words")
    return found


def _numbers(text: str) -> Float32:
    try:
        return np.array(text.split(), np.float32)
    except ValueError:
        return np.zeros(0, np.float32)


def fill_tables(network: nn.Module, rows: int, vectors: Mapping[int, Float32]) -> int:
    """Set the vectors in every word table of a network; return how many tables there are.

    Words without a vector are drawn as the papers draw special tokens: normal
    with deviation 1 / sqrt(300), the same in every table. Raises `UsageError`
    for networks that have no such table.
    """
    table = torch.randn(rows, WIDTH) * WIDTH**-0.5
    for row, vector in vectors.items():
        table[row] = torch.from_numpy(vector)
    count = 0
    for module in network.modules():
        if isinstance(module, nn.Embedding) and module.weight.shape == (rows, WIDTH):
            with torch.no_grad():
                module.weight.copy_(table)
            count += 1
    if not count:
        raise UsageError("this network has no word table of 300 numbers; leave out --embeddings")
    return count
