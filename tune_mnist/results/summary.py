"""What the seeds of a sweep say: means and intervals, differences to the baseline, and which of these are resolved.

    summary = summarise(read_points(Path("results/mnist")))

Seeds are paired: every point of a sweep has the same ones. Points that are read off one training are correlated, so
no test here sets two points against each other as if they were independent: a difference is taken seed by seed, and
only seeds, which are independent, are counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy import stats

from tune_mnist.results.values import values_of

LEVEL = 0.95  # of every interval; a difference is resolved if its corrected p is below 1 - LEVEL
SUMMARY_CSV = "summary.csv"
SAME_TIMING = ["device", "threads", "concurrent", "precision"]  # times taken under unlike ones are not compared


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval: n values, their mean and standard deviation, and the interval's ends; nan if unknown.

    The interval is Student's t: mean ± t(1 - α/2, n - 1) sd / √n (NIST/SEMATECH e-Handbook, 1.3.5.2).
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """The mean of n paired differences, the ends of its 95 % interval, and p of the paired t test (two-sided)."""

    n: int
    mean: float
    low: float
    high: float
    p: float


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and interval of independent values; one value has no spread, and so no interval."""
    data = np.asarray(values, float)
    if len(data) < 2:
        return Estimate(len(data), float(data.mean()) if len(data) else math.nan, math.nan, math.nan, math.nan)
    mean, sd = float(data.mean()), float(data.std(ddof=1))
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(data) - 1)) * sd / math.sqrt(len(data))
    return Estimate(len(data), mean, sd, mean - half, mean + half)


def paired(values: Sequence[float], base: Sequence[float]) -> Difference:
    """The differences values - base, pair by pair (NIST/SEMATECH e-Handbook, 7.3.1.1: analysis of paired observations).

    Where all differences are equal there is no spread to divide by, and so neither interval nor p: a few seeds on a
    small test set can agree by chance.
    """
    differences = np.asarray(values, float) - np.asarray(base, float)
    found = estimate(differences.tolist())
    if found.n < 2 or np.ptp(differences) < 1e-12:  # equal but for the subtraction's rounding
        return Difference(found.n, found.mean, math.nan, math.nan, math.nan)
    return Difference(found.n, found.mean, found.low, found.high, float(stats.ttest_1samp(differences, 0).pvalue))


def unpaired(values: Sequence[float], base: Sequence[float]) -> Difference:
    """The difference of two independent means: Welch's t (Biometrika 34, 28-35, 1947); n is the smaller one."""
    n, mean = min(len(values), len(base)), float(np.mean(values) - np.mean(base))
    if n < 2 or (np.ptp(values) == 0 and np.ptp(base) == 0):
        return Difference(n, mean, math.nan, math.nan, math.nan)
    found = stats.ttest_ind(values, base, equal_var=False)
    interval = found.confidence_interval(LEVEL)
    return Difference(n, mean, float(interval.low), float(interval.high), float(found.pvalue))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction for making several comparisons (Holm 1979, Scand. J. Statist. 6, 65-70); nan stays.

    It holds whatever the dependence between the comparisons, as between points of one training.
    """
    order = sorted((value, place) for place, value in enumerate(p) if not math.isnan(value))
    corrected, highest = list(p), 0.0
    for rank, (value, place) in enumerate(order):
        highest = max(highest, min(1.0, value * (len(order) - rank)))
        corrected[place] = highest
    return corrected


def summarise(points: pd.DataFrame) -> pd.DataFrame:
    """A row a point, over its seeds, in the order asked.

    `accuracy_…`: mean, sd and 95 % interval of the test accuracy (0 to 1). `difference…`: to the sweep's baseline,
    paired by seed, with its interval; `p`, and `p_holm`, corrected for the sweep's other comparisons; `resolved`: yes
    or no, or why it cannot be said. `same_run`: the sweep's other values that are read off the same training, and so
    move together. `time_…`: training seconds, of the rows that were timed under the sweep's most usual conditions.
    """
    tables = [_sweep(rows) for _, rows in points.reset_index(drop=True).groupby("sweep", sort=False)]
    return pd.concat(tables, ignore_index=True)


def finished(points: pd.DataFrame) -> pd.DataFrame:
    """The points that are done and measured."""
    return points[(points["status"] == "done") & points["test_accuracy"].notna()]


def timed_alike(points: pd.DataFrame) -> pd.DataFrame:
    """The rows whose times were taken under the most usual conditions; the first of them where two are as usual."""
    done = finished(points)
    timed = done[done["train_time_s"].notna()]
    if timed.empty:
        return timed
    groups = timed.groupby(SAME_TIMING, sort=False, dropna=False).groups
    usual = max(groups.values(), key=len)
    return timed[timed.index.isin(usual)]


def _sweep(points: pd.DataFrame) -> pd.DataFrame:
    done, timed = finished(points), timed_alike(points)
    values = values_of(points)
    base = done[done["baseline"]].set_index("seed")["test_accuracy"]
    runs = {value: set(done.loc[values[done.index] == value, "run"]) for value in values.unique()}
    rows = []
    for value in values.unique():
        mine = points[values == value]
        seeds = done.loc[done.index.intersection(mine.index)].set_index("seed")["test_accuracy"]
        times = timed.loc[timed.index.intersection(mine.index), "train_time_s"]
        same_run = [other for other, keys in runs.items() if other != value and keys & runs[value]]
        rows.append(
            {
                **mine.iloc[0][["sweep", "variable"]].to_dict(),
                "value": value,
                "baseline": bool(mine["baseline"].iloc[0]),
                "not_done": len(mine) - len(seeds),
                **_named("accuracy", estimate(seeds.tolist())),
                **_compared(seeds, base, bool(mine["baseline"].iloc[0])),
                "same_run": " ".join(same_run),
                **_named("time", estimate(times.tolist())),
            }
        )
    return _corrected(pd.DataFrame(rows))


def _named(prefix: str, found: Estimate) -> dict[str, float]:
    return {f"{prefix}_{name}": value for name, value in asdict(found).items()}


def _compared(seeds: pd.Series, base: pd.Series, is_baseline: bool) -> dict[str, object]:
    if is_baseline or base.empty or seeds.empty:
        why = "baseline" if is_baseline else "no baseline" if base.empty else "not done"
        return {**dict.fromkeys(("difference", "difference_low", "difference_high"), math.nan), "pairs": 0} | {
            "p": math.nan,
            "resolved": why,
        }
    shared = [seed for seed in seeds.index if seed in base.index]
    found = paired(seeds[shared].tolist(), base[shared].tolist()) if shared else Difference(0, *[math.nan] * 4)
    ends = {"difference": found.mean, "difference_low": found.low, "difference_high": found.high}
    untested = {0: "no seed in common", 1: "one seed"}.get(found.n, "no spread" if math.isnan(found.p) else "")
    return ends | {"pairs": found.n, "p": found.p, "resolved": untested}


def _corrected(rows: pd.DataFrame) -> pd.DataFrame:
    """With p corrected within the sweep, and what follows from it."""
    rows.insert(rows.columns.tolist().index("p") + 1, "p_holm", holm(rows["p"].tolist()))
    open_ = rows["resolved"] == ""
    rows.loc[open_, "resolved"] = np.where(rows.loc[open_, "p_holm"] < 1 - LEVEL, "yes", "no")
    return rows
