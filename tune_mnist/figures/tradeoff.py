"""What a second of training buys: the judged measure against training time, over all sweeps.

draw_tradeoff(points, task).savefig("tradeoff.png")
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from tune_mnist.errors import UserError
from tune_mnist.figures.labels import label_points
from tune_mnist.figures.style import INK, SERIES, VERMILION, as_is, framed, legend_below, plain
from tune_mnist.measure import Measure
from tune_mnist.results.columns import TIME, all_variables, variables
from tune_mnist.results.fixed import data_name, fixed, read_at, timed_on
from tune_mnist.results.summary import averaged, diverged, timed_alike
from tune_mnist.results.values import text, values_of
from tune_mnist.statistics.intervals import bounded, estimate, paired, unpaired
from tune_mnist.task import Task
from tune_mnist.words import from_to, plural

COLUMNS = ["sweep", "value", "label", "baseline", "n", "time_s", "time_low", "time_high", "measured", "low", "high"]
MOST_LARGE = 60  # points; marks of more cover each other


def tradeoff(points: pd.DataFrame, task: Task) -> pd.DataFrame:
    """One row per point, of all sweeps: sweep, value, label, baseline, n, front; of the time and of the judged measure
    the means over n seeds and the ends of their 95 % intervals: time_s, time_low, time_high, measured, low, high.

    Only rows that were timed under the most usual conditions. `front`: no other point is both as quick and as good, and
    the next quicker one on it is worse and quicker by more than may be chance, as far as seeds tell.
    """
    rows, found = [], []
    timed = timed_alike(points, task)
    for sweep, mine in timed.groupby("sweep", sort=False):
        values = values_of(mine)
        for value in values.unique():
            seeds = mine[values == value].set_index("seed")
            at_baseline = bool(seeds["baseline"].iloc[0])
            label = "baseline" if at_baseline else _typed(seeds)
            times, measured = (bounded(estimate(seeds[one.name].tolist()), *one.bounds) for one in (TIME, task.judged))
            ends = (times.mean, times.low, times.high, measured.mean, measured.low, measured.high)
            rows.append((sweep, value, label, at_baseline, len(seeds), *ends))
            found.append(seeds)
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["front"] = table.index.isin(_front(table, found, task.judged))
    return table


def _typed(seeds: pd.DataFrame) -> str:
    """A point as its variables and values are typed: "lr 0.05, dropout 0"."""
    return ", ".join(f"{one} {text(seeds[one].iloc[0])}" for one in variables(seeds))


def _front(table: pd.DataFrame, seeds: list[pd.DataFrame], judged: Measure) -> list[int]:
    """From the quickest on, each that is better than the last one. Two that are not apart in the measure are one step,
    at the quicker; two that are not apart in time are one, at the better.
    """
    way = 1 if judged.better == "higher" else -1
    front: list[int] = []
    for place in table.assign(best=-way * table["measured"]).sort_values(["time_s", "best"], kind="stable").index:
        last = front[-1] if front else None
        if last is None:
            front.append(place)
        elif way * (table["measured"][place] - table["measured"][last]) > 0 and _apart(
            seeds[place], seeds[last], judged.name
        ):
            if not _apart(seeds[place], seeds[last], TIME.name):
                front.pop()
            front.append(place)
    return front


def _apart(one: pd.DataFrame, other: pd.DataFrame, column: str) -> bool:
    """Whether the 95 % interval of their difference excludes 0; of single seeds, and without spread, they are."""
    shared = one.index.intersection(other.index)
    pairs = [part.loc[shared, column].tolist() for part in (one, other)]
    whole = [part[column].tolist() for part in (one, other)]
    found = paired(pairs[0], pairs[1]) if len(shared) > 1 else unpaired(whole[0], whole[1])
    return not found.low <= 0 <= found.high


def draw_tradeoff(points: pd.DataFrame, task: Task) -> Figure:
    """The judged measure against training time (s), the front marked. Raises UserError if nothing was timed."""
    measure, table, timed = task.judged, tradeoff(points, task), timed_alike(points, task)
    title = f"{measure.stem.replace('_', ' ')} against {TIME.words}"
    if table.empty:
        raise UserError(f"no finished point to draw {title} from")
    lines = [fixed(timed, all_variables(points), task), timed_on(timed), *read_at(task)]
    figure, room = framed(f"{title}: {data_name(timed, task)}", lines, _note(points, table, task))
    axes = figure.add_axes(room)
    shown = ["measured", "low", "high"]
    table[shown] *= measure.factor
    _points(axes, table)
    front = table[table["front"]]
    axes.step(front["time_s"], front["measured"], where="post", color=INK, lw=1, ls=":", label="front: more for longer")
    ringed = table[table["baseline"]].head(1)
    if len(ringed):
        look: dict[str, Any] = {"ms": 13, "mfc": "none", "mec": VERMILION, "mew": 1.8, "zorder": 4}
        axes.plot(ringed["time_s"], ringed["measured"], "o", label="baseline", **look)
    _x_axis(axes, table["time_s"])
    axes.margins(0.16)
    axes.set_ylabel(as_is(measure.axis))
    plain(axes)
    legend_below(figure, axes, columns=4)
    _label(axes, table, front)
    return figure


def _points(axes: Axes, table: pd.DataFrame) -> None:
    """Each sweep's points, with the intervals of several seeds."""
    for (sweep, rows), (colour, mark) in zip(table.groupby("sweep", sort=False), SERIES * 9, strict=False):
        known = rows[rows["low"].notna()]
        ends: list[Any] = [
            [known[middle] - known[low], known[high] - known[middle]]
            for middle, low, high in (("measured", "low", "high"), ("time_s", "time_low", "time_high"))
        ]
        look: dict[str, Any] = {"fmt": "none", "ecolor": colour, "elinewidth": 1, "alpha": 0.45, "zorder": 1.5}
        axes.errorbar(known["time_s"], known["measured"], ends[0], ends[1], **look)
        size = 7 if len(table) <= MOST_LARGE else 4
        axes.plot(rows["time_s"], rows["measured"], mark, color=colour, label=as_is(f"sweep {sweep}"), markersize=size)


def _note(points: pd.DataFrame, table: pd.DataFrame, task: Task) -> str:
    left_out, seeds = len(averaged(points, task)) - len(timed_alike(points, task)), table["n"]
    means = f"Means of {from_to(seeds)} seeds with 95 % intervals; the front joins points that are apart."
    parts = [means] if seeds.max() > 1 else []
    parts += [f"{plural(left_out, 'point')} timed under other conditions not shown."] if left_out else []
    ended = points[diverged(points)]
    sweeps = [rows.groupby(values_of(rows), sort=False) for _, rows in ended.groupby("sweep", sort=False)]
    named = dict.fromkeys(_typed(rows) for values in sweeps for _, rows in values)
    parts += [f"Where trainings diverged there is no point ({'; '.join(named)})."] if named else []
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
    """The name of each point on the front, and of the baseline, beside the marks and the front's steps."""
    named = pd.concat([front, table[table["baseline"] & ~table["label"].isin(front["label"])].head(1)])
    steps = [(right, y) for right, y in zip(front["time_s"].iloc[1:], front["measured"], strict=False)]
    marks, places, ends = (axes.transData.transform(one[["time_s", "measured"]]) for one in (table, named, front))
    corners = axes.transData.transform(steps) if steps else np.empty((0, 2))
    lines = [*np.linspace(ends[:-1], corners, 40), *np.linspace(corners, ends[1:], 40)]
    label_points(axes, places, named["label"].tolist(), np.concatenate([marks, *lines]))
