"""What a command says before and after: its plan and forecast, the points it found, the best of each sweep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.table import Table

from tune_mnist.plan.plan import Plan
from tune_mnist.task import Task
from tune_mnist.words import duration, plural

if TYPE_CHECKING:
    import pandas as pd


def plan_lines(plan: Plan, unit: str) -> list[str]:
    """The plan in two lines: what is asked, and what there is to train."""
    asked = f"{plural(len(plan.points), 'point')}, {plan.distinct} distinct, {plural(len(plan.runs), 'run')}"
    asked += f", {plural(plan.epochs_asked, unit)} asked for"
    stored = f"{plural(plan.epochs_stored, unit)} in the store, {plan.epochs_to_train} to train"
    again = f", {plan.epochs_again} of them again because their checkpoint is gone" if plan.epochs_again else ""
    return [asked, stored + again]


def plan_table(plan: Plan, names: Mapping[str, str]) -> Table:
    """One row per run, in the order of their start."""
    table = Table("run", "differs from the baseline in", "epochs", "in the store", "to train", box=None, pad_edge=False)
    for run in plan.runs:
        stored = min(run.held.epochs, run.config.epochs)
        table.add_row(run.key, names[run.key], str(run.config.epochs), str(stored), str(run.to_train))
    return table


def points_table(points: pd.DataFrame, task: Task) -> Table:
    """One row per point: what was varied, and what came of it."""
    seeded = points["seed"].nunique() > 1
    measures = task.headline
    columns = [
        "sweep",
        "value",
        *(["seed"] if seeded else []),
        *(one.words for one in measures),
        "train time",
        "status",
    ]
    table = Table(*columns, box=None, pad_edge=False)
    for _, row in points.iterrows():
        told = ["-"] * (len(measures) + 1)
        if row["status"] == "done":
            told = [*(one.brief(row[one.name]) for one in measures), duration(row["train_time_s"])]
        table.add_row(row["sweep"], str(row["value"]), *([str(row["seed"])] if seeded else []), *told, row["status"])
    return table


def best_lines(points: pd.DataFrame, task: Task) -> list[str]:
    """For each sweep the value of the best mean. It describes the sweep; it selects nothing."""
    lines, judged = [], task.judged
    for sweep, rows in points[points["status"] == "done"].groupby("sweep", sort=False):
        means = rows.groupby("value", sort=False)[judged.name].mean()
        place = int(means.argmax() if judged.better == "higher" else means.argmin())
        said = f"{rows['variable'].iloc[0]}={means.index[place]}, {judged.words} {judged.brief(means.iloc[place])}"
        lines.append(f"best of {sweep}: {said}")
    return lines


def forecast_line(seconds: float, slots: int, measured: str) -> str:
    """How long the training will take, and what that was reckoned from."""
    return f"about {duration(seconds)} of training with {plural(slots, 'trial')} side by side ({measured})"
