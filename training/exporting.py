"""`python -m training export`: a run to an artifact that `gesture` plays.

A run of `ha2g` or `hop` becomes `ha2g_window` or `hop_window`: its network
live, on a window that slides (verified against the offline network, window by
window). A run of a streaming network becomes the checkpoint folder that
`python -m export build` makes an artifact of.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from export.window import WindowSource, build_window
from export.window_sources import ha2g_source, hop_source, piece_table
from models.checkpoint import Checkpoint, save_checkpoint
from models.ha2g import HA2G
from models.hop import FoldedReprogramming, Hop, Reprogramming
from models.hop_graph import AlignedGraph, ReleasedGraph
from models.language import minilm_folder
from streamer.errors import UsageError
from training.loop.runs import RUN, Run, load_run
from training.systems.stream import StreamSystem

_CARD = """# {recipe}

Trained by `python -m training train {recipe}`; {which} weights, of step {step}.

Data: {origin}, {windows} windows of {seconds:.1f} s. Licence of the data: {licence}.
These are not the published weights, and no figure of a paper is claimed for them.
"""


def export_run(folder: Path, out: Path, *, frames: int | None = None) -> str:
    """Write the artifact, or the checkpoint, of a run; returns one line about it.

    frames: pose frames a step, None for what this machine needs to run it
    live. Raises `UsageError` for systems that cannot be streamed,
    `ArtifactError` where the run has no weights or the graph differs from the
    network.
    """
    run = load_run(folder)
    data: dict[str, Any] = json.loads((folder / RUN).read_text("utf-8"))["data"]
    made = f"{run.recipe.name}, {run.which} weights of step {run.step}: {out}"
    if isinstance(run.system, StreamSystem):
        _write_checkpoint(run, run.system, data, out)
        return f"{made}; next: python -m export build {out} -o ARTIFACT"
    parity = build_window(_source(run, data), out, frames=frames)
    return (
        f"{made}; equals the offline network within {parity.step_to_offline:.2g}; a step of "
        f"{parity.frames_per_step} frames takes {parity.step_p50_ms} ms here"
    )


def _source(run: Run, data: Mapping[str, Any]) -> WindowSource:
    """Return what is exported of an offline run."""
    network = run.system.network
    styles = _styles(run.facts.speakers)
    layout = run.facts.skeleton.name.replace("_", "-")
    shared: Any = {
        "name": f"{run.recipe.system}-window-{layout}",
        "styles": styles,
        "default_style": styles[min(1, len(styles) - 1)],  # row 0 is nobody and learnt nothing
        "texts": _texts(run, data),
        "files": {},
        "licence": str(data["licence"]),
        "provenance": _provenance(run, data),
    }
    match network:
        case HA2G():
            words, preset = run.facts.vocabulary, run.recipe.variation or "trained"
            return ha2g_source(network, words=words, preset=preset, **shared)
        case Hop() if _is_whole(network):
            folder = run.recipe.network.get("language_folder")
            pieces = piece_table(Path(folder) if folder else minilm_folder())
            return hop_source(network, pieces=pieces, **shared)
        case _:
            raise UsageError(
                f"{run.folder}: a run of {run.recipe.name}; export takes runs of ha2g, "
                "ha2g_stream, hop_stream, and of hop with its graph and re-programming"
            )


def _is_whole(network: Hop) -> bool:
    return isinstance(network.graph, AlignedGraph | ReleasedGraph) and isinstance(
        network.reprogramming, Reprogramming | FoldedReprogramming
    )


def _write_checkpoint(run: Run, system: StreamSystem, data: Mapping[str, Any], out: Path) -> None:
    """Write the folder that `python -m export build` takes."""
    name = f"{system.family.replace('_', '-')}-{system.preset}"
    network: Any = system.network
    checkpoint = Checkpoint(
        name=name, preset=system.preset, network=network, provenance=_provenance(run, data)
    )
    save_checkpoint(out, checkpoint)
    for file, text in _texts(run, data).items():
        (out / file).write_text(text, encoding="utf-8")


def _provenance(run: Run, data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "recipe": run.recipe.to_json(),
        "data": dict(data),
        "step": run.step,
        "licence": str(data["licence"]),
    }


def _texts(run: Run, data: Mapping[str, Any]) -> dict[str, str]:
    """Return model card and licence."""
    card = _CARD.format(
        recipe=run.recipe.name,
        which=run.which,
        step=run.step,
        origin=data["origin"] or data["kind"],
        windows=data["windows"],
        seconds=run.recipe.data.frames / 15,
        licence=data["licence"],
    )
    return {"MODEL_CARD.md": card, "LICENSE": f"Licence of the data: {data['licence']}\n"}


def _styles(speakers: tuple[str, ...]) -> list[str]:
    """Return a name for each row of the speaker tables, all different."""
    names = ["nobody"]
    for speaker in speakers:
        names.append(speaker if speaker not in names else f"{speaker}-{len(names)}")
    return names


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `export` to the training command line."""
    parser = commands.add_parser("export", help="a run to an artifact for gesture")
    parser.add_argument("run_folder", type=Path, metavar="RUN")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--frames", type=int, help="a step; default: what this machine needs")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    print(export_run(args.run_folder, args.out, frames=args.frames))
    return 0
