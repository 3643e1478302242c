"""How a sweep's trainings went: the measures by epoch, those of training and of test data in one panel.

draw_learning(points[points["sweep"] == "lr"], history, task).savefig("learning.png")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tune_mnist.errors import UserError
from tune_mnist.figures.facets import MOST_FACETS, columns_for, facet_names, facets, height_for, spread
from tune_mnist.figures.style import INK, VERMILION, Picture, Room, as_is, below, ended_at, framed, plain
from tune_mnist.measure import Measure
from tune_mnist.results.columns import require, variables
from tune_mnist.results.fixed import data_name, fixed
from tune_mnist.results.summary import finished
from tune_mnist.results.values import texts, values_of
from tune_mnist.store.history import DIVERGED
from tune_mnist.task import Task
from tune_mnist.words import from_to, plural, several

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
    """One sweep's trainings: variable, values, facet, baseline, epoch, n, and the means of each measure over n seeds.

    `values` names the swept values that are read off the training: those that differ in epochs only share one. In a
    cross they are those of one `variable`, and `facet` has those of the others. `baseline`: whether the training has
    the baseline's point. Where one of the seeds diverged, the means end before that epoch, whose row has none and is
    marked `diverged`. Raises UserError if a column is missing.
    """
    measures = [one.name for one in _measures(task)]
    require(history, ["run", "epoch", *measures])
    done = _tried(points, task)
    done = done.assign(value=values_of(done) if len(done) else "")
    shared: dict[frozenset[str], pd.DataFrame] = {}
    for _, rows in done.groupby("value", sort=False):
        runs = frozenset(rows["run"])
        shared[runs] = pd.concat([shared[runs], rows]) if runs in shared else rows
    swept = pd.DataFrame([{one: ", ".join(texts(mine[one])) for one in variables(done)} for mine in shared.values()])
    columns = ["variable", "values", "facet", "baseline", "epoch", "n", *measures, "diverged"]
    if not shared:
        return pd.DataFrame(columns=columns)
    line, *others = sorted(swept.columns, key=lambda one: -swept[one].nunique())
    others = [one for one in variables(done) if one in others and swept[one].nunique() > 1]
    tables = []
    for (runs, mine), value, facet in zip(shared.items(), swept[line], facet_names(swept, others), strict=True):
        rows = history[history["run"].isin(runs) & (history["epoch"] <= mine["epochs"].max())]
        means = _ended(rows, mine, measures).reset_index()
        tables.append(means.assign(values=value, facet=facet, variable=line, baseline=bool(mine["baseline"].any())))
    table: pd.DataFrame = pd.concat(tables, ignore_index=True)[columns]
    return table


def _tried(points: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The points whose trainings have curves: those that are done, and those that diverged."""
    return points[points.index.isin(finished(points, task).index) | (points["status"] == DIVERGED)]


def _ended(rows: pd.DataFrame, points: pd.DataFrame, measures: list[str]) -> pd.DataFrame:
    """By epoch the means over the points' trainings, whose epochs are the rows, up to where the first one diverged."""
    means = rows.groupby("epoch")[measures].mean().assign(n=rows.groupby("epoch").size(), diverged=False)
    ended = points.loc[points["status"] == DIVERGED, "run"].unique()
    if not len(ended):
        return means
    reached = rows.groupby("run").size().reindex(ended, fill_value=0)
    end = int(reached.min()) + 1
    epochs = pd.Index([*means.index[means.index < end], end], name="epoch")
    counts = means["n"].reindex(epochs, fill_value=0).where(epochs < end, int((reached == reached.min()).sum()))
    return means.loc[means.index < end, measures].reindex(epochs).assign(n=counts, diverged=epochs == end)


def draw_learning(points: pd.DataFrame, history: pd.DataFrame, task: Task) -> Figure:
    """One sweep's learning curves; a cross has a facet for each value of its other variables, of the judged measure
    alone. Raises UserError also if no point is done.
    """
    curves, done = learning_curves(points, history, task), _tried(points, task)
    if curves[~curves["diverged"]].empty:
        raise UserError("no finished training to draw learning curves from")
    at_baseline = curves[curves["baseline"]]
    kept = spread([*curves["values"].unique()], MOST, at_baseline["values"].unique())
    parts = spread([*curves["facet"].unique()], MOST_FACETS, at_baseline["facet"].unique())
    note = _note(curves, kept, parts, task)
    curves = curves[curves["values"].isin(kept) & curves["facet"].isin(parts)]
    made = panels(task) if len(parts) == 1 else panels(task)[-1:]
    title = f"learning curves by {several(map(task.words, variables(points)))}: {data_name(done, task)}"
    subtitle = fixed(done, ["epochs", *variables(points)], task)
    columns = columns_for(len(parts))
    figure, (left, bottom, width, height) = framed(title, [subtitle], note, height_for(len(parts), columns))
    known = {one: one in set(at_baseline["values"]) for one in kept}
    ended = curves.loc[curves["diverged"], "values"].drop_duplicates().tolist()
    more = legend(figure, known, curves["variable"].iloc[0], made, task.examples, ended)
    room = (left + 0.005, bottom + more, width - 0.02, height - more)
    if len(parts) > 1:
        found = facets(figure, room, parts, columns, (as_is(task.unit), as_is(made[0].label)))
    else:
        found = _side_by_side(figure, room, made, task.unit)
    for place, axes in enumerate(found):
        mine = curves[curves["facet"] == parts[place]] if len(parts) > 1 else curves
        _draw(axes, mine, made[0 if len(parts) > 1 else place], known)
    return figure


