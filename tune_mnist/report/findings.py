"""What a sweep's summary says in words. Every number in a sentence is a cell of the tables, rounded.

for sentence in answer(summary[summary["sweep"] == "lr"]): print(sentence)
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from tune_mnist.figures.style import data_name
from tune_mnist.results.summary import finished
from tune_mnist.results.values import combined, rows_of, texts, words

CHANCE = "which is within chance: their 95 % intervals overlap"
MOST = 0.9  # of a sweep's whole change: where that much is reached, it is called flat
LIKE = 0.95  # of the longest time: what takes at least that much of it takes as long, as far as a shared machine tells


def percent(value: float, places: int = 2) -> str:
    return f"{100 * value:.{places}f} %"


def points_of(value: float) -> str:
    """A difference of accuracies in percentage points, with its sign."""
    return f"{100 * value:+.2f}".replace("-", "−")


def seconds(value: float) -> str:
    return f"{value:.3g} s" if value < 999.5 else f"{value:.0f} s"


def several(words: Iterable[str]) -> str:
    """a; a and b; a, b and c."""
    listed = list(words)
    return " and ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)


def in_order(summary: pd.DataFrame) -> pd.DataFrame:
    """The measured rows of one sweep: ascending if the values are numbers, else in the order asked."""
    rows = summary[summary["accuracy_n"] > 0]
    numbers = pd.to_numeric(rows["value"], errors="coerce")
    return rows.loc[numbers.sort_values(kind="stable").index] if numbers.notna().all() else rows


def answer(summary: pd.DataFrame) -> list[str]:
    """One sweep's answer: what accuracy does, what it costs in time, and what is resolved."""
    if "*" in summary["variable"].iloc[0]:  # in brackets, for values in a list have commas between them too
        summary = summary.assign(value="(" + summary["value"].map(combined) + ")")
    rows = in_order(summary)
    if rows.empty:
        return ["No point of this sweep is done."]
    missing = summary.loc[summary["accuracy_n"] == 0, "value"]
    lacking = f" Not done: {several(missing)}." if len(missing) else ""
    return [_course(rows) + lacking, _cost(rows), _resolved(rows)]


def _course(rows: pd.DataFrame) -> str:
    variable = words(rows["variable"].iloc[0])
    if len(rows) == 1:
        return f"One value of {variable} is done: {_at(rows.iloc[0])}."
    if pd.to_numeric(rows["value"], errors="coerce").isna().any():
        best, worst = (rows.iloc[place(rows["accuracy_mean"])] for place in (pd.Series.argmax, pd.Series.argmin))
        if _may_be_chance(best, worst):
            return _level(rows, variable)
        return f"Over {variable}, test accuracy is highest at {_at(best)} and lowest at {_at(worst)}."
    steps = _steps(rows)
    if (steps >= 0).all() or (steps <= 0).all():
        return _one_way(rows, variable)
    return _both_ways(rows, variable)


def _level(rows: pd.DataFrame, variable: str) -> str:
    """No two ends apart: what lies between is not called a rise or a peak."""
    low, high = (rows.iloc[place(rows["accuracy_mean"])] for place in (pd.Series.argmin, pd.Series.argmax))
    return f"Over {variable}, {_what(rows).lower()} lies between {_at(low)} and {_at(high)}, {CHANCE}."


def _one_way(rows: pd.DataFrame, variable: str) -> str:
    first, last = rows.iloc[0], rows.iloc[-1]
    if rows["accuracy_mean"].nunique() == 1:
        return f"Over {variable}, test accuracy stays the same: {_at(first)}."
    if _may_be_chance(first, last):
        low, high = (rows.iloc[place(rows["accuracy_mean"])] for place in (pd.Series.argmin, pd.Series.argmax))
        return _level(rows, variable) if _may_be_chance(low, high) else _both_ways(rows, variable)
    way = "rises" if last["accuracy_mean"] > first["accuracy_mean"] else "falls"
    return f"{_what(rows)} {way} with {variable}, from {_at(first)} to {_at(last)}{_flat(rows)}."


