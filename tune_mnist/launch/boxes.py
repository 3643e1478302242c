"""A job's two folders on a cluster's head, below ~/tune-mnist: what came with it, and what goes home from it.

The job says which runs it asks for (`tell`); `head_job` holds those ready (`stage`), and `launch` fetches them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tune_mnist.files import write_whole
from tune_mnist.store import merge
from tune_mnist.store.store import Store

PLAN_NAME = "TUNE_MNIST_PLAN"  # the file in which a job is to say which runs it asks for
STORE, RESULTS = "store", "results"  # folders in a box
PLAN = "plan.json"  # in an outbox: the job's runs, and the conditions that it trains them under
KNOWN = "known.json"  # in an inbox: run key -> how many rows of it the caller has


def inbox(job: str) -> Path:
    return Path("inbox") / job


def outbox(job: str) -> Path:
    return Path("outbox") / job


def is_job() -> bool:
    """Whether this command is a job on a cluster: what it leaves is told where it comes home to."""
    return bool(os.environ.get(PLAN_NAME))


def tell(runs: Iterable[str], conditions: Mapping[str, Any]) -> None:
    """In a job: say which runs it asks for, and under which conditions it trains them. In no job, nothing."""
    if path := os.environ.get(PLAN_NAME):
        write_whole(Path(path), json.dumps({"runs": list(runs), "conditions": dict(conditions)}).encode())


def told(box: Path) -> dict[str, Any]:
    """What the job of this outbox has said; empty if it has not yet."""
    return _read(box / PLAN)


def know(box: Path, rows: Mapping[str, int]) -> None:
    """Write into an inbox how many rows the caller has of each run."""
    write_whole(box / KNOWN, json.dumps(dict(rows)).encode())


def stage(job: str, store: Store) -> None:
    """Hold ready in the job's outbox what its caller lacks of its runs, with what they can be gone on with."""
    box, known = outbox(job), _read(inbox(job) / KNOWN)
    rows = {key: known.get(key, 0) for key in told(box).get("runs", ())}
    box.mkdir(parents=True, exist_ok=True)
    merge.stage(store, box / STORE, rows, rows)
    os.utime(box)  # somebody still fetches from it


def _read(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found = json.loads(path.read_bytes())
        return found if isinstance(found, dict) else {}
    return {}
