"""What a few independent numbers tell: means with their intervals, differences, and Holm's correction. No tables here.

estimate([0.950, 0.952, 0.948])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from scipy import stats

LEVEL = 0.95  # of every interval; a difference is resolved if its corrected p is below 1 - LEVEL


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval: n values, their mean and standard deviation, and the interval's ends; nan if unknown.

    The interval is Student's t: mean ± t(1 - α/2, n - 1) sd / √n (NIST/SEMATECH e-Handbook, 1.3.5.2).
    """

    n: int
    mean: float
    sd: float = math.nan
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Difference:
    """The mean of n differences, the ends of its 95 % interval, and p of the test (two-sided); nan if not tested."""

    n: int
    mean: float
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan


Found = TypeVar("Found", Estimate, Difference)


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and interval of independent values; one value has no spread, and so no interval."""
    data = np.asarray(values, float)
    if len(data) < 2:
        return Estimate(len(data), float(data.mean()) if len(data) else math.nan)
    mean, sd = float(data.mean()), float(data.std(ddof=1))
    # SciPy's own interval is nan, not a point, where all values are equal.
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(data) - 1)) * sd / math.sqrt(len(data))
    return Estimate(len(data), mean, sd, mean - half, mean + half)


def bounded(found: Found, low: float, high: float) -> Found:
    """With the interval cut where no value can be: Student's t knows of no bounds, and two seeds tell it little."""
    return replace(found, low=min(max(found.low, low), high), high=max(min(found.high, high), low))


def paired(values: Sequence[float], base: Sequence[float]) -> Difference:
    """The differences values - base, pair by pair (NIST/SEMATECH e-Handbook, 7.3.1.1: analysis of paired observations).

    Where all differences are equal there is no spread to divide by, and so neither interval nor p: a few seeds on a
    small test set can agree by chance.
    """
    differences = np.asarray(values, float) - np.asarray(base, float)
    found = estimate(differences.tolist())
    if found.n < 2 or np.ptp(differences) < 1e-12:  # equal but for the subtraction's rounding
        return Difference(found.n, found.mean)
    return Difference(found.n, found.mean, found.low, found.high, float(stats.ttest_1samp(differences, 0).pvalue))


def unpaired(values: Sequence[float], base: Sequence[float]) -> Difference:
    """The difference of two independent means: Welch's t (Biometrika 34, 28-35, 1947); n is the smaller one."""
    n, mean = min(len(values), len(base)), float(np.mean(values) - np.mean(base))
    if n < 2 or (np.ptp(values) == 0 and np.ptp(base) == 0):
        return Difference(n, mean)
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
