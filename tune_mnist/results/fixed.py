"""What the rows of a table share, in words: the data, what a sweep holds, and how its times were taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from tune_mnist.parameter import Parameter
from tune_mnist.plan.sweeps import inactive_line
from tune_mnist.results.columns import fixed_columns, without_inactive
from tune_mnist.results.values import texts
from tune_mnist.task import Task
from tune_mnist.words import from_to, several


def data_name(rows: pd.DataFrame, task: Task) -> str:
    """The data sets that the rows are of; the task's name where it knows only one."""
    if task.data is None:
        return task.name
    words = dict(task.data.values)
    usual = words.get(task.data.default, task.data.default)
    return " and ".join(words.get(name, f"{name} (not {usual})") for name in texts(rows[task.data.name]))


def is_usual_data(rows: pd.DataFrame, task: Task) -> bool:
    """Whether the rows are of the data that the task is named after."""
    return task.data is None or set(texts(rows[task.data.name])) == {task.data.default}


def fixed(rows: pd.DataFrame, swept: Sequence[str], task: Task) -> str:
    """What all points share; what they should and do not is marked, because it may explain a difference."""
    rows = without_inactive(rows, task)
    parts = [_said(rows, one) for one in fixed_columns(task) if one.name not in swept and _is_told(rows, one)]
    parts.append(_seeds(rows, swept))
    # Hard spaces: a line broken between a name and its value reads badly.
    return "Fixed: " + ", ".join(part.replace(" ", "\xa0") for part in parts)


def read_at(task: Task) -> list[str]:
    """Where in its training each value is read, if that is not at the end."""
    return [f"Values {task.reading}"] if task.at == "best" else []


def _seeds(rows: pd.DataFrame, swept: Sequence[str]) -> str:
    """How many seeds each point has, and which; where sweeps have others than their neighbours, those of each."""
    asked: dict[tuple[str, ...], list[str]] = {}
    for sweep, mine in rows.groupby("sweep", sort=False):
        asked.setdefault(tuple(texts(mine["seed"].sort_values())), []).append(str(sweep))
    if len(asked) > 1:
        return "seeds " + " or ".join(f"{', '.join(seeds)} ({several(sweeps)})" for seeds, sweeps in asked.items())
    (seeds,) = asked
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    counts = rows.groupby(["sweep", *swept], sort=False, dropna=False)["seed"].nunique()
    return f"{from_to(counts)} seeds ({', '.join(seeds)})"


def seeds_per_point(points: pd.DataFrame) -> pd.Series:
    """By sweep and value."""
    return points.groupby(["sweep", "value"], sort=False)["seed"].nunique()


def _said(rows: pd.DataFrame, one: Parameter) -> str:
    found = texts(rows[one.name].dropna())
    name = one.words if one.name == "epochs" else one.name  # which a task may call rounds
    return ("" if one.bare else f"{name} ") + " or ".join(found) + (" (not fixed)" if len(found) > 1 else "")


def _is_told(rows: pd.DataFrame, one: Parameter) -> bool:
    """Not what goes without saying, nor what has no effect: a cosine schedule ignores gamma."""
    found = texts(rows[one.name].dropna())
    return bool(found) and found != [one.silent]


def inactive_lines(rows: pd.DataFrame, task: Task) -> list[str]:
    """`momentum is inactive with adam`, for what is so in some of the rows; their cells are empty."""
    lines = []
    for one in task.parameters:
        idle = rows[rows[one.name].isna()] if one.when else rows[:0]
        if 0 < len(idle) < len(rows):
            records: list[Any] = idle.to_dict("records")
            lines.append(inactive_line(one, records, task))
    return lines


def timed_on(rows: pd.DataFrame) -> str:
    """Where and beside what the times were taken; without these they compare with nothing."""
    devices, threads = texts(rows["device"]), texts(rows["threads"])
    hosts = set("+".join(texts(rows["hostname"])).split("+"))  # a point that moved on names them as "one+other"
    crowd = rows["concurrent"].max() + 1
    beside = "one trial at a time" if crowd == 1 else f"{crowd:.0f} trials side by side"
    if rows["concurrent"].isna().any():
        beside = "what ran beside is not known"
    where = " and ".join(devices) + (f" on {len(hosts)} hosts" if len(hosts) > 1 else "")
    return f"Timed on {where}, {' or '.join(threads)} thread{'s' * (threads != ['1'])} per trial, {beside}"
