"""The columns of a results folder's tables, each written once: reading, figures and the report ask here.

    point_columns(task)

`concurrent`: how many other trials ran beside it, at most. `baseline`: whether the swept value is the one that the
other sweeps hold. Times: seconds, summed over the point's epochs. `status`: done, diverged or failed (then `error` says
why), or missing. A point that diverged has its times, up to that epoch, and no measures. `epoch_read`: where values are
read at the best epoch, which that is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tune_mnist.errors import UserError
from tune_mnist.measure import Measure
from tune_mnist.parameter import Parameter, inactive
from tune_mnist.plan.sweeps import CROSS, ZIP
from tune_mnist.task import Task
from tune_mnist.words import several

if TYPE_CHECKING:
    import pandas as pd

STATUSES = ("done", "diverged", "failed", "missing")
TIME = Measure("train_time_s", label="training time", unit="s", better="lower", short="time", least=0)
TIMES = (TIME.name, "eval_time_s", "cpu_time_s")


def point_columns(task: Task) -> list[str]:
    """Of the table of points, in its order."""
    measures = [one.name for one in task.measures if one.in_points]
    return [
        *("sweep", "variable", "value", "baseline", *_data(task)),
        *(one.name for one in task.parameters),
        *(*measures, *_read(task), *TIMES, "threads", "concurrent", "device", "hostname", *_context(task)),
        *("trial_id", "run", *(["log"] if task.learns else []), "status", "error"),
    ]


def epoch_columns(task: Task) -> list[str]:
    """Of the table of epochs, in its order."""
    return [
        *("run", "trial_id", *_data(task)),
        *(one.name for one in task.parameters if one.name != "epochs"),
        *("epoch", *(one.column or one.name for one in task.measures if not one.in_points)),
        *(*(one.name for one in task.measures if one.in_points), *TIMES),
        *("threads", "concurrent", "device", "hostname", *_context(task), "finished"),
    ]


def same_timing(task: Task) -> list[str]:
    """The columns that times must be alike in, to be compared."""
    return ["device", "threads", "concurrent", *_context(task)]


def fixed_columns(task: Task) -> list[Parameter]:
    """What a sweep holds, in a subtitle's order: what speaks for itself first. The seeds are told apart."""
    named = [one for one in task.parameters if one.name != "seed"]
    return [
        *(one for one in named if one.bare),
        *task.context,
        *(one for one in named if not one.bare),
    ]


def variables(points: pd.DataFrame) -> tuple[str, ...]:
    """The variables of the one sweep that the rows are of."""
    return _split(points["variable"].iloc[0]) if len(points) else ()


def as_one(points: pd.DataFrame, task: Task) -> tuple[pd.DataFrame, Task]:
    """One sweep's rows, where variables that move together are one variable, and the task that knows it."""
    names = variables(points)
    if not len(points) or ZIP not in points["variable"].iloc[0]:
        return points, task
    words = several(map(task.words, names))
    values = [", ".join(row["value"].split(CROSS)) for _, row in points.iterrows()]
    others = tuple(one for one in task.parameters if one.name not in names)
    return points.assign(variable=words, **{words: values}), replace(task, parameters=(*others, Parameter(words)))


def _split(variable: str) -> tuple[str, ...]:
    return tuple(variable.split(ZIP if ZIP in variable else CROSS))


def all_variables(points: pd.DataFrame) -> list[str]:
    """The variables of every sweep, each once."""
    return list(dict.fromkeys(one for sweep in dict.fromkeys(points["variable"]) for one in _split(sweep)))


def later_columns(task: Task) -> dict[str, Any]:
    """The columns of parameters and conditions that other tables lack, and what they would have: the default."""
    return {one.name: one.shown(one.default) for one in (*task.parameters, *task.context) if one.later}


