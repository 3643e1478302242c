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

import numpy as np
import pandas as pd

from tune_mnist.measure import Measure
from tune_mnist.plan.sweeps import CROSS
from tune_mnist.results.columns import TIME, TIMES, same_timing, variables
from tune_mnist.results.values import text, values_of
from tune_mnist.statistics.improvement import improvement
from tune_mnist.statistics.intervals import LEVEL, Difference, Estimate, apart, bounded, estimate, holm, levels, paired
from tune_mnist.statistics.margin import against_margin
from tune_mnist.statistics.shares import is_guessing, share_error, two_shares
from tune_mnist.store.history import DIVERGED
from tune_mnist.task import Task

BASELINE_DIVERGED = "baseline diverged"  # a verdict: there is nothing to take a difference to


def summarise(points: pd.DataFrame, task: Task, margins: Mapping[str, float] | None = None) -> pd.DataFrame:
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
    """
    points, margins = points.reset_index(drop=True), margins or {}
    tables = [
        _against(_sweep(rows, points, task), margins.get(str(sweep)), task.judged)
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


def _sweep(rows: pd.DataFrame, points: pd.DataFrame, task: Task) -> pd.DataFrame:
    done, timed = finished(rows, task), timed_alike(rows, task)
    values = values_of(rows)
    base, compared_to = _base(rows, points, task)
    runs = {value: set(done.loc[values[done.index] == value, "run"]) for value in values.unique()}
    found, by_value = [], {}
    for value in values.unique():
        mine = rows[values == value]
        seeds = done.loc[done.index.intersection(mine.index)].set_index("seed")[task.judged.name]
        times = timed.loc[timed.index.intersection(mine.index)]
        ended = int((mine["status"] == DIVERGED).sum())
        by_value[value] = seeds[:0] if ended else seeds  # those that are left are not the value
        means = bounded(estimate(seeds.tolist()), *task.judged.bounds)
        same_run = [other for other, keys in runs.items() if other != value and keys & runs[value]]
        found.append(
            {
                **mine.iloc[0][["sweep", "variable"]].to_dict(),
                "value": value,
                "baseline": bool(mine["baseline"].iloc[0]),
                "not_done": len(mine) - len(seeds) - ended,
                "diverged": ended,
                **_named(task.judged.stem, Estimate(means.n, math.nan) if ended else means),
                **_chosen(done.loc[done.index.intersection(mine.index)], task),
                **_by_examples(by_value[value], task.judged),
                **_compared(by_value[value], base, bool(mine["baseline"].iloc[0]), task.judged),
                **_undecided(mine, base, compared_to),
                **_improved(by_value[value], base, bool(mine["baseline"].iloc[0]), task.judged),
                "compared_to": compared_to,
                "same_run": " ".join(same_run),
                **_named(TIME.stem, bounded(estimate(times[TIME.name].tolist()), *TIME.bounds)),
                "cpu_share": cpu_share(times),
            }
        )
    return _corrected(pd.DataFrame(found), by_value, base, task.judged)


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


def _by_examples(seeds: pd.Series, judged: Measure) -> dict[str, float]:
    """What the number of test examples says of one setting; nothing where that is not known."""
    error, guessing = math.nan, 0
    if judged.examples and len(seeds):
        error = share_error(float(seeds.mean()), judged.examples)
        if judged.chance is not None:
            guessing = sum(is_guessing(one, judged.examples, judged.chance) for one in seeds)
    return {"share_error": error, "guessing": guessing}


def _compared(seeds: pd.Series, base: pd.Series, is_baseline: bool, judged: Measure) -> dict[str, object]:
    found = Difference(0, math.nan) if is_baseline else _difference(seeds, base, LEVEL, judged)
    shared = [seed for seed in seeds.index if seed in base.index]
    spread = float((seeds[shared] - base[shared]).std()) if found.n > 1 else math.nan
    ends = {
        "difference": found.mean,
        "difference_sd": spread,
        "difference_low": found.low,
        "difference_high": found.high,
    }
    verdict = "baseline" if is_baseline else _untested(seeds, base, found)
    return ends | {"pairs": found.n, "p": found.p, "resolved": verdict}


def _undecided(mine: pd.DataFrame, base: pd.Series, compared_to: str) -> dict[str, str]:
    """The verdict where the point or the baseline diverged; nothing elsewhere."""
    if diverged(mine).any():
        return {"resolved": DIVERGED}
    is_lost = base.empty and compared_to and not mine["baseline"].iloc[0]
    return {"resolved": BASELINE_DIVERGED} if is_lost else {}


def _difference(seeds: pd.Series, base: pd.Series, level: float, judged: Measure) -> Difference:
    shared = [seed for seed in seeds.index if seed in base.index]
    found = paired(seeds[shared].tolist(), base[shared].tolist(), level) if shared else Difference(0, math.nan)
    low, high = judged.bounds
    return bounded(found, low - high, high - low)


def _improved(seeds: pd.Series, base: pd.Series, is_baseline: bool, judged: Measure) -> dict[str, float]:
    """Of several seeds on both sides."""
    if is_baseline or min(len(seeds), len(base)) < 2:
        return dict.fromkeys(("improvement", "improvement_low", "improvement_high"), math.nan)
    way = 1 if judged.better == "higher" else -1
    found = improvement((way * seeds).tolist(), (way * base).tolist())
    return {"improvement": found.probability, "improvement_low": found.low, "improvement_high": found.high}


def _untested(seeds: pd.Series, base: pd.Series, found: Difference) -> str:
    """Why no verdict can be given; nothing if one can."""
    if base.empty:
        return "no baseline"
    if seeds.empty:
        return "not done"
    if found.n < 2:
        return "one seed" if found.n else "no seed in common"
    return "no spread" if math.isnan(found.p) else ""


def _corrected(rows: pd.DataFrame, by_value: dict[str, pd.Series], base: pd.Series, judged: Measure) -> pd.DataFrame:
    """With p corrected within the sweep, what follows from it, and the intervals that go with that."""
    rows.insert(rows.columns.tolist().index("p") + 1, "p_holm", holm(rows["p"].tolist()))
    tested = rows["resolved"] == ""
    rows.loc[tested, "resolved"] = np.where(rows.loc[tested, "p_holm"] < 1 - LEVEL, "yes", "no")
    for place, level in zip(rows.index, levels(rows["p"].tolist()), strict=True):
        if tested[place]:
            found = _difference(by_value[rows.loc[place, "value"]], base, level, judged)
            rows.loc[place, ["difference_low", "difference_high"]] = found.low, found.high
    rows[["answers_low", "answers_high"]] = _by_answers(rows, judged)
    rows["apart_from"] = _apart(by_value) if rows["resolved"].isin(["no baseline", BASELINE_DIVERGED]).any() else ""
    return rows


def _by_answers(rows: pd.DataFrame, judged: Measure) -> list[tuple[float, float]]:
    """The interval of each difference of one pair of trainings by the examples that both were asked."""
    single = (rows["resolved"] == "one seed") if judged.examples else pd.Series(False, rows.index)
    level = 1 - (1 - LEVEL) / max(int(single.sum()), 1)
    means, found = rows[f"{judged.stem}_mean"], []
    for mean, difference, alone in zip(means, rows["difference"], single, strict=True):
        one = two_shares(mean, mean - difference, judged.examples, level) if alone else Difference(0, math.nan)
        found.append((one.low, one.high))
    return found


def _apart(by_value: dict[str, pd.Series]) -> list[str]:
    table = pd.DataFrame({value: seeds.astype(float) for value, seeds in by_value.items()})
    names = list(by_value)
    return [" ".join(names[other] for other in sorted(others)) for others in apart(table.to_numpy(float))]


def _against(rows: pd.DataFrame, margin: float | None, judged: Measure) -> pd.DataFrame:
    """With the verdict against the margin, which is given as the measure is shown: points of a share."""
    if margin is None:
        return rows.assign(margin=math.nan, to_margin="")
    low, high = (rows[f"difference_{end}"] for end in ("low", "high"))
    gains = zip(low, high, strict=True) if judged.better == "higher" else zip(-high, -low, strict=True)
    words = pd.Series([against_margin(gain, margin / judged.factor) for gain in gains], rows.index)
    return rows.assign(margin=margin, to_margin=words.mask(rows["resolved"] == "baseline", ""))
