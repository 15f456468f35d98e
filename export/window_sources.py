"""What `export.window` needs to know of each kind of network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from export.window import WindowSource
from export.window_offline import ha2g_offline
from models.ha2g import HA2G
from models.ha2g_window import HA2GWindow


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
