"""The table of docs/reliability.md, from the lines that the scenarios noted: `python tests/chaos/table.py NOTES`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

HEAD = "what was done", "times", "what was lost", "how the command ended"


def table(lines: list[str]) -> str:
    rows = [HEAD, ("---",) * len(HEAD), *(json.loads(line) for line in lines)]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


if __name__ == "__main__":
    notes = Path(sys.argv[1])
    print(table(notes.read_text("utf-8").splitlines() if notes.exists() else []))
