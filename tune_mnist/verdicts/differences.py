"""What the tests of a sweep's differences say in words. Every sentence on a pair of points is asked for here.

    resolved(in_order(named(summary, task)), task.judged)

`rows` are those of one sweep whose points are done, in order; `judged` is the measure that they are judged by.
"""

from __future__ import annotations

import pandas as pd

from tune_mnist.measure import Measure
from tune_mnist.results.paired import BASELINE_DIVERGED
from tune_mnist.results.values import rows_of, said
from tune_mnist.words import several

NO_BASELINE = ("no baseline", BASELINE_DIVERGED)  # verdicts: nothing tells by a difference which points are apart
MOST_NAMED = 6  # values whose pairs are named; of more, it is told how many are apart


def at(row: pd.Series, judged: Measure) -> str:
    """A point with its mean: "0.05 (98.07 %)"."""
    return f"{said(row['value'])} ({judged.text(row['mean'])})"


def span(judged: Measure, low: float, high: float) -> str:
    """The ends of an interval of values: "97.55 % to 98.58 %"."""
    return f"{judged.text(low)} to {judged.text(high)}"


def changes(judged: Measure, low: float, high: float) -> str:
    """The ends of an interval of differences: "−1.14 to +1.14"."""
    return f"{judged.change(low)} to {judged.change(high)}"


def apart(one: pd.Series, other: pd.Series) -> bool:
    """Whether the table tells two points apart, as its differences to the baseline do: a point from the baseline, where
    its difference is resolved; two other points, where one's is, and the intervals of both, which hold together, do not
    overlap. Without any baseline, each pair has its test.

    Two trainings of one seed are told apart by the intervals of their answers; where these are not known, nothing
    speaks against it: True.
    """
    single = one["n"] == other["n"] == 1
    if {one["resolved"], other["resolved"]} & set(NO_BASELINE):
        return bool(single or f" {other['point']} " in f" {one['apart_from']} ")
    tested = [row for row in (one, other) if not row["baseline"]]
    if single and any(pd.isna(row["answers_low"]) for row in tested):
        return True
    by = "answers" if single else "difference"
    if not any(_excludes_0(row, by) if single else row["resolved"] == "yes" for row in tested):
        return False
    return len(tested) == 1 or _lies_above(one, other, by) or _lies_above(other, one, by)


def _excludes_0(row: pd.Series, by: str) -> bool:
    return bool(row[f"{by}_low"] > 0 or row[f"{by}_high"] < 0)


def _lies_above(one: pd.Series, other: pd.Series, by: str) -> bool:
    return bool(one[f"{by}_low"] > other[f"{by}_high"])


def resolved(rows: pd.DataFrame, judged: Measure) -> str:
    """Which differences to the baseline are resolved; in a sweep without one, which values are told apart."""
    others = rows[~rows["baseline"]]
    verdicts = others["resolved"]
    if others.empty:
        return "There is no other point to take a difference to."
    if (verdicts == BASELINE_DIVERGED).any():
        named = others["compared_to"].iloc[0]
        return (
            f"Training diverged at the baseline ({named}), so there is nothing to take a difference to{_pairs(rows)}."
        )
    if (verdicts == "no baseline").any():
        return f"No point at the baseline is done, so there is nothing to take a difference to{_pairs(rows)}."
    if (rows["n"] == 1).all():
        return _by_answers(others, judged)
    yes, no = others[verdicts == "yes"], others[verdicts == "no"]
    against = f"the difference to the baseline ({others['compared_to'].iloc[0]})"
    if len(yes) == len(others):
        return f"At every other value {against} is resolved."
    told = [f"{difference(row, judged)} at {row['value']}" for _, row in no.iterrows()]
    untested = [f"{row.value} ({row.resolved})" for row in rows_of(others[~verdicts.isin(["yes", "no"])])]
    parts = [f"At {several(yes['value'])} {against} is resolved" if len(yes) else f"At no value is {against} resolved"]
    parts += [f"not resolved: {several(told)}"] if told else []
    parts += [f"not tested at {several(untested)}"] if untested else []
    return "; ".join(parts) + "."


def _pairs(rows: pd.DataFrame) -> str:
    """Which values are told apart from which, where there is no baseline: each pair once."""
    if (rows["n"] == 1).all() or len(rows) < 2:
        return ""
    done = [row for _, row in rows.iterrows()]
    pairs = [(later, one) for place, later in enumerate(done) for one in done[:place] if apart(later, one)]
    told = [
        f"{later['value']} from {several(one['value'] for mine, one in pairs if mine is later)}"
        for later in done
        if any(mine is later for mine, _ in pairs)
    ]
    said = f"told apart: {'; '.join(told)}" if told else "no two values are told apart"
    if len(done) > MOST_NAMED and told:
        said = f"{len(pairs)} of {len(done) * (len(done) - 1) // 2} pairs are told apart"
    return f"; pair by pair, by seed, corrected by Holm, {said}"


def _by_answers(others: pd.DataFrame, judged: Measure) -> str:
    """Of one seed per point: what the test examples tell of these trainings, if their number is known."""
    said = "With one seed per point, nothing is known of how seeds spread, so no difference is tested"
    known = others[others["answers_low"].notna()]
    if known.empty:
        return f"{said}."
    differ = known[[_excludes_0(row, "answers") for _, row in known.iterrows()]]
    like = known.loc[~known.index.isin(differ.index), "value"]
    told = [f"{difference(row, judged, 'answers')} at {row['value']}" for _, row in differ.iterrows()]
    what = f"these trainings alone, by their {judged.examples:,} answers"
    parts = [f"differ from the baseline’s: {several(told)}"] if told else []
    parts += [f"are not told apart from it at {several(like)}"] if len(like) else []
    return f"{said}; {what}, {'; '.join(parts)}."


def guessing(rows: pd.DataFrame, judged: Measure) -> str:
    """Where trainings are no better than guessing."""
    found = [
        f"{at(row, judged)}" + (f" with {row['guessing']} of {row['n']} seeds" if row["n"] > 1 else "")
        for _, row in rows[rows["guessing"] > 0].iterrows()
    ]
    if not found or judged.chance is None:
        return ""
    gives = judged.text(judged.chance)
    return f"No better than guessing, which gives {gives}, at {several(found)}: it has not learned there."


def difference(row: pd.Series, judged: Measure, by: str = "difference") -> str:
    """A row's difference to the baseline with its interval: "+0.30 points (95 %: +0.10 to +0.50)"."""
    ends = changes(judged, row[f"{by}_low"], row[f"{by}_high"])
    return f"{points(judged, row['difference'])} (95 %: {ends})"


def points(judged: Measure, change: float) -> str:
    """A difference with its unit: "+0.30 points"."""
    return f"{judged.change(change)}{ {'': '', '%': ' points'}.get(judged.unit, f' {judged.unit}') }"
