"""What a second of training buys: test accuracy against training time, over all sweeps.

draw_tradeoff(points).savefig("accuracy_vs_time.png")
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from tune_mnist.errors import UserError
from tune_mnist.figures.style import INK, SERIES, conditions, data_name, framed, held, label_points, legend_below, plain
from tune_mnist.results.summary import finished, timed_alike
from tune_mnist.results.values import combined, rows_of, texts, values_of


def tradeoff(points: pd.DataFrame) -> pd.DataFrame:
    """A row a point, of all sweeps: sweep, value, time_s, accuracy (means over n seeds), n, pareto.

    Only rows that were timed under the most usual conditions. `pareto`: no other point is both as quick and as good.
    """
    rows = []
    timed = timed_alike(points)
    for sweep, mine in timed.groupby("sweep", sort=False):
        values = values_of(mine)
        for value in values.unique():
            seeds = mine[values == value]
            rows.append((sweep, value, seeds["train_time_s"].mean(), seeds["test_accuracy"].mean(), len(seeds)))
    table = pd.DataFrame(rows, columns=["sweep", "value", "time_s", "accuracy", "n"])
    table["pareto"] = [not _beaten(table, row) for _, row in table.iterrows()]
    return table


def _beaten(table: pd.DataFrame, row: pd.Series) -> bool:
    quick, good = table["time_s"] <= row["time_s"], table["accuracy"] >= row["accuracy"]
    better = (table["time_s"] < row["time_s"]) | (table["accuracy"] > row["accuracy"])
    return bool((quick & good & better).any())


def draw_tradeoff(points: pd.DataFrame) -> Figure:
    """Accuracy (%) against training time (s), the Pareto front marked. Raises UserError if nothing was timed."""
    table, timed = tradeoff(points), timed_alike(points)
    if table.empty:
        raise UserError("no finished point to draw accuracy against time from")
    left_out = len(finished(points)) - len(timed)
    note = f"{left_out} point{'s' * (left_out > 1)} timed under other conditions not shown." if left_out else ""
    seeds = int(table["n"].max())
    note = " ".join(filter(None, (f"Means of {seeds} seeds." if seeds > 1 else "", note)))
    swept = {part for variable in texts(points["variable"]) for part in variable.split("*")}
    lines = [held(timed, [*swept]), conditions(timed)]
    figure, room = framed(f"Accuracy against training time: {data_name(timed)}", lines, note)
    axes = figure.add_axes(room)
    for (sweep, rows), (colour, mark) in zip(table.groupby("sweep", sort=False), SERIES * 9, strict=False):
        axes.plot(rows["time_s"], rows["accuracy"] * 100, mark, color=colour, label=f"sweep {sweep}", markersize=7)
    front = table[table["pareto"]].sort_values(["time_s", "accuracy"])
    axes.step(front["time_s"], front["accuracy"] * 100, where="post", color=INK, lw=1, ls=":", label="Pareto front")
    if table["time_s"].min() > 0 and table["time_s"].max() > 4 * table["time_s"].min():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(0.16)
    axes.set(xlabel=f"training time (s{', log scale' * (axes.get_xscale() == 'log')})", ylabel="test accuracy (%)")
    plain(axes)
    legend_below(figure, axes, columns=5)
    named = front.drop_duplicates(["time_s", "accuracy"])
    labels = [f"{row.sweep} {combined(row.value)}" for row in rows_of(named)]
    steps = [(right, y) for right, y in zip(named["time_s"].iloc[1:], named["accuracy"] * 100, strict=False)]
    marks, places = (
        axes.transData.transform(np.column_stack([one["time_s"], one["accuracy"] * 100])) for one in (table, named)
    )
    corners = axes.transData.transform(steps) if steps else np.empty((0, 2))
    lines = [*np.linspace(places[:-1], corners, 40), *np.linspace(corners, places[1:], 40)]
    label_points(axes, places, labels, np.concatenate([marks, *lines]))
    return figure
