"""What the seeds of a sweep say: means and intervals, differences to the baseline, and which of these are resolved.

    summary = summarise(results.points, results.task)

Seeds are paired: every point of a sweep has the same ones. Points that are read off one training are correlated, so
no test here sets two points against each other as if they were independent: a difference is taken seed by seed, and
only seeds, which are independent, are counted.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from tune_mnist.files import sha256
from tune_mnist.measure import Measure
from tune_mnist.plan.sweeps import CROSS
from tune_mnist.results.columns import TIME, TIMES, same_timing, variables
from tune_mnist.results.folder import SUMMARY_CSV, plain, products
from tune_mnist.results.folder import margins as margins_of
from tune_mnist.results.paired import BASELINE_DIVERGED, against, by_examples, compared, corrected, improved
from tune_mnist.results.read import Results, commands
from tune_mnist.results.values import text, values_of
from tune_mnist.statistics.intervals import Estimate, bounded, estimate
from tune_mnist.statistics.sequential import Looks
from tune_mnist.store.history import DIVERGED
from tune_mnist.task import Task

TEXTS = ("sweep", "variable", "value", "resolved", "compared_to", "same_run", "apart_from", "to_margin")


def summary_of(results: Results) -> pd.DataFrame:
    """The summary of a folder, with the margins and looks that it records."""
    of = results.environment
    return summarise(results.points, results.task, margins_of(of), looks_of(of))


def left(results: Results) -> pd.DataFrame:
    """The summary that a command left beside these very tables; made again where it is not as it was left."""
    path = results.folder / SUMMARY_CSV
    made = products(results.environment).get(SUMMARY_CSV)
    if made is None or made != sha256(path):
        return summary_of(results)
    cells = pd.read_csv(path, dtype=str, keep_default_na=False)
    return pd.DataFrame({name: map(plain if name in TEXTS else _read, cells[name]) for name in cells})


def _read(cell: str) -> Any:
    """A number or a flag, as `write_csv` writes it; Python reads it to the last bit, which pandas before 3 may not."""
    if cell in ("True", "False"):
        return cell == "True"
    return int(cell) if cell.isdecimal() else float(cell or math.nan)


def looks_of(environment: Mapping[str, Any]) -> dict[str, Looks]:
    """The sweeps whose seeds were added until differences were resolved, and when these were looked at."""
    return {
        sweep: Looks(*command["sequential"])
        for command in commands(dict(environment))
        if command.get("sequential")
        for sweep in command.get("sweeps") or {}
    }


def summarise(
    points: pd.DataFrame,
    task: Task,
    margins: Mapping[str, float] = MappingProxyType({}),
    looks: Mapping[str, Looks] = MappingProxyType({}),
) -> pd.DataFrame:
    """One row per point, over its seeds, in the order asked: the table that summary.csv holds.

    `<stem>_…`, by the judged measure's stem (`accuracy_mean`): n, mean, sd and 95 % interval, cut where the measure
    has no values. `diverged`: how many seeds did; where any has, n counts the others, and there is no mean, time or
    difference: those that are left are not the value. Where the best is chosen by another measure than the judged one,
    its mean (`val_accuracy_mean`). `share_error`: the binomial error that the number of test examples leaves to the
    mean; `guessing`: how many seeds are no better than guessing.

    `difference…`: to the baseline, paired by seed, with the pairs' standard deviation and its interval; `p`, and
    `p_holm`, corrected for the sweep's other comparisons; `resolved`: yes or no, or why it cannot be said. The interval
    is at the level of that correction (`intervals.levels`): it excludes 0 just where the difference is resolved.
    `answers_low`, `answers_high`: of one pair of trainings, its interval by the test examples alone. `improvement…`:
    how likely a training is to do better than one at the baseline. `margin`, of `margins` (sweep -> margin), and
    `to_margin`: the difference against it. `compared_to`: the baseline's value, and the sweep that it was trained in,
    if that is another one; `apart_from`: in a sweep without any baseline, the other values that are told apart
    (`intervals.apart`).

    `same_run`: the sweep's other values that are read off the same training, and so move together. `time_…`: training
    seconds, of the rows timed under the sweep's most usual conditions; `cpu_share`: how much of the CPU time of their
    threads these had.

    `looks`: the sweeps that were looked at after every seed; p and the difference's interval are of all looks then.
    """
    points = points.reset_index(drop=True)
    tables = [
        against(_sweep(rows, points, task, looks.get(str(sweep))), margins.get(str(sweep)), task.judged)
        for sweep, rows in points.groupby("sweep", sort=False)
    ]
    return pd.concat(tables, ignore_index=True)


def without_stem(summary: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The summary with the judged measure's columns as n, mean, sd, low and high, whatever its name is, and as
    `chosen` the mean that the best is chosen by.
    """
    prefix, by = f"{task.judged.stem}_", chosen_measure(task)
    found = summary.rename(columns={prefix + name: name for name in Estimate.__dataclass_fields__})
    return found.assign(chosen=found[_mean_of(by)] if by else found["mean"])


def chosen_measure(task: Task) -> Measure | None:
    """The measure that the best point is chosen by, if that is another than the judged one."""
    by = task.chosen_by
    return by if by and by.name != task.judged.name else None


