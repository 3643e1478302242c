"""What a second of training buys: the judged measure against training time, over all sweeps.

draw_tradeoff(points, task).savefig("tradeoff.png")
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from tune_mnist.errors import UserError
from tune_mnist.figures.labels import label_points
from tune_mnist.figures.style import INK, SERIES, framed, legend_below, plain
from tune_mnist.measure import Measure
from tune_mnist.results.columns import TIME, all_variables
from tune_mnist.results.fixed import data_name, fixed, timed_on
from tune_mnist.results.summary import finished, timed_alike
from tune_mnist.results.values import combined, rows_of, values_of
from tune_mnist.task import Task
from tune_mnist.words import plural


def tradeoff(points: pd.DataFrame, task: Task) -> pd.DataFrame:
    """One row per point, of all sweeps: sweep, value, time_s, measured (means over n seeds), n, pareto.

    Only rows that were timed under the most usual conditions. `pareto`: no other point is both as quick and as good.
    """
    rows = []
    timed = timed_alike(points, task)
    for sweep, mine in timed.groupby("sweep", sort=False):
        values = values_of(mine)
        for value in values.unique():
            seeds = mine[values == value]
            rows.append((sweep, value, seeds[TIME.name].mean(), seeds[task.judged.name].mean(), len(seeds)))
    table = pd.DataFrame(rows, columns=["sweep", "value", "time_s", "measured", "n"])
    table["pareto"] = [not _is_dominated(row, table, task.judged) for _, row in table.iterrows()]
    return table


def _is_dominated(row: pd.Series, table: pd.DataFrame, measure: Measure) -> bool:
    """Whether another point is as quick and as good, and quicker or better."""
    gain = (table["measured"] - row["measured"]) * (1 if measure.better == "higher" else -1)
    as_quick, quicker = table["time_s"] <= row["time_s"], table["time_s"] < row["time_s"]
    return bool((as_quick & (gain >= 0) & (quicker | (gain > 0))).any())


def draw_tradeoff(points: pd.DataFrame, task: Task) -> Figure:
    """The judged measure against training time (s), the Pareto front marked. Raises UserError if nothing was timed."""
    measure, table, timed = task.judged, tradeoff(points, task), timed_alike(points, task)
    title = f"{measure.stem.replace('_', ' ')} against {TIME.words}"
    if table.empty:
        raise UserError(f"no finished point to draw {title} from")
    lines = [fixed(timed, all_variables(points), task), timed_on(timed)]
    figure, room = framed(f"{title}: {data_name(timed, task)}", lines, _note(points, table, task))
    axes = figure.add_axes(room)
    table["y"] = table["measured"] * measure.factor
    for (sweep, rows), (colour, mark) in zip(table.groupby("sweep", sort=False), SERIES * 9, strict=False):
        axes.plot(rows["time_s"], rows["y"], mark, color=colour, label=f"sweep {sweep}", markersize=7)
    front = table[table["pareto"]].sort_values(["time_s", "measured"])
    axes.step(front["time_s"], front["y"], where="post", color=INK, lw=1, ls=":", label="Pareto front")
    _x_axis(axes, table["time_s"])
    axes.margins(0.16)
    axes.set_ylabel(measure.axis)
    plain(axes)
    legend_below(figure, axes, columns=5)
    _label(axes, table, front)
    return figure


def _note(points: pd.DataFrame, table: pd.DataFrame, task: Task) -> str:
    left_out, seeds = len(finished(points, task)) - len(timed_alike(points, task)), int(table["n"].max())
    parts = [f"Means of {seeds} seeds."] if seeds > 1 else []
    parts += [f"{plural(left_out, 'point')} timed under other conditions not shown."] if left_out else []
    return " ".join(parts)


def _x_axis(axes: Axes, times: pd.Series) -> None:
    remark = ""
    if times.min() > 0 and times.max() > 4 * times.min():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
        remark = ", log scale"
    axes.set_xlabel(f"{TIME.words} ({TIME.unit}{remark})")


def _label(axes: Axes, table: pd.DataFrame, front: pd.DataFrame) -> None:
    """The name of each point on the front, beside the marks and the front's steps."""
    named = front.drop_duplicates(["time_s", "measured"])
    labels = [f"{row.sweep} {combined(row.value)}" for row in rows_of(named)]
    steps = [(right, y) for right, y in zip(named["time_s"].iloc[1:], named["y"], strict=False)]
    marks, places = (axes.transData.transform(one[["time_s", "y"]]) for one in (table, named))
    corners = axes.transData.transform(steps) if steps else np.empty((0, 2))
    lines = [*np.linspace(places[:-1], corners, 40), *np.linspace(corners, places[1:], 40)]
    label_points(axes, places, labels, np.concatenate([marks, *lines]))
