"""Write the golden file of the mouth: `python clients/golden/mouth.py`.

mouth.json: the five vowels of each frame, before and after they close over
some frames, for engine/audio.s16. Engines in other languages come to the same.
"""

import json
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from streamer.clock import FrameClock  # noqa: E402
from streamer.face import Face  # noqa: E402
from streamer.mouth import Mouth  # noqa: E402
from streamer.types import AudioChunk  # noqa: E402
from tests.serving import make_frame  # noqa: E402

HERE = Path(__file__).resolve().parent
FPS = 15


def figures() -> dict[str, list[list[float]]]:
    """Return the vowels of every frame of the golden audio."""
    samples = np.fromfile(HERE / "engine" / "audio.s16", "<i2").astype(np.float32) / np.float32(32768)
    chunk = AudioChunk(samples=samples, start=0, captured_at=0.0)
    mouth, face, clock = Mouth(), Face(), FrameClock(fps=Fraction(FPS))
    mouth.hear(chunk)
    face.hear(chunk)
    starts = [clock.start(n) for n in range(clock.frames_in(len(samples)))]
    shown = [face.apply(replace(make_frame(0), sample=s)).face for s in starts]
    return {
        "heard": [np.round(mouth.at(s, s + 1067), 6).tolist() for s in starts],
        "shown": [np.round(f[:5].astype(float), 6).tolist() for f in shown if f is not None],
    }


def main() -> None:
    """Write it."""
    text = json.dumps(figures(), separators=(",", ":"))
    (HERE / "mouth.json").write_text(text + "\n", "utf-8", newline="\n")


if __name__ == "__main__":
    main()
