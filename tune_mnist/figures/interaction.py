"""How two variables of a cross act together: the judged measure over one of them, a line for each value of the other.

draw_interaction(points[points["sweep"] == "cross"], task).savefig("interaction.png")
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tune_mnist.errors import UserError
from tune_mnist.figures.facets import MOST_FACETS, columns_for, facet_names, facets, height_for, spread
from tune_mnist.figures.heatmap import crossed
from tune_mnist.figures.labels import axis_of, ticks
from tune_mnist.figures.learning import MOST, legend, looks
from tune_mnist.figures.style import as_is, framed, plain
from tune_mnist.results.columns import variables
from tune_mnist.results.fixed import data_name, fixed
from tune_mnist.results.summary import finished
from tune_mnist.results.values import numbers_or_names, text
from tune_mnist.statistics.intervals import bounded, estimate
from tune_mnist.task import Task
from tune_mnist.words import from_to, plural, several

COLUMNS = ["facet", "line", "x", "value", "mean", "low", "high", "n", "baseline"]
APART, WIDEST = 0.12, 0.6  # of a step from one value to the next: between two lines' points, and all together at most


def interaction_curves(points: pd.DataFrame, task: Task) -> pd.DataFrame:
    """One row per combination that is done: of its variables the one with the most values is `value`, which stands at
    place `x`, another one is `line`, and `facet` has the others. mean, low and high: the judged measure over n seeds,
    and its 95 % interval. Numbers ascend, names keep their order. Raises UserError if the sweep is over one variable.
    """
    across, line, others = _axes(points)
    values = numbers_or_names(points[across])
    order = list(dict.fromkeys(values if values.dtype == object else sorted(values)))
    done = finished(points, task)
    made = done.assign(facet=facet_names(done, others), line=done[line].map(text), value=values[done.index])
    rows = []
    for (facet, one, value), mine in made.groupby(["facet", "line", "value"], sort=False):
        found = bounded(estimate(mine[task.judged.name].tolist()), *task.judged.bounds)
        at_baseline = bool(mine["baseline"].any())
        rows.append((facet, one, order.index(value), value, found.mean, found.low, found.high, found.n, at_baseline))
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(["facet", "line", "x"], kind="stable", ignore_index=True)


def _axes(points: pd.DataFrame) -> tuple[str, str, list[str]]:
    """The variable along the x axis, the one of the lines, and those of the facets."""
    first, second, others = crossed(points)
    counts = [points[one].map(text).nunique() for one in (first, second)]
    return (first, second, others) if counts[0] > counts[1] else (second, first, others)


def draw_interaction(points: pd.DataFrame, task: Task) -> Figure:
    """The lines of a cross, which are parallel where effects add up. Raises UserError if nothing is done."""
    curves, done = interaction_curves(points, task), finished(points, task)
    if curves.empty:
        raise UserError("no finished point to draw an interaction from")
    across, line, _ = _axes(points)
    at_baseline = curves[curves["baseline"]]
    lines, parts = (
        spread([text(one) for one in shown], most, at_baseline[name].unique())
        for name, shown, most in (
            ("line", done[line].map(text).unique(), MOST),
            ("facet", list(dict.fromkeys(curves["facet"])), MOST_FACETS),
        )
    )
    names = several(map(task.words, variables(points)))
    note = _note(curves, lines, parts)
    columns = columns_for(len(parts))
    title = f"{task.judged.words} by {names} together: {data_name(done, task)}"
    figure, (left, bottom, width, height) = framed(
        title, [fixed(done, variables(points), task)], note, height_for(len(parts), columns)
    )
    known = {one: one in set(at_baseline["line"]) for one in lines}
    more = legend(figure, known, line, [], task.examples)
    room = (left + 0.005, bottom + more, width - 0.02, height - more)
    values = curves.drop_duplicates("x").sort_values("x")["value"]
    remark = "" if values.dtype == object else "evenly spaced"
    found = facets(figure, room, parts, columns, (axis_of(task, across, remark), as_is(task.judged.axis)))
    for axes, part in zip(found, parts, strict=True):
        _draw(axes, curves[curves["facet"] == part], known, task.judged.factor)
        axes.set_xlim(-0.5, curves["x"].max() + 0.5)
        ticks(axes, [text(one) for one in values], [*range(len(values))], rows=2)
    return figure


def _draw(axes: Axes, curves: pd.DataFrame, known: dict[str, bool], factor: int) -> None:
    """Each line's points a little beside those of the others, so that no interval hides another."""
    wide = min(APART * (len(known) - 1), WIDEST)
    steps = np.linspace(-wide / 2, wide / 2, len(known))
    for (one, (colour, mark)), step in zip(looks(list(known)).items(), steps, strict=True):
        mine = curves[curves["line"] == one]
        x, (mean, low, high) = mine["x"] + step, (mine[name] * factor for name in ("mean", "low", "high"))
        look: dict[str, Any] = {"color": colour, "marker": mark, "markersize": 4, "capsize": 2, "elinewidth": 1}
        axes.errorbar(x, mean, [mean - low, high - mean], **look, linewidth=2.4 if known[one] else 1.3)
    plain(axes)


def _note(curves: pd.DataFrame, lines: list[str], parts: list[str]) -> str:
    seeds = curves["n"]
    told = (
        f"Means of {from_to(seeds)} seeds with 95 % intervals."
        if seeds.max() > 1
        else "One seed per point: no interval to show."
    )
    left_out = [(curves["line"].nunique() - len(lines), "value"), (curves["facet"].nunique() - len(parts), "panel")]
    hidden = [f"{plural(count, f'other {noun}')} not shown." for count, noun in left_out if count]
    return " ".join([told, "Where effects add up, the lines are parallel.", *hidden])
