"""The figure of a corpus: what was heard and planned in a few sequences, and the clips."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from training import pose
from training.clips import Library
from training.measures import wrist_speeds
from training.planner import FPS

_SHOWN = 3


def draw_corpus(folder: Path, library: Library, figures: list[dict[str, Any]]) -> None:
    """Write `corpus.png` into a corpus folder.

    figures: the plan's figures of each sequence that holds speech, with its style.
    """
    shards = sorted(folder.glob("[0-9]*.npz"))[:_SHOWN]
    chart, axes = plt.subplots(_SHOWN + 1, 1, figsize=(14, 3 * (_SHOWN + 1)))
    chart.subplots_adjust(left=0.05, right=0.98, top=0.97, bottom=0.05, hspace=0.35)
    for axis, path in zip(axes, shards, strict=False):
        _draw_sequence(axis, path)
    for axis in axes[len(shards) : _SHOWN]:
        axis.axis("off")
    axes[_SHOWN].axis("off")
    row = axes[_SHOWN].get_position()
    width = row.width / 3
    below = [
        chart.add_axes((row.x0 + i * width, row.y0, 0.8 * width, row.height)) for i in range(3)
    ]
    _draw_apexes(below[0], library)
    _draw_classes(below[1], library)
    _draw_speeds(below[2], figures)
    chart.savefig(folder / "corpus.png", dpi=80, metadata={"Software": None})
    plt.close(chart)


def _draw_sequence(axis: Any, path: Path) -> None:
    with np.load(path) as shard:
        speeds = wrist_speeds(
            pose.positions(shard["directions"][0].astype(np.float64)), pose.WRISTS, FPS
        )
        voiced, accent = shard["voiced"], shard["accent"]
        title = f"{path.stem}: {shard['kind']}, style {shard['style']}"
        words = list(zip(shard["word_frame"], shard["word"], strict=True))
    time = np.arange(len(voiced)) / FPS
    axis.fill_between(time, 0, 2.5 * voiced, color="#dddddd", lw=0, label="voice")
    axis.vlines(time[accent], 0, 2.5, color="#cc9900", lw=0.6, label="accent")
    for hand, colour in enumerate(("#1f77b4", "#d62728")):
        axis.plot(time, speeds[:, hand], color=colour, lw=0.9, label=("left", "right")[hand])
    for i, (frame, word) in enumerate(words):
        axis.text(frame / FPS, 2.15 + 0.12 * (i % 3), str(word), fontsize=4)
    axis.set(xlim=(0, time[-1]), ylim=(0, 2.5), ylabel="wrist speed, m/s", title=title)
    axis.legend(loc="upper right", fontsize=6, ncol=4)


def _draw_apexes(axis: Any, library: Library) -> None:
    spots = library.apexes
    for hand, colour in enumerate(("#1f77b4", "#d62728")):
        axis.scatter(spots[:, hand, 0], spots[:, hand, 1], s=8, color=colour)
    axis.set(title=f"apexes of {len(spots)} clips, front", aspect="equal")


def _draw_classes(axis: Any, library: Library) -> None:
    names = sorted({clip.gesture for clip in library.clips})
    axis.barh(names, [len(library.of_class(name)) for name in names], color="#888888")
    axis.set(title="clips per class")
    axis.tick_params(labelsize=6)


def _draw_speeds(axis: Any, figures: list[dict[str, Any]]) -> None:
    for style in sorted({f["style"] for f in figures}):
        chosen = [f for f in figures if f["style"] == style]
        x = [f["silent_speed"] for f in chosen]
        axis.scatter(x, [f["speaking_speed"] for f in chosen], s=8, label=style)
    axis.set(title="speed in speech over silence, m/s", xlim=(0, 0.2), ylim=(0, None))
    axis.legend(fontsize=6)
