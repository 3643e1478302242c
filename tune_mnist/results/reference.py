"""The published experiment beside what was measured: data/published.csv, matched by hyper-parameters.

compare_published(read_points(Path("results/mnist")))
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tune_mnist.results.summary import estimate, finished, timed_alike

PUBLISHED_CSV = Path(__file__).parents[2] / "data" / "published.csv"
NUMBERS = ["value", "epochs", "batch_size", "lr", "accuracy_percent", "time_s"]
MATCHED = ["epochs", "batch_size", "lr"]
# What its recipe holds; points trained otherwise are not its points. It shuffled nothing: `shuffle` is told apart.
RECIPE = {"dataset": "mnist", "model": "cnn", "optimizer": "adadelta", "schedule": "step", "gamma": 0.7}
RECIPE |= {"momentum": 0, "weight_decay": 0, "dropout": 0.25, "train_size": 60000, "precision": "fp32"}


def compare_published(points: pd.DataFrame, path: Path = PUBLISHED_CSV) -> pd.DataFrame:
    """A row a published point that was measured too: sweep, value, published, measured, low, high, n, difference,
    published_time, time; accuracies from 0 to 1.

    low and high are the ends of the measured mean's 95 % interval. The times are relative to those of the sweep's
    first point that has a published one, for the machines differ. Empty where nothing matches, or without the file.
    """
    columns = ["sweep", "value", "published", "measured", "low", "high", "n", "difference", "published_time", "time"]
    alike = finished(points)
    for name, value in RECIPE.items():
        alike = alike[alike[name] == value]
    if alike.empty or not path.is_file():
        return pd.DataFrame(columns=columns)
    table = pd.read_csv(path, dtype=str)
    table[NUMBERS] = table[NUMBERS].map(float)  # Python's own: equal text, equal number
    timed, rows = timed_alike(alike), []
    for _, known in table.iterrows():
        mine = alike[(alike["sweep"] == known["sweep"]) & (alike[MATCHED] == known[MATCHED]).all(axis=1)]
        if mine.empty:
            continue
        found = estimate(mine["test_accuracy"].tolist())
        published = known["accuracy_percent"] / 100
        times = timed.loc[timed.index.intersection(mine.index), "train_time_s"]
        ends = (found.mean, found.low, found.high, found.n, found.mean - published)
        rows.append((known["sweep"], f"{known['value']:.10g}", published, *ends, known["time_s"], times.mean()))
    return _relative(pd.DataFrame(rows, columns=columns))


def _relative(table: pd.DataFrame) -> pd.DataFrame:
    table.loc[table["published_time"].isna(), "time"] = float("nan")
    for _, rows in table.groupby("sweep", sort=False):
        given = rows[rows["published_time"].notna() & rows["time"].notna()]
        for column in ("published_time", "time"):
            table.loc[rows.index, column] = rows[column] / given[column].iloc[0] if len(given) else float("nan")
    return table