def _both_ways(rows: pd.DataFrame, variable: str) -> str:
    first, last, best = rows.iloc[0], rows.iloc[-1], rows.iloc[rows["accuracy_mean"].argmax()]
    ends = f"{_at(first)} at one end and {_at(last)} at the other"
    like = [row["value"] for _, row in rows.iterrows() if row["value"] != best["value"] and _may_be_chance(best, row)]
    if best["value"] in (first["value"], last["value"]):
        return f"Over {variable}, test accuracy has no single direction; it is highest at {_at(best)}: {ends}."
    if first["value"] in like or last["value"] in like:
        overlap = f"its 95 % interval overlaps that of {several(like)}"
        return f"Over {variable}, {_what(rows).lower()} is highest at {_at(best)}, but {overlap}: {ends}."
    return f"Over {variable}, test accuracy peaks at {_at(best)}, with {ends}."


def _what(rows: pd.DataFrame) -> str:
    return "Mean test accuracy" if rows["accuracy_n"].max() > 1 else "Test accuracy"


def _steps(rows: pd.DataFrame) -> pd.Series:
    """From each mean to the next; 0 where that may be chance, so that noise is no change of direction."""
    steps = rows["accuracy_mean"].diff().iloc[1:]
    pairs = [rows.iloc[place : place + 2] for place in range(len(rows) - 1)]
    real = pd.Series([not _may_be_chance(pair.iloc[0], pair.iloc[1]) for pair in pairs], index=steps.index, dtype=bool)
    return steps * real


def _may_be_chance(one: pd.Series, other: pd.Series) -> bool:
    """Whether two points' intervals overlap; without intervals, as with one seed, nothing is known of it: False."""
    return bool(one["accuracy_low"] <= other["accuracy_high"] and other["accuracy_low"] <= one["accuracy_high"])


def _at(row: pd.Series) -> str:
    return f"{combined(row['value'])} ({percent(row['accuracy_mean'])})"


def _flat(rows: pd.DataFrame) -> str:
    """Where most of the change has happened, if that is before the last value."""
    means = rows["accuracy_mean"]
    whole = means.iloc[-1] - means.iloc[0]
    there = rows[((means - means.iloc[0]) / whole) >= MOST]
    if len(rows) < 3:
        return ""  # two values show no bend
    if len(there) < 2:
        return ", and has not flattened there"
    return f"; it is nearly flat from {_at(there.iloc[0])} on"


def _cost(rows: pd.DataFrame) -> str:
    timed = rows[rows["time_n"] > 0]
    if timed.empty:
        return "No time was measured under like conditions."
    low, high = timed.iloc[timed["time_mean"].argmin()], timed.iloc[timed["time_mean"].argmax()]
    left = rows.loc[rows["time_n"] == 0, "value"]
    but = f" (no like time at {several(left)})" if len(left) else ""
    if len(timed) == 1:
        return f"Training takes {seconds(low['time_mean'])} at {low['value']}{but}."
    if low["time_mean"] > LIKE * high["time_mean"]:
        ends = f"{seconds(low['time_mean'])} to {seconds(high['time_mean'])}"
        return f"Training takes about as long at each, {ends}{but}."
    text = f"Training takes from {seconds(low['time_mean'])} at {low['value']} to {seconds(high['time_mean'])}"
    base = timed[timed["baseline"]]
    held = f"; the baseline takes {seconds(base['time_mean'].iloc[0])}" if len(base) else ""
    return f"{text} at {high['value']}{held}{but}."


def _resolved(rows: pd.DataFrame) -> str:
    base, others = rows[rows["baseline"]], rows[~rows["baseline"]]
    verdicts = others["resolved"]
    if others.empty:
        return "There is no other point to take a difference to."
    if (verdicts == "no baseline").any():
        return "No point at the baseline is done, so there is nothing to take a difference to."
    if (rows["accuracy_n"] == 1).all():
        return "With one seed a point, no difference to the baseline can be told from chance."
    yes, no = others[verdicts == "yes"], others[verdicts == "no"]
    against = f"the difference to the baseline ({base['value'].iloc[0]})"
    if len(yes) == len(others):
        return f"At every other value {against} is resolved."
    told = [f"{_difference(row)} at {row['value']}" for _, row in no.iterrows()]
    untested = [f"{row.value} ({row.resolved})" for row in rows_of(others[~verdicts.isin(["yes", "no"])])]
    parts = [f"At {several(yes['value'])} {against} is resolved" if len(yes) else f"At no value is {against} resolved"]
    parts += [f"not resolved: {several(told)}"] if told else []
    parts += [f"not tested at {several(untested)}"] if untested else []
    return "; ".join(parts) + "."


