"""What a sweep's summary says in words. Every number in a sentence is a cell of the tables, rounded.

    for sentence in answer(summary[summary["sweep"] == "lr"], task).sentences: print(sentence)

`rows` are those of one sweep whose points are done, in order; `judged` is the measure that they are judged by.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from tune_mnist.measure import Measure
from tune_mnist.plan.sweeps import CROSS
from tune_mnist.results.columns import TIME, variables
from tune_mnist.results.summary import without_stem
from tune_mnist.results.values import rows_of, said
from tune_mnist.task import Task
from tune_mnist.verdicts.differences import NO_BASELINE, apart, at, guessing, resolved, span
from tune_mnist.words import percent, seconds, several

MOST = 0.9  # of a sweep's whole change: where that much is reached, it is called flat
BUSY = 0.9  # of the CPU time of their threads: with less, times are of waiting, too, and are not compared
LIKE = 0.95  # of the longest time: what takes at least that much of it takes as long, as far as a shared machine tells


@dataclass(frozen=True)
class Answer:
    """One sweep's answer: what the judged measure does, what that costs in time, and what is resolved."""

    course: str
    cost: str = ""
    resolved: str = ""
    guessing: str = ""

    @property
    def sentences(self) -> tuple[str, ...]:
        """All that there is to say."""
        return tuple(filter(None, (self.course, self.cost, self.resolved, self.guessing)))


def answer(summary: pd.DataFrame, task: Task) -> Answer:
    """What the rows of one sweep in the summary say."""
    summary = named(summary, task)
    rows = in_order(summary)
    missing = summary.loc[(summary["n"] == 0) & (summary["diverged"] == 0), "value"]
    lacking = f" Not done: {several(missing)}." if len(missing) else ""
    ended = "".join(f" {sentence}" for sentence in diverged(summary, task))
    if rows.empty:
        nothing = f"No value of {swept_words(summary, task)} has a mean."
        return Answer(f"{nothing}{ended}{lacking}" if ended else "No point of this sweep is done.")
    course = _course(rows, swept_words(summary, task), task.judged)
    more = _cost(rows), resolved(rows, task.judged), guessing(rows, task.judged)
    return Answer(course[:1].upper() + course[1:] + ended + lacking, *more)


def diverged(summary: pd.DataFrame, task: Task) -> list[str]:
    """Of one sweep's rows, at which values trainings diverged: "2 of 3 seeds diverged at learning rate 1000."."""
    counted: dict[tuple[int, int], list[str]] = {}
    for row in rows_of(summary[summary["diverged"] > 0]):
        counted.setdefault((row.diverged, row.diverged + row.n + row.not_done), []).append(str(row.value))
    where = swept_words(summary, task)
    return [
        f"{_seeds(count, asked)} diverged at {where} {several(values)}." for (count, asked), values in counted.items()
    ]


def _seeds(count: int, asked: int) -> str:
    if asked == 1:
        return "Training"
    return f"All {asked} seeds" if count == asked else f"{count} of {asked} seeds"


