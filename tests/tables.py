"""Results folders written by hand: every column of ours, a history, an environment; nothing is trained."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
from test_plots import BASELINE, sweep

from tune_mnist.results.tables import EPOCH_COLUMNS, HISTORY_CSV, POINT_COLUMNS, RESULTS_CSV, write_csv

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


def complete(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `test_plots.sweep` with all columns of ours; one training for all that differ in epochs alone."""
    full = table.copy()
    done = full["status"] == "done"
    identity = [name for name in BASELINE if name != "epochs"]
    full["run"] = [
        hashlib.sha256(key.encode()).hexdigest()[:16] for key in map(str, full[identity].itertuples(index=False))
    ]
    full["value"] = ["*".join(str(row[part]) for part in row["variable"].split("*")) for _, row in full.iterrows()]
    for name, factor in (("test_loss", 1.0), ("train_loss", 1.5)):
        full[name] = (1 - full["test_accuracy"]) * factor
    full["train_accuracy"] = full["test_accuracy"] * 0.9
    full["eval_time_s"], full["cpu_time_s"] = full["train_time_s"] / 10, full["train_time_s"] * 1.1
    full["trial_id"] = full["run"].str[:8]
    full["error"] = [None if ended else "the loss is no longer a number" for ended in done]
    full.loc[~done, ["concurrent", "hostname", "trial_id"]] = None
    full["concurrent"] = full["concurrent"].astype("Int64")
    return full[POINT_COLUMNS]


def epochs_of(points: pd.DataFrame) -> pd.DataFrame:
    """A history that goes with the points: as many epochs of each run as its longest point asks for."""
    rows = []
    done = points[points["status"] == "done"]
    for _, row in done.sort_values("epochs", ascending=False).drop_duplicates("run").iterrows():
        for epoch in range(1, row["epochs"] + 1):
            share = epoch / row["epochs"]
            row_of = {
                **row,
                "epoch": epoch,
                "epoch_lr": row["lr"] * 0.7 ** (epoch - 1),
                "finished": "2025-01-02T03:05:06",
            }
            row_of |= {name: row[name] * share for name in ("test_accuracy", "train_accuracy")}
            row_of |= {name: row[name] / share for name in ("test_loss", "train_loss")}
            row_of |= {name: row[name] / row["epochs"] for name in ("train_time_s", "eval_time_s", "cpu_time_s")}
            rows.append(row_of)
    return pd.DataFrame(rows, columns=EPOCH_COLUMNS)


def write_folder(folder: Path, *tables: pd.DataFrame) -> Path:
    """The folder with the tables' points, their history and an environment.json that goes with them."""
    points = pd.concat([complete(table) for table in tables], ignore_index=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(points, folder / RESULTS_CSV)
    write_csv(epochs_of(points), folder / HISTORY_CSV)
    facts = ENVIRONMENT | {"plan": {"points": len(points)}}
    (folder / "environment.json").write_text(json.dumps(facts), "utf-8")
    return folder


def seeded_sweep(variable: str, accuracies: dict[Any, list[float]], seconds: float = 60, **common: Any) -> pd.DataFrame:
    """A sweep over the variable: value -> accuracies from 0 to 1, a seed each (-1: failed); times rise by the row."""
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
