"""What adding seeds until a difference is resolved costs and saves, by simulated sweeps.

    .venv/bin/python bench/sequential.py [SWEEPS]

Each sweep has four values and a baseline, whose seeds they share; a seed's result is normal. `wrong`: the share of
sweeps without an effect that claim one, with its 95 % interval (Clopper-Pearson). `seeds`: the mean over values that
have an effect, against the plan of as many seeds for all that resolves as large a share of them, `power`.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from tune_mnist.statistics.sequential import Looks

Numbers = NDArray[np.float64]

LEVEL = 0.05
ROWS = (  # words, effects in standard deviations of a paired difference, the values' own deviations
    ("no effect", (0, 0, 0, 0), (1, 1, 1, 1)),
    ("no effect, unlike deviations", (0, 0, 0, 0), (0.1, 0.5, 2, 5)),
    ("one value alone, effect 1 sd of the difference", (1,), (1,)),
    ("one value alone, effect 1 sd of the seeds", (0.5**0.5,), (1,)),
    ("one value alone, effect 2 sd of the difference", (2,), (1,)),
    ("all four, effect 1 sd of the difference", (1, 1, 1, 1), (1, 1, 1, 1)),
    ("one of four, effect 1 sd of the difference", (1, 0, 0, 0), (1, 1, 1, 1)),
    ("all four, effect 2 sd of the difference", (2, 2, 2, 2), (1, 1, 1, 1)),
)


def differences(count: int, seeds: int, effects: Numbers, deviations: Numbers, rng: np.random.Generator) -> Numbers:
    """Of each sweep, seed and value to the baseline: (count, seeds, values)."""
    base = rng.standard_normal((count, seeds, 1))
    own = rng.standard_normal((count, seeds, len(effects))) * deviations
    return own - base + effects * np.sqrt(1 + deviations**2)


def p_values(found: Numbers, n: int) -> Numbers:
    """Of the paired t test after n seeds: (sweeps, values)."""
    t = found[:, :n].mean(axis=1) / found[:, :n].std(axis=1, ddof=1) * np.sqrt(n)
    return np.asarray(2 * special.stdtr(n - 1, -np.abs(t)))


def resolved(p: Numbers) -> NDArray[np.bool_]:
    """By Holm's correction within each sweep."""
    order = np.argsort(p, axis=1)
    steps = np.take_along_axis(p, order, axis=1) * np.arange(p.shape[1], 0, -1)
    found = np.zeros(p.shape, bool)
    np.put_along_axis(found, order, np.maximum.accumulate(steps, axis=1) < LEVEL, axis=1)
    return found


def sequential(found: Numbers, looks: Looks) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Whether each difference was resolved, and after how many seeds it stopped, as `stopping` decides."""
    p = np.ones((len(found), found.shape[2]))
    claimed, stopped = np.zeros(p.shape, bool), np.full(p.shape, looks.most)
    for n in range(looks.least, looks.most + 1):
        p = np.where(claimed, p, looks.each(p_values(found, n), n))
        now = resolved(p)
        stopped[now & ~claimed] = n
        claimed |= now
    return claimed, stopped


def fixed_seeds(power: float, found: Numbers, real: NDArray[np.bool_]) -> float:
    """How many seeds for all resolve this share of the real effects; between two whole numbers on a straight line."""
    counts = range(2, found.shape[1] + 1)
    reached = [float(resolved(p_values(found, n))[:, real].mean()) for n in counts]
    return float(np.interp(power, reached, counts))


def row(effects: Numbers, deviations: Numbers, looks: Looks, sweeps: int) -> str:
    """What came of so many sweeps."""
    found = differences(sweeps, 2 * looks.most, effects, deviations, np.random.default_rng(1))
    claimed, stopped = sequential(found, looks)
    real = effects != 0
    if not real.any():
        wrong = int(claimed.any(axis=1).sum())
        ends = stats.binomtest(wrong, sweeps).proportion_ci(0.95)
        return f"wrong {wrong / sweeps:.2%} ({ends.low:.2%} to {ends.high:.2%})"
    power, seeds = float(claimed[:, real].mean()), float(stopped[:, real].mean())
    fixed = fixed_seeds(power, found, real)
    ratio = f"{seeds / fixed:.2f}" if power < 0.999 else "– (power too near 1 to match)"
    return f"power {power:.3f}, seeds {seeds:.2f}, fixed {fixed:.2f}, ratio {ratio}"


def main() -> None:
    sweeps = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    for looks in (Looks(3, 20), Looks(3, 30)):
        print(f"{looks.least} to {looks.most} seeds, {sweeps} sweeps")
        for words, effects, deviations in ROWS:
            print(f"  {words}: {row(np.array(effects, float), np.array(deviations, float), looks, sweeps)}")


if __name__ == "__main__":
    main()
