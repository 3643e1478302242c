"""Results folders written by hand: every column of ours, a history, an environment; nothing is trained."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tune_mnist.measure import Measure
from tune_mnist.mnist.task import MNIST
from tune_mnist.parameter import Parameter
from tune_mnist.results.columns import TIMES, epoch_columns, point_columns
from tune_mnist.results.folder import HISTORY_CSV, results_csv, write_csv, write_environment
from tune_mnist.results.read import Results, read_results
from tune_mnist.task import Task

ENVIRONMENT: dict[str, Any] = {
    "command": "tune-mnist run --seeds 3",
    "started": "2025-01-02T03:04:05+00:00",
    "ended": "2025-01-02T03:14:05+00:00",
    "python": "3.11.7",
    "platform": "Linux-6",
    "packages": {"tune-mnist": "0.1.0", "torch": "2.15.0"},
    "cpu": {"model": "Some CPU", "usable": 2},
    "gpus": [],
    "git": {"commit": "0123456789abcdef", "dirty": False},
    "data_sha256": {"train": "ab" * 32},
    "plan": {},
}
BASELINE: dict[str, Any] = {
    "model": "cnn",
    "optimizer": "adadelta",
    "schedule": "step",
    "epochs": 5,
    "batch_size": 64,
    "lr": 0.01,
    "gamma": 0.7,
    "momentum": 0.0,
    "weight_decay": 0.0,
    "dropout": 0.25,
    "dropout_last": "recipe",
    "shuffle": True,
    "train_size": 60000,
    "seed": 1,
}
MEASURED = {"test_accuracy": 0.95, "train_time_s": 300.0, "status": "done", "dataset": "mnist", "precision": "fp32"}
MACHINE = {"device": "cpu", "threads": 1, "concurrent": 0, "hostname": "here"}


def sweep(variable: str, points: Sequence[tuple[Any, int, float, float]], **common: object) -> pd.DataFrame:
    """Rows of one sweep from (value, seed, accuracy from 0 to 1, seconds); an accuracy of -1 is a failed point's."""
    named = {"sweep": variable, "variable": variable}
    rows = [
        BASELINE | MEASURED | MACHINE | named | common | {variable: value, "seed": seed} for value, seed, _, _ in points
    ]
    for row, (value, _, accuracy, seconds) in zip(rows, points, strict=True):
        row |= {"test_accuracy": accuracy, "train_time_s": seconds, "baseline": value == BASELINE[variable]}
        if accuracy < 0:
            row |= {"test_accuracy": float("nan"), "train_time_s": float("nan"), "status": "failed"}
    return pd.DataFrame(rows)


# Another task: lower is better, nothing is in per cent, no measure is of training data.
CURVE = Task(
    name="curve",
    parameters=(
        Parameter("rate", kind="number", default=0.1, gt=0, log=10, label="step size"),
        Parameter("width", kind="whole", default=8, ge=1),
        Parameter("epochs", kind="whole", default=3, ge=1, paces=False),
        Parameter("seed", kind="whole", default=1, ge=0, paces=False),
    ),
    measures=(Measure("val_loss", label="validation loss", better="lower", short="loss"), Measure("val_score")),
)


def curve_sweep(variable: str, losses: dict[Any, list[float]], seconds: float = 2, **common: Any) -> pd.DataFrame:
    """A sweep of `CURVE`: value -> losses, one seed each (-1: failed); all columns of ours."""
    standard = {one.name: one.default for one in CURVE.parameters}
    rows = [
        standard
        | {"sweep": variable, "variable": variable, "status": "done" if loss >= 0 else "failed"}
        | {"val_loss": loss if loss >= 0 else float("nan"), "train_time_s": seconds + place + seed / 8}
        | {"device": "cpu", "threads": 1, "concurrent": 0, "hostname": "here"}
        | common
        | {variable: value, "seed": seed, "baseline": value == standard[variable]}
        for place, (value, listed) in enumerate(losses.items())
        for seed, loss in enumerate(listed, start=1)
    ]
    return complete(pd.DataFrame(rows).assign(val_score=lambda made: 2 - made["val_loss"]), CURVE)