def _side_by_side(figure: Picture, room: Room, made: list[Panel], unit: str) -> list[Axes]:
    left, bottom, width, height = room
    across, found = 0.38 if len(made) > 1 else width, []
    for place, panel in enumerate(made):
        axes = figure.add_axes((left + place * 0.485, bottom, across, height))
        axes.set(xlabel=as_is(unit), ylabel=as_is(panel.label))
        found.append(axes)
    return found


def _note(curves: pd.DataFrame, kept: list[str], parts: list[str], task: Task) -> str:
    seeds = curves.groupby(["values", "facet"], sort=False, dropna=False)["n"].max()
    left_out = [(curves["values"].nunique() - len(kept), "value"), (curves["facet"].nunique() - len(parts), "panel")]
    said = [f"Means of {from_to(seeds)} seeds." if seeds.max() > 1 else ""]
    said += [f"{plural(count, f'other {noun}')} not shown." for count, noun in left_out if count]
    return " ".join(filter(None, (*said, task.remark)))


def looks(values: Sequence[str]) -> dict[str, tuple[Any, str]]:
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


def _draw(axes: Axes, curves: pd.DataFrame, panel: Panel, known: dict[str, bool]) -> None:
    for values, (colour, mark) in looks(list(known)).items():
        mine = curves[(curves["values"] == values) & ~curves["diverged"]]
        for part, look in _dashes(set(panel.measures)).items():
            measure = panel.measures[part]
            style: dict[str, Any] = {"color": colour, "marker": mark, "markersize": 4, "linestyle": look}
            style |= {"linewidth": 2.4 if known[values] else 1.3, "markevery": max(1, len(mine) // MOST_MARKS)}
            if part == "train":
                style["markerfacecolor"] = "white"  # without a line, as of one epoch, dashes do not show
            if len(mine):
                axes.plot(mine["epoch"], mine[measure.name] * measure.factor, **style)
        ends = curves.loc[(curves["values"] == values) & curves["diverged"], "epoch"].tolist()
        if ends:
            axes.margins(y=0.1)  # the edge is not where other curves end
        ended_at(axes, ends, next(iter(panel.measures.values())), markerfacecolor=colour)
    plain(axes)
    first, last = curves["epoch"].min(), curves["epoch"].max()
    if first == last:  # a locator would find fractions of an epoch around it
        axes.set_xlim(first - 0.5, first + 0.5)
        axes.set_xticks([first])
    else:
        axes.xaxis.set_major_locator(MaxNLocator(min(8, last - first), integer=True))


def legend(
    figure: Picture, known: dict[str, bool], variable: str, drawn: list[Panel], examples: str, ended: Sequence[str] = ()
) -> float:
    """The legend of the lines, below, in as many columns as fit; returns how much of the height its rows after the
    first take.
    """
    lines = [
        Line2D([], [], color=c, marker=m, markersize=4, linewidth=2.4 if known[v] else 1.3, label=_named(v, known[v]))
        for v, (c, m) in looks(list(known)).items()
    ]
    dashes = _dashes({part for panel in drawn for part in panel.measures if part})
    parts = [_part(one, look, examples) for one, look in dashes.items()]
    entries, row = [Line2D([], [], linestyle="none", label=as_is(f"{variable}:")), *lines, *parts, *_ends(ended)], 0.0
    for columns in range(len(entries), 0, -1):
        # matplotlib fills column after column; people read row after row.
        by_row = [entry for start in range(columns) for entry in entries[start::columns]]
        legend = figure.legend(handles=by_row, **below(figure), ncols=columns, fontsize=8.5, columnspacing=1.2)
        box = legend.get_window_extent().transformed(figure.transFigure.inverted())
        row = row or box.height
        if box.x1 <= 0.99 or columns == 1:
            return max(0.0, float(box.height - row))
        legend.remove()
    return 0.0


def _ends(ended: Sequence[str]) -> list[Line2D]:
    label = as_is(f"diverged: {', '.join(ended)}")
    return [Line2D([], [], linestyle="none", marker="v", color=VERMILION, label=label)] if ended else []


def _named(values: str, is_baseline: bool) -> str:
    return as_is(f"{values} (baseline)" if is_baseline else values)


def _part(part: str, look: Any, examples: str) -> Line2D:
    style: dict[str, Any] = {"marker": "o", "markersize": 4} | ({"markerfacecolor": "white"} if part == "train" else {})
    return Line2D([], [], color=INK, linestyle=look, label=as_is(f"{PARTS[part]} {examples}"), **style)