def named(summary: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The rows of one sweep with the judged measure's columns by their plain names, and values as a sentence has them;
    `point` keeps those of the table.
    """
    summary = without_stem(summary, task).assign(point=summary["value"])
    if len(variables(summary)) == 1:
        return summary
    # In brackets, because the values of a list have commas between them, too.
    values, compared = summary["value"].map(said), summary["compared_to"].map(said)
    return summary.assign(value="(" + values + ")", compared_to=compared)


def swept_words(rows: pd.DataFrame, task: Task) -> str:
    """The variables of one sweep in words: "learning rate and dropout"."""
    return " and ".join(map(task.words, variables(rows)))


def in_order(summary: pd.DataFrame) -> pd.DataFrame:
    """The rows that are done: ascending if the values are numbers, else in the order asked."""
    rows = summary[summary["mean"].notna()]
    numbers = pd.to_numeric(rows["value"], errors="coerce")
    return rows.loc[numbers.sort_values(kind="stable").index] if numbers.notna().all() else rows


def _course(rows: pd.DataFrame, variable: str, judged: Measure) -> str:
    if len(rows) == 1:
        return f"One value of {variable} is done: {at(rows.iloc[0], judged)}."
    if pd.to_numeric(rows["value"], errors="coerce").isna().any():
        best, worst = _end(rows, judged.best), _end(rows, judged.worst)
        if not apart(best, worst):
            return _level(rows, variable, judged)
        ends = f"{judged.best} at {at(best, judged)} and {judged.worst} at {at(worst, judged)}"
        return f"Over {variable}, {judged.words} is {ends}."
    steps = _steps(rows)
    if ((steps >= 0).all() or (steps <= 0).all()) and not _turns(rows):
        return _one_way(rows, variable, judged)
    return _both_ways(rows, variable, judged)


def _level(rows: pd.DataFrame, variable: str, judged: Measure) -> str:
    """No two ends apart: what lies between is not called a rise or a peak."""
    low, high = at(_end(rows, "lowest"), judged), at(_end(rows, "highest"), judged)
    verdicts = rows["resolved"]
    if verdicts.isin([*NO_BASELINE, "yes"]).any():
        why = "which are not told apart"
    else:
        why = "and no difference to the baseline is resolved"
    return f"Over {variable}, {_mean(rows, judged)} lies between {low} and {high}, {why}."


def _one_way(rows: pd.DataFrame, variable: str, judged: Measure) -> str:
    first, last = rows.iloc[0], rows.iloc[-1]
    if rows["mean"].nunique() == 1:
        return f"Over {variable}, {judged.words} stays the same: {at(first, judged)}."
    if not apart(first, last):
        all_alike = not apart(_end(rows, "lowest"), _end(rows, "highest"))
        return _level(rows, variable, judged) if all_alike else _both_ways(rows, variable, judged)
    way = "rises" if last["mean"] > first["mean"] else "falls"
    ends = f"from {at(first, judged)} to {at(last, judged)}"
    return f"{_mean(rows, judged)} {way} with {variable}, {ends}{_flat(rows, judged)}."


def _both_ways(rows: pd.DataFrame, variable: str, judged: Measure) -> str:
    first, last, best = rows.iloc[0], rows.iloc[-1], _end(rows, judged.best)
    ends, top = f"{at(first, judged)} at one end and {at(last, judged)} at the other", at(best, judged)
    like = [row["value"] for _, row in rows.iterrows() if row["value"] != best["value"] and not apart(best, row)]
    if best["value"] in (first["value"], last["value"]):
        return f"Over {variable}, {judged.words} has no single direction; it is {judged.best} at {top}: {ends}."
    if like:
        but = f"but {several(like)} {'is' if len(like) == 1 else 'are'} not told apart from it"
        return f"Over {variable}, {_mean(rows, judged)} is {judged.best} at {top}, {but}: {ends}."
    peaks = "peaks" if judged.better == "higher" else f"is {judged.best}"
    return f"Over {variable}, {judged.words} {peaks} at {top}, with {ends}."


def _mean(rows: pd.DataFrame, judged: Measure) -> str:
    return f"mean {judged.words}" if rows["n"].max() > 1 else judged.words


def _end(rows: pd.DataFrame, way: str) -> pd.Series:
    """The row of the highest or of the lowest mean."""
    return rows.iloc[rows["mean"].argmax() if way == "highest" else rows["mean"].argmin()]


def top(rows: pd.DataFrame, judged: Measure) -> pd.Series:
    """The row that a choice falls on: of the best mean by validation data or, without any, of the judged measure."""
    by = rows["chosen"] if rows["chosen"].notna().any() else rows["mean"]
    return rows.iloc[by.argmax() if judged.better == "higher" else by.argmin()]


def _steps(rows: pd.DataFrame) -> pd.Series:
    """From each mean to the next; 0 where that may be chance, so that noise is no change of direction."""
    steps = rows["mean"].diff().iloc[1:]
    pairs = [rows.iloc[place : place + 2] for place in range(len(rows) - 1)]
    real = pd.Series([apart(pair.iloc[0], pair.iloc[1]) for pair in pairs], index=steps.index, dtype=bool)
    return steps * real


def _turns(rows: pd.DataFrame) -> bool:
    """Whether a mean between the ends lies further outside of them than they are apart: that is no way from one to the
    other, however wide its interval is.
    """
    low, high = sorted((rows["mean"].iloc[0], rows["mean"].iloc[-1]))
    return bool(max(rows["mean"].max() - high, low - rows["mean"].min()) > high - low)


def _flat(rows: pd.DataFrame, judged: Measure) -> str:
    """Where most of the change has happened, if that is before the last value."""
    means = rows["mean"]
    whole = means.iloc[-1] - means.iloc[0]
    there = rows[((means - means.iloc[0]) / whole) >= MOST]
    if len(rows) < 3:
        return ""  # two values show no bend
    if len(there) < 2:
        return ", and has not flattened there"
    return f"; it is nearly flat from {at(there.iloc[0], judged)} on"


def _cost(rows: pd.DataFrame) -> str:
    mean = f"{TIME.stem}_mean"
    timed, untimed = rows[rows[f"{TIME.stem}_n"] > 0], rows.loc[rows[f"{TIME.stem}_n"] == 0, "value"]
    if timed.empty:
        return "No time was measured under like conditions."
    low, high = timed.iloc[timed[mean].argmin()], timed.iloc[timed[mean].argmax()]
    but = f" (no like time at {several(untimed)})" if len(untimed) else ""
    if len(timed) > 1 and (waited := waiting(timed)):
        return f"Times are not compared: {waited}{but}."
    if len(timed) == 1:
        return f"Training takes {seconds(low[mean])} at {low['value']}{but}."
    if low[mean] > LIKE * high[mean]:
        return f"Training takes about as long at each, {seconds(low[mean])} to {seconds(high[mean])}{but}."
    text = f"Training takes from {seconds(low[mean])} at {low['value']} to {seconds(high[mean])} at {high['value']}"
    base = timed[timed["baseline"]]
    also = f"; the baseline takes {seconds(base[mean].iloc[0])}" if len(base) else ""
    return f"{text}{also}{but}."


def waiting(timed: pd.DataFrame) -> str:
    """What of the CPU time of their threads the trainings had, if that is so little that their times are of waiting."""
    least = timed.sort_values("cpu_share").iloc[0]
    if not least["cpu_share"] < BUSY:
        return ""
    had = f"at {least['value']}, trainings had {percent(least['cpu_share'], 0)} of the CPU time of their threads"
    return f"{had}; what else ran, or waiting for data, is in the seconds"


def _point(variable: str, value: str) -> str:
    """A point as its variables and values are typed: "lr 0.05, dropout 0"."""
    names = variable.split(CROSS)
    return ", ".join(map(" ".join, zip(names, value.split(CROSS, len(names) - 1), strict=True)))


def best(summary: pd.DataFrame, task: Task) -> str:
    """The point that is best by validation data in all sweeps; without any, that of the highest or lowest mean."""
    judged, by, summary = task.judged, task.chosen_by or task.judged, without_stem(summary, task)
    done = summary[summary["mean"].notna() & summary["chosen"].notna()]
    if done.empty:
        return "No point is done."
    named = [_point(variable, value) for variable, value in zip(done["variable"], done["value"], strict=True)]
    done = done.assign(named=named)
    top = done["chosen"].max() if by.better == "higher" else done["chosen"].min()
    first, *equal = rows_of(done[done["chosen"] == top])
    like = f" (as {several(row.named for row in equal)} {'do' if len(equal) > 1 else 'does'})" if equal else ""
    interval = f"95 % interval {span(judged, first.low, first.high)}, {first.n} seeds"
    reached = f"{judged.text(first.mean)} ({interval if first.n > 1 else 'one seed'})"
    if task.chosen_by is None:
        return f"{first.named} reaches the {judged.best} {judged.words}{like}, {reached}."
    if by.name == judged.name:
        return f"Best by {by.words}: {first.named}{like}, {reached}."
    return f"Best by {by.words}: {first.named}{like}, {by.text(top)}; the {judged.words} of {first.named} is {reached}."
