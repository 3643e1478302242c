"""A t test that is looked at after every seed, and is still right: seeds are added until a difference is resolved.

    looks = Looks(least=3, most=20)
    looks.paired([0.950, 0.952, 0.948], [0.940, 0.945, 0.939])

Who repeats a t test after each new seed, from 3 to 20, finds an effect in 23 % of the experiments that have none. Here
the levels of all looks are such that 5 % of these find one at any of them: repeated significance tests (Armitage,
McPherson & Rowe, J. R. Stat. Soc. A 132, 235-244, 1969) under Wang and Tsiatis's boundary (Biometrics 43, 193-199,
1987), which is strict at the first looks, carried over from z to t by the p of each look.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import NDArray

from tune_mnist.statistics.intervals import LEVEL, Difference, paired

Numbers = NDArray[np.float64]

SHAPE = 0.25  # of the boundary: 0.5 is Pocock's, 0 is O'Brien and Fleming's; docs/sequential.md has what it saves
GRID, NODES = 100, 32  # places of r on either side of a bend, and of an integral
SMALLEST = 1e-10  # level of the last look below which a bound, levels times looks, is taken for the chance
KNOTS = 41  # levels for which the chance is computed; the curve through them is nearly straight in logarithms


@dataclass(frozen=True)
class Looks:
    """A plan of looks: after `least` pairs, after each further one, and for the last time after `most`."""

    least: int
    most: int

    def p(self, p: float, n: int) -> float:
        """How often, without any effect, some look is at least as much against it as a t test's `p` after n pairs."""
        return float(self.each(np.array([p]), n)[0])

    def each(self, p: Numbers, n: int) -> Numbers:
        """`p` of many experiments at once; nan stays."""
        z = -scipy.special.ndtri(p / 2) * (n / self.most) ** (0.5 - SHAPE)
        last = 2 * scipy.special.ndtr(-z)  # the p of the last look that is as much against no effect
        chance = np.exp(_curve(self)(np.log(np.maximum(last, SMALLEST))))
        bound = last * (self.most - self.least + 1)
        return np.asarray(np.minimum(1.0, np.where(last < SMALLEST, bound, chance)))

    def level(self, n: int, level: float = LEVEL) -> float:
        """How often intervals after n pairs miss, where those of all looks hold at once as often as `level` says."""
        return float(_nominal(_last_level(self, 1 - level), n, self.most))

    def paired(self, values: Sequence[float], base: Sequence[float], level: float = LEVEL) -> Difference:
        """As `intervals.paired`, at whichever look: its p is of all looks, and its interval holds at all of them.

        The interval excludes 0 where p < 1 - level (repeated confidence intervals: Jennison & Turnbull, J. R. Stat.
        Soc. B 51, 305-361, 1989). At fewer pairs than `least` there is neither.
        """
        found = paired(values, base)
        if math.isnan(found.p) or found.n < self.least:
            return Difference(found.n, found.mean)
        wider, usual = scipy.stats.t.isf([self.level(found.n, level) / 2, (1 - LEVEL) / 2], found.n - 1)
        half = float(wider / usual) * (found.high - found.low) / 2
        return Difference(found.n, found.mean, found.mean - half, found.mean + half, self.p(found.p, found.n))


def _nominal(last: float, n: int, most: int) -> float:
    """The level after n pairs where that of the last look is `last`."""
    z = -scipy.special.ndtri(last / 2) * (n / most) ** (SHAPE - 0.5)
    return float(2 * scipy.special.ndtr(-z))


@lru_cache(maxsize=8)
def _curve(looks: Looks) -> scipy.interpolate.PchipInterpolator:
    """Logarithm of the last look's level -> that of the chance that some look reaches its own."""
    levels = np.logspace(math.log10(SMALLEST), 0, KNOTS)[:-1]
    reached = [_reached(level, looks.least, looks.most) for level in levels]
    return scipy.interpolate.PchipInterpolator(np.log([*levels, 1.0]), np.log([*reached, 1.0]))


