"""Reads our tables back, from any folder or file, and refuses what no plot or sentence could be made from.

    points = read_points(Path("results/mnist"))

A table may come from another machine, an editor or a spreadsheet, so all that the report relies on is checked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tune_mnist.environment import ENVIRONMENT_JSON
from tune_mnist.errors import UserError
from tune_mnist.results import EPOCH_COLUMNS, HISTORY_CSV, POINT_COLUMNS, RESULTS_CSV

STATUSES = ("done", "failed", "missing")
FRACTIONS = ("test_accuracy", "train_accuracy")
AT_LEAST_0 = ("test_loss", "train_loss", "train_time_s", "eval_time_s", "cpu_time_s")
SWITCHES = {"true": True, "false": False}


def read_points(place: Path) -> pd.DataFrame:
    """The table of points in a folder, or in a file. Raises UserError with the file and what is wrong with it."""
    path = place / RESULTS_CSV if place.is_dir() else place
    points = _read(path, POINT_COLUMNS)
    if points.empty:
        raise UserError(f"{path} has no rows; run the sweep again, or give another folder")
    _check_status(points, path)
    _check_numbers(points[points["status"] == "done"], path)
    points["baseline"] = _flags(points["baseline"], path)
    check_unique(points, str(path))
    return points


def read_history(folder: Path) -> pd.DataFrame | None:
    """The table of epochs in a folder; None if there is none. Raises UserError as `read_points`."""
    path = folder / HISTORY_CSV
    if not path.is_file():
        return None
    history = _read(path, EPOCH_COLUMNS)
    _check_numbers(history, path)
    return history


def read_environment(folder: Path) -> dict[str, Any]:
    """What environment.json says; nothing where there is none. Raises UserError if it is not JSON."""
    path = folder / ENVIRONMENT_JSON
    if not path.is_file():
        return {}
    try:
        facts = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}; remove it, or run the sweep again") from None
    if not isinstance(facts, dict):
        raise UserError(f"{path} holds no record of a command; remove it, or run the sweep again")
    return facts


def check_unique(points: pd.DataFrame, name: str) -> None:
    """Raise UserError if a sweep has a value with one seed twice: a mean would count it twice."""
    asked = points.assign(value=points["value"].astype(str))
    twice = asked[asked.duplicated(["sweep", "value", "seed"])]
    if len(twice):
        first = twice.iloc[0]
        raise UserError(
            f"{name}: the point {first['sweep']} {first['value']}, seed {first['seed']} stands more than once; keep one"
        )


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    try:
        # Only an empty field is missing: a value called "nan" or "None" is somebody's text.
        table = pd.read_csv(path, keep_default_na=False, na_values=[""])
    except FileNotFoundError:
        raise UserError(f"there is no table {path}; give the folder that a sweep left") from None
    except pd.errors.EmptyDataError:
        raise UserError(f"{path} is empty; run the sweep again, or give another folder") from None
    except (OSError, UnicodeDecodeError, pd.errors.ParserError) as error:
        raise UserError(f"{path} cannot be read as a table: {str(error).splitlines()[0]}") from None
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise UserError(f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}")
    return table


def _check_status(points: pd.DataFrame, path: Path) -> None:
    for line, status in zip(points.index + 2, points["status"], strict=True):
        if status not in STATUSES:
            raise UserError(f"{path}:{line}: status must be one of {', '.join(STATUSES)}, not '{status}'")


def _check_numbers(rows: pd.DataFrame, path: Path) -> None:
    """An empty field is a number that is missing, and the report says so; one that cannot be true is refused."""
    for column in (*FRACTIONS, *AT_LEAST_0):
        numbers = pd.to_numeric(rows[column], errors="coerce")
        rule = "from 0 to 1" if column in FRACTIONS else "of at least 0"
        wrong = rows[column].notna() & ~numbers.between(0, 1 if column in FRACTIONS else float("inf"), inclusive="left")
        wrong &= ~((numbers == 1) & (column in FRACTIONS))
        if wrong.any():
            line = rows.index[wrong][0]
            raise UserError(f"{path}:{line + 2}: {column} must be a number {rule}, not '{rows[column][line]}'")


def _flags(column: pd.Series, path: Path) -> pd.Series:
    read = column.astype(str).str.lower().map(SWITCHES)
    if read.isna().any():
        line = read.index[read.isna()][0]
        raise UserError(f"{path}:{line + 2}: baseline must be True or False, not '{column[line]}'")
    return read.astype(bool)
