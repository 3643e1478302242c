"""Reads our tables back, from any folder or file, and refuses what no plot or sentence could be made from.

    results = read_results(Path("results/mnist"), task)

A table may come from another machine, an editor or a spreadsheet, so all that the report relies on is checked.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from tune_mnist.errors import UserError, unknown
from tune_mnist.files import read_regular
from tune_mnist.plan.values import MOST_LOOKS
from tune_mnist.results.columns import (
    TIMES,
    epoch_columns,
    later_columns,
    point_columns,
    readers,
    variables,
    without_inactive,
)
from tune_mnist.results.folder import ENVIRONMENT_JSON, HISTORY_CSV, find_results, plain
from tune_mnist.results.values import values_of
from tune_mnist.task import Task, recorded

_Text = str | None
_Texts = dict[str, str | None] | None


def _least_and_most(said: list[int]) -> list[int]:
    if len(said) != 2 or not 2 <= said[0] < said[1] <= MOST_LOOKS:
        raise ValueError
    return said


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True)


class _Cpu(_Strict):
    model: _Text = None
    usable: int | None = None


class _Git(_Strict):
    commit: _Text = None
    dirty: bool | None = None


class _Record(_Strict):
    """What environment.json tells of a command, as far as a report says it; anything may be missing, or null."""

    command: _Text = None
    started: _Text = None
    ended: _Text = None
    python: _Text = None
    platform: _Text = None
    hostname: _Text = None
    packages: _Texts = None
    cpu: _Cpu | None = None
    gpus: list[str] | None = None
    git: _Git | None = None
    git_tree: _Text = None
    data_sha256: _Texts = None
    sweeps: dict[str, dict[str, list[Any]]] | None = None
    points: dict[str, int] | None = None
    margin: float | None = None
    sequential: Annotated[list[int], AfterValidator(_least_and_most)] | None = None


class _Environment(_Record):
    """All of environment.json: of the last command, and of the `earlier` ones whose sweeps are in the folder too."""

    plan: dict[str, Any] | None = None
    conditions: dict[str, Any] | None = None
    baseline: dict[str, Any] | None = None
    task: dict[str, Any] | None = None
    files: list[str] | _Texts = None
    title: _Text = None
    earlier: list[_Record] | None = None


@dataclass(frozen=True)
class Results:
    """What a results folder holds: its task, its tables, and what environment.json says. Read once, and passed on."""

    folder: Path
    task: Task
    points: pd.DataFrame
    history: pd.DataFrame | None
    environment: dict[str, Any]


def read_results(folder: Path, unrecorded: Task) -> Results:
    """All of a folder; `unrecorded`: the task of one that records none. A history may be missing. Raises UserError."""
    environment = read_environment(folder)
    task = _task(folder, environment, unrecorded)
    return Results(folder, task, read_points(folder, task), read_history(folder, task), environment)


def read_task(place: Path, unrecorded: Task) -> Task:
    """The task that a folder, or the folder of a table, records; `unrecorded` if it records none. Raises UserError."""
    folder = place if place.is_dir() else place.parent
    return _task(folder, read_environment(folder), unrecorded)


def _task(folder: Path, environment: dict[str, Any], unrecorded: Task) -> Task:
    if not environment.get("task"):
        return unrecorded
    try:
        task = recorded(environment["task"])
    except UserError as error:
        raise UserError(f"{folder / ENVIRONMENT_JSON}: {error}; run the sweep again") from None
    if not _is_whole(task):
        raise UserError(f"{folder / ENVIRONMENT_JSON}: the record of its task is damaged; run the sweep again")
    return task


def _is_whole(task: Task) -> bool:
    """Whether tables and report can be read by a task that somebody may have written by hand."""
    known = {one.name: one for one in (*task.parameters, *task.context, *((task.data,) if task.data else ()))}
    once = all(len(set(columns)) == len(columns) for columns in (point_columns(task), epoch_columns(task)))
    counted = all(name in known and known[name].kind == "whole" for name in ("epochs", "seed"))
    return (
        bool(task.measures)
        and once
        and counted
        and all(map(_is_plain, (one.default for one in known.values())))
        and _fits(task, known)
    )


def _fits(task: Task, known: Mapping[str, object]) -> bool:
    """Whether the published figures are of its parameters, and each row has all that is read off it."""
    if (found := task.reference) is None:
        return True
    columns, numbers = {"sweep", "value", "measured", "time_s", *found.matched}, ("value", "measured", "time_s")
    rows = all(columns <= row.keys() and not any(isinstance(row[one], str) for one in numbers) for row in found.rows)
    values = [*found.recipe.values(), *(value for row in found.rows for value in row.values())]
    measured = all(row[one] is not None for row in found.rows for one in ("value", "measured")) if rows else False
    return measured and all(map(_is_plain, values)) and {*found.recipe, *found.matched, found.apart} <= known.keys()


def _is_plain(value: object) -> bool:
    """Whether a cell can be compared with it."""
    if isinstance(value, int):
        return abs(value) < 2**63
    return value is None or isinstance(value, (str, float))


def read_points(place: Path, task: Task) -> pd.DataFrame:
    """The table of points in a folder, or in a file: `value` is in words, what is not measured is nan.

    Raises UserError with the file, the line and what is wrong with it.
    """
    path = find_results(place, task.name) if place.is_dir() else place
    points = without_inactive(_read(path, point_columns(task), readers(task), later_columns(task)), task)
    if points.empty:
        raise UserError(f"{path} has no rows; run the sweep again, or give another folder")
    for sweep, rows in points.groupby("sweep", sort=False):
        _check_variable(rows, f"{path}: sweep {sweep}", task)
        points.loc[rows.index, "value"] = values_of(rows)
    check_unique(points, str(path))
    return points.reset_index(drop=True)


def read_history(folder: Path, task: Task) -> pd.DataFrame | None:
    """The table of epochs in a folder; None if there is none. Raises UserError as `read_points`."""
    path = folder / HISTORY_CSV
    if not os.path.lexists(path):  # a link that leads nowhere is one that cannot be read
        return None
    history = without_inactive(_read(path, epoch_columns(task), readers(task), later_columns(task)), task)
    for column in (*(one.name for one in task.measures if one.in_points and not one.may_miss), *TIMES):
        for line in history.index[history[column].isna()][:1]:
            raise UserError(f"{path}:{line}: {column} is missing; run the sweep again")
    for line in history.index[history.duplicated(["run", "epoch"])][:1]:
        run, epoch = history.loc[line, ["run", "epoch"]]
        raise UserError(f"{path}:{line}: epoch {epoch} of run {run} stands more than once; keep one")
    return history.reset_index(drop=True)


def read_environment(folder: Path) -> dict[str, Any]:
    """What environment.json says; nothing where there is none. Raises UserError if it is not a record of ours."""
    path = folder / ENVIRONMENT_JSON
    try:
        facts: dict[str, Any] = json.loads(read_regular(path).decode())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        cause = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be read: {cause}; remove it, or run the sweep again") from None
    try:
        _Environment.model_validate(facts)
        json.dumps(facts, ensure_ascii=False).encode()  # half a letter, \ud800, is none
    except (ValidationError, UnicodeEncodeError, RecursionError):
        raise UserError(f"{path} is no record of a command; remove it, or run the sweep again") from None
    return facts


def commands(environment: dict[str, Any]) -> list[dict[str, Any]]:
    """What environment.json tells of each command whose sweeps are in the folder, the last one at the end."""
    return [*(environment.get("earlier") or []), environment] if environment else []


def check_unique(points: pd.DataFrame, name: str) -> None:
    """Raise UserError if a sweep has a value with one seed twice: a mean would count it twice."""
    twice = points[points.duplicated(["sweep", "value", "seed"])]
    if len(twice):
        first = twice.iloc[0]
        raise UserError(
            f"{name}: the point {first['sweep']} {first['value']}, seed {first['seed']} stands more than once; keep one"
        )


def _check_variable(rows: pd.DataFrame, name: str, task: Task) -> None:
    """Raise UserError unless the sweep is over known variables, the same in each row, around one baseline."""
    several = rows["variable"].unique()
    if len(several) > 1:
        raise UserError(f"{name} has several variables: {', '.join(several)}; keep one")
    for part in variables(rows):
        if part not in task.variables:
            raise UserError(f"{name}: {unknown('variable', part, task.variables)}")
    baselines = list(dict.fromkeys(values_of(rows)[rows["baseline"]]))
    if len(baselines) > 1:
        raise UserError(f"{name} has several baselines: {', '.join(baselines)}; keep one")


Readers = dict[str, tuple[Callable[[str], Any], str]]


def _read(path: Path, columns: Sequence[str], known: Readers, later: Mapping[str, Any]) -> pd.DataFrame:
    """The table's columns, each of its kind, indexed by the line of the file; what else it has is left out."""
    cells = read_texts(path, columns, later)
    lines = cells.index.tolist()
    table = {name: _column(f"{path}:", name, dict(zip(lines, cells[name], strict=True)), known) for name in columns}
    return pd.DataFrame(table, index=cells.index)


