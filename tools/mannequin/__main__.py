"""`python -m tools.mannequin [FILE]`: write the mannequin."""

import sys
from pathlib import Path

from tools.mannequin.build import build

_DEFAULT = Path(__file__).parents[2] / "streamer" / "data" / "avatars" / "mannequin.vrm"


def main() -> None:
    """Write the file named on the command line, or the shipped one."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else _DEFAULT
    path.parent.mkdir(parents=True, exist_ok=True)
    data = build()
    path.write_bytes(data)
    print(f"{path}: {len(data)} bytes")


if __name__ == "__main__":
    main()
