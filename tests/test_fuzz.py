"""Bad input, some thousands here and 100,000 in `make chaos`: one line each, and nothing is written elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import ROOT, surroundings
from fuzz import TARGETS

pytestmark = [pytest.mark.mishap, pytest.mark.timeout(3600)]
SEED = os.environ.get("CHAOS_SEED", "1")
FULL = os.environ.get("CHAOS_FULL") == "1"
TABLE = os.environ.get("CHAOS_TABLE")
# Target -> how many cases here, and in the long form, where they are 100,000. A case takes 1 to 40 ms.
COUNTS = {
    "sweep-files": (500, 20_000),
    "options": (1500, 30_000),
    "tables": (200, 6000),
    "environment": (150, 4000),
    "data-files": (500, 12_000),
    "variables": (500, 8000),
    "store-files": (500, 10_000),
    "yields": (500, 10_000),
}
AT_ONCE = 2000  # cases of one process, of which two run at once: each grows, and its end frees all


def faults_of(target: str, first: int, end: int) -> list[tuple[int, str]]:
    """What these cases of the target did wrong, each with its number."""
    asked = [target, SEED, str(first), str(end)]
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "fuzz.py"), *asked],
        env=surroundings(PYTHONPATH=f"{ROOT}{os.pathsep}{ROOT / 'tests'}"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{asked}: {done.stderr[-2000:]}"
    return [(number, what) for number, what in json.loads(done.stdout.splitlines()[-1])["faults"]]


def test_every_target_is_counted_and_they_are_100_000() -> None:
    assert COUNTS.keys() == TARGETS.keys()
    assert sum(full for _, full in COUNTS.values()) == 100_000


@pytest.mark.parametrize("target", COUNTS)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_bad_input(target: str) -> None:
    """`python tests/fuzz.py TARGET SEED NUMBER NUMBER+1` replays a case."""
    count = COUNTS[target][FULL]
    with ThreadPoolExecutor(2) as both:
        found = both.map(lambda first: faults_of(target, first, min(first + AT_ONCE, count)), range(0, count, AT_ONCE))
        faults = [fault for some in found for fault in some]
    if TABLE:
        with Path(TABLE).open("a", encoding="utf-8") as file:
            row = [f"bad input: {target}, seed {SEED}", count, "nothing", f"{len(faults)} tracebacks or hangs"]
            print(json.dumps(row), file=file)
    shown = "\n".join(f"{number}: {what}" for number, what in faults[:20])
    assert not faults, f"{len(faults)} of {count} cases of {target}, seed {SEED}:\n{shown}"
