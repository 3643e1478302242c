"""The views of a report that answer to a pointer: every point by time and measure, every run on parallel axes.

Drawn by Bokeh in the browser. A click on a sweep's name in a legend hides that sweep; the page's filter shows one
alone, and finds the marks of each by the names that `mark_names` gives them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pandas as pd
from bokeh.embed import components
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, Legend, Plot
from bokeh.plotting import figure
from bokeh.resources import Resources

from tune_mnist.figures.style import SERIES, VERMILION
from tune_mnist.measure import Measure
from tune_mnist.results.columns import TIME, all_variables
from tune_mnist.results.summary import finished
from tune_mnist.results.values import numbers_or_names, said, text
from tune_mnist.store.history import DIVERGED
from tune_mnist.task import Task
from tune_mnist.words import seconds

MARKS = ("circle", "square", "triangle", "diamond", "inverted_triangle", "plus")
DASHES = ("solid", "dashed", "dotted", "dotdash", "dashdot")
HIDEABLE = {"click_policy": "hide", "label_text_font_size": "13px"}
BARE: dict[str, Any] = {"sizing_mode": "stretch_width", "toolbar_location": None, "tools": []}


@dataclass(frozen=True)
class Embedded:
    """A script, the elements that it fills by their titles, and the names of each sweep's marks."""

    script: str
    places: dict[str, str]
    marks: dict[str, tuple[str, str]]


NOTHING = Embedded("", {}, {})


@dataclass(frozen=True)
class Axis:
    """One of the parallel axes: its words, where each row stands on it, 0 to 1, and what is written at which place."""

    words: str
    places: pd.Series
    ticks: list[tuple[float, str]]


def script() -> str:
    """Bokeh's own script, to stand in the page, so that it needs no network."""
    return "\n".join(f"<script>{part}</script>" for part in Resources(mode="inline", components=["bokeh"]).js_raw)


def mark_names(sweep: str) -> tuple[str, str]:
    """The names of a sweep's marks and of its lines among Bokeh's models."""
    return f"marks of {sweep}", f"lines of {sweep}"


def draw_views(points: pd.DataFrame, task: Task) -> Embedded:
    """The views of the points that are done, measured and timed; `NOTHING` if none is. Equal points give equal text.

    Those that diverged stand at the edge where the judged measure is worst.
    """
    done, ended = finished(points, task), points[points["status"] == DIVERGED]
    if done[TIME.name].isna().all():
        return NOTHING
    done = pd.concat([done, ended]).sort_index()
    done = done[done[TIME.name].notna()].reset_index(drop=True)
    made = {"Every point": _scatter(done, task), "Every run, on parallel axes": _parallel(done, task)}
    code, places = components(made)
    known: dict[str, str] = {}
    renumbered = _renumbered(code, known)
    filled = {title: _renumbered(place, known) for title, place in places.items()}
    return Embedded(renumbered, filled, {sweep: mark_names(sweep) for sweep in dict.fromkeys(done["sweep"])})


