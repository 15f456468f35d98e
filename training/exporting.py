"""`python -m training export`: a run to an artifact that `gesture` plays.

A run of `ha2g` becomes `ha2g_window`: its network live, on a window that
slides (verified against the offline network, window by window). Runs of the
streaming networks are checkpoints already: `python -m export build RUN -o OUT`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from export.window import build_window
from export.window_sources import ha2g_source
from models.ha2g import HA2G
from streamer.errors import UsageError
from training.loop.runs import RUN, load_run

_CARD = """# {name}

Trained by `python -m training train {recipe}`; {which} weights, of step {step}.

Data: {origin}, {windows} windows of {seconds:.1f} s. Licence of the data: {licence}.
These are not the published weights, and no figure of a paper is claimed for them.
"""


def export_run(folder: Path, out: Path, *, frames: int | None = None) -> str:
    """Write the artifact of a run; returns one line about it.

    frames: pose frames a step, None for what this machine needs to run it
    live. Raises `UsageError` for systems that
    cannot be streamed, `ArtifactError` where the run has no weights or the
    graph differs from the network.
    """
    run = load_run(folder)
    network = run.system.network
    if not isinstance(network, HA2G):
        raise UsageError(
            f"{folder}: a run of {run.recipe.name}; export takes runs of ha2g, and "
            "`python -m export build` those of ha2g_stream and hop_stream"
        )
    data: dict[str, Any] = json.loads((folder / RUN).read_text("utf-8"))["data"]
    styles = _styles(run.facts.speakers)
    name = f"ha2g-window-{run.facts.skeleton.name.replace('_', '-')}"
    card = _CARD.format(
        name=name,
        recipe=run.recipe.name,
        which=run.which,
        step=run.step,
        origin=data["origin"] or data["kind"],
        windows=data["windows"],
        seconds=run.recipe.data.frames / 15,
        licence=data["licence"],
    )
    source = ha2g_source(
        network,
        name=name,
        preset=run.recipe.variation or "trained",
        styles=styles,
        default_style=styles[min(1, len(styles) - 1)],  # row 0 is nobody and learnt nothing
        words=run.facts.vocabulary,
        texts={"MODEL_CARD.md": card, "LICENSE": f"Licence of the data: {data['licence']}\n"},
        files={},
        licence=str(data["licence"]),
        provenance={"recipe": run.recipe.to_json(), "data": data, "step": run.step},
    )
    parity = build_window(source, out, frames=frames)
    return (
        f"{run.recipe.name}, {run.which} weights of step {run.step}: {out}; equals the offline "
        f"network within {parity.step_to_offline:.2g}; a step of {parity.frames_per_step} frames "
        f"takes {parity.step_p50_ms} ms here"
    )


def _styles(speakers: tuple[str, ...]) -> list[str]:
    """Return a name for each row of the speaker tables, all different."""
    names = ["nobody"]
    for speaker in speakers:
        names.append(speaker if speaker not in names else f"{speaker}-{len(names)}")
    return names


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `export` to the training command line."""
    parser = commands.add_parser("export", help="a run of ha2g to an artifact for gesture")
    parser.add_argument("run_folder", type=Path, metavar="RUN")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--frames", type=int, help="a step; default: what this machine needs")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    print(export_run(args.run_folder, args.out, frames=args.frames))
    return 0
