"""What a share of right answers says, by how many were asked: its error, a difference of two, and whether it is more
than guessing.

share_error(0.982, 10_000)
"""

from __future__ import annotations

import math

import scipy

from tune_mnist.statistics.intervals import LEVEL, Difference


def share_error(share: float, asked: int) -> float:
    """The binomial standard error √(p (1 - p) / n): 0.0013 of 98.2 % of 10,000 answers (Jordan 2023,
    arXiv:2304.01910). It says how far another test set of that size would move the share, whatever the seeds say.
    """
    return math.sqrt(share * (1 - share) / asked) if asked else math.nan


def two_shares(value: float, base: float, asked: int, level: float = LEVEL) -> Difference:
    """The difference of two shares, value - base, each of `asked` answers, with its interval (Newcombe 1998, Stat. Med.
    17, 873-890, method 10: of Wilson's intervals); n is `asked`, and there is no p.

    The answers are taken as independent. Two networks that are asked the same examples err on many of the same ones,
    so that the interval is rather too wide than too narrow. It speaks of these two trained networks, and not of how
    the next training would end.
    """
    (low, high), (base_low, base_high) = (_wilson(one, asked, level) for one in (value, base))
    difference = value - base
    below = math.hypot(value - low, base_high - base)
    above = math.hypot(high - value, base - base_low)
    return Difference(asked, difference, difference - below, difference + above)


def is_guessing(share: float, asked: int, chance: float) -> bool:
    """Whether so many right answers are no more than guessing gives, as far as `asked` answers tell: the exact binomial
    test, one-sided at 5 %.
    """
    return float(scipy.special.bdtrc(round(share * asked) - 1, asked, chance)) >= 1 - LEVEL


def _wilson(share: float, asked: int, level: float) -> tuple[float, float]:
    """Wilson's interval of a share (J. Am. Stat. Assoc. 1927, 22, 209-212)."""
    squared = float(scipy.special.ndtri((1 + level) / 2)) ** 2
    middle = (share + squared / (2 * asked)) / (1 + squared / asked)
    half = math.sqrt(squared * share * (1 - share) / asked + (squared / (2 * asked)) ** 2) / (1 + squared / asked)
    return middle - half, middle + half
