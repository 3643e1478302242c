"""What a few independent numbers tell: means with their intervals, differences, and Holm's correction. No tables here.

estimate([0.950, 0.952, 0.948])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import scipy

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


def estimate(values: Sequence[float], level: float = LEVEL) -> Estimate:
    """Mean and interval of independent values; one value has no spread, and so no interval."""
    data = np.asarray(values, float)
    if len(data) < 2:
        return Estimate(len(data), float(data.mean()) if len(data) else math.nan)
    mean, sd = float(data.mean()), float(data.std(ddof=1))
    # SciPy's own interval is nan, not a point, where all values are equal.
    half = float(scipy.special.stdtrit(len(data) - 1, (1 + level) / 2)) * sd / math.sqrt(len(data))
    return Estimate(len(data), mean, sd, mean - half, mean + half)


def bounded(found: Found, low: float, high: float) -> Found:
    """With the interval cut where no value can be: Student's t knows of no bounds, and two seeds tell it little."""
    return replace(found, low=min(max(found.low, low), high), high=max(min(found.high, high), low))


def paired(values: Sequence[float], base: Sequence[float], level: float = LEVEL) -> Difference:
    """The differences values - base, pair by pair (NIST/SEMATECH e-Handbook, 7.3.1.1: analysis of paired observations).

    Where all differences are equal there is no spread to divide by, and so neither interval nor p: a few seeds on a
    small test set can agree by chance.
    """
    differences = np.asarray(values, float) - np.asarray(base, float)
    found = estimate(differences.tolist(), level)
    if found.n < 2 or np.ptp(differences) < 1e-12:  # equal but for the subtraction's rounding
        return Difference(found.n, found.mean)
    return Difference(found.n, found.mean, found.low, found.high, float(scipy.stats.ttest_1samp(differences, 0).pvalue))


def unpaired(values: Sequence[float], base: Sequence[float], level: float = LEVEL) -> Difference:
    """The difference of two independent means: Welch's t (Biometrika 34, 28-35, 1947); n is the smaller one."""
    n, mean = min(len(values), len(base)), float(np.mean(values) - np.mean(base))
    if n < 2 or (np.ptp(values) == 0 and np.ptp(base) == 0):
        return Difference(n, mean)
    found = scipy.stats.ttest_ind(values, base, equal_var=False)
    interval = found.confidence_interval(level)
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


def levels(p: Sequence[float]) -> list[float]:
    """For each of several comparisons, the level of the interval that says what Holm's correction says: it excludes 0
    just where the corrected p is below 1 - LEVEL.

    For k comparisons it is 1 - 0.05 / k, at which all intervals hold together (Bonferroni). A comparison that only a
    later step of Holm's resolves has the level of that step.
    """
    count = sum(not math.isnan(value) for value in p)
    found, corrected = [1 - (1 - LEVEL) / max(count, 1)] * len(p), holm(p)
    for rank, place in enumerate(sorted(range(len(p)), key=lambda place: (math.isnan(p[place]), p[place]))):
        if corrected[place] < 1 - LEVEL and p[place] * count >= 1 - LEVEL:
            found[place] = 1 - (1 - LEVEL) / (count - rank)
    return found


def apart(table: npt.NDArray[np.float64]) -> list[set[int]]:
    """For each column of [seeds, settings], nan where a seed is missing, the columns that are told apart from it.

    The test is the paired t test of their common seeds, corrected by Holm for all pairs of columns.
    """
    first, second = np.triu_indices(table.shape[1], 1)
    differences = table[:, first] - table[:, second]
    known = np.isfinite(differences)
    n = known.sum(axis=0)
    mean = np.where(known, differences, 0).sum(axis=0) / np.maximum(n, 1)
    spread = np.sqrt(np.square(np.where(known, differences - mean, 0)).sum(axis=0) / np.maximum(n - 1, 1))
    tested = (n > 1) & (spread > 1e-12)
    t = np.abs(mean) * np.sqrt(n) / np.where(tested, spread, 1)
    p = np.where(tested, 2 * scipy.special.stdtr(np.maximum(n - 1, 1), -t), math.nan)
    found: list[set[int]] = [set() for _ in range(table.shape[1])]
    for one, other, corrected in zip(first.tolist(), second.tolist(), holm(p.tolist()), strict=True):
        if corrected < 1 - LEVEL:
            found[one].add(other)
            found[other].add(one)
    return found