def without_inactive(table: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The table with empty cells where a parameter is inactive: older ones have there what was not looked at."""
    conditional = [one.name for one in task.parameters if one.when and one.name in table.columns]
    if not conditional or table.empty:
        return table
    import pandas as pd  # not above: a command that reads no table starts sooner

    needed = {name for one in task.parameters for name in (one.name, *(by for by, _ in one.when))}
    rows: list[Any] = table[[name for name in table.columns if name in needed]].to_dict("records")
    idle = [inactive(task.parameters, row) for row in rows]
    masks = {name: pd.Series([name in found for found in idle], index=table.index) for name in conditional}
    return table.assign(**{name: table[name].where(~mask) for name, mask in masks.items() if mask.any()})


def require(table: pd.DataFrame, columns: Iterable[str]) -> None:
    """Raise UserError if the table lacks one of the columns."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise UserError(f"the results lack the column{'s' * (len(missing) > 1)} {', '.join(missing)}, which plots need")


def readers(task: Task) -> dict[str, tuple[Callable[[str], Any], str]]:
    """Column -> how its cells are read, and the rule that they keep. Only what was measured may be missing."""
    return {
        "status": (_one_of(STATUSES), f"one of {', '.join(STATUSES)}"),
        **dict.fromkeys(("epoch", "threads"), (_whole(1), "a whole number above 0")),
        **dict.fromkeys((*TIMES, "concurrent"), (_number(0, missing=True), "a number of at least 0")),
        **dict.fromkeys(("sweep", "variable", "run", "device"), (_name, "a name")),
        "baseline": (_flag, "True or False"),
        "epoch_read": (_or_empty(_whole(1)), "a whole number above 0"),
        **{one.name: _parameter(one) for one in (*task.parameters, *task.context)},
        **({task.data.name: (_name, "a name")} if task.data else {}),
        **{one.column or one.name: _measure(one) for one in task.measures},
    }


def _parameter(one: Parameter) -> tuple[Callable[[str], Any], str]:
    plain, rule = _kind(one)
    read = _or_empty(plain) if one.when else plain
    if one.none is None or one.none_is is not None:
        return read, rule
    return lambda cell: cell if cell == one.none else read(cell), f"{rule}, or '{one.none}'"


def _or_empty(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Also an empty cell, of a parameter that is inactive in its row."""
    return lambda cell: read(cell) if cell.strip() else None


def _kind(one: Parameter) -> tuple[Callable[[str], Any], str]:
    if one.kind == "whole":
        return (_whole(1), "a whole number above 0") if one.ge == 1 else (_whole(one.ge), "a whole number")
    if one.kind == "number":
        return _number(), "a number"
    return (_flag, "True or False") if one.kind == "flag" else (_name, "a name")


def _measure(one: Measure) -> tuple[Callable[[str], Any], str]:
    if not one.in_points:
        return _number(), "a number"
    if one.unit == "%":
        return _number(0, 1, missing=True), "a number from 0 to 1"
    if one.least is not None:
        return _number(one.least, missing=True), f"a number of at least {one.least:g}"
    return _number(missing=True), "a number"


def _data(task: Task) -> list[str]:
    return [task.data.name] if task.data else []


def _read(task: Task) -> list[str]:
    return ["epoch_read"] if task.at == "best" else []


def _context(task: Task) -> list[str]:
    return [one.name for one in task.context]


# How a cell is read from text. Each raises ValueError, OverflowError or KeyError for what is none.


def _number(low: float = -math.inf, high: float = math.inf, missing: bool = False) -> Callable[[str], float]:
    """A finite number within the limits; with `missing`, an empty cell is nan.

    By Python's own `float`: pandas before 3 can be off in the last bit, and `verify` compares bits.
    """

    def read(cell: str) -> float:
        if missing and cell.lower() in ("", "nan"):
            return math.nan
        found = float(cell)
        if not math.isfinite(found) or not low <= found <= high:
            raise ValueError
        return found

    return read


def _whole(low: float | None = None) -> Callable[[str], int]:
    """A whole number, also as a spreadsheet may write it: 5.0."""

    def read(cell: str) -> int:
        found = int(cell) if cell.isdecimal() else float(cell)
        if found != int(found) or (low is not None and found < low):
            raise ValueError
        return int(found)

    return read


def _name(cell: str) -> str:
    """A text that is not empty."""
    if not cell:
        raise ValueError
    return cell


def _flag(cell: str) -> bool:
    """True or False, in any case of letters."""
    return {"true": True, "false": False}[cell.lower()]


def _one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """One of the texts."""
    return lambda cell: choices[choices.index(cell)]