def _renumbered(text: str, known: dict[str, str]) -> str:
    """The text with Bokeh's ids, random or counted over the whole process, numbered in order of appearance."""
    ids = r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|(?<=\")p\d{4,}(?=\")"
    return re.sub(ids, lambda found: known.setdefault(found[0], f"b{len(known):07d}"), text)


def _told(task: Task) -> list[Measure]:
    """The measures that a point is told by; those of its training data say little of it."""
    return [one for one in task.measures if one.in_points and not one.name.startswith("train_")]


def _source(rows: pd.DataFrame, task: Task, **more: object) -> ColumnDataSource:
    told = {
        "at": [f"{sweep} {said(value)}" for sweep, value in zip(rows["sweep"], rows["value"], strict=True)],
        "seed": rows["seed"].tolist(),
        "judged": (rows[task.judged.name] * task.judged.factor).tolist(),
        "time": rows[TIME.name].tolist(),
        "took": [seconds(time) for time in rows[TIME.name]],
        "beside": [text(count) for count in rows["concurrent"]],
    }
    measured = {f"said_{one.stem}": [_said(one, value) for value in rows[one.name]] for one in _told(task)}
    measured["said_" + task.judged.stem] = [
        f"diverged: {row['error']}" if row["status"] == DIVERGED else _said(task.judged, row[task.judged.name])
        for _, row in rows.iterrows()
    ]
    return ColumnDataSource({**told, **measured, **more})


def _said(one: Measure, value: float) -> str:
    return "–" if pd.isna(value) else one.text(value)


def _edge(values: pd.Series, judged: Measure) -> float:
    """Where a point stands that has no value: a little beyond the worst."""
    low, high = float(values.min()), float(values.max())
    beyond = 0.08 * (high - low) or 0.5
    return high + beyond if judged.better == "lower" else low - beyond


def _hover(task: Task) -> HoverTool:
    said = [(one.words, f"@{{said_{one.stem}}}") for one in _told(task)]
    return HoverTool(tooltips=[("", "@at, seed @seed"), *said, (TIME.words, "@took"), ("trials beside it", "@beside")])


def _scatter(done: pd.DataFrame, task: Task) -> Plot:
    plot = figure(height=380, x_axis_label=TIME.axis, y_axis_label=task.judged.axis, **BARE)
    plot.add_tools(_hover(task))
    ended, edge = done["status"] == DIVERGED, _edge(done[task.judged.name], task.judged)
    for (sweep, rows), (colour, _), mark in zip(
        done[~ended].groupby("sweep", sort=False), SERIES * 9, MARKS * 9, strict=False
    ):
        look = {"marker": mark, "size": 9, "color": colour, "alpha": 0.8, "legend_label": f"sweep {sweep}"}
        look["name"] = mark_names(str(sweep))[0]
        plot.scatter("time", "judged", source=_source(rows, task), **look)
    for sweep, rows in done[ended].assign(**{task.judged.name: edge}).groupby("sweep", sort=False):
        look = {"marker": "x", "size": 11, "line_width": 3, "color": VERMILION, "legend_label": "diverged"}
        plot.scatter("time", "judged", source=_source(rows, task), name=mark_names(str(sweep))[0], **look)
    plot.add_layout(plot.legend[0], "below")  # inside, it would cover marks on a phone
    plot.legend.update(**HIDEABLE, orientation="horizontal")
    return plot


def _parallel(done: pd.DataFrame, task: Task) -> Plot:
    """One line per point, over the hyper-parameters that differ, its time and its measure; each sweep has a dash."""
    seeds = ["seed"] if done["seed"].nunique() > 1 else []
    swept = [*all_variables(done), *seeds]
    axes = [_axis(task.words(column), done[column]) for column in swept]
    measured = done[done["status"] != DIVERGED]
    judged = _axis(task.judged.axis, measured[task.judged.name] * task.judged.factor)
    axes += [_axis(TIME.axis, done[TIME.name]), _with_ends(judged, done, task.judged)]
    plot = figure(height=420, x_range=(-0.4, len(axes) - 0.3), y_range=(-0.12, 1.1), **BARE)
    renderers = []
    # A point of several sweeps has one line: that of the first.
    first = ~done.duplicated([*swept, TIME.name, task.judged.name])
    looks = zip(done[first].groupby("sweep", sort=False), SERIES * 9, DASHES * 9, strict=False)
    for (sweep, rows), (colour, _), dash in looks:
        ys = [[axis.places[index] for axis in axes] for index in rows.index]
        source = _source(rows, task, xs=[list(range(len(axes)))] * len(rows), ys=ys)
        look: dict[str, object] = {"name": mark_names(str(sweep))[1], "line_width": 2, "line_dash": dash}
        look |= {"line_alpha": 0.6, "hover_line_alpha": 1, "hover_line_width": 4, "legend_label": f"sweep {sweep}"}
        renderers.append(plot.multi_line("xs", "ys", source=source, color=colour, **look))
    hover = _hover(task)
    hover.renderers, hover.line_policy = renderers, "nearest"
    plot.add_tools(hover)
    _draw_axes(plot, axes)
    plot.add_layout(plot.legend[0] if plot.legend else Legend(), "below")
    plot.legend.update(**HIDEABLE, orientation="horizontal")
    return plot


def _axis(words: str, column: pd.Series) -> Axis:
    """Each value is written at its place; of many, the ends."""
    values = numbers_or_names(column)
    known = sorted(set(values)) if values.dtype != object else list(dict.fromkeys(values))
    if values.dtype == object or len(known) <= 8:
        at = {value: i / max(1, len(known) - 1) for i, value in enumerate(known)}
        return Axis(words, values.map(at), [(place, text(value)) for value, place in at.items()])
    low, high = min(known), max(known)
    return Axis(words, (values - low) / (high - low), [(0, f"{low:.3g}"), (1, f"{high:.3g}")])


def _with_ends(axis: Axis, rows: pd.DataFrame, judged: Measure) -> Axis:
    """The axis of the judged measure with a place for the rows that diverged, beyond the worst."""
    if len(axis.places) == len(rows):
        return axis
    edge = _edge(pd.Series([0.0, 1.0]), judged)
    return Axis(axis.words, axis.places.reindex(rows.index, fill_value=edge), [*axis.ticks, (edge, "diverged")])


def _draw_axes(plot: Plot, axes: list[Axis]) -> None:
    plot.xaxis.ticker = FixedTicker(ticks=list(range(len(axes))))
    plot.xaxis.major_label_overrides = {i: axis.words.replace(" ", "\n") for i, axis in enumerate(axes)}  # for a phone
    plot.yaxis.visible = False
    plot.ygrid.visible = False
    for i, axis in enumerate(axes):
        plot.line([i, i], [0, 1], color="#666666")
        at, labels = zip(*axis.ticks, strict=True)
        look = {"text_font_size": "12px", "text_color": "#222222", "text_baseline": "middle", "level": "overlay"}
        paper = {"background_fill_color": "white", "background_fill_alpha": 0.85, "padding": 2}  # lines end at it
        plot.text([i] * len(at), at, list(labels), x_offset=6, **look, **paper)
