"""The views of a report that answer to a pointer: every point by time and accuracy, every run on parallel axes.

Drawn by Bokeh in the browser. A click on a sweep's name in a legend hides that sweep; the page's filter shows one
alone, and finds the marks of each by the names that `mark_names` gives them.
"""

from __future__ import annotations

import re

import pandas as pd
from bokeh.embed import components
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, Legend, Plot
from bokeh.plotting import figure
from bokeh.resources import Resources

from tune_mnist.figures.style import SERIES
from tune_mnist.results.summary import finished
from tune_mnist.results.values import name, numbers_or_names, text

MARKS = ("circle", "square", "triangle", "diamond", "inverted_triangle", "plus")
DASHES = ("solid", "dashed", "dotted", "dotdash", "dashdot")
AXES = ["train_time_s", "test_accuracy"]  # of every run, after the hyper-parameters that differ
HIDEABLE = {"click_policy": "hide", "label_text_font_size": "13px"}


def script() -> str:
    """Bokeh's own script, to stand in the page, so that it needs no network."""
    return "\n".join(f"<script>{part}</script>" for part in Resources(mode="inline", components=["bokeh"]).js_raw)


def shown(points: pd.DataFrame) -> pd.DataFrame:
    """The points that the views show: those that are done, measured and timed."""
    done = finished(points)
    return done[done["train_time_s"].notna()].reset_index(drop=True)


def mark_names(sweep: str) -> tuple[str, str]:
    """The names of a sweep's marks and of its lines among Bokeh's models."""
    return f"marks of {sweep}", f"lines of {sweep}"


def views(points: pd.DataFrame) -> tuple[str, dict[str, str]]:
    """(a script, title -> the element that it fills); nothing if no point is done and measured in full.

    Equal points give equal text.
    """
    done = shown(points)
    if done.empty:
        return "", {}
    made = {"Every point": _scatter(done), "Every run, on parallel axes": _parallel(done)}
    code, places = components(made)
    known: dict[str, str] = {}
    return _renumbered(code, known), {title: _renumbered(place, known) for title, place in places.items()}


