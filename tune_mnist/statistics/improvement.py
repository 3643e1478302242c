"""The probability of improvement: how likely a training with one setting is to do better than one with another.

improvement([0.95, 0.96, 0.97], [0.94, 0.95, 0.96])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from tune_mnist.statistics.intervals import LEVEL


@dataclass(frozen=True)
class Improvement:
    """P(value > base) + P(value = base) / 2 and the ends of its 95 % interval, all from 0 to 1; nan if unknown."""

    probability: float
    low: float = math.nan
    high: float = math.nan


def improvement(values: Sequence[float], base: Sequence[float]) -> Improvement:
    """The share of all pairs (value, base) in which the value is greater; a tie counts half (Agarwal et al. 2021,
    NeurIPS, "Deep reinforcement learning at the edge of the statistical precipice", 4.3).

    It is Mann and Whitney's U / (n m), and estimates what two trainings would do that share no seed: pairing enters
    nowhere. The interval is Newcombe's method 5 (Stat. Med. 2006, 25, 559-573), of Wilson's kind: it stays within 0 and
    1 and does not vanish where all pairs agree, as a bootstrap over a few seeds does. With fewer than two on a side
    there is no interval.
    """
    first, second = np.asarray(values, float), np.asarray(base, float)
    if not len(first) or not len(second):
        return Improvement(math.nan)
    steps = np.sign(first[:, None] - second[None, :])
    share = float((steps.mean() + 1) / 2)
    if min(len(first), len(second)) < 2:
        return Improvement(share)
    return Improvement(share, *_interval(share, len(first), len(second)))


def _interval(share: float, n: int, m: int) -> tuple[float, float]:
    """Where the share is z standard errors away, each error being that of the end itself."""
    z = float(scipy.special.ndtri((1 + LEVEL) / 2))

    def beyond(end: float) -> float:
        return abs(share - end) - z * _error(end, n, m)

    inner = min(max(share, 1e-9), 1 - 1e-9)
    low = 0.0 if share <= 0 else float(scipy.optimize.brentq(beyond, 0.0, inner))
    high = 1.0 if share >= 1 else float(scipy.optimize.brentq(beyond, inner, 1.0))
    return low, high


def _error(share: float, n: int, m: int) -> float:
    """Of U / (n m), by Hanley and McNeil's exponential model (Radiology 1982, 143, 29-36), n and m made alike."""
    more = (n + m) / 2 - 1
    inside = 1 + more * ((1 - share) / (2 - share) + share / (1 + share))
    return math.sqrt(share * (1 - share) * inside / (n * m))
