"""What each sweep shows, first as a table, then as a drawing: a measure, or the training time, over the swept values.

    draw(points[points["sweep"] == "lr"], task.judged, task).savefig("lr.png")

Each function takes the rows of one sweep of our table of points, from memory or from any CSV of ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tune_mnist.errors import UserError
from tune_mnist.figures.labels import axis_of, label_points, numbers, ticks
from tune_mnist.figures.style import BLUE, GREY, INK, VERMILION, as_is, ended_at, framed, legend_below, plain
from tune_mnist.measure import Measure
from tune_mnist.parameter import Parameter
from tune_mnist.results.columns import TIME, all_variables, fixed_columns, require
from tune_mnist.results.fixed import data_name, fixed, read_at, timed_on
from tune_mnist.results.summary import averaged, diverged, timed_alike
from tune_mnist.results.values import numbers_or_names, text, texts
from tune_mnist.statistics.intervals import bounded, estimate
from tune_mnist.store.history import DIVERGED
from tune_mnist.task import Task
from tune_mnist.words import from_to, plural

MOST_NUMBERED = 20  # points; more numbers than that hide what they stand beside, and the table has them

CROSS_AT = 0.03  # of the height: where a failed training's cross stands


def needed(measure: Measure, task: Task) -> list[str]:
    """The columns that a curve of the measure asks for, but the swept one."""
    data = [task.data.name] if task.data else []
    told = [*data, *(one.name for one in fixed_columns(task)), "device", "threads", "concurrent", "hostname"]
    return list(dict.fromkeys(["variable", "status", "baseline", "seed", *told, task.judged.name, measure.name]))


def measured(points: pd.DataFrame, measure: Measure, task: Task) -> pd.DataFrame:
    """The rows that a plot of the measure shows: of times, those taken under the most usual conditions."""
    rows = timed_alike(points, task) if measure == TIME else averaged(points, task)
    return rows[rows[measure.name].notna()]


def curve(points: pd.DataFrame, measure: Measure, task: Task) -> pd.DataFrame:
    """One sweep's measure, or `TIME`: value, mean, low, high, n, baseline.

    low and high are the ends of the mean's 95 % interval over its n seeds (`intervals.estimate`), cut where the measure
    has no values, nan for one seed.
    Numbers ascend, names keep their order; failed points, and values where a seed diverged, are left out. Raises
    UserError if a column is missing.
    """
    require(points, needed(measure, task))
    points = points.reset_index(drop=True)  # of tables put together
    values = numbers_or_names(points[_variable(points)])
    rows = measured(points.assign(value=values), measure, task)
    by_value = rows.groupby("value", sort=True)[measure.name]
    found = {value: bounded(estimate(mine.tolist()), *measure.bounds) for value, mine in by_value}
    # Names stand in the order of all rows, also if the first one's first seed failed.
    order = [value for value in values.unique() if value in found] if values.dtype == object else list(found)
    at = set(values[points["baseline"]])
    table = [(value, one.mean, one.low, one.high, one.n, value in at) for value in order for one in [found[value]]]
    return pd.DataFrame(table, columns=["value", "mean", "low", "high", "n", "baseline"])


def failures(points: pd.DataFrame) -> pd.Series[Any]:
    """The values of one sweep at which a training failed, in the order asked."""
    values = numbers_or_names(points[_variable(points)])
    return values[points["status"] == "failed"].drop_duplicates()


def endings(points: pd.DataFrame) -> pd.DataFrame:
    """The values of one sweep at which trainings diverged, in the order asked: value, diverged, seeds."""
    values = numbers_or_names(points[_variable(points)])
    counted = (points["status"] == DIVERGED).groupby(values, sort=False).agg(["sum", "size"])
    table = counted[counted["sum"] > 0].reset_index()
    return table.set_axis(["value", "diverged", "seeds"], axis="columns")


def draw(points: pd.DataFrame, measure: Measure, task: Task) -> Figure:
    """One sweep's curve, the baseline ringed. Raises UserError also if no point is done."""
    require(points, needed(measure, task))
    points = points.reset_index(drop=True)
    means, rows = curve(points, measure, task), measured(points, measure, task)
    variable = _variable(points)
    title = f"{measure.words} by {task.words(variable)}"
    if means.empty:
        raise UserError(f"no finished point to draw {title} from")
    lines = [fixed(rows, [variable], task), *([timed_on(rows)] if measure == TIME else read_at(task))]
    note = _note(points, measure, int(means["n"].max()), task)
    figure, room = framed(f"{title}: {data_name(rows, task)}", lines, note)
    axes = figure.add_axes(room)
    means[["mean", "low", "high"]] *= measure.factor
    seeds = rows[measure.name] * measure.factor
    failed, ended = failures(points), endings(points)
    places = _x_axis(axes, variable, _asked(points, [*means["value"], *failed, *ended["value"]]), means, task)
    means["x"] = means["value"].map(places)
    _y_axis(axes, measure, np.nanmin([*means["low"], *seeds]), np.nanmax([*means["high"], *seeds]))
    _points(axes, means, rows[variable].map(text), seeds)
    _ring(axes, means, variable)
    marked = [(place, CROSS_AT) for place in failed.map(places)]
    _crosses(axes, failed.map(places).tolist())
    if measure != TIME:
        edge = ended_at(axes, ended["value"].map(places).tolist(), measure, _label_of(ended))
        marked += [(place, edge) for place in ended["value"].map(places)]
    legend_below(figure, axes)
    if len(means) <= MOST_NUMBERED:
        _label(axes, means, measure, marked)
    return figure


