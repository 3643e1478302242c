"""What a sweep's summary says in words. Every number in a sentence is a cell of the tables, rounded.

for sentence in answer(summary[summary["sweep"] == "lr"]): print(sentence)
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from tune_mnist.statistics import finished
from tune_mnist.style import data_name
from tune_mnist.values import name, rows_of, texts

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
    rows = in_order(summary)
    if rows.empty:
        return ["No point of this sweep is done."]
    return [_course(rows), _cost(rows), _resolved(rows)]


def _course(rows: pd.DataFrame) -> str:
    variable = " and ".join(name(part) for part in rows["variable"].iloc[0].split("*"))
    first, last, best = rows.iloc[0], rows.iloc[-1], rows.iloc[rows["accuracy_mean"].argmax()]
    if len(rows) == 1:
        return f"One value of {variable} is done: {_at(first)}."
    if pd.to_numeric(rows["value"], errors="coerce").isna().any():
        worst = rows.iloc[rows["accuracy_mean"].argmin()]
        return f"Over {variable}, test accuracy is highest at {_at(best)} and lowest at {_at(worst)}."
    steps = rows["accuracy_mean"].diff().iloc[1:]
    if (steps >= 0).all() or (steps <= 0).all():
        way = "rises" if last["accuracy_mean"] > first["accuracy_mean"] else "falls"
        if (steps == 0).all():
            return f"Over {variable}, test accuracy stays the same: {_at(first)}."
        return f"Test accuracy {way} with {variable}, from {_at(first)} to {_at(last)}{_flat(rows)}."
    ends = f"{_at(first)} at one end and {_at(last)} at the other"
    if best["value"] in (first["value"], last["value"]):
        return f"Over {variable}, test accuracy has no single direction; it is highest at {_at(best)}: {ends}."
    return f"Over {variable}, test accuracy peaks at {_at(best)}, with {ends}."


def _at(row: pd.Series) -> str:
    return f"{row['value']} ({percent(row['accuracy_mean'])})"


def _flat(rows: pd.DataFrame) -> str:
    """Where most of the change has happened, if that is before the last value."""
    means = rows["accuracy_mean"]
    whole = means.iloc[-1] - means.iloc[0]
    there = rows[((means - means.iloc[0]) / whole) >= MOST]
    if len(there) < 2:
        return ", and has not flattened there"
    return f"; it is nearly flat from {_at(there.iloc[0])} on"


def _cost(rows: pd.DataFrame) -> str:
    timed = rows[rows["time_n"] > 0]
    if timed.empty:
        return "No time was measured under like conditions."
    low, high = timed.iloc[timed["time_mean"].argmin()], timed.iloc[timed["time_mean"].argmax()]
    if len(timed) == 1:
        return f"Training takes {seconds(low['time_mean'])}."
    if low["time_mean"] > LIKE * high["time_mean"]:
        return f"Training takes about as long at each, {seconds(low['time_mean'])} to {seconds(high['time_mean'])}."
    text = f"Training takes from {seconds(low['time_mean'])} at {low['value']} to {seconds(high['time_mean'])}"
    base = timed[timed["baseline"]]
    held = f"; the baseline takes {seconds(base['time_mean'].iloc[0])}" if len(base) else ""
    return f"{text} at {high['value']}{held}."


def _resolved(rows: pd.DataFrame) -> str:
    verdicts = rows["resolved"]
    if (verdicts == "no baseline").any():
        return "No point stands at the baseline, so there is nothing to take a difference to."
    if (verdicts == "one seed").any():
        return "With one seed a point, no difference to the baseline can be told from chance."
    yes, no = rows[verdicts == "yes"], rows[verdicts == "no"]
    base = rows.loc[rows["baseline"], "value"]
    against = f"the difference to the baseline ({base.iloc[0]})" if len(base) else "the difference to the baseline"
    told = [f"{_difference(row)} at {row['value']}" for _, row in no.iterrows()]
    if yes.empty and no.empty:
        return "There is no other point to take a difference to."
    if no.empty:
        return f"At every other value {against} is resolved."
    if yes.empty:
        return f"At no value is {against} resolved: {several(told)}."
    return f"At {several(yes['value'])} {against} is resolved; not resolved: {several(told)}."


def _difference(row: pd.Series) -> str:
    ends = f"{points_of(row['difference_low'])} to {points_of(row['difference_high'])}"
    return f"{points_of(row['difference'])} points (95 %: {ends})"


def best(summary: pd.DataFrame) -> str:
    """The point of the highest mean accuracy in all sweeps."""
    done = summary[summary["accuracy_n"] > 0]
    if done.empty:
        return "No point is done."
    place = int(done["accuracy_mean"].argmax())
    top, others = done.iloc[place], done.drop(index=done.index[place])
    alike = others[others["accuracy_mean"] == top["accuracy_mean"]]
    also = f" (as does {several(f'{row.variable} {row.value}' for row in rows_of(alike))})" if len(alike) else ""
    spread = (
        f"95 % interval {percent(top['accuracy_low'])} to {percent(top['accuracy_high'])}, {top['accuracy_n']} seeds"
        if top["accuracy_n"] > 1
        else "one seed"
    )
    words = " and ".join(name(part) for part in top["variable"].split("*"))
    return (
        f"{words} {top['value']} reaches the highest test accuracy{also}, {percent(top['accuracy_mean'])} ({spread})."
    )


def weaknesses(points: pd.DataFrame, summary: pd.DataFrame, dirty: bool) -> list[str]:
    """What a critic would hold against the results; each only where it is so."""
    done, seeds = finished(points), points["seed"].nunique()
    hosts, left = done["hostname"].nunique(), len(points) - len(done)
    mixed = [column for column in ("device", "threads", "precision") if done[column].nunique() > 1]
    found = {
        "One seed a point: no difference can be told from chance. Run it again with --seeds 3 or more.": seeds == 1,
        f"{seeds} seeds a point: intervals are wide, and a small difference stays unresolved.": 1 < seeds < 5,
        f"{left} of {len(points)} points are not done or not measured.": left > 0,
        "The best point is named by its test accuracy: on new images it would be somewhat lower.": len(done) > 0,
        "Trials ran side by side and took time from each other; --exclusive gives clean times.": _beside(done),
        f"Times come from {hosts} hosts, which may differ in speed.": hosts > 1,
        f"Points were not all trained under the same {several(mixed)}.": bool(mixed),
        "Points that differ only in epochs are read off one training: they rise and fall together.": (
            summary["same_run"].fillna("").ne("").any()
        ),
        f"The data are not MNIST: {data_name(points)}.": set(texts(points["dataset"])) != {"mnist"},
        "The code had changes that are in no commit.": dirty,
    }
    return [sentence for sentence, so in found.items() if so]


def _beside(done: pd.DataFrame) -> bool:
    return bool((done["concurrent"] > 0).any())
