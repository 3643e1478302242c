"""What the seeds of a cross say of its interaction: does the effect of one variable depend on another?

    table = interactions(results.points, results.task)
    told(table, task)

Effects are taken from the baseline's values or, where the cross lacks the baseline, from the first ones asked.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from tune_mnist.measure import Measure
from tune_mnist.plan.sweeps import ZIP
from tune_mnist.results.columns import variables
from tune_mnist.results.summary import averaged
from tune_mnist.results.values import rows_of, text
from tune_mnist.statistics.interaction import interaction as contrast
from tune_mnist.statistics.intervals import LEVEL, bounded, holm, levels
from tune_mnist.task import Task
from tune_mnist.words import several

COLUMNS = ["sweep", "variable", "base", "value", "beside", "beside_base", "beside_value", "held", "pairs"]
COLUMNS += ["effect_at_base", "effect", "interaction", "low", "high", "p", "p_holm", "resolved"]


def is_crossed(points: pd.DataFrame) -> bool:
    """Whether one sweep's rows are of several variables that are combined, and do not move together."""
    return len(variables(points)) > 1 and ZIP not in points["variable"].iloc[0]


def interactions(points: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The table that interaction.csv holds: one row for each pair of a cross's variables and of their values beside the
    base ones; none for other sweeps.

    `effect`: what the judged measure changes by where `variable` goes from `base` to `value`, at `beside_value` of the
    variable `beside`; `effect_at_base`: the same at `beside_base`. `interaction` is the difference of both, paired by
    seed; `p_holm` is corrected for the cross's other rows, and the interval (`low`, `high`) is at that level: it
    excludes 0 just where the interaction is resolved. What a cross of more variables does not change is at its base
    value (`held`). `resolved`: yes or no, or why it cannot be said.
    """
    tables = [_cross(rows, task) for _, rows in points.groupby("sweep", sort=False) if is_crossed(rows)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def _cross(points: pd.DataFrame, task: Task) -> pd.DataFrame:
    names = variables(points)
    asked = pd.DataFrame({name: points[name].map(text).where(points[name].notna()) for name in names})
    asked = asked.assign(seed=points["seed"], judged=averaged(points, task)[task.judged.name]).dropna(subset=[*names])
    pairs, base = itertools.combinations(names, 2), _base(points, asked)
    corners = [(said, cells) for pair in pairs for said, cells in _pair(asked, pair, base)]
    found = [said | _contrasted(cells, task.judged) for said, cells in corners]
    for row, (_, cells), level in zip(found, corners, levels([row["p"] for row in found]), strict=True):
        at_level = _contrasted(cells, task.judged, level)
        row |= {"low": at_level["low"], "high": at_level["high"]}
    table = pd.DataFrame(found).assign(sweep=points["sweep"].iloc[0], p_holm=math.nan).reindex(columns=COLUMNS)
    table["p_holm"] = holm(table["p"].tolist())
    tested = table["resolved"] == ""
    table.loc[tested, "resolved"] = (table.loc[tested, "p_holm"] < 1 - LEVEL).map({True: "yes", False: "no"})
    return table


def _base(points: pd.DataFrame, asked: pd.DataFrame) -> dict[str, str]:
    """The value of each variable that effects are taken from."""
    own = asked[points.loc[asked.index, "baseline"].astype(bool)]
    first = asked if own.empty else own
    return {name: str(first[name].iloc[0]) for name in variables(points)} if len(asked) else {}


def _pair(
    asked: pd.DataFrame, pair: tuple[str, str], base: dict[str, str]
) -> Iterable[tuple[dict[str, Any], list[pd.Series]]]:
    """The rows of two of the variables, each with its four cells; a combination that was not asked for has none."""
    beside, variable = pair
    others = {name: value for name, value in base.items() if name not in pair}
    rows = asked[[all(row[name] == value for name, value in others.items()) for _, row in asked.iterrows()]]
    cells = {key: cell.dropna().set_index("seed")["judged"] for key, cell in rows.groupby([*pair], sort=False)}
    held = ", ".join(f"{name} {value}" for name, value in others.items())
    for at, value in cells:
        corners = [(one, other) for one in (base[beside], at) for other in (base[variable], value)]
        if at == base[beside] or value == base[variable] or not all(one in cells for one in corners):
            continue
        named = {"variable": variable, "base": base[variable], "value": value}
        named |= {"beside": beside, "beside_base": base[beside], "beside_value": at, "held": held}
        yield named, [cells[one] for one in corners]


def _contrasted(cells: list[pd.Series], judged: Measure, level: float = LEVEL) -> dict[str, Any]:
    """Of the seeds that all four cells have."""
    seeds = [seed for seed in cells[0].index if all(seed in one.index for one in cells)]
    base, one, other, both = (cell[seeds].tolist() for cell in cells)
    found = contrast(base, one, other, both, level)
    low, high = judged.bounds
    ends = bounded(found.found, 2 * (low - high), 2 * (high - low))
    numbers = {"pairs": ends.n, "effect_at_base": found.at_base, "effect": found.at_other, "interaction": ends.mean}
    return numbers | {"low": ends.low, "high": ends.high, "p": ends.p, "resolved": _untested(cells, len(seeds), ends.p)}


def _untested(cells: list[pd.Series], shared: int, p: float) -> str:
    """Why no verdict can be given; nothing if one can."""
    if any(cell.empty for cell in cells):
        return "not done"
    if shared < 2:
        return "one seed" if shared else "no seed in common"
    return "no spread" if math.isnan(p) else ""


def told(table: pd.DataFrame, task: Task) -> str:
    """What the table says in words; nothing for a sweep without a cell to tell of."""
    return " ".join(_told(rows, task) for _, rows in table.groupby(["beside", "variable"], sort=False))


def _told(rows: pd.DataFrame, task: Task) -> str:
    """Of one pair of variables: the largest interaction that is resolved or, if none is, the largest of all."""
    beside, variable = (task.words(rows[name].iloc[0]) for name in ("beside", "variable"))
    yes, tested = rows[rows["resolved"] == "yes"], rows[rows["resolved"].isin(["yes", "no"])]
    if tested.empty:
        question = f"whether the effect of {variable} depends on {beside}"
        if set(rows["resolved"]) == {"one seed"}:
            return f"With one seed per point, it cannot be told {question}."
        return f"It cannot be told {question}: {several(dict.fromkeys(rows['resolved']))}."
    shown = yes if len(yes) else tested
    largest = rows_of(shown.loc[[shown["interaction"].abs().idxmax()]])[0]
    effects = (
        f"from {largest.variable} {largest.base} to {largest.value} it is {_change(largest.effect_at_base, task)} at "
        f"{largest.beside} {largest.beside_base} and {_change(largest.effect, task)} at {largest.beside_value}"
    )
    ends = f"95 %: {task.judged.change(largest.low)} to {task.judged.change(largest.high)}"
    of = f"the difference of the two, {_change(largest.interaction, task)} ({ends})"
    if yes.empty:
        least = "the largest one seen" if len(rows) > 1 else "the one seen"
        said = f"No interaction of {beside} and {variable} is resolved; that is not to say that there is none. "
        return said + f"Of the effect of {variable}, {effects}: {of}, is {least}."
    count = f" Of {len(rows)} such differences, {len(yes)} {'is' if len(yes) == 1 else 'are'}." if len(rows) > 1 else ""
    return f"The effect of {variable} depends on {beside}: {effects}; {of}, is resolved.{count}"


def _change(value: float, task: Task) -> str:
    unit = {"": "", "%": " points"}.get(task.judged.unit, f" {task.judged.unit}")
    return task.judged.change(value) + unit
