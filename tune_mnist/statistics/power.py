"""How many pairs of seeds a difference needs until a paired t test resolves it.

pairs_needed(0.002, 0.0015, alpha=0.05 / 4)
"""

from __future__ import annotations

import math

import scipy

POWER = 0.8  # the usual one: four such sweeps of five would resolve it
MOST_PAIRS = 1000  # beyond, nobody trains for it


def power(pairs: int, effect: float, alpha: float) -> float:
    """How likely `pairs` differences of mean `effect`, in standard deviations of theirs, are to give p < alpha in a
    two-sided t test: the noncentral t distribution (Cohen 1988, Statistical Power Analysis, 2).
    """
    freedom, shift = pairs - 1, abs(effect) * math.sqrt(pairs)
    limit = float(scipy.stats.t.isf(alpha / 2, freedom))
    found = scipy.stats.nct.sf(limit, freedom, shift) + scipy.stats.nct.cdf(-limit, freedom, shift)
    return float(found)


def pairs_needed(difference: float, sd: float, alpha: float) -> int | None:
    """The fewest pairs with a power of 80 %, if the true difference, and the spread of differences, are those that were
    seen; None where more than `MOST_PAIRS` are needed, or no number is enough.
    """
    if not difference or math.isnan(difference) or not sd > 0:
        return None
    # Where a power is all but 1, SciPy's noncentral t has no number, so the search comes from below.
    effect, low, high = min(abs(difference) / sd, 10.0), 2, 2
    while high <= MOST_PAIRS and not power(high, effect, alpha) >= POWER:
        low, high = high + 1, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle, effect, alpha) >= POWER else (middle + 1, high)
    return low if low <= MOST_PAIRS else None