def _renumbered(text: str, known: dict[str, str]) -> str:
    """The text with Bokeh's ids, random or counted over the whole process, numbered in order of appearance."""
    ids = r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|(?<=\")p\d{4,}(?=\")"
    return re.sub(ids, lambda found: known.setdefault(found[0], f"b{len(known):07d}"), text)


def _source(rows: pd.DataFrame, **more: object) -> ColumnDataSource:
    told = {
        "at": [f"{sweep} {text(value)}" for sweep, value in zip(rows["sweep"], rows["value"], strict=True)],
        "seed": rows["seed"].tolist(),
        "accuracy": (rows["test_accuracy"] * 100).tolist(),
        "loss": rows["test_loss"].tolist(),
        "time": rows["train_time_s"].tolist(),
        "took": [f"{time:.3g} s" if time < 999.5 else f"{time:.0f} s" for time in rows["train_time_s"]],
        "beside": [text(count) for count in rows["concurrent"]],
    }
    return ColumnDataSource({**told, **more})


def _hover() -> HoverTool:
    said = [("", "@at, seed @seed"), ("test accuracy", "@accuracy{0.00} %"), ("test loss", "@loss{0.0000}")]
    return HoverTool(tooltips=[*said, ("training time", "@took"), ("trials beside it", "@beside")])


def _scatter(done: pd.DataFrame) -> Plot:
    plot = figure(
        height=380,
        sizing_mode="stretch_width",
        toolbar_location=None,
        tools=[],
        x_axis_label="training time (s)",
        y_axis_label="test accuracy (%)",
    )
    plot.add_tools(_hover())
    for (sweep, rows), (colour, _), mark in zip(done.groupby("sweep", sort=False), SERIES * 9, MARKS * 9, strict=False):
        look = {"marker": mark, "size": 9, "color": colour, "alpha": 0.8, "legend_label": f"sweep {sweep}"}
        look["name"] = mark_names(str(sweep))[0]
        plot.scatter("time", "accuracy", source=_source(rows), **look)
    plot.add_layout(plot.legend[0], "below")  # inside, it would cover marks on a phone
    plot.legend.update(**HIDEABLE, orientation="horizontal")
    return plot


def _parallel(done: pd.DataFrame) -> Plot:
    """One line a point, over the hyper-parameters that differ, its time and its accuracy; each sweep has a dash."""
    swept = list(dict.fromkeys(part for variable in done["variable"] for part in variable.split("*")))
    seeds = ["seed"] if done["seed"].nunique() > 1 else []
    columns = [*swept, *seeds, *AXES]
    plot = figure(
        height=420,
        sizing_mode="stretch_width",
        toolbar_location=None,
        tools=[],
        x_range=(-0.4, len(columns) - 0.3),
        y_range=(-0.12, 1.1),
    )
    places = {column: _places(done[column] * 100 if column == AXES[1] else done[column]) for column in columns}
    renderers = []
    first = ~done.duplicated(columns)  # a point of several sweeps has one line: that of the first
    looks = zip(done[first].groupby("sweep", sort=False), SERIES * 9, DASHES * 9, strict=False)
    for (sweep, rows), (colour, _), dash in looks:
        ys = [[places[column][0][index] for column in columns] for index in rows.index]
        source = _source(rows, xs=[list(range(len(columns)))] * len(rows), ys=ys)
        look: dict[str, object] = {
            "name": mark_names(str(sweep))[1],
            "line_width": 2,
            "line_dash": dash,
            "line_alpha": 0.6,
            "hover_line_alpha": 1,
            "hover_line_width": 4,
        }
        drawn = plot.multi_line("xs", "ys", source=source, color=colour, legend_label=f"sweep {sweep}", **look)
        renderers.append(drawn)
    hover = _hover()
    hover.renderers, hover.line_policy = renderers, "nearest"
    plot.add_tools(hover)
    _axes(plot, columns, places)
    plot.add_layout(plot.legend[0] if plot.legend else Legend(), "below")
    plot.legend.update(**HIDEABLE, orientation="horizontal")
    return plot


def _places(column: pd.Series) -> tuple[pd.Series, list[tuple[float, str]]]:
    """Where each row stands on its axis, 0 to 1, and what is written there: each value, or if many the ends."""
    values = numbers_or_names(column)
    known = sorted(set(values)) if values.dtype != object else list(dict.fromkeys(values))
    if values.dtype == object or len(known) <= 8:
        at = {value: i / max(1, len(known) - 1) for i, value in enumerate(known)}
        return values.map(at), [(place, text(value)) for value, place in at.items()]
    low, high = min(known), max(known)
    return (values - low) / (high - low), [(0, f"{low:.3g}"), (1, f"{high:.3g}")]


def _axes(plot: Plot, columns: list[str], places: dict[str, tuple[pd.Series, list[tuple[float, str]]]]) -> None:
    words = {"train_time_s": "training time (s)", "test_accuracy": "test accuracy (%)"}
    plot.xaxis.ticker = FixedTicker(ticks=list(range(len(columns))))
    plot.xaxis.major_label_overrides = {
        i: words.get(column, name(column)).replace(" ", "\n")
        for i, column in enumerate(columns)  # narrow, for a phone
    }
    plot.yaxis.visible = False
    plot.ygrid.visible = False
    for i, column in enumerate(columns):
        plot.line([i, i], [0, 1], color="#666666")
        at, labels = zip(*places[column][1], strict=True)
        look = {"text_font_size": "12px", "text_color": "#222222", "text_baseline": "middle", "level": "overlay"}
        paper = {"background_fill_color": "white", "background_fill_alpha": 0.85, "padding": 2}  # lines end at it
        plot.text([i] * len(at), at, list(labels), x_offset=6, **look, **paper)