def _difference(row: pd.Series) -> str:
    ends = f"{points_of(row['difference_low'])} to {points_of(row['difference_high'])}"
    return f"{points_of(row['difference'])} points (95 %: {ends})"


def best(summary: pd.DataFrame) -> str:
    """The point of the highest mean accuracy in all sweeps."""
    done = summary[summary["accuracy_n"] > 0]
    if done.empty:
        return "No point is done."
    top, *also = rows_of(done[done["accuracy_mean"] == done["accuracy_mean"].max()])
    like = f" (as {several(f'{words(row.variable)} {combined(row.value)}' for row in also)} does)" if also else ""
    ends = f"95 % interval {percent(top.accuracy_low)} to {percent(top.accuracy_high)}, {top.accuracy_n} seeds"
    spread = ends if top.accuracy_n > 1 else "one seed"
    reached = f"{percent(top.accuracy_mean)} ({spread})"
    return f"{words(top.variable)} {combined(top.value)} reaches the highest test accuracy{like}, {reached}."


def weaknesses(
    points: pd.DataFrame, summary: pd.DataFrame, dirty: bool, history: pd.DataFrame | None = None
) -> list[str]:
    """What a critic would hold against the results; each only where it is so."""
    done, seeds = finished(points), points["seed"].nunique()
    hosts, left = done["hostname"].nunique(), len(points) - len(done)
    mixed = [column for column in ("device", "threads", "precision") if done[column].nunique() > 1]
    found = {
        "One seed a point: no difference can be told from chance. Run it again with --seeds 3 or more.": seeds == 1,
        f"{seeds} seeds a point: intervals are wide, and a small difference stays unresolved.": 1 < seeds < 5,
        "Intervals are over seeds; the test images are the same each time, and others would shift all.": seeds > 1,
        f"{left} of {len(points)} points are not done or not measured{_reasons(points)}.": left > 0,
        "The best point is named by its test accuracy: on new images it would be somewhat lower.": len(done) > 0,
        _contention(history): _beside(done),
        f"Times come from {hosts} hosts, which may differ in speed.": hosts > 1,
        f"Points were not all trained under the same {several(mixed)}.": bool(mixed),
        "Points that differ only in epochs are read off one training: they rise and fall together.": (
            summary["same_run"].fillna("").ne("").any()
        ),
        f"The data are not MNIST: {data_name(points)}.": set(texts(points["dataset"])) != {"mnist"},
        "The code had changes that are in no commit.": dirty,
    }
    return [sentence for sentence, so in found.items() if so]


def gaps(points: pd.DataFrame, history: pd.DataFrame | None, planned: int | None) -> list[str]:
    """What the folder lacks: rows of points that environment.json tells of (`planned`), epochs of their trainings."""
    found = []
    if planned not in (None, len(points)):
        found.append(f"The table has {len(points)} points, where environment.json tells of {planned}.")
    if history is None:
        return [*found, "There is no history.csv here: learning curves cannot be drawn."]
    done = finished(points)
    trained = history.groupby("run").size().to_dict()
    short = {run for run, epochs in zip(done["run"], done["epochs"], strict=True) if trained.get(run, 0) < epochs}
    if short:
        found.append(
            f"history.csv lacks epochs of {len(short)} of {done['run'].nunique()} trainings; so do learning curves."
        )
    return found


def _reasons(points: pd.DataFrame) -> str:
    """Why points failed: the first of each reason."""
    failed = points[points["error"].fillna("") != ""].drop_duplicates(["sweep", "error"])
    return "".join(f"; {row.sweep} {row.value}: {row.error}" for row in rows_of(failed))


def _contention(history: pd.DataFrame | None) -> str:
    """What running side by side did to the times: the CPU seconds that the epochs had, of the seconds they took."""
    said = "Trials ran side by side and may have taken time from each other; --exclusive gives clean times."
    if history is None or history[["cpu_time_s", "train_time_s", "eval_time_s"]].isna().any(axis=None):
        return said
    cpus = history[history["device"] == "cpu"]
    asked = ((cpus["train_time_s"] + cpus["eval_time_s"]) * cpus["threads"]).sum()
    if not asked:
        return said
    had = f"their epochs had {percent(cpus['cpu_time_s'].sum() / asked, 0)} of the CPU time they asked for"
    return f"Trials ran side by side: on the CPU, {had}; --exclusive gives clean times."


def _beside(done: pd.DataFrame) -> bool:
    return bool((done["concurrent"] > 0).any())
