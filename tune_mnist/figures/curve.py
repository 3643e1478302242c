"""What each sweep shows, first as a table, then as a drawing: test accuracy and training time over the swept values.

    draw_accuracy(points[points["sweep"] == "lr"]).savefig("lr.png")

Each function takes the rows of one sweep of our table of points, from memory or from any CSV of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from tune_mnist.errors import UserError
from tune_mnist.figures.style import (
    BLUE,
    DPI,
    GREY,
    HELD,
    INK,
    VERMILION,
    conditions,
    data_name,
    framed,
    held,
    label_points,
    legend_below,
    plain,
    require,
)
from tune_mnist.results.summary import estimate, finished, timed_alike
from tune_mnist.results.values import name, numbers_or_names, text, texts

NEEDED = ["variable", "status", "baseline", "seed", "dataset", *HELD, "device", "threads", "concurrent", "hostname"]
LOG_BASES = {"lr": 10, "batch_size": 2, "train_size": 10, "weight_decay": 10}
MOST_NUMBERED = 20  # points; more numbers than that hide what they stand beside, and the table has them


@dataclass(frozen=True)
class Measure:
    """What a plot shows: a column, its name in titles, axes and files, and the axis's units in one of the column's."""

    column: str
    title: str
    axis: str
    stem: str
    factor: float


ACCURACY = Measure("test_accuracy", "Test accuracy", "test accuracy (%)", "accuracy", 100)
TIME = Measure("train_time_s", "Training time", "training time (s)", "time", 1)


def accuracy_curve(results: pd.DataFrame) -> pd.DataFrame:
    """One sweep's test accuracy (0 to 1): value, mean, low, high, n, baseline.

    low and high are the ends of the mean's 95 % interval over its n seeds (`statistics.estimate`), nan for one seed.
    Numbers ascend, names keep their order, failed points are left out. Raises UserError if a column is missing.
    """
    return _curve(results, ACCURACY)


def time_curve(results: pd.DataFrame) -> pd.DataFrame:
    """One sweep's training time (seconds), of the rows timed under its most usual conditions; as `accuracy_curve`."""
    return _curve(results, TIME)


def draw_accuracy(results: pd.DataFrame) -> Figure:
    """One sweep's test accuracy (%), the baseline ringed. Raises UserError also if no point is done."""
    return _draw(results, ACCURACY)


def draw_time(results: pd.DataFrame) -> Figure:
    """One sweep's training time (s) and the conditions it was taken in, otherwise as `draw_accuracy`."""
    return _draw(results, TIME)


def _variable(results: pd.DataFrame) -> str:
    names = texts(results["variable"])
    if len(names) != 1:
        raise UserError(f"a plot shows one swept variable, not {len(names)}: {', '.join(names) or 'no results'}")
    require(results, names)
    return names[0]


