"""`python -m training import`: published checkpoints to plain files.

A `.bin` is read as data (`models.upstream`); what comes out holds no pickle:
weights as safetensors under their published names, the vocabulary as JSON, its
embeddings as safetensors. For HA2G the folder is an artifact too, that
`gesture render` and `gesture live --model` run as `ha2g_window`.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from export.window import FRAME_MS, WindowParity, WindowSource, build_window
from export.window_sources import ha2g_source
from models.ha2g import HA2G
from models.pickled import Vocabulary
from models.upstream import Checkpoint, Kind, read_checkpoint
from streamer.errors import ArtifactError
from streamer.skeleton import Skeleton
from streamer.spec import VOCABULARY
from streamer.windowing import MOST_FRAMES

WEIGHTS = "weights.safetensors"
EMBEDDINGS = "embeddings.safetensors"
DESCRIPTION = "imported.json"
KINDS: Mapping[str, Kind] = {"ha2g": "ha2g", "trimodal": "trimodal", "fgd": "autoencoder"}

_LICENCE = "LicenseRef-as-published"
_NOTE = """Imported weights, published by the authors of {kind}; they carry their authors' licence
and terms, which this folder does not change. Source file: {source}.
"""


def import_checkpoint(
    kind: str,
    path: Path,
    folder: Path,
    *,
    frames: int | None = None,
    steps: int = 45,
    cells: bool = False,
) -> str:
    """Write a published checkpoint into a folder; returns one line about it.

    kind: `ha2g`, `trimodal` or `fgd`. frames: pose frames a step of HA2G's
    artifact, None for what this machine needs to run it live; steps: how many of
    them are compared with the offline network and measured; cells: a graph for
    TensorRT too. Raises `ArtifactError` where the file is damaged, unsafe or of
    another network.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint.kind != KINDS[kind]:
        raise ArtifactError(f"{path.name}: holds {checkpoint.kind}, expected {KINDS[kind]}")
    try:
        network = checkpoint.network()
    except ArtifactError as error:
        raise ArtifactError(f"{path.name}: {error}") from error
    if isinstance(network, HA2G):
        source = _window_source(network, checkpoint, path)
        with tempfile.TemporaryDirectory() as scratch:
            _write_plain(Path(scratch), checkpoint)
            files = {file.name: file for file in sorted(Path(scratch).iterdir())}
            source = replace(source, files=files)
            parity = build_window(source, folder, frames=frames, steps=steps, cells=cells)
        return (
            f"ha2g, epoch {checkpoint.epoch}, {checkpoint.skeleton.name}: {folder}; equals the "
            f"offline network within {parity.step_to_offline:.2g}; {_pace(parity)}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    _write_plain(folder, checkpoint)
    if checkpoint.words is not None:
        _write_json(folder / VOCABULARY, checkpoint.words.index)
    return f"{kind}, epoch {checkpoint.epoch}, {checkpoint.skeleton.name}: {folder}"


def read_imported(folder: Path) -> nn.Module:
    """Return the network of an imported folder, in evaluation mode."""
    path = folder / DESCRIPTION
    if not path.is_file():
        raise ArtifactError(f"{folder}: no {DESCRIPTION}; expected an imported checkpoint")
    described: dict[str, Any] = json.loads(path.read_text("utf-8"))
    dicts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in load_file(folder / WEIGHTS).items():
        part, _, key = name.partition("/")
        dicts.setdefault(part, {})[key] = tensor
    return Checkpoint(
        kind=described["kind"],
        skeleton=Skeleton.from_json(described["skeleton"]),
        epoch=int(described["epoch"]),
        args=described["args"],
        words=None,
        speakers=None,
        dicts=dicts,
    ).network()


def _window_source(network: HA2G, checkpoint: Checkpoint, path: Path) -> WindowSource:
    """Return a checkpoint's network as it is exported, without its files."""
    if checkpoint.words is None:
        raise ArtifactError(f"{path.name}: no vocabulary (lang_model); words cannot be looked up")
    styles = _styles(checkpoint.speakers, network.config.speakers)
    note = _NOTE.format(kind="HA2G", source=path.name)
    return ha2g_source(
        network,
        name=f"ha2g-window-{checkpoint.skeleton.name.replace('_', '-')}",
        styles=styles,
        # row 0 is no speaker and was never trained (ha2g.md 1.7)
        default_style=styles[min(1, len(styles) - 1)],
        words=checkpoint.words.index,
        texts={"MODEL_CARD.md": f"# HA2G, published weights\n\n{note}", "LICENSE": note},
        files={},
        licence=_LICENCE,
        provenance={"imported": path.name, "epoch": checkpoint.epoch},
    )


def _pace(parity: WindowParity) -> str:
    """Say how fast a step is here, and what that means."""
    frames, lasts = parity.frames_per_step, parity.frames_per_step * FRAME_MS
    line = f"a step takes {parity.step_p50_ms} ms, p99 {parity.step_p99_ms}, of the {lasts:.0f} "
    line += "that its frame lasts" if frames == 1 else f"that its {frames} frames last"
    if parity.step_p99_ms > lasts:
        return f"{line}: too slow here for `gesture live`, good for `gesture render`"
    if not parity.live:
        return f"{line}: more than half, so `gesture live` may be late when the machine is busy"
    return line


def _styles(speakers: Vocabulary | None, rows: int) -> list[str]:
    """Return a name for each row of the speaker tables."""
    names = [f"speaker{row}" for row in range(rows)]
    for name, row in (speakers.index if speakers else {}).items():
        if 0 <= row < rows and name not in names:
            names[row] = name
    return names


def _write_plain(folder: Path, checkpoint: Checkpoint) -> None:
    """Write weights, embeddings and description."""
    weights = {
        f"{part}/{key}": tensor.detach().clone().contiguous()
        for part, state in checkpoint.dicts.items()
        for key, tensor in state.items()
    }
    save_file(weights, folder / WEIGHTS)
    words = checkpoint.words
    if words is not None and words.embeddings is not None:
        table = torch.tensor(np.ascontiguousarray(words.embeddings))
        save_file({"embeddings": table}, folder / EMBEDDINGS)
    described = {
        "kind": checkpoint.kind,
        "epoch": checkpoint.epoch,
        "skeleton": checkpoint.skeleton.to_json(),
        "speakers": checkpoint.speakers.index if checkpoint.speakers else {},
        "args": _plain(checkpoint.args),
    }
    _write_json(folder / DESCRIPTION, described)


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it; what it cannot hold becomes its text."""
    if isinstance(value, Mapping):
        mapping = cast(Mapping[Any, Any], value)
        return {str(key): _plain(item) for key, item in mapping.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast(list[Any], value)]
    if isinstance(value, np.generic | np.ndarray):
        return cast(Any, value).tolist()
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `import` to the training command line."""
    parser = commands.add_parser("import", help="published checkpoint to plain files")
    parser.add_argument("kind", choices=list(KINDS))
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument(
        "--frames",
        type=int,
        choices=range(1, MOST_FRAMES + 1),
        metavar="K",
        help=f"pose frames a step, 1 to {MOST_FRAMES} (ha2g); default: as few as run live here",
    )
    parser.add_argument(
        "--cells", action="store_true", help="also model.cells.onnx, for TensorRT (ha2g)"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    print(
        import_checkpoint(
            args.kind, args.checkpoint, args.out, frames=args.frames, cells=args.cells
        )
    )
    return 0
