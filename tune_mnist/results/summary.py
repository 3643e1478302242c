"""What the seeds of a sweep say: means and intervals, differences to the baseline, and which of these are resolved.

    summary = summarise(results.points, results.task)

Seeds are paired: every point of a sweep has the same ones. Points that are read off one training are correlated, so
no test here sets two points against each other as if they were independent: a difference is taken seed by seed, and
only seeds, which are independent, are counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from tune_mnist.measure import Measure
from tune_mnist.plan.sweeps import CROSS
from tune_mnist.results.columns import TIME, TIMES, same_timing, variables
from tune_mnist.results.read import commands
from tune_mnist.results.values import text, values_of
from tune_mnist.statistics.intervals import LEVEL, Difference, Estimate, bounded, estimate, holm, paired
from tune_mnist.statistics.sequential import Looks
from tune_mnist.task import Task


def looks_of(environment: Mapping[str, Any]) -> dict[str, Looks]:
    """The sweeps whose seeds were added until differences were resolved, and when these were looked at."""
    return {
        sweep: Looks(*command["sequential"])
        for command in commands(dict(environment))
        if command.get("sequential")
        for sweep in command.get("sweeps") or {}
    }


def summarise(points: pd.DataFrame, task: Task, looks: Mapping[str, Looks] = MappingProxyType({})) -> pd.DataFrame:
    """One row per point, over its seeds, in the order asked: the table that summary.csv holds.

    `<stem>_…`, by the judged measure's stem (`accuracy_mean`): n, mean, sd and 95 % interval, cut where the measure
    has no values. `difference…`: to the baseline, paired by seed, with its interval; `p`, and `p_holm`, corrected for
    the sweep's other comparisons; `resolved`: yes or no, or why it cannot be said; `compared_to`: the baseline's value,
    and the sweep that it was trained in, if that is another one. `same_run`: the sweep's other values that are read off
    the same training, and so move together. `time_…`: training seconds, of the rows timed under the sweep's most usual
    conditions; `cpu_share`: how much of the CPU time of their threads these had.

    `looks`: the sweeps that were looked at after every seed; p and the difference's interval are of all looks then.
    """
    points = points.reset_index(drop=True)
    tables = [_sweep(rows, points, task, looks.get(str(sweep))) for sweep, rows in points.groupby("sweep", sort=False)]
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


def cpu_share(rows: pd.DataFrame) -> float:
    """The CPU seconds that trainings or epochs on a CPU had, of those that their threads could have; nan if unknown.

    Far below 1, there is waiting in their times: for a CPU that something else was using, or for data.
    """
    if not {"eval_time_s", "cpu_time_s"} <= set(rows.columns):
        return math.nan
    cpus = rows[rows["device"] == "cpu"]
    training, evaluation, used = (cpus[name] for name in TIMES)
    could = ((training + evaluation) * cpus["threads"]).sum(skipna=False)
    return float(used.sum(skipna=False) / could) if could else math.nan


def _sweep(rows: pd.DataFrame, points: pd.DataFrame, task: Task, looks: Looks | None) -> pd.DataFrame:
    done, timed = finished(rows, task), timed_alike(rows, task)
    values = values_of(rows)
    base, compared_to = _base(rows, points, task)
    runs = {value: set(done.loc[values[done.index] == value, "run"]) for value in values.unique()}
    found = []
    for value in values.unique():
        mine = rows[values == value]
        seeds = done.loc[done.index.intersection(mine.index)].set_index("seed")[task.judged.name]
        times = timed.loc[timed.index.intersection(mine.index)]
        same_run = [other for other, keys in runs.items() if other != value and keys & runs[value]]
        found.append(
            {
                **mine.iloc[0][["sweep", "variable"]].to_dict(),
                "value": value,
                "baseline": bool(mine["baseline"].iloc[0]),
                "not_done": len(mine) - len(seeds),
                **_named(task.judged.stem, bounded(estimate(seeds.tolist()), *task.judged.bounds)),
                **_compared(seeds, base, bool(mine["baseline"].iloc[0]), task.judged, looks),
                "compared_to": compared_to,
                "same_run": " ".join(same_run),
                **_named(TIME.stem, bounded(estimate(times[TIME.name].tolist()), *TIME.bounds)),
                "cpu_share": cpu_share(times),
            }
        )
    return _corrected(pd.DataFrame(found))


def _base(rows: pd.DataFrame, points: pd.DataFrame, task: Task) -> tuple[pd.Series, str]:
    """The judged measure at the baseline by seed, and which value that is.

    A sweep that does not have it may find it in another one, at a point that is alike in all that this sweep holds.
    """
    own, swept = rows[rows["baseline"]], variables(rows)
    held = [one for one in (*_conditions(task), *(one.name for one in task.parameters)) if one not in (*swept, "seed")]
    named = ""
    if own.empty and set(held) <= set(points.columns) and len(rows[held].drop_duplicates()) == 1:
        alike = (points[held].map(text) == rows[held].map(text).iloc[0]).all(axis=1)
        own = points[points["baseline"] & alike]
        named = "".join(own["sweep"].head(1))
        own = own[own["sweep"] == named]
    base = finished(own, task).set_index("seed")[task.judged.name]
    if base.empty:
        return base, ""
    value = CROSS.join(text(own[one].iloc[0]) for one in swept)
    return base, f"{value}, of sweep {named}" if named else value


def _conditions(task: Task) -> list[str]:
    return [*([task.data.name] if task.data else []), *(one.name for one in task.context)]


def _named(prefix: str, found: Estimate) -> dict[str, float]:
    return {f"{prefix}_{name}": value for name, value in asdict(found).items()}


def _compared(
    seeds: pd.Series, base: pd.Series, is_baseline: bool, judged: Measure, looks: Looks | None
) -> dict[str, object]:
    test = looks.paired if looks else paired
    shared = [] if is_baseline else [seed for seed in seeds.index if seed in base.index]
    found = test(seeds[shared].tolist(), base[shared].tolist()) if shared else Difference(0, math.nan)
    low, high = judged.bounds
    found = bounded(found, low - high, high - low)
    ends = {"difference": found.mean, "difference_low": found.low, "difference_high": found.high}
    verdict = "baseline" if is_baseline else _untested(seeds, base, found, looks.least if looks else 2)
    return ends | {"pairs": found.n, "p": found.p, "resolved": verdict}


def _untested(seeds: pd.Series, base: pd.Series, found: Difference, least: int) -> str:
    """Why no verdict can be given; nothing if one can."""
    if base.empty:
        return "no baseline"
    if seeds.empty:
        return "not done"
    if found.n < 2:
        return "one seed" if found.n else "no seed in common"
    if found.n < least:
        return f"fewer than {least} seeds"
    return "no spread" if math.isnan(found.p) else ""


def _corrected(rows: pd.DataFrame) -> pd.DataFrame:
    """With p corrected within the sweep, and what follows from it."""
    rows.insert(rows.columns.tolist().index("p") + 1, "p_holm", holm(rows["p"].tolist()))
    tested = rows["resolved"] == ""
    rows.loc[tested, "resolved"] = np.where(rows.loc[tested, "p_holm"] < 1 - LEVEL, "yes", "no")
    return rows