def _mean_of(by: Measure) -> str:
    return f"{by.name}_mean"


def finished(points: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The points that are done and measured."""
    return points[(points["status"] == "done") & points[task.judged.name].notna()]


def diverged(points: pd.DataFrame) -> pd.Series:
    """Whether a seed of the row's point diverged: row by row, of any sweeps."""
    is_over = points["status"] == DIVERGED
    found = np.zeros(len(points), bool)
    for sweep in points.loc[is_over, "sweep"].unique():
        mine = (points["sweep"] == sweep).to_numpy()
        values = values_of(points[mine])
        found[mine] = values.isin(values[is_over[mine]])
    return pd.Series(found, index=points.index)


def averaged(points: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The finished points that means are taken of: none whose other seeds diverged."""
    return finished(points[~diverged(points)], task)


def timed_alike(points: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The rows whose times were taken under the most usual conditions; the first of them where two are as usual."""
    done = averaged(points, task)
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
    done, values = finished(rows, task), values_of(rows)
    base, compared_to = _base(rows, points, task)
    finished_of, timed_of = _by(values, done), _by(values, timed_alike(rows, task))
    same_runs = _same_runs(values, done)
    found, by_value = [], {}
    for value, mine in rows.groupby(values, sort=False):
        measured, times = (of.get(value, rows[:0]) for of in (finished_of, timed_of))
        seeds = measured.set_index("seed")[task.judged.name]
        ended, is_baseline = int((mine["status"] == DIVERGED).sum()), bool(mine["baseline"].iloc[0])
        by_value[value] = seeds[:0] if ended else seeds  # those that are left are not the value
        means = bounded(estimate(seeds.tolist()), *task.judged.bounds)
        found.append(
            {
                **{name: mine[name].iloc[0] for name in ("sweep", "variable")},
                "value": value,
                "baseline": is_baseline,
                "not_done": len(mine) - len(seeds) - ended,
                "diverged": ended,
                **_named(task.judged.stem, Estimate(means.n, math.nan) if ended else means),
                **_chosen(measured, task),
                **by_examples(by_value[value], task.judged),
                **compared(by_value[value], base, is_baseline, task.judged, looks),
                **_undecided(ended, is_baseline, base, compared_to),
                **improved(by_value[value], base, is_baseline, task.judged),
                "compared_to": compared_to,
                "same_run": " ".join(same_runs[value]),
                **_named(TIME.stem, bounded(estimate(times[TIME.name].tolist()), *TIME.bounds)),
                "cpu_share": cpu_share(times),
            }
        )
    return corrected(pd.DataFrame(found), by_value, base, task.judged, looks)


def _by(values: pd.Series, rows: pd.DataFrame) -> dict[Hashable, pd.DataFrame]:
    """The rows of each value that has any."""
    return dict(iter(rows.groupby(values[rows.index], sort=False)))


def _same_runs(values: pd.Series, done: pd.DataFrame) -> dict[Hashable, list[str]]:
    """Of each value the others that are read off one of its trainings, in their order."""
    order = {value: place for place, value in enumerate(values.unique())}
    found: dict[Hashable, set[str]] = {value: set() for value in order}
    for _, shared in values[done.index].groupby(done["run"]):
        for value in (together := set(shared)):
            found[value] |= together - {value}
    return {value: sorted(others, key=order.__getitem__) for value, others in found.items()}


def _base(rows: pd.DataFrame, points: pd.DataFrame, task: Task) -> tuple[pd.Series, str]:
    """The judged measure at the baseline by seed, and which value that is.

    A sweep that does not have it may find it in another one, at a point that is alike in all that this sweep holds. Of
    a baseline that diverged there is no measure, but the value.
    """
    own, swept = rows[rows["baseline"]], variables(rows)
    held = [one for one in (*_conditions(task), *(one.name for one in task.parameters)) if one not in (*swept, "seed")]
    named = ""
    if own.empty and set(held) <= set(points.columns) and len(rows[held].drop_duplicates()) == 1:
        alike = (points[held].map(text) == rows[held].map(text).iloc[0]).all(axis=1)
        own = points[points["baseline"] & alike]
        named = "".join(own["sweep"].head(1))
        own = own[own["sweep"] == named]
    base = averaged(own, task).set_index("seed")[task.judged.name]
    if base.empty and not diverged(own).any():
        return base, ""
    value = CROSS.join(text(own[one].iloc[0]) for one in swept)
    return base, f"{value}, of sweep {named}" if named else value


def _conditions(task: Task) -> list[str]:
    return [*([task.data.name] if task.data else []), *(one.name for one in task.context)]


def _chosen(done: pd.DataFrame, task: Task) -> dict[str, float]:
    by = chosen_measure(task)
    return {_mean_of(by): done[by.name].mean()} if by else {}


def _named(prefix: str, found: Estimate) -> dict[str, float]:
    return {f"{prefix}_{name}": value for name, value in asdict(found).items()}


def _undecided(ended: int, is_baseline: bool, base: pd.Series, compared_to: str) -> dict[str, str]:
    """The verdict where the point or the baseline diverged; nothing elsewhere."""
    if ended:
        return {"resolved": DIVERGED}
    is_lost = base.empty and compared_to and not is_baseline
    return {"resolved": BASELINE_DIVERGED} if is_lost else {}
