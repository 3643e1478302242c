"""Two variables at once: the heat map of a cross.

draw_cross(points[points["sweep"] == "cross"], task).savefig("cross.png")
"""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from tune_mnist.errors import UserError
from tune_mnist.figures.style import VERMILION, framed
from tune_mnist.measure import Measure
from tune_mnist.results.columns import variables
from tune_mnist.results.fixed import data_name, fixed
from tune_mnist.results.summary import finished
from tune_mnist.results.values import numbers_or_names, text
from tune_mnist.task import Task


def cross_table(points: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The mean of the judged measure in a sweep over two variables: one row per value of the first, one column per
    value of the second.

    Combinations that are not done are nan. Raises UserError if the sweep is not over two variables.
    """
    first, second = (numbers_or_names(points[variable]) for variable in _two(points))
    rows = points.assign(first=first, second=second)
    whole = rows.pivot_table("seed", "first", "second", "count", sort=False)
    order = [list(axis.sort_values() if axis.dtype != object else axis) for axis in (whole.index, whole.columns)]
    done = finished(rows, task)
    means = done.pivot_table(task.judged.name, "first", "second", "mean", sort=False, dropna=False)
    return means.reindex(index=order[0], columns=order[1])


def draw_cross(points: pd.DataFrame, task: Task) -> Figure:
    """The heat map of a sweep over two variables; what is not done is hatched. Raises UserError if nothing is done."""
    table, done, (first, second) = cross_table(points, task) * task.judged.factor, finished(points, task), _two(points)
    if done.empty:
        raise UserError("no finished point to draw a heat map from")
    title = f"{task.judged.words} by {task.words(first)} and {task.words(second)}: {data_name(done, task)}"
    figure, (left, bottom, width, height) = framed(
        title, [fixed(done, [first, second], task)], _note(points, done, table)
    )
    axes = figure.add_axes((left + 0.03, bottom - 0.07, width - 0.05, height + 0.07))
    axes.set_facecolor("#f2f2f2")
    image = axes.imshow(table, cmap="cividis", aspect="auto")
    for place, value in _cells(table):
        _cell(axes, place, value, image, task.judged)
    for _, row in points[points["baseline"]].head(1).iterrows():
        at = [list(map(text, axis)).index(text(row[v])) for axis, v in ((table.columns, second), (table.index, first))]
        axes.add_patch(_frame(at[0], at[1]))
    axes.set_xticks(range(len(table.columns)), [text(value) for value in table.columns])
    axes.set_yticks(range(len(table.index)), [text(value) for value in table.index])
    axes.set(xlabel=task.words(second), ylabel=task.words(first))
    figure.colorbar(image, ax=axes, label=task.judged.axis)
    return figure


def _note(points: pd.DataFrame, done: pd.DataFrame, table: pd.DataFrame) -> str:
    """What the numbers are, and why cells have none: a value that is inactive beside another is not asked for there."""
    counts = done.groupby([*variables(points)], dropna=False).size()
    n = f"{counts.min()} to {counts.max()}" if counts.min() < counts.max() else f"{counts.max()}"
    note = (
        f"Each number is the mean of {n} seeds. " if counts.max() > 1 else "One seed per point: no interval to show. "
    )
    not_asked = table.size - points.groupby([*variables(points)], dropna=False).ngroups
    not_done = int(table.isna().sum().sum()) - not_asked
    hatched = {f"not asked for ({not_asked})": not_asked, f"not done ({not_done})": not_done}
    if any(hatched.values()):
        note += f"Hatched: {', '.join(said for said, count in hatched.items() if count)}. "
    return note + ("The baseline is framed." if points["baseline"].any() else "")


def _two(points: pd.DataFrame) -> tuple[str, str]:
    crossed = variables(points)
    if len(crossed) != 2:
        raise UserError(f"a heat map shows two crossed variables, not {len(crossed)}: {', '.join(crossed)}")
    return crossed[0], crossed[1]


def _cells(table: pd.DataFrame) -> list[tuple[tuple[int, int], float]]:
    values = table.to_numpy(float)
    return [((x, y), values[y, x]) for y in range(len(table.index)) for x in range(len(table.columns))]


def _cell(axes: Axes, place: tuple[int, int], value: float, image: AxesImage, measure: Measure) -> None:
    if math.isnan(value):
        corner = (place[0] - 0.5, place[1] - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, hatch="///", fill=False, edgecolor="#999999"))
        return
    low, high = image.get_clim()
    dark = low is not None and high is not None and value < low + 0.55 * (high - low)
    said = f"{value:.2f}" if measure.unit == "%" else f"{value:.4g}"
    axes.text(*place, said, ha="center", va="center", fontsize=9, color="white" if dark else "black")


def _frame(x: int, y: int) -> Rectangle:
    return Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, fill=False, edgecolor=VERMILION, linewidth=2.5)
