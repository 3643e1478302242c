"""Two tables of points set against each other, point by point: paired where they have seeds in common.

compare_points(read_points(Path("results/mnist")), read_points(Path("results/mnist-published-recipe")))
"""

from __future__ import annotations

import math

import pandas as pd

from tune_mnist.figures.style import HELD
from tune_mnist.results.summary import LEVEL, Difference, finished, holm, paired, unpaired
from tune_mnist.results.values import texts, values_of

COLUMNS = ["sweep", "value", "n_a", "n_b", "mean_a", "mean_b", "difference", "low", "high", "test", "p"]


def compare_points(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """A row a point that both have: sweep, value, n and mean of each, the difference b - a of test accuracy (0 to 1)
    with its 95 % interval, the test, p, p_holm (corrected within the sweep), resolved.

    Where there are seeds that both have, n, mean and difference are of those alone. test: `paired` on two or more of
    them; `Welch` on independent seeds; `same runs` where both read the same trainings; `one seed` where nothing can be
    tested.
    """
    ours, theirs = _by_point(a), _by_point(b)
    rows = [(*key, *_row(mine, theirs[key])) for key, mine in ours.items() if key in theirs]
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["p_holm"] = float("nan")
    for _, part in table.groupby("sweep", sort=False):
        table.loc[part.index, "p_holm"] = holm(part["p"].tolist())
    verdicts = table["p_holm"].map(lambda p: "yes" if p < 1 - LEVEL else "no")
    table["resolved"] = verdicts.where(table["p_holm"].notna(), "-")
    return table


def differing(a: pd.DataFrame, b: pd.DataFrame) -> list[str]:
    """What sweeps of both folders held at unlike values, a line each: what a difference may come from."""
    shared = [sweep for sweep in texts(a["sweep"]) if sweep in texts(b["sweep"])]
    where: dict[str, list[str]] = {}
    for sweep in shared:
        ours, theirs = a[a["sweep"] == sweep], b[b["sweep"] == sweep]
        swept = {
            part for rows in (ours, theirs) for variable in texts(rows["variable"]) for part in variable.split("*")
        }
        for column in ("dataset", *HELD, "device", "threads"):
            first, second = texts(ours[column]), texts(theirs[column])
            if column not in swept and first != second:
                where.setdefault(f"{column}: A {' or '.join(first)}, B {' or '.join(second)}", []).append(sweep)
    return [line if sweeps == shared else f"{line} (sweep {', '.join(sweeps)})" for line, sweeps in where.items()]


def alone(a: pd.DataFrame, b: pd.DataFrame) -> list[str]:
    """How many finished points of each folder the other has not, a line each where there are any."""
    ours, theirs = _by_point(a), _by_point(b)
    counts = {"A": len(ours.keys() - theirs.keys()), "B": len(theirs.keys() - ours.keys())}
    return [f"not compared: {count} of {name} that the other has not" for name, count in counts.items() if count]


def _by_point(points: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    done = finished(points)
    found = {}
    for sweep, rows in done.groupby("sweep", sort=False):
        for value, mine in rows.groupby(values_of(rows), sort=False):
            found[str(sweep), str(value)] = mine.set_index("seed")
    return found


def _row(a: pd.DataFrame, b: pd.DataFrame) -> tuple[object, ...]:
    shared = a.index.intersection(b.index)
    if len(shared):
        a, b = a.loc[shared], b.loc[shared]
    first, second = a["test_accuracy"], b["test_accuracy"]
    found = Difference(min(len(a), len(b)), second.mean() - first.mean(), *[math.nan] * 3)
    if set(a["run"]) & set(b["run"]):
        test = "same runs"
    elif len(shared) > 1:
        found, test = paired(second.tolist(), first.tolist()), "paired"
    elif not len(shared) and len(a) > 1 and len(b) > 1:
        found, test = unpaired(second.tolist(), first.tolist()), "Welch"
    else:
        test = "one seed"
    return len(a), len(b), first.mean(), second.mean(), found.mean, found.low, found.high, test, found.p
