"""Reads our tables back, from any folder or file, and refuses what no plot or sentence could be made from.

    points = read_points(Path("results/mnist"))

A table may come from another machine, an editor or a spreadsheet, so all that the report relies on is checked. Numbers
are read by Python's own `float`: pandas before 3 can be off in the last bit, and `verify` compares bits.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tune_mnist.errors import UserError, unknown
from tune_mnist.machine.environment import ENVIRONMENT_JSON
from tune_mnist.mnist.config import VARIABLES
from tune_mnist.results.tables import EPOCH_COLUMNS, HISTORY_CSV, METRICS, POINT_COLUMNS, RESULTS_CSV, TIMES
from tune_mnist.results.values import values_of

STATUSES = ("done", "failed", "missing")
RECORDS = (
    "packages",
    "cpu",
    "git",
    "data_sha256",
    "plan",
    "conditions",
)  # of environment.json: each an object, or null


def read_points(place: Path) -> pd.DataFrame:
    """The table of points in a folder, or in a file: POINT_COLUMNS, `value` in words, what is not measured is nan.

    Raises UserError with the file, the line and what is wrong with it.
    """
    path = place / RESULTS_CSV if place.is_dir() else place
    points = _read(path, POINT_COLUMNS)
    if points.empty:
        raise UserError(f"{path} has no rows; run the sweep again, or give another folder")
    for sweep, rows in points.groupby("sweep", sort=False):
        _check_variable(rows, f"{path}: sweep {sweep}")
        points.loc[rows.index, "value"] = values_of(rows)
    check_unique(points, str(path))
    return points.reset_index(drop=True)


def read_history(folder: Path) -> pd.DataFrame | None:
    """The table of epochs in a folder; None if there is none. Raises UserError as `read_points`."""
    path = folder / HISTORY_CSV
    if not path.is_file():
        return None
    history = _read(path, EPOCH_COLUMNS)
    for column in (*METRICS, *TIMES):
        for line in history.index[history[column].isna()][:1]:
            raise UserError(f"{path}:{line}: {column} is missing; run the sweep again")
    for line in history.index[history.duplicated(["run", "epoch"])][:1]:
        run, epoch = history.loc[line, ["run", "epoch"]]
        raise UserError(f"{path}:{line}: epoch {epoch} of run {run} stands more than once; keep one")
    return history.reset_index(drop=True)


def read_environment(folder: Path) -> dict[str, Any]:
    """What environment.json says; nothing where there is none. Raises UserError if it is not a record of ours."""
    path = folder / ENVIRONMENT_JSON
    if not path.is_file():
        return {}
    try:
        facts = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}; remove it, or run the sweep again") from None
    if not isinstance(facts, dict) or not all(isinstance(facts.get(name) or {}, dict) for name in RECORDS):
        raise UserError(f"{path} is no record of a command; remove it, or run the sweep again")
    return facts


def check_unique(points: pd.DataFrame, name: str) -> None:
    """Raise UserError if a sweep has a value with one seed twice: a mean would count it twice."""
    twice = points[points.duplicated(["sweep", "value", "seed"])]
    if len(twice):
        first = twice.iloc[0]
        raise UserError(
            f"{name}: the point {first['sweep']} {first['value']}, seed {first['seed']} stands more than once; keep one"
        )


def _check_variable(rows: pd.DataFrame, name: str) -> None:
    """Raise UserError unless the sweep is over known variables, the same in each row, around one baseline."""
    variables = rows["variable"].unique()
    if len(variables) > 1:
        raise UserError(f"{name} has several variables: {', '.join(variables)}; keep one")
    for part in variables[0].split("*"):
        if part not in VARIABLES:
            raise UserError(f"{name}: {unknown('variable', part, VARIABLES)}")
    baselines = list(dict.fromkeys(values_of(rows)[rows["baseline"]]))
    if len(baselines) > 1:
        raise UserError(f"{name} has several baselines: {', '.join(baselines)}; keep one")


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The table's columns, each of its kind, indexed by the line of the file; what else it has is left out."""
    head, lines = _lines(path)
    missing = [name for name in columns if name not in head]
    if len(missing) == len(columns):
        raise UserError(f"{path} has none of our columns; a comma separates them, and the first line names them")
    if missing:
        raise UserError(f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}")
    for line, row in lines.items():
        if len(row) != len(head):
            raise UserError(
                f"{path}:{line}: {len(row)} fields, not {len(head)}: the line is cut off, or a comma is lost"
            )
    places = {name: head.index(name) for name in columns}
    table = {name: _column(path, name, {line: row[at] for line, row in lines.items()}) for name, at in places.items()}
    return pd.DataFrame(table, index=pd.Index(lines, dtype="int64"))


def _lines(path: Path) -> tuple[list[str], dict[int, list[str]]]:
    """The first line's fields, and those of the others by the line where they end; empty lines are none."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # a spreadsheet may begin it with a byte order mark
            reader = csv.reader(file, strict=True)
            head = next(reader, [])
            lines = dict((reader.line_num, row) for row in reader if row)  # noqa: C402 - its key moves on
    except FileNotFoundError:
        raise UserError(f"there is no table {path}; give the folder that a sweep left") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a table: {error}") from None
    if not head:
        raise UserError(f"{path} is empty; run the sweep again, or give another folder")
    return head, lines


def _column(path: Path, name: str, cells: dict[int, str]) -> list[Any]:
    read, rule = KINDS.get(name, (str, "text"))
    found = []
    for line, cell in cells.items():
        try:
            found.append(read(cell))
        except (ValueError, OverflowError, KeyError):
            raise UserError(f"{path}:{line}: {name} must be {rule}, not '{cell}'") from None
    return found


def _number(low: float = -math.inf, high: float = math.inf, missing: bool = False) -> Callable[[str], float]:
    def read(cell: str) -> float:
        if missing and cell.lower() in ("", "nan"):
            return math.nan
        number = float(cell)
        if not math.isfinite(number) or not low <= number <= high:
            raise ValueError
        return number

    return read


def _whole(low: int) -> Callable[[str], int]:
    def read(cell: str) -> int:
        number = int(cell) if cell.isdecimal() else float(cell)  # a spreadsheet may write 5.0
        if number != int(number) or number < low:
            raise ValueError
        return int(number)

    return read


def _named(cell: str) -> str:
    if not cell:
        raise ValueError
    return cell


def _flag(cell: str) -> bool:
    return {"true": True, "false": False}[cell.lower()]


def _status(cell: str) -> str:
    return STATUSES[STATUSES.index(cell)]


# Column -> how its cells are read, and the rule that they keep. Only what was measured may be missing.
KINDS: dict[str, tuple[Callable[[str], Any], str]] = {
    "status": (_status, f"one of {', '.join(STATUSES)}"),
    **dict.fromkeys(("epochs", "epoch", "batch_size", "train_size", "threads"), (_whole(1), "a whole number above 0")),
    "seed": (_whole(0), "a whole number"),
    **dict.fromkeys(("lr", "gamma", "momentum", "weight_decay", "dropout", "epoch_lr"), (_number(), "a number")),
    **dict.fromkeys(("test_accuracy", "train_accuracy"), (_number(0, 1, missing=True), "a number from 0 to 1")),
    **dict.fromkeys(
        ("test_loss", "train_loss", *TIMES, "concurrent"), (_number(0, missing=True), "a number of at least 0")
    ),
    **dict.fromkeys(("baseline", "shuffle"), (_flag, "True or False")),
    **dict.fromkeys(
        ("sweep", "variable", "run", "dataset", "model", "optimizer", "schedule", "device", "precision"),
        (_named, "a name"),
    ),
}
