"""The published experiment's figures, data/published.csv, and the recipe of the points that are set beside them."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

from tune_mnist.measure import Reference

PUBLISHED_CSV = Path(__file__).parents[2] / "data" / "published.csv"
# Points that are trained otherwise are not its points. It shuffled nothing: `shuffle` is told apart.
RECIPE = {"dataset": "mnist", "model": "cnn", "optimizer": "adadelta", "schedule": "step", "gamma": 0.7}
RECIPE |= {"weight_decay": 0.0, "dropout": 0.25, "train_size": 60000, "precision": "fp32"}
MATCHED = ("epochs", "batch_size", "lr")
SAID = "The published experiment trained in file order (shuffle false), one run per setting. Published accuracies are "
SAID += "rounded, most to a whole per cent. Times are relative to the first of the sweep that has a published one."


@cache
def published(path: Path = PUBLISHED_CSV) -> Reference | None:
    """The published figures, accuracies from 0 to 1 and times in seconds; None without the file."""
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        rows = [
            {
                "sweep": row["sweep"],
                "value": float(row["value"]),
                **{name: float(row[name]) for name in MATCHED},
                "measured": float(row["accuracy_percent"]) / 100,
                "time_s": float(row["time_s"]) if row["time_s"] else None,
            }
            for row in csv.DictReader(file)
        ]
    return Reference(SAID, RECIPE, MATCHED, "shuffle", tuple(rows))
