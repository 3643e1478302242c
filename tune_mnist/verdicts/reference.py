"""Published figures beside what was measured: a task's `reference`, matched by its parameters.

compare_reference(results.points, results.task)
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from tune_mnist.results.columns import TIME
from tune_mnist.results.summary import averaged, timed_alike
from tune_mnist.statistics.intervals import bounded, estimate
from tune_mnist.task import Task

COLUMNS = ["sweep", "value", "published", "measured", "low", "high", "n", "difference", "published_time", "time"]


def compare_reference(points: pd.DataFrame, task: Task) -> pd.DataFrame:
    """One row per published point that was measured too: sweep, value, published, measured, low, high, n, difference,
    published_time, time; values of the judged measure.

    low and high are the ends of the measured mean's 95 % interval. The times are relative to those of the sweep's
    first point that has a published one, because the machines differ. Empty where nothing matches.
    """
    if task.reference is None:
        return pd.DataFrame(columns=COLUMNS)
    alike = _where(averaged(points, task), task.reference.recipe)
    timed, rows = timed_alike(alike, task), []
    for known in task.reference.rows:
        mine = _where(alike, {name: known[name] for name in ("sweep", *task.reference.matched)})
        if mine.empty:
            continue
        found = bounded(estimate(mine[task.judged.name].tolist()), *task.judged.bounds)
        rows.append(
            {
                "sweep": known["sweep"],
                "value": f"{known['value']:.10g}",
                "published": known["measured"],
                "measured": found.mean,
                "low": found.low,
                "high": found.high,
                "n": found.n,
                "difference": found.mean - known["measured"],
                "published_time": float("nan") if known["time_s"] is None else known["time_s"],
                "time": timed.loc[timed.index.intersection(mine.index), TIME.name].mean(),
            }
        )
    return _relative(pd.DataFrame(rows, columns=COLUMNS))


def _where(points: pd.DataFrame, values: dict[str, Any]) -> pd.DataFrame:
    for name, value in values.items():
        points = points[points[name] == value]
    return points


def _relative(table: pd.DataFrame) -> pd.DataFrame:
    table.loc[table["published_time"].isna(), "time"] = float("nan")
    for _, rows in table.groupby("sweep", sort=False):
        given = rows[rows["published_time"].notna() & rows["time"].notna()]
        for column in ("published_time", "time"):
            table.loc[rows.index, column] = rows[column] / given[column].iloc[0] if len(given) else float("nan")
    return table
