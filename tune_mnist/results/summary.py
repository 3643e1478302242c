"""What the seeds of a sweep say: means and intervals, differences to the baseline, and which of these are resolved.

    summary = summarise(results.points, results.task)

Seeds are paired: every point of a sweep has the same ones. Points that are read off one training are correlated, so
no test here sets two points against each other as if they were independent: a difference is taken seed by seed, and
only seeds, which are independent, are counted.
"""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pandas as pd

from tune_mnist.results.columns import TIME, same_timing
from tune_mnist.results.intervals import LEVEL, Difference, Estimate, estimate, holm, paired
from tune_mnist.results.values import values_of
from tune_mnist.task import Task


def summarise(points: pd.DataFrame, task: Task) -> pd.DataFrame:
    """One row per point, over its seeds, in the order asked: the table that summary.csv holds.

    `<stem>_…`, by the judged measure's stem (`accuracy_mean`): n, mean, sd and 95 % interval. `difference…`: to the
    sweep's baseline, paired by seed, with its interval; `p`, and `p_holm`, corrected for the sweep's other comparisons;
    `resolved`: yes or no, or why it cannot be said. `same_run`: the sweep's other values that are read off the same
    training, and so move together. `time_…`: training seconds, of the rows timed under the sweep's most usual
    conditions.
    """
    tables = [_sweep(rows, task) for _, rows in points.reset_index(drop=True).groupby("sweep", sort=False)]
    return pd.concat(tables, ignore_index=True)


def without_stem(summary: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The summary with the judged measure's columns as n, mean, sd, low and high, whatever its name is."""
    prefix = f"{task.judged.stem}_"
    return summary.rename(columns={prefix + name: name for name in Estimate.__dataclass_fields__})


def finished(points: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The points that are done and measured."""
    return points[(points["status"] == "done") & points[task.judged.name].notna()]


def timed_alike(points: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The rows whose times were taken under the most usual conditions; the first of them where two are as usual."""
    done = finished(points, task)
    timed = done[done[TIME.name].notna()]
    if timed.empty:
        return timed
    groups = timed.groupby(same_timing(task), sort=False, dropna=False).groups
    usual = max(groups.values(), key=len)
    return timed[timed.index.isin(usual)]


def _sweep(points: pd.DataFrame, task: Task) -> pd.DataFrame:
    done, timed = finished(points, task), timed_alike(points, task)
    values = values_of(points)
    base = done[done["baseline"]].set_index("seed")[task.judged.name]
    runs = {value: set(done.loc[values[done.index] == value, "run"]) for value in values.unique()}
    rows = []
    for value in values.unique():
        mine = points[values == value]
        seeds = done.loc[done.index.intersection(mine.index)].set_index("seed")[task.judged.name]
        times = timed.loc[timed.index.intersection(mine.index), TIME.name]
        same_run = [other for other, keys in runs.items() if other != value and keys & runs[value]]
        rows.append(
            {
                **mine.iloc[0][["sweep", "variable"]].to_dict(),
                "value": value,
                "baseline": bool(mine["baseline"].iloc[0]),
                "not_done": len(mine) - len(seeds),
                **_named(task.judged.stem, estimate(seeds.tolist())),
                **_compared(seeds, base, bool(mine["baseline"].iloc[0])),
                "same_run": " ".join(same_run),
                **_named(TIME.stem, estimate(times.tolist())),
            }
        )
    return _corrected(pd.DataFrame(rows))


def _named(prefix: str, found: Estimate) -> dict[str, float]:
    return {f"{prefix}_{name}": value for name, value in asdict(found).items()}


def _compared(seeds: pd.Series, base: pd.Series, is_baseline: bool) -> dict[str, object]:
    shared = [] if is_baseline else [seed for seed in seeds.index if seed in base.index]
    found = paired(seeds[shared].tolist(), base[shared].tolist()) if shared else Difference(0, math.nan)
    ends = {"difference": found.mean, "difference_low": found.low, "difference_high": found.high}
    verdict = "baseline" if is_baseline else _untested(seeds, base, found)
    return ends | {"pairs": found.n, "p": found.p, "resolved": verdict}


def _untested(seeds: pd.Series, base: pd.Series, found: Difference) -> str:
    """Why no verdict can be given; nothing if one can."""
    if base.empty:
        return "no baseline"
    if seeds.empty:
        return "not done"
    if found.n < 2:
        return "one seed" if found.n else "no seed in common"
    return "no spread" if math.isnan(found.p) else ""


def _corrected(rows: pd.DataFrame) -> pd.DataFrame:
    """With p corrected within the sweep, and what follows from it."""
    rows.insert(rows.columns.tolist().index("p") + 1, "p_holm", holm(rows["p"].tolist()))
    tested = rows["resolved"] == ""
    rows.loc[tested, "resolved"] = np.where(rows.loc[tested, "p_holm"] < 1 - LEVEL, "yes", "no")
    return rows