def complete(table: pd.DataFrame, task: Task = MNIST) -> pd.DataFrame:
    """Rows of a sweep with all columns of ours; one training for all that differ in epochs alone."""
    full = table.copy()
    done = full["status"] == "done"
    identity = [one.name for one in task.parameters if one.name != "epochs"]
    full["run"] = [
        hashlib.sha256(key.encode()).hexdigest()[:16] for key in map(str, full[identity].itertuples(index=False))
    ]
    full["value"] = [
        "*".join(str(row[part]) for part in re.split(r"[*+]", row["variable"])) for _, row in full.iterrows()
    ]
    if task is MNIST:
        for name, factor in (("test_loss", 1.0), ("train_loss", 1.5)):
            full[name] = (1 - full["test_accuracy"]) * factor
        full["train_accuracy"] = full["test_accuracy"] * 0.9
    full["eval_time_s"], full["cpu_time_s"] = full["train_time_s"] / 10, full["train_time_s"] * 1.1
    full["trial_id"] = full["run"].str[:8]
    full["error"] = [None if ended else "the loss is no longer a number" for ended in done]
    full.loc[~done, ["concurrent", "hostname", "trial_id"]] = None
    full["concurrent"] = full["concurrent"].astype("Int64")
    return full[point_columns(task)]


def epochs_of(points: pd.DataFrame, task: Task = MNIST) -> pd.DataFrame:
    """A history that goes with the points: as many epochs of each run as its longest point asks for."""
    rows = []
    done = points[points["status"] == "done"]
    for _, row in done.sort_values("epochs", ascending=False).drop_duplicates("run").iterrows():
        for epoch in range(1, row["epochs"] + 1):
            share = epoch / row["epochs"]
            row_of = {**row, "epoch": epoch, "finished": "2025-01-02T03:05:06"}
            if task is MNIST:
                row_of["epoch_lr"] = row["lr"] * 0.7 ** (epoch - 1)
            for one in task.measures:
                if one.in_points:
                    row_of[one.name] = row[one.name] * (share if one.better == "higher" else 1 / share)
            rows.append(row_of | {name: row[name] / row["epochs"] for name in TIMES})
    return pd.DataFrame(rows, columns=epoch_columns(task))


def write_folder(folder: Path, *tables: pd.DataFrame, task: Task = MNIST) -> Path:
    """The folder with the tables' points, their history and an environment.json that goes with them.

    That of MNIST records no task, as those from before there were tasks do not.
    """
    points = pd.concat([complete(table, task) for table in tables], ignore_index=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(points, folder / results_csv(task.name))
    write_csv(epochs_of(points, task), folder / HISTORY_CSV)
    record = {} if task is MNIST else {"task": task.record()}
    write_environment(folder, ENVIRONMENT | {"plan": {"points": len(points)}} | record)
    return folder


def read_folder(folder: Path) -> Results:
    """What `write_folder` wrote."""
    return read_results(folder, MNIST)


def seeded_sweep(variable: str, accuracies: dict[Any, list[float]], seconds: float = 60, **common: Any) -> pd.DataFrame:
    """A sweep over the variable: value -> accuracies from 0 to 1, one seed each (-1: failed); times rise by the row."""
    points = [
        (value, seed, accuracy, seconds + 7 * place + seed / 8)
        for place, (value, listed) in enumerate(accuracies.items())
        for seed, accuracy in enumerate(listed, start=1)
    ]
    return sweep(variable, points, **common)


EPOCHS = {1: [0.921, 0.918, 0.924], 5: [0.951, 0.949, 0.952], 15: [0.957, 0.954, 0.958]}
BATCH = {32: [0.9601, 0.9585, 0.9612], 64: [0.951, 0.949, 0.952], 256: [0.9235, 0.9311, 0.9174]}
LRS = {0.001: [0.8672, 0.871, 0.8655], 0.01: [0.951, 0.949, 0.952], 0.05: [0.9814, 0.9809, 0.9821]}
OPTIMIZERS = {"adadelta": [0.951, 0.949, 0.952], "sgd": [0.902, -1, 0.899], "adam": [0.9502, 0.9511, 0.9498]}


def several_sweeps() -> list[pd.DataFrame]:
    """Three of numbers, one of names with a failed point, and a cross of two variables, with three seeds each."""
    crossed = [
        seeded_sweep("lr", {lr: [0.9 + lr + dropout / 100 + s / 500 for s in range(3)]}, sweep="cross", dropout=dropout)
        for lr in (0.01, 0.05)
        for dropout in (0.0, 0.25)
    ]
    cross = pd.concat(crossed).assign(variable="lr*dropout")
    cross["baseline"] = (cross["lr"] == 0.01) & (cross["dropout"] == 0.25)
    plain = [seeded_sweep("epochs", EPOCHS), seeded_sweep("batch_size", BATCH, sweep="batch")]
    return [*plain, seeded_sweep("lr", LRS), seeded_sweep("optimizer", OPTIMIZERS), cross]