def _asked(points: pd.DataFrame, shown: list[Any]) -> list[Any]:
    """The values that are shown: numbers ascend, names keep their order."""
    values = numbers_or_names(points[_variable(points)]).drop_duplicates()
    found = [value for value in values if value in set(shown)]
    return found if values.dtype == object else sorted(found)


def _variable(points: pd.DataFrame) -> str:
    names = all_variables(points)
    if len(names) != 1:
        raise UserError(f"a plot shows one swept variable, not {len(names)}: {', '.join(names) or 'no results'}")
    require(points, names)
    return names[0]


def _note(points: pd.DataFrame, measure: Measure, n: int, task: Task) -> str:
    """What is not there: the spread of a single seed, the points that failed, times that compare with nothing."""
    hidden = points.drop(measured(points, measure, task).index)
    parts = ["One seed per point: no interval to show."] if n == 1 else []
    ended = hidden[diverged(hidden)]  # with the seeds that did not
    if len(ended):
        said = "no time is shown" if measure == TIME else "no mean is shown"
        parts.append(f"Where trainings diverged {said} ({', '.join(texts(ended[_variable(points)]))}).")
    hidden = hidden.drop(ended.index)
    timed = averaged(points, task)[TIME.name].dropna().index
    unlike = hidden.index.intersection(timed if measure == TIME else [])
    if len(unlike):
        parts.append(f"{plural(len(unlike), 'point')} timed under other conditions not shown.")
    hidden = hidden.drop(unlike)
    for status, rows in hidden.groupby(hidden["status"].fillna("missing").replace("done", "unmeasured")):
        values = ", ".join(texts(rows[_variable(points)]))
        parts.append(f"{plural(len(rows), f'{status} point')}{'' if status == 'failed' else ' not shown'} ({values}).")
    return " ".join(parts)


def _x_axis(axes: Axes, variable: str, values: list[Any], means: pd.DataFrame, task: Task) -> dict[Any, float]:
    """Ticks at the swept values and nowhere else; returns where each is. Names, and logs of 0, are evenly spaced."""
    base, low, high, places, remark = _log_base(values, task.parameter(variable)), values[0], values[-1], values, ""
    if isinstance(low, str) or (base and low <= 0):
        places, remark = list(range(len(values))), "" if isinstance(low, str) else "evenly spaced"
        axes.set_xlim(-0.5, len(values) - 0.5)
    elif base:
        margin, remark = (high / low) ** 0.08 if high > low else 2, "log scale"
        axes.set_xscale("log", base=base)
        axes.set_xlim(low / margin, high * margin)
    else:
        margin = 0.08 * (high - low) or 1
        axes.set_xlim(low - margin, high + margin)
    at_baseline = [values.index(value) for value in means.loc[means["baseline"], "value"]]
    ticks(axes, [text(value) for value in values], places, at_baseline, 3 if len(values) <= MOST_NUMBERED else 1)
    axes.set_xlabel(axis_of(task, variable, remark))
    return dict(zip(values, places, strict=True))


