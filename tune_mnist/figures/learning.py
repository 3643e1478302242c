"""How a sweep's trainings went: loss and accuracy by epoch, on the training and on the test images.

draw_learning(points[points["sweep"] == "lr"], history).savefig("learning.png")
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tune_mnist.errors import UserError
from tune_mnist.figures.style import INK, data_name, framed, held, plain, require
from tune_mnist.results.summary import finished
from tune_mnist.results.values import name, text, values_of

CURVES = ["train_loss", "test_loss", "train_accuracy", "test_accuracy"]
PANELS = (("loss", "loss", 1), ("accuracy", "accuracy (%)", 100))
MARKS = "os^DvPX*<>hd"
MOST = len(MARKS)  # curves in one figure; more cannot be told apart


def learning_curves(points: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """One sweep's trainings: values, epoch, n, and the means over n seeds of the losses and accuracies (0 to 1).

    `values` names the swept values that are read off the training: those that differ in epochs only share one. The
    training's own loss and accuracy are taken as it goes, with dropout. Raises UserError if a column is missing.
    """
    require(history, ["run", "epoch", *CURVES])
    done = finished(points)
    done = done.assign(value=values_of(done) if len(done) else "")
    shared: dict[frozenset[str], list[str]] = {}
    for value, rows in done.groupby("value", sort=False):
        shared.setdefault(frozenset(rows["run"]), []).append(str(value))
    tables = []
    for runs, values in shared.items():
        longest = done.loc[done["run"].isin(runs), "epochs"].max()
        rows = history[history["run"].isin(runs) & (history["epoch"] <= longest)]
        means = rows.groupby("epoch")[CURVES].mean().assign(n=rows.groupby("epoch").size()).reset_index()
        tables.append(means.assign(values=", ".join(values)))
    columns = ["values", "epoch", "n", *CURVES]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def draw_learning(points: pd.DataFrame, history: pd.DataFrame) -> Figure:
    """One sweep's learning curves. Raises UserError also if no point is done."""
    curves, done = learning_curves(points, history), finished(points)
    if curves.empty:
        raise UserError("no finished training to draw learning curves from")
    variables = points["variable"].iloc[0].split("*")
    words = " and ".join(name(variable) for variable in variables)
    note = f"Means of {curves['n'].max()} seeds. " if curves["n"].max() > 1 else ""
    kept = _spread(curves["values"].unique().tolist())
    left_out = curves["values"].nunique() - len(kept)
    note += f"{left_out} other values not shown. " if left_out else ""
    curves = curves[curves["values"].isin(kept)]
    note += "Training images: over the epoch as it went, with dropout; test images: after it."
    figure, (left, bottom, _, height) = framed(
        f"Learning curves by {words}: {data_name(done)}", [held(done, ["epochs", *variables])], note
    )
    more = _legend(figure, curves["values"].unique().tolist(), words)
    for place, (ending, label, factor) in enumerate(PANELS):
        axes = figure.add_axes((left + 0.005 + place * 0.485, bottom + more, 0.38, height - more))
        _panel(axes, curves, ending, factor)
        axes.set(xlabel="epoch", ylabel=label)
    return figure


def _spread(values: list[str]) -> list[str]:
    """At most MOST of the values, the ends among them."""
    count = min(MOST, len(values))
    return [values[round(i * (len(values) - 1) / max(1, count - 1))] for i in range(count)]


def _looks(values: list[str]) -> dict[str, tuple[Any, str]]:
    """A colour and a mark for each: light to dark, so that they read in grey, and no colour alone tells two apart."""
    shades = colormaps["viridis_r"].resampled(256)
    steps = max(1, len(values) - 1)
    return {
        one: (shades(1 - 0.88 * (len(values) - 1 - i) / steps), MARKS[i % len(MARKS)]) for i, one in enumerate(values)
    }


def _panel(axes: Axes, curves: pd.DataFrame, ending: str, factor: float) -> None:
    for values, (colour, mark) in _looks(curves["values"].unique().tolist()).items():
        mine = curves[curves["values"] == values]
        for part, dashes in (("test", "-"), ("train", "--")):
            style: dict[str, Any] = {
                "linestyle": dashes,
                "color": colour,
                "marker": mark,
                "markersize": 4,
                "linewidth": 1.4,
            }
            axes.plot(mine["epoch"], mine[f"{part}_{ending}"] * factor, **style)
    plain(axes)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))


def _legend(figure: Figure, values: list[str], words: str) -> float:
    """The legend below, in as many columns as fit; returns how much of the height its rows after the first take."""
    lines = [Line2D([], [], color=c, marker=m, markersize=4, label=text(v)) for v, (c, m) in _looks(values).items()]
    dashes: tuple[tuple[str, Any], ...] = (("test", "-"), ("training", "--"))
    kinds = [Line2D([], [], color=INK, linestyle=look, label=f"{kind} images") for kind, look in dashes]
    head = Line2D([], [], linestyle="none", label=f"{words}:")
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0.02, 0.055)}
    entries, row = [head, *lines, *kinds], 0.0
    for columns in range(len(entries), 0, -1):
        # matplotlib fills column after column; people read row after row.
        by_row = [entry for start in range(columns) for entry in entries[start::columns]]
        legend = figure.legend(handles=by_row, **place, ncols=columns, fontsize=8.5, frameon=False, columnspacing=1.2)
        box = legend.get_window_extent().transformed(figure.transFigure.inverted())
        row = row or box.height
        if box.x1 <= 0.99 or columns == 1:
            return max(0.0, float(box.height - row))
        legend.remove()
    return 0.0