def shown(results: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """The rows that a plot of the measure shows."""
    return finished(results) if measure is ACCURACY else timed_alike(results)


def _curve(results: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    require(results, [*NEEDED, measure.column])
    results = results.reset_index(drop=True)  # of tables put together
    values = numbers_or_names(results[_variable(results)])
    rows = shown(results.assign(value=values), measure)
    found = {value: estimate(mine[measure.column].tolist()) for value, mine in rows.groupby("value", sort=True)}
    # Names stand in the order of all rows, also if the first one's first seed failed.
    order = [value for value in values.unique() if value in found] if values.dtype == object else list(found)
    at = set(values[results["baseline"]])
    table = [(value, one.mean, one.low, one.high, one.n, value in at) for value in order for one in [found[value]]]
    return pd.DataFrame(table, columns=["value", "mean", "low", "high", "n", "baseline"])


def _note(results: pd.DataFrame, measure: Measure, n: int) -> str:
    """What is not there: the spread of a single seed, the points that failed, times that compare with nothing."""
    hidden = results.drop(shown(results, measure).index)
    parts = ["One seed a point: no interval to show."] if n == 1 else []
    timed = finished(results)["train_time_s"].dropna().index
    unlike = hidden.index.intersection(timed if measure is TIME else [])
    if len(unlike):
        parts.append(f"{len(unlike)} point{'s' * (len(unlike) > 1)} timed under other conditions not shown.")
    hidden = hidden.drop(unlike)
    for status, rows in hidden.groupby(hidden["status"].fillna("missing").replace("done", "unmeasured")):
        values = ", ".join(texts(rows[_variable(results)]))
        parts.append(f"{len(rows)} {status} point{'s' * (len(rows) > 1)} not shown ({values}).")
    return " ".join(parts)


def _numbers(measure: Measure, means: list[float]) -> list[str]:
    """Times to three digits; accuracies to tenths, or to hundredths where tenths would hide a difference."""
    if measure is TIME:
        return [f"{mean:.3g}" if mean < 999.5 else f"{mean:.0f}" for mean in means]
    tenths = [f"{mean:.1f}" for mean in means]
    return tenths if len(set(tenths)) == len(means) else [f"{mean:.2f}" for mean in means]


def _draw(results: pd.DataFrame, measure: Measure) -> Figure:
    require(results, [*NEEDED, measure.column])
    results = results.reset_index(drop=True)
    variable, curve, rows = _variable(results), _curve(results, measure), shown(results, measure)
    if curve.empty:
        raise UserError(f"no finished point to draw {measure.title.lower()} by {name(variable)} from")
    lines = [held(rows, [variable]), *([conditions(rows)] if measure is TIME else [])]
    title = f"{measure.title} by {name(variable)}: {data_name(rows)}"
    figure, room = framed(title, lines, _note(results, measure, curve["n"].max()))
    axes = figure.add_axes(room)
    curve[["mean", "low", "high"]] *= measure.factor
    single = rows[measure.column] * measure.factor
    curve["x"] = _x_axis(axes, variable, curve["value"].tolist())
    _y_axis(axes, measure, np.nanmin([*curve["low"], *single]), np.nanmax([*curve["high"], *single]))
    _points(axes, curve, rows[variable].map(text), single)
    ringed = curve[curve["baseline"]]
    if len(ringed):
        label = f"baseline: {name(variable)} {text(ringed['value'].iloc[0])}"
        axes.plot(ringed["x"], ringed["mean"], "o", ms=13, mfc="none", mec=VERMILION, mew=1.8, zorder=4, label=label)
    legend_below(figure, axes)
    bars = curve.fillna({"low": curve["mean"], "high": curve["mean"]})
    means, lows, highs = (axes.transData.transform(bars[["x", end]]) for end in ("mean", "low", "high"))
    drawn = np.concatenate([*np.linspace(means[:-1], means[1:], 80), *np.linspace(lows, highs, 30)])
    if len(curve) <= MOST_NUMBERED:
        label_points(axes, means, _numbers(measure, [*curve["mean"]]), drawn)
    return figure


def _x_axis(axes: Axes, variable: str, values: list[Any]) -> list[float]:
    """Ticks at the swept values and nowhere else; returns where they are. Names, and logs of 0, are evenly spaced."""
    base, low, high, places, remark = LOG_BASES.get(variable), values[0], values[-1], values, ""
    if isinstance(low, str) or (base and low <= 0):
        places, remark = list(range(len(values))), "" if isinstance(low, str) else " (evenly spaced)"
        axes.set_xlim(-0.5, len(values) - 0.5)
    elif base:
        margin, remark = (high / low) ** 0.08 if high > low else 2, " (log scale)"
        axes.set_xscale("log", base=base)
        axes.set_xlim(low / margin, high * margin)
    else:
        margin = 0.08 * (high - low) or 1
        axes.set_xlim(low - margin, high + margin)
    axes.set_xticks(*_ticks(values, places, axes.transData.transform([(place, 0) for place in places])[:, 0] / DPI))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(name(variable) + remark)
    return places


def _ticks(values: list[Any], places: list[float], across: Any) -> tuple[list[float], list[str]]:
    """Where ticks stand and what is written there: near neighbours go a line lower, what fits nowhere is left out."""
    ends, kept = [-1.0] * (3 if len(values) <= MOST_NUMBERED else 1), []
    for value, place, x in zip(values, places, across, strict=True):
        half = 0.035 * len(text(value)) + 0.05  # inches
        row = next((row for row, end in enumerate(ends) if x - half > end), None)
        if row is not None:
            ends[row] = x + half
            kept.append((place, "\n" * row + text(value)))
    return [place for place, _ in kept], [label for _, label in kept]


def _y_axis(axes: Axes, measure: Measure, low: float, high: float) -> None:
    """Time starts at 0. Accuracy zooms in, to 1 point at most: 99 % of 10,000 images has a standard error of 0.1."""
    margin = max(0.15 * (high - low), (1 - high + low) / 2)
    bottom, top = (0.0, 1.15 * high or 1.0) if measure is TIME else (low - margin, high + margin)
    ticks = MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]).tick_values(bottom, top)
    # A point at 100 % needs room above it; the axis needs no accuracy above 100 % to be read there.
    axes.set_yticks([tick for tick in ticks if bottom <= tick <= top and (measure is TIME or 0 <= tick <= 100)])
    axes.set(ylim=(bottom, top), ylabel=measure.axis)
    plain(axes)


def _points(axes: Axes, curve: pd.DataFrame, values: pd.Series[str], seeds: pd.Series[float]) -> None:
    """Means, joined unless they belong to names; with several seeds also each seed and the mean's interval."""
    few, most = curve["n"].min(), curve["n"].max()
    line = "none" if isinstance(curve["value"].iloc[0], str) else "-"
    means = axes.plot(curve["x"], curve["mean"], marker="o", linestyle=line, color=BLUE, zorder=3)[0]
    if most > 1:
        means.set_label(f"mean of {most} seeds" if few == most else f"mean of {few} to {most} seeds")
        places = values.map(dict(zip(curve["value"].map(text), curve["x"], strict=True)))
        axes.plot(places, seeds, "o", color=INK, markersize=3, zorder=2.5, label="one seed")
        half = curve["high"] - curve["mean"]
        bars: dict[str, Any] = {"fmt": "none", "ecolor": GREY, "elinewidth": 1.8, "capsize": 5, "capthick": 1.8}
        axes.errorbar(curve["x"], curve["mean"], half, **bars, zorder=2, label="95 % interval")
