"""The test matrix as one table: each client, both forms, five ways for things to go wrong.

python -m tests.clients.matrix [--shown]

Runs `tests/e2e/test_clients.py`, slow rows too, and prints Markdown; `--shown`
prints what the last run has left. Every frame of `equal` is what the server
recorded, bit for bit in binary and to 5 decimals in JSON, and came in order.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from tests.clients.probes import BUILT, ROOT

MATRIX = BUILT / "matrix.jsonl"
TITLES = {
    "normal": "undisturbed",
    "restart": "engine restarted",
    "stalls": "5 % of the time lost in a stall",
    "drift": "clock 200 ppm fast",
    "slow": "client stopped for 1.2 s",
}


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the last row of each scenario, client and form as Markdown."""
    found = {(row["scenario"], row["client"], row["form"]): row for row in rows}
    lines = [
        "| scenario | client | form | sent | equal | replaced | worst gap |",
        "|---|---|---|---|---|---|---|",
    ]
    for scenario, title in TITLES.items():
        for key in sorted(key for key in found if key[0] == scenario):
            row = found[key]
            lines.append(
                f"| {title} | {row['client']} | {row['form']} | {row['sent']} | {row['equal']} "
                f"| {row['missed']} | {row['worst_gap_ms']:.0f} ms |"
            )
    return "\n".join(lines)


def main(shown: bool) -> int:
    """Run the tests and print the table; return pytest's exit code."""
    code = 0
    if not shown:
        MATRIX.unlink(missing_ok=True)
        tests = str(ROOT / "tests" / "e2e" / "test_clients.py")
        code = int(pytest.main([tests, "-q", "-m", "slow or not slow", f"--rootdir={ROOT}"]))
    if not MATRIX.exists():
        print("no figures yet: run it without --shown", file=sys.stderr)
        return code or 2
    print(table(json.loads(line) for line in MATRIX.read_text("utf-8").splitlines()))
    return code


if __name__ == "__main__":
    sys.exit(main("--shown" in sys.argv[1:]))
