"""The measures that a task learns from what its loop yields; and the names that those may not have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tune_mnist.errors import unknown
from tune_mnist.measure import UNSEEN, Measure, usual_way
from tune_mnist.task import Task

# Columns of ours in the tables and rows: no parameter and no measure of a user's may be called so.
TAKEN: tuple[str, ...] = (
    "sweep",
    "variable",
    "value",
    "baseline",
    "run",
    "status",
    "error",
    "log",
    "device",
    "threads",
    "epoch",
    "epoch_read",
)
TAKEN += ("trial_id", "hostname", "finished", "concurrent", "crc32")
BOOKKEEPING = ("epoch", "train_time_s", "eval_time_s", "cpu_time_s", "trial_id", "hostname", "finished", "concurrent")


def learned(task: Task, rows: Iterable[Mapping[str, Any]]) -> Task:
    """The task with the measures that these stored rows have, if it learns them; the judged one first.

    Without a word of the user's, the first one of unseen data is judged, and its name tells which way is better.
    Raises UserError if the judged measure is none of them.
    """
    if not task.learns:
        return task
    known = {one.name: one for one in task.measures}
    names = list(dict.fromkeys(name for row in rows for name in row if name not in BOOKKEEPING))
    if not names:
        return task
    judged, better = task.judge or (next((name for name in names if name.startswith(UNSEEN)), names[0]), "")
    if judged not in names:
        raise unknown("measure", judged, names)
    found = [known.get(name, Measure(name, better=usual_way(name), may_miss=True)) for name in names]
    first = next(one for one in found if one.name == judged)
    rest = [one for one in found if one.name != judged]
    return replace(task, measures=(replace(first, better=better or first.better, may_miss=False), *rest))
