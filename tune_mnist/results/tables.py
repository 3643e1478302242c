"""The table of points and the table of epochs, read off a plan's histories."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from tune_mnist.plan.plan import Plan, Run
from tune_mnist.plan.sweeps import Point
from tune_mnist.results.columns import TIMES, epoch_columns, point_columns
from tune_mnist.store.history import DIVERGED
from tune_mnist.store.store import Row
from tune_mnist.task import Config, Task


@dataclass(frozen=True)
class Outcome:
    """What is known of runs beside their epochs: run key -> why it failed, and -> the file of what it printed."""

    errors: Mapping[str, str] = field(default_factory=dict)
    logs: Mapping[str, str] = field(default_factory=dict)


def points_frame(plan: Plan, task: Task, outcome: Outcome, baseline: Config) -> pd.DataFrame:
    """One row per point, in the order asked."""
    runs = {run.key: run for run in plan.runs}
    rows = [
        _point_row(point, runs[key], task, outcome.errors.get(key, ""))
        | {"log": outcome.logs.get(key, "")}
        | {"baseline": _is_baseline(point, baseline, task)}
        for point, key in zip(plan.points, plan.keys, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=point_columns(task))
    for column in {"concurrent", "epoch_read"} & set(frame.columns):
        frame[column] = frame[column].astype("Int64")  # whole also beside a point that has none
    frame["value"] = pd.Series([row["value"] for row in rows], dtype=object)  # 15 stays 15 beside 0.01
    return frame


def _is_baseline(point: Point, baseline: Config, task: Task) -> bool:
    return all(task.shown(name, point.config[name]) == task.shown(name, baseline[name]) for name in point.variables)


def _point_row(point: Point, run: Run, task: Task, error: str) -> Row:
    epochs = run.held.rows[: point.config.epochs]
    done = len(epochs) == point.config.epochs
    end = None if done else run.held.diverged
    status, why = ("done", "") if done else ("failed", error) if error else ("missing", "")
    if end:
        status, why = DIVERGED, f"{end[DIVERGED]} at {task.unit} {end['epoch']}"
    row: Row = {
        "sweep": point.sweep,
        "variable": point.variable,
        "value": point.value,
        **_shared_columns(point.config, task),
        "run": run.key,
        "status": status,
        "error": why,
    }
    if end:
        return row | _spent((*epochs, end))
    return row | (_measured(epochs, task) | _spent(epochs) if done else {})


def _shared_columns(config: Config, task: Task) -> Row:
    conditions = {name: task.conditions[name] for name in task.table_conditions}
    conditions["device"] = conditions["device"].split()[0]
    active = {name: value for name, value in config.items() if name not in config.inactive}
    return {name: task.shown(name, value) for name, value in active.items()} | conditions


def _measured(epochs: tuple[Row, ...], task: Task) -> Row:
    read = _read(epochs, task)
    found = {one.name: read.get(one.name) for one in task.measures if one.in_points}
    return found | {"epoch_read": read.get("epoch")}


def _spent(epochs: tuple[Row, ...]) -> Row:
    """The times of so many epochs, and where they were trained."""
    return {
        **{name: sum(row[name] for row in epochs) for name in TIMES},
        "concurrent": max(row["concurrent"] for row in epochs),
        "hostname": "+".join(dict.fromkeys(row["hostname"] for row in epochs)),
        "trial_id": epochs[-1]["trial_id"],
    }


def _read(epochs: tuple[Row, ...], task: Task) -> Row:
    """The epoch at which a point's values are read; the earlier of two that are as good, nothing where none tells."""
    by = task.chosen_by if task.at == "best" else None
    if by is None:
        return epochs[-1]
    told = [row for row in epochs if row.get(by.name) is not None]
    return min(told, key=lambda row: row[by.name] * (1 if by.better == "lower" else -1), default={})


def history_frame(plan: Plan, task: Task) -> pd.DataFrame:
    """One row per epoch of every run in the plan, up to the epochs asked of it."""
    renamed = {one.name: one.column for one in task.measures if one.column}
    rows = [
        {
            **row,
            **{column: row[name] for name, column in renamed.items()},
            **_shared_columns(run.config, task),
            "run": run.key,
        }
        for run in plan.runs
        for row in run.held.rows[: run.config.epochs]
    ]
    return pd.DataFrame(rows, columns=epoch_columns(task))


@dataclass(frozen=True)
class Tables:
    """The table of points and the table of epochs."""

    points: pd.DataFrame
    history: pd.DataFrame


def join(own: Tables, kept: Tables, order: Sequence[str]) -> Tables:
    """The tables of both, as texts: sweeps in the order that was there, then new ones; runs in that of their points."""
    points, history = (_texts(table) for table in (own.points, own.history))
    others = kept.points.reindex(columns=points.columns, fill_value="")
    sweeps = {str(name): rows for table in (points, others) for name, rows in table.groupby("sweep", sort=False)}
    names = [*(name for name in order if name in sweeps), *(name for name in sweeps if name not in order)]
    joined = pd.concat([points[:0], *(sweeps[name] for name in names)], ignore_index=True)
    longest: dict[str, pd.DataFrame] = {}
    for table in (history, kept.history.reindex(columns=history.columns, fill_value="")):
        for run, rows in table.groupby("run", sort=False):
            if len(rows) > len(longest.get(str(run), ())):
                longest[str(run)] = rows
    runs = [longest[run] for run in dict.fromkeys(joined["run"]) if run in longest]
    return Tables(joined, pd.concat([history[:0], *runs], ignore_index=True))


def _texts(table: pd.DataFrame) -> pd.DataFrame:
    """The table's cells as texts, as its file has them."""
    rows = list(csv.reader(io.StringIO(table.to_csv(index=False, lineterminator="\n"), newline="")))
    return pd.DataFrame(rows[1:], columns=rows[0], dtype=object)