def _log_base(values: list[Any], parameter: Parameter) -> int | None:
    """The base of a logarithmic axis: the parameter's own, or 10 for values that clearly grow by factors."""
    if parameter.log or isinstance(values[0], str) or len(values) < 3 or values[0] <= 0 or values[-1] < 10 * values[0]:
        return parameter.log
    steps, factors = np.diff(values), np.diff(np.log(values))
    return 10 if np.std(factors) / np.mean(factors) < 0.5 * np.std(steps) / np.mean(steps) else None


def _y_axis(axes: Axes, measure: Measure, low: float, high: float) -> None:
    """Time starts at 0; other measures zoom in, a point at 100 % has room above it, and no tick stands beyond."""
    margin = 0.15 * (high - low)
    if measure.unit == "%":  # to 1 point at most: 99 % of 10,000 examples has a standard error of 0.1
        margin = max(margin, (1 - high + low) / 2)
    margin = max(margin, 0.001 * abs(high)) or 0.5  # equal values differ in their last bit, and not on paper
    bottom, top = (0.0, 1.15 * high or 1.0) if measure == TIME else (low - margin, high + margin)
    least, most = (0.0, 100.0) if measure.unit == "%" else (measure.least, None)
    found = MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]).tick_values(bottom, top)
    least, most = bottom if least is None else max(bottom, least), top if most is None else min(top, most)
    axes.set_yticks([tick for tick in found if least <= tick <= most])
    axes.set(ylim=(bottom, top), ylabel=as_is(measure.axis))
    plain(axes)


def _points(axes: Axes, means: pd.DataFrame, values: pd.Series[str], seeds: pd.Series[float]) -> None:
    """Means, joined unless they belong to names; with several seeds also each seed and the mean's interval."""
    line = "none" if isinstance(means["value"].iloc[0], str) else "-"
    size = 6 if len(means) <= 3 * MOST_NUMBERED else 3
    marks = axes.plot(means["x"], means["mean"], marker="o", ms=size, linestyle=line, color=BLUE, zorder=3)[0]
    if means["n"].max() > 1:
        marks.set_label(f"mean of {from_to(means['n'])} seeds")
        places = values.map(dict(zip(means["value"].map(text), means["x"], strict=True)))
        axes.plot(places, seeds, "o", color=INK, markersize=3, zorder=2.5, label="one seed")
        ends = [means["mean"] - means["low"], means["high"] - means["mean"]]
        bars: dict[str, Any] = {"fmt": "none", "ecolor": GREY, "elinewidth": 1.8, "capsize": 5, "capthick": 1.8}
        axes.errorbar(means["x"], means["mean"], ends, **bars, zorder=2, label="95 % interval")


def _crosses(axes: Axes, places: list[float]) -> None:
    """A cross at the lower edge where a training failed."""
    if places:
        look: dict[str, Any] = {"color": VERMILION, "ms": 8, "mew": 2, "zorder": 5, "clip_on": False}
        axes.plot(places, [CROSS_AT] * len(places), "x", transform=axes.get_xaxis_transform(), label="failed", **look)


def _label_of(ended: pd.DataFrame) -> str:
    """How many seeds of how many diverged, at each value or from one to another."""
    if ended.empty or ended["seeds"].max() == 1:
        return "diverged"
    return f"diverged ({from_to(ended['diverged'])} of {from_to(ended['seeds'])})"


def _ring(axes: Axes, means: pd.DataFrame, variable: str) -> None:
    ringed = means[means["baseline"]]
    if len(ringed):
        label = as_is(f"baseline: {variable} {text(ringed['value'].iloc[0])}")
        axes.plot(ringed["x"], ringed["mean"], "o", ms=13, mfc="none", mec=VERMILION, mew=1.8, zorder=4, label=label)


def _label(axes: Axes, means: pd.DataFrame, measure: Measure, marked: list[tuple[float, float]]) -> None:
    """Each mean's number, beside the line between the means, the bars of their intervals, and the marks at an edge."""
    bars = means.fillna({"low": means["mean"], "high": means["mean"]})
    at, lows, highs = (axes.transData.transform(bars[["x", end]]) for end in ("mean", "low", "high"))
    crosses = axes.get_xaxis_transform().transform(marked or np.empty((0, 2)))
    drawn = np.concatenate([*np.linspace(at[:-1], at[1:], 80), *np.linspace(lows, highs, 30), crosses])
    label_points(axes, at, numbers(measure, [*means["mean"]]), drawn)
