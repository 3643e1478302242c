"""What a command says before and after: its plan and forecast, the points it found, the best of each sweep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.table import Table

from tune_mnist.display.progress import duration, plural
from tune_mnist.plan.plan import Plan

if TYPE_CHECKING:
    import pandas as pd


def plan_lines(plan: Plan) -> list[str]:
    """The plan in two lines: what is asked, and what there is to train."""
    asked = f"{plural(len(plan.points), 'point')}, {plan.distinct} distinct, {plural(len(plan.runs), 'run')}"
    asked += f", {plural(plan.epochs_asked, 'epoch')} asked for"
    stored = f"{plural(plan.epochs_stored, 'epoch')} in the store, {plan.epochs_to_train} to train"
    again = f", {plan.epochs_again} of them again for want of a checkpoint" if plan.epochs_again else ""
    return [asked, stored + again]


def plan_table(plan: Plan, names: Mapping[str, str]) -> Table:
    """A row a run, in the order of their start."""
    table = Table("run", "differs from the baseline in", "epochs", "in the store", "to train", box=None, pad_edge=False)
    for run in plan.runs:
        stored = min(run.held.epochs, run.config.epochs)
        table.add_row(run.key, names[run.key], str(run.config.epochs), str(stored), str(run.to_train))
    return table


def points_table(points: pd.DataFrame) -> Table:
    """A row a point: what was varied, and what came of it."""
    several = points["seed"].nunique() > 1
    columns = ["sweep", "value", *(["seed"] if several else []), "test accuracy", "test loss", "train time", "status"]
    table = Table(*columns, box=None, pad_edge=False)
    for _, row in points.iterrows():
        done = row["status"] == "done"
        shown = (
            [f"{row['test_accuracy']:.2%}", f"{row['test_loss']:.4f}", duration(row["train_time_s"])]
            if done
            else ["-"] * 3
        )
        seed = [str(row["seed"])] if several else []
        table.add_row(row["sweep"], str(row["value"]), *seed, *shown, row["status"])
    return table


def best_lines(points: pd.DataFrame) -> list[str]:
    """For each sweep the value of the highest mean test accuracy. It describes the sweep; it selects nothing."""
    lines = []
    for sweep, rows in points[points["status"] == "done"].groupby("sweep", sort=False):
        means = rows.groupby("value", sort=False)["test_accuracy"].mean()
        lines.append(f"best of {sweep}: {rows['variable'].iloc[0]}={means.idxmax()}, test accuracy {means.max():.2%}")
    return lines


def forecast_line(seconds: float, slots: int, measured: str) -> str:
    """How long the training will take, and what that was reckoned from."""
    return f"about {duration(seconds)} of training with {plural(slots, 'trial')} side by side ({measured})"
