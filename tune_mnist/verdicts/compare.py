"""Two tables of points set against each other, point by point: paired where they have seeds in common.

compare_points(ours.points, theirs.points, ours.task)
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pandas as pd

from tune_mnist.results.columns import all_variables, fixed_columns
from tune_mnist.results.summary import finished
from tune_mnist.results.values import texts, values_of
from tune_mnist.statistics.intervals import LEVEL, Difference, bounded, holm, levels, paired, unpaired
from tune_mnist.store.history import DIVERGED
from tune_mnist.task import Task

COLUMNS = ["sweep", "value", "n_a", "n_b", "mean_a", "mean_b", "difference", "low", "high", "test", "p"]
COLUMNS += ["diverged_a", "diverged_b"]


def compare_points(a: pd.DataFrame, b: pd.DataFrame, task: Task) -> pd.DataFrame:
    """One row per point that both have: sweep, value, n and mean of each, the difference b - a of the judged measure
    with its interval, the test, p, p_holm (corrected within the sweep), resolved. The interval is at the level of that
    correction (`intervals.levels`), and ends where the measure does.

    Where there are seeds that both have, n, mean and difference are of those alone. test: `paired` on two or more of
    them; `Welch` on independent seeds; `same runs` where both read the same trainings; `one seed` where nothing can be
    tested; `diverged` where seeds of either did (`diverged_a` and `diverged_b`: how many): it then has no mean, and the
    two have no difference.
    """
    ours, theirs = _by_point(a, task), _by_point(b, task)
    shared = [key for key in ours if key in theirs]
    rows = [{"sweep": key[0], "value": key[1]} | _row(ours[key], theirs[key], task) for key in shared]
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["p_holm"] = float("nan")
    for _, part in table.groupby("sweep", sort=False):
        table.loc[part.index, "p_holm"] = holm(part["p"].tolist())
        for place, level in zip(part.index.tolist(), levels(part["p"].tolist()), strict=True):
            found = _row(ours[shared[place]], theirs[shared[place]], task, level)
            table.loc[place, ["low", "high"]] = [found["low"], found["high"]]
    verdicts = table["p_holm"].map(lambda p: "yes" if p < 1 - LEVEL else "no")
    table["resolved"] = verdicts.where(table["p_holm"].notna(), "-")
    return table


def alike(a: Task, b: Task) -> Task:
    """The first task as the tables of both are read: with the conditions that either names, and the judged measure."""
    context = {one.name: one for one in (*a.context, *b.context)}
    return replace(a, measures=(a.judged,), context=tuple(context.values()), at="last")


def differing(a: pd.DataFrame, b: pd.DataFrame, task: Task) -> list[str]:
    """What sweeps of both folders held at unlike values, one line each: what a difference may come from."""
    shared = [sweep for sweep in texts(a["sweep"]) if sweep in texts(b["sweep"])]
    data = [task.data.name] if task.data else []
    columns = [*data, *(one.name for one in fixed_columns(task)), "device", "threads"]
    where: dict[str, list[str]] = {}
    for sweep in shared:
        ours, theirs = a[a["sweep"] == sweep], b[b["sweep"] == sweep]
        swept = {*all_variables(ours), *all_variables(theirs)}
        for column in columns:
            first, second = texts(ours[column]), texts(theirs[column])
            if column not in swept and first != second:
                where.setdefault(f"{column}: A {' or '.join(first)}, B {' or '.join(second)}", []).append(sweep)
    return [line if sweeps == shared else f"{line} (sweep {', '.join(sweeps)})" for line, sweeps in where.items()]


def uncompared(a: pd.DataFrame, b: pd.DataFrame, task: Task) -> list[str]:
    """How many finished points of each folder the other lacks, one line each where there are any."""
    ours, theirs = _by_point(a, task), _by_point(b, task)
    counts = {"A": len(ours.keys() - theirs.keys()), "B": len(theirs.keys() - ours.keys())}
    return [f"not compared: {count} of {name} that the other has not" for name, count in counts.items() if count]


def _by_point(points: pd.DataFrame, task: Task) -> dict[tuple[str, str], pd.DataFrame]:
    ended = pd.concat([finished(points, task), points[points["status"] == DIVERGED]]).sort_index()
    found = {}
    for sweep, rows in ended.groupby("sweep", sort=False):
        for value, mine in rows.groupby(values_of(rows), sort=False):
            found[str(sweep), str(value)] = mine.set_index("seed")
    return found


def _without_difference(a: pd.DataFrame, b: pd.DataFrame, task: Task) -> dict[str, Any]:
    """The row where seeds of either diverged: the mean is of the other one alone."""
    row: dict[str, Any] = {"test": DIVERGED, **dict.fromkeys(("difference", "low", "high", "p"), math.nan)}
    for name, rows in (("a", a), ("b", b)):
        ended = int((rows["status"] == DIVERGED).sum())
        row |= {f"n_{name}": len(rows) - ended, f"diverged_{name}": ended}
        row[f"mean_{name}"] = math.nan if ended else rows[task.judged.name].mean()
    return row


def _row(a: pd.DataFrame, b: pd.DataFrame, task: Task, level: float = LEVEL) -> dict[str, Any]:
    if any((rows["status"] == DIVERGED).any() for rows in (a, b)):
        return _without_difference(a, b, task)
    shared = a.index.intersection(b.index)
    if len(shared):
        a, b = a.loc[shared], b.loc[shared]
    first, second = a[task.judged.name], b[task.judged.name]
    found, test = Difference(min(len(a), len(b)), second.mean() - first.mean()), "one seed"
    if set(a["run"]) & set(b["run"]):
        test = "same runs"
    elif len(shared) > 1:
        found, test = paired(second.tolist(), first.tolist(), level), "paired"
    elif not len(shared) and len(a) > 1 and len(b) > 1:
        found, test = unpaired(second.tolist(), first.tolist(), level), "Welch"
    low, high = task.judged.bounds
    found = bounded(found, low - high, high - low)
    means = {"n_a": len(a), "n_b": len(b), "mean_a": first.mean(), "mean_b": second.mean()}
    means |= {"diverged_a": 0, "diverged_b": 0}
    return means | {"difference": found.mean, "low": found.low, "high": found.high, "test": test, "p": found.p}