def read_texts(path: Path, columns: Sequence[str], later: Mapping[str, Any]) -> pd.DataFrame:
    """The table's columns as texts, indexed by the line of the file; what else it has is left out. Raises UserError.

    `later`: the columns that an older table lacks -> what they would have.
    """
    head, lines = _lines(path)
    there = [name for name in columns if name in head or name not in later]
    missing = [name for name in there if name not in head]
    if len(missing) == len(there):
        raise UserError(f"{path} has none of our columns; a comma separates them, and the first line names them")
    if missing:
        raise UserError(f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}")
    for line, row in lines.items():
        if len(row) != len(head):
            raise UserError(
                f"{path}:{line}: {len(row)} fields, not {len(head)}: the line is cut off, or a comma is lost"
            )
    at = [head.index(name) for name in there]
    cells = [[row[place] for place in at] for row in lines.values()]
    found = pd.DataFrame(cells, columns=there, index=pd.Index(lines, dtype="int64"), dtype=object)
    return found.assign(**{name: str(value) for name, value in later.items() if name not in there})[list(columns)]


def _lines(path: Path) -> tuple[list[str], dict[int, list[str]]]:
    """The first line's fields, and those of the others by the line where they end; empty lines are none."""
    try:
        content = read_regular(path).decode("utf-8-sig")  # a spreadsheet may begin it with a byte order mark
        reader = csv.reader(io.StringIO(content, newline=""), strict=True)
        head = [plain(cell) for cell in next(reader, [])]
        lines = dict((reader.line_num, [plain(cell) for cell in row]) for row in reader if row)  # noqa: C402
    except FileNotFoundError:
        raise UserError(f"there is no table {path}; give the folder that a sweep left") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a table: {getattr(error, 'strerror', None) or error}") from None
    if not head:
        raise UserError(f"{path} is empty; run the sweep again, or give another folder")
    return head, lines


def _column(place: str, name: str, cells: dict[int, str], known: Readers) -> list[Any]:
    read, rule = known.get(name, (str, "text"))
    found = []
    for line, cell in cells.items():
        try:
            found.append(read(cell))
        except (ValueError, OverflowError, KeyError):
            raise UserError(f"{place}{line}: {name} must be {rule}, not '{cell}'") from None
    return found
