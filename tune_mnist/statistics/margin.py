"""A difference against the margin that matters to a reader: better, no worse, worse, or not known.

against_margin(gain=(-0.001, 0.004), margin=0.002)
"""

from __future__ import annotations

import math

VERDICTS = {
    "better": "the interval of the gain lies above 0",
    "no worse": "it reaches 0, or lies below, and lies above −margin",
    "worse": "it lies below 0, and reaches −margin",
    "not known": "it reaches 0 and −margin, or there is none",
}


def against_margin(gain: tuple[float, float], margin: float) -> str:
    """The word for an interval (low, high) of the gain over the baseline, where more is better; `VERDICTS` has each.

    That is a test of superiority, and one of non-inferiority, by one interval (Piaggio et al. 2012, CONSORT, JAMA 308,
    2594-2604; two one-sided tests, each at half of what the interval leaves out, Schuirmann 1987). A word claims no
    more than its interval, so where that holds for several comparisons together, so do the words.
    """
    low, high = gain
    if math.isnan(low) or math.isnan(high):
        return "not known"
    if low > 0:
        return "better"
    if low > -margin:
        return "no worse"
    return "worse" if high < 0 else "not known"
