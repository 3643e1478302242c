"""How a sweep's trainings went: the measures by epoch, those of training and of test data in one panel.

draw_learning(points[points["sweep"] == "lr"], history, task).savefig("learning.png")
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tune_mnist.errors import UserError
from tune_mnist.figures.style import BELOW, INK, framed, plain
from tune_mnist.measure import Measure
from tune_mnist.results.columns import require, variables
from tune_mnist.results.fixed import data_name, fixed
from tune_mnist.results.summary import finished
from tune_mnist.results.values import text, values_of
from tune_mnist.task import Task

PARTS = {"test": "test", "val": "validation", "train": "training"}  # what a measure's name begins with, and its words
MARKS = "os^DvPX*<>hd"
MOST = len(MARKS)  # curves in one figure; more cannot be told apart
MOST_MARKS = 15  # on one curve; more hide its dashes


@dataclass(frozen=True)
class Panel:
    """Measures that are drawn over each other: what their names share, in words, and each by the part of the data."""

    label: str
    measures: dict[str, Measure]


def panels(task: Task) -> list[Panel]:
    """At most two, that of the judged measure last: `train_x`, `test_x` and `val_x` share one, others stand alone."""
    grouped: dict[str, dict[str, Measure]] = {}
    for one in _measures(task):
        part, _, rest = one.name.partition("_")
        shared = part in PARTS and rest
        grouped.setdefault(rest if shared else one.name, {})[part if shared else ""] = one
    judged, *others = [
        Panel(next(iter(found.values())).axis if "" in found else _axis(name, found), found)
        for name, found in grouped.items()
    ]
    return [*others[:1], judged]


def _measures(task: Task) -> list[Measure]:
    return [one for one in task.measures if one.in_points]


def _axis(name: str, measures: dict[str, Measure]) -> str:
    unit = next(iter(measures.values())).unit
    return name.replace("_", " ") + (f" ({unit})" if unit else "")


def learning_curves(points: pd.DataFrame, history: pd.DataFrame, task: Task) -> pd.DataFrame:
    """One sweep's trainings: values, epoch, n, and the means of each measure over n seeds.

    `values` names the swept values that are read off the training: those that differ in epochs only share one. Raises
    UserError if a column is missing.
    """
    measures = [one.name for one in _measures(task)]
    require(history, ["run", "epoch", *measures])
    done = finished(points, task)
    done = done.assign(value=values_of(done) if len(done) else "")
    shared: dict[frozenset[str], list[str]] = {}
    for value, rows in done.groupby("value", sort=False):
        shared.setdefault(frozenset(rows["run"]), []).append(str(value))
    tables = []
    for runs, values in shared.items():
        longest = done.loc[done["run"].isin(runs), "epochs"].max()
        rows = history[history["run"].isin(runs) & (history["epoch"] <= longest)]
        means = rows.groupby("epoch")[measures].mean().assign(n=rows.groupby("epoch").size()).reset_index()
        tables.append(means.assign(values=", ".join(values)))
    columns = ["values", "epoch", "n", *measures]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def draw_learning(points: pd.DataFrame, history: pd.DataFrame, task: Task) -> Figure:
    """One sweep's learning curves. Raises UserError also if no point is done."""
    curves, done = learning_curves(points, history, task), finished(points, task)
    if curves.empty:
        raise UserError("no finished training to draw learning curves from")
    words = " and ".join(map(task.words, variables(points)))
    kept = _spread(curves["values"].unique().tolist())
    note = _note(curves, len(kept), task)
    curves = curves[curves["values"].isin(kept)]
    title = f"learning curves by {words}: {data_name(done, task)}"
    subtitle = fixed(done, ["epochs", *variables(points)], task)
    figure, (left, bottom, width, height) = framed(title, [subtitle], note)
    made = panels(task)
    more = _legend(figure, kept, words, made, task.examples)
    for place, panel in enumerate(made):
        across = 0.38 if len(made) > 1 else width - 0.02
        axes = figure.add_axes((left + 0.005 + place * 0.485, bottom + more, across, height - more))
        _draw(axes, curves, panel)
        axes.set(xlabel=task.unit, ylabel=panel.label)
    return figure


def _note(curves: pd.DataFrame, kept: int, task: Task) -> str:
    left_out, seeds = curves["values"].nunique() - kept, curves["n"].max()
    parts = [f"Means of {seeds} seeds." if seeds > 1 else ""]
    parts += [f"{left_out} other values not shown." if left_out else "", task.remark]
    return " ".join(filter(None, parts))


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


def _dashes(parts: set[str]) -> dict[str, Any]:
    """How each part of the data is drawn, in the order of the legend."""
    looks: dict[str, Any] = {"": "-", "test": "-", "val": "-." if "test" in parts else "-", "train": "--"}
    return {part: look for part, look in looks.items() if part in parts}


def _draw(axes: Axes, curves: pd.DataFrame, panel: Panel) -> None:
    for values, (colour, mark) in _looks(curves["values"].unique().tolist()).items():
        mine = curves[curves["values"] == values]
        for part, look in _dashes(set(panel.measures)).items():
            measure = panel.measures[part]
            style: dict[str, Any] = {"color": colour, "marker": mark, "markersize": 4, "linewidth": 1.4}
            style["markevery"] = max(1, len(mine) // MOST_MARKS)
            axes.plot(mine["epoch"], mine[measure.name] * measure.factor, linestyle=look, **style)
    plain(axes)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))


def _legend(figure: Figure, values: list[str], words: str, drawn: list[Panel], examples: str) -> float:
    """The legend below, in as many columns as fit; returns how much of the height its rows after the first take."""
    lines = [Line2D([], [], color=c, marker=m, markersize=4, label=text(v)) for v, (c, m) in _looks(values).items()]
    looks = _dashes({part for panel in drawn for part in panel.measures if part})
    parts = [Line2D([], [], color=INK, linestyle=look, label=f"{PARTS[one]} {examples}") for one, look in looks.items()]
    entries, row = [Line2D([], [], linestyle="none", label=f"{words}:"), *lines, *parts], 0.0
    for columns in range(len(entries), 0, -1):
        # matplotlib fills column after column; people read row after row.
        by_row = [entry for start in range(columns) for entry in entries[start::columns]]
        legend = figure.legend(handles=by_row, **BELOW, ncols=columns, fontsize=8.5, frameon=False, columnspacing=1.2)
        box = legend.get_window_extent().transformed(figure.transFigure.inverted())
        row = row or box.height
        if box.x1 <= 0.99 or columns == 1:
            return max(0.0, float(box.height - row))
        legend.remove()
    return 0.0
