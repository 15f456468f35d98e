"""What `export.window` needs to know of each kind of network."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from export.window import WindowSource
from export.window_offline import ha2g_offline, hop_offline
from models.ha2g import HA2G
from models.ha2g_window import HA2GWindow
from models.hop import Hop
from models.hop_window import HopWindow
from streamer.errors import ArtifactError


def ha2g_source(
    network: HA2G,
    *,
    name: str,
    styles: Sequence[str],
    default_style: str,
    words: Mapping[str, int],
    texts: Mapping[str, str],
    files: Mapping[str, Path],
    licence: str,
    provenance: Mapping[str, Any],
    preset: str = "published",
) -> WindowSource:
    """Return an HA2G as the source of a `ha2g_window` artifact; words: its vocabulary."""
    return WindowSource(
        make=lambda frames: HA2GWindow(network, frames=frames).eval(),
        offline=lambda frames: ha2g_offline(network, frames),
        name=name,
        preset=preset,
        styles=styles,
        default_style=default_style,
        words=words,
        texts=texts,
        files=files,
        licence=licence,
        provenance=provenance,
    )


def hop_source(
    network: Hop,
    *,
    name: str,
    styles: Sequence[str],
    default_style: str,
    pieces: Mapping[str, int],
    texts: Mapping[str, str],
    files: Mapping[str, Path],
    licence: str,
    provenance: Mapping[str, Any],
) -> WindowSource:
    """Return an offline HOP as the source of a `hop_window` artifact.

    pieces: the table of its language model, see `piece_table`.
    """
    return WindowSource(
        make=lambda frames: HopWindow(network, frames=frames).eval(),
        offline=lambda frames: hop_offline(network, frames),
        name=name,
        preset=network.config.preset,
        styles=styles,
        default_style=default_style,
        words=pieces,
        texts=texts,
        files=files,
        licence=licence,
        provenance=provenance,
    )


def piece_table(folder: Path) -> dict[str, int]:
    """Return {piece: row} of an uncased WordPiece tokenizer's folder.

    Raises `ArtifactError` for any other tokenizer: the engine splits words itself.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ArtifactError(f"{folder}: no tokenizer.json; expected a Hugging Face model folder")
    data: dict[str, Any] = json.loads(path.read_text("utf-8"))
    model: dict[str, Any] = data["model"]
    normal: dict[str, Any] = data.get("normalizer") or {}
    if model.get("type") != "WordPiece" or not normal.get("lowercase"):
        raise ArtifactError(
            f"{folder.name}: its tokenizer is {model.get('type')}; a step graph needs an uncased "
            "WordPiece one, as those of minilm and bert-base-uncased are"
        )
    return {str(piece): int(row) for piece, row in model["vocab"].items()}