@lru_cache(maxsize=512)
def _last_level(looks: Looks, miss: float) -> float:
    """The last look's level with which that share of all experiments without an effect reach that of some look."""
    chance = math.log(miss)
    return float(np.exp(scipy.optimize.brentq(lambda level: _curve(looks)(level) - chance, math.log(SMALLEST), chance)))


def _reached(last: float, least: int, most: int) -> float:
    """The chance that some look's p reaches its level, without any effect.

    Of n differences x, r = Σx / √Σx² tells t, and by the symmetry of the normal distribution it is independent of Σx².
    So r of n differences is all of the past that r of n + 1 depends on, and the chance is found look by look, from the
    last one back: `later`, at places r of a look that did not reach its level, is the chance that a later one does.
    """
    edges = {n: _edge(_nominal(last, n, most), n) for n in range(least, most + 1)}
    there, later = np.array([0.0, edges[most]]), np.zeros(2)
    for n in range(most - 1, least - 1, -1):
        here = _places(edges[n], edges[n + 1])
        there, later = here, _step(here, n, edges[n + 1], (there, later))
    # At the first look, r / √least is the sine of an angle whose density is cos^(least - 2).
    bends = np.arcsin(np.array([0.0, _bend(edges[least], edges[least + 1]), edges[least]]) / math.sqrt(least))
    x, weights = _between(bends[:-1], bends[1:])
    density = 2 * np.cos(x) ** (least - 2) / scipy.special.beta(0.5, (least - 1) / 2)
    missed = np.interp(math.sqrt(least) * np.sin(x), there, later)
    return _nominal(last, least, most) + float((weights * density * missed).sum())


def _edge(level: float, n: int) -> float:
    """The |r| of n differences whose p is `level`."""
    t = float(scipy.stats.t.isf(level / 2, n - 1))
    return math.sqrt(n / (1 + (n - 1) / t**2))


def _bend(edge: float, after: float) -> float:
    """From this |r| on, even an extreme next difference can undo what the others say: `later` bends there."""
    return min(math.sqrt(max(after**2 - 1, 0.0)), edge)


def _places(edge: float, after: float) -> Numbers:
    """Places from 0 to the edge, close together beyond the bend, where `later` begins like a square root."""
    bend = _bend(edge, after)
    return np.concatenate([np.linspace(0, bend, GRID), bend + (edge - bend) * np.linspace(0, 1, GRID) ** 2])


def _step(r: Numbers, n: int, edge: float, later: tuple[Numbers, Numbers]) -> Numbers:
    """The chance, from each r of n differences on, that the next look or a later one reaches its level.

    The next difference is √Σx² · tan φ, where φ has the density cos^(n - 1); the next r is r cos φ + sin φ, which is
    √(1 + r²) sin(φ + ψ), tan ψ = r. It lies below the next `edge` for angles around -ψ and, if r is large, for such
    close to π / 2, too.
    """
    psi = np.arctan(r)
    angle = np.arcsin(np.minimum(1, edge / np.sqrt(1 + r**2)))
    inner = _between(np.maximum(-angle - psi, -np.pi / 2), angle - psi)
    outer = _between(np.minimum(np.pi - angle - psi, np.pi / 2), np.full(len(r), np.pi / 2))
    x, weights = (np.concatenate(both, axis=1) for both in zip(inner, outer, strict=True))
    weights = weights * np.cos(x) ** (n - 1) / scipy.special.beta(0.5, n / 2)
    missed = np.interp(np.abs(r[:, None] * np.cos(x) + np.sin(x)), *later)
    return np.asarray(1 - weights.sum(axis=1) + (weights * missed).sum(axis=1))


def _between(low: Numbers, high: Numbers) -> tuple[Numbers, Numbers]:
    """Places and weights of an integral between the ends (Gauss-Legendre), one row for each pair of them."""
    x, weights = scipy.special.roots_legendre(NODES)
    half = ((high - low) / 2)[:, None]
    return half * (x + 1) + low[:, None], half * weights
