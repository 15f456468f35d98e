"""`python -m training view`: look at recorded motion as a contact sheet or an MP4."""

import argparse
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt

from streamer.errors import UsageError
from streamer.skeleton import Skeleton, load_skeleton

Array = npt.NDArray[np.floating]
_LEFT, _RIGHT, _BODY = "#1f77b4", "#d62728", "#444444"


def draw_pose(axes: Any, skeleton: Skeleton, pose: Array, *, side: bool = False) -> None:
    """Draw one pose [J, 3] (VRM axes) as a stick figure, from the front or its left side."""
    flat = pose[:, [2, 1]] if side else pose[:, [0, 1]]
    for parent, child in skeleton.bones:
        name = skeleton.joints[child]
        colour = _LEFT if "left" in name else _RIGHT if "right" in name else _BODY
        finger = any(f in name for f in ("index", "middle", "ring", "pinky", "thumb"))
        axes.plot(*flat[[parent, child]].T, color=colour, lw=0.7 if finger else 2.0)
    axes.set_aspect("equal")
    axes.axis("off")


def contact_sheet(
    skeleton: Skeleton, positions: Array, path: Path, *, fps: float, every_s: float, columns: int
) -> None:
    """Write a PNG with a front and a side view every `every_s` seconds."""
    frames = np.arange(0, len(positions), max(1, round(every_s * fps)))
    rows = -(-len(frames) // columns)
    figure, grid = plt.subplots(
        rows * 2, columns, figsize=(columns * 1.3, rows * 2.8), squeeze=False
    )
    root = positions[:, skeleton.root_joint].mean(0)
    for axes in grid.flat:
        axes.set_xlim(-0.7, 0.7)
        axes.set_ylim(-0.45, 0.95)
        axes.axis("off")
    for i, frame in enumerate(frames):
        row, column = 2 * (i // columns), i % columns
        pose = positions[frame] - root
        draw_pose(grid[row, column], skeleton, pose)
        draw_pose(grid[row + 1, column], skeleton, pose, side=True)
        grid[row, column].set_title(f"{frame / fps:.1f} s", fontsize=7)
    figure.tight_layout(pad=0.2)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def movie(
    skeleton: Skeleton, positions: Array, path: Path, *, fps: float, audio: Path | None
) -> None:
    """Write an MP4 of the stick figure, with sound where `audio` is given; needs ffmpeg."""
    root = positions[:, skeleton.root_joint].mean(0)
    with tempfile.TemporaryDirectory() as scratch:
        figure, grid = plt.subplots(1, 2, figsize=(6.4, 3.6))
        for i, pose in enumerate(positions - root):
            for axes, side in zip(grid, (False, True), strict=True):
                axes.clear()
                axes.set_xlim(-0.7, 0.7)
                axes.set_ylim(-0.45, 0.95)
                draw_pose(axes, skeleton, pose, side=side)
            figure.savefig(f"{scratch}/{i:06d}.png", dpi=100)
        plt.close(figure)
        sound = ["-i", str(audio), "-shortest", "-c:a", "aac"] if audio else []
        command = ["ffmpeg", "-y", "-loglevel", "error", "-framerate", str(fps)]
        command += ["-i", f"{scratch}/%06d.png", *sound, "-pix_fmt", "yuv420p", str(path)]
        try:
            subprocess.run(command, check=True)
        except FileNotFoundError:
            raise UsageError("ffmpeg is not installed; install it, or write a .png") from None


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `view` to the training command line."""
    parser = commands.add_parser("view", help="draw a .npz recording as .png or .mp4")
    parser.add_argument("recording", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--skeleton", default="upper_body")
    parser.add_argument("--every", type=float, default=0.4, help="seconds between pictures")
    parser.add_argument("--columns", type=int, default=16)
    parser.add_argument("--begin", type=float, default=0.0)
    parser.add_argument("--end", type=float, default=None)
    parser.add_argument("--audio", type=Path)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    recording = np.load(args.recording)
    fps = float(recording["fps"])
    end = None if args.end is None else int(args.end * fps)
    positions = recording["positions"][int(args.begin * fps) : end]
    skeleton = load_skeleton(args.skeleton)
    match args.out.suffix:
        case ".png":
            contact_sheet(
                skeleton, positions, args.out, fps=fps, every_s=args.every, columns=args.columns
            )
        case ".mp4":
            movie(skeleton, positions, args.out, fps=fps, audio=args.audio)
        case other:
            raise UsageError(f"{args.out}: cannot draw {other or 'this'}; use .png or .mp4")
    return 0
