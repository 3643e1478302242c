"""Whether the effect of one factor depends on the level of another: a contrast with its interval. No tables here.

interaction([0.90, 0.91], [0.92, 0.93], [0.91, 0.92], [0.97, 0.99])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tune_mnist.statistics.intervals import LEVEL, Difference, paired


@dataclass(frozen=True)
class Interaction:
    """The mean effect of one factor at the other's base level and at another one, and the difference of both."""

    at_base: float
    at_other: float
    found: Difference


def interaction(
    base: Sequence[float], one: Sequence[float], other: Sequence[float], both: Sequence[float], level: float = LEVEL
) -> Interaction:
    """Of the four cells' values, seed by seed: neither factor changed, the one, the other, both.

    The contrast is (both - other) - (one - base) of each seed, and its interval the paired t interval of its mean, as
    of any difference here (`paired`): the interaction term of a linear model in which seeds are blocks and effects add
    up (Montgomery, Design and Analysis of Experiments, 4.1 and 5.3). Without a seed, all is nan.
    """
    at_base, at_other = (np.subtract(*pair) for pair in ((one, base), (both, other)))
    if not len(at_base):
        return Interaction(math.nan, math.nan, Difference(0, math.nan))
    return Interaction(
        float(at_base.mean()), float(at_other.mean()), paired(at_other.tolist(), at_base.tolist(), level)
    )
