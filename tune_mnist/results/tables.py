"""Column names, written once; the table of points and the table of epochs, read off the store's histories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from tune_mnist.mnist.config import Conditions, TrainConfig
from tune_mnist.plan.plan import Plan, Run
from tune_mnist.plan.sweeps import Point
from tune_mnist.store.store import Row, write_whole

CONFIG = ["model", "optimizer", "schedule", "epochs", "batch_size", "lr", "gamma", "momentum", "weight_decay"]
CONFIG += ["dropout", "shuffle", "train_size", "seed"]
METRICS = ["test_accuracy", "test_loss", "train_accuracy", "train_loss"]
TIMES = ["train_time_s", "eval_time_s", "cpu_time_s"]
CONDITIONS = ["threads", "concurrent", "device", "hostname", "precision", "trial_id", "run"]
# concurrent: how many other trials ran beside it, at most; train_…: over the last epoch, as it went, with dropout;
# baseline: whether the swept value is the one that the other sweeps hold;
# times: seconds, summed over the point's epochs; status: done, failed (then error says why) or missing (interrupted).
POINT_COLUMNS = [
    "sweep",
    "variable",
    "value",
    "baseline",
    "dataset",
    *CONFIG,
    *METRICS,
    *TIMES,
    *CONDITIONS,
    "status",
    "error",
]
EPOCH_COLUMNS = ["run", "trial_id", "dataset", *[name for name in CONFIG if name != "epochs"], "epoch", "epoch_lr"]
EPOCH_COLUMNS += [*METRICS, *TIMES, *[name for name in CONDITIONS if name not in ("run", "trial_id")], "finished"]

RESULTS_CSV = "mnist_results.csv"
HISTORY_CSV = "history.csv"


def points_frame(
    plan: Plan, conditions: Conditions, images: int, errors: Mapping[str, str], baseline: TrainConfig
) -> pd.DataFrame:
    """A row a point, in the order asked. `images` is the size of the whole training set; `errors`: run key -> error."""
    runs = {run.key: run for run in plan.runs}
    rows = [
        _point_row(point, runs[key], conditions, images, errors.get(key, ""))
        | {"baseline": all((getattr(baseline, name) or images) == (value or images) for name, value in point.values)}
        for point, key in zip(plan.points, plan.keys, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=POINT_COLUMNS)
    frame["concurrent"] = frame["concurrent"].astype("Int64")  # whole also beside a point that has none
    frame["value"] = pd.Series([row["value"] for row in rows], dtype=object)  # 15 stays 15 beside 0.01
    return frame


def _point_row(point: Point, run: Run, conditions: Conditions, images: int, error: str) -> Row:
    epochs = run.held.rows[: point.config.epochs]
    done = len(epochs) == point.config.epochs
    row: Row = {
        "sweep": point.sweep,
        "variable": point.variable,
        "value": point.value,
        **_config_columns(asdict(point.config), conditions, images),
        "run": run.key,
        "status": "done" if done else "failed" if error else "missing",
        "error": "" if done else error,
    }
    return row | (_measured(epochs) if done else {})


def _config_columns(config: Mapping[str, Any], conditions: Conditions, images: int) -> Row:
    columns = {name: config[name] for name in CONFIG}
    columns["train_size"] = columns["train_size"] or images
    held = {name: getattr(conditions, name) for name in ("dataset", "threads", "precision")}
    return columns | held | {"device": conditions.device.split()[0]}


def _measured(epochs: tuple[Row, ...]) -> Row:
    last = epochs[-1]
    return {
        **{name: last[name] for name in METRICS},
        **{name: sum(row[name] for row in epochs) for name in TIMES},
        "concurrent": max(row["concurrent"] for row in epochs),
        "hostname": "+".join(dict.fromkeys(row["hostname"] for row in epochs)),
        "trial_id": last["trial_id"],
    }


def history_frame(plan: Plan, conditions: Conditions, images: int) -> pd.DataFrame:
    """A row an epoch of every run in the plan, up to the epochs asked of it."""
    rows = [
        {
            **_config_columns(asdict(run.config), conditions, images),
            **row,
            "run": run.key,
            "epoch_lr": row["lr"],
            "lr": run.config.lr,
        }
        for run in plan.runs
        for row in run.held.rows[: run.config.epochs]
    ]
    return pd.DataFrame(rows, columns=EPOCH_COLUMNS)


def write_csv(frame: pd.DataFrame, path: Path) -> Path:
    """Write the table, whole or not at all; floats in the shortest form that reads back to the same bits."""
    write_whole(path, _csv(frame))
    return path


def is_written(frame: pd.DataFrame, path: Path) -> bool:
    """Whether the file holds this table, byte for byte."""
    return path.is_file() and path.read_bytes() == _csv(frame)


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False, lineterminator="\n").encode()
