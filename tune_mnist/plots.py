"""What each sweep shows, first as a table, then as a drawing: test accuracy and training time over the swept values.

`save_plots(results, folder, baseline)` writes `accuracy_vs_<sweep>.png` and `time_vs_<sweep>.png` for each sweep.
It needs no display and touches no pyplot state, so it may run in any thread. Equal results give equal bytes.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, NullLocator
from PIL import Image

from tune_mnist import __version__
from tune_mnist.errors import UserError
from tune_mnist.store import write_whole

HELD = ["model", "optimizer", "precision", "schedule", "epochs", "batch_size", "lr", "gamma", "momentum"]
HELD += ["weight_decay", "dropout", "shuffle", "train_size"]  # in a subtitle's order, less the swept one
BARE = ("model", "optimizer", "precision")  # their values speak for themselves
SILENT = {"momentum": "0", "weight_decay": "0", "precision": "fp32", "schedule": "step"}  # "gamma 0.7" says step
IDLE = {"gamma": ("schedule", "cosine"), "dropout": ("model", "linear")}  # a cosine schedule ignores gamma
NEEDED = ["variable", "status", "seed", "dataset", *HELD, "device", "threads", "concurrent", "hostname"]
LOG_BASES = {"lr": 10, "batch_size": 2, "train_size": 10, "weight_decay": 10}
DATASETS = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST", "kmnist": "KMNIST", "qmnist": "QMNIST"}
SIDES = ((0, 1), (0, -1), (-1, 1), (1, -1), (1, 1), (-1, -1), (1, 0), (-1, 0))  # where a number may stand, best first
DPI = 150
BLUE, VERMILION, GREY, INK = "#0072B2", "#D55E00", "#8c8c8c", "#333333"  # Okabe and Ito's: safe for the colour-blind


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
    """One sweep's test accuracy (0 to 1): value, mean, low, high, n; low and high are the extremes of the n seeds.

    Numbers ascend, names keep their order, failed points are left out. Raises UserError if a column is missing.
    """
    return _curve(results, ACCURACY)


def time_curve(results: pd.DataFrame) -> pd.DataFrame:
    """One sweep's training time (seconds), otherwise as `accuracy_curve`."""
    return _curve(results, TIME)


def draw_accuracy(results: pd.DataFrame, baseline: object = None) -> Figure:
    """One sweep's test accuracy (%), the value `baseline` ringed. Raises UserError also if no point is done."""
    return _draw(results, ACCURACY, baseline)


def draw_time(results: pd.DataFrame, baseline: object = None) -> Figure:
    """One sweep's training time (s) and the conditions it was taken in, otherwise as `draw_accuracy`."""
    return _draw(results, TIME, baseline)


def save_plots(results: pd.DataFrame, folder: Path, baseline: Mapping[str, object]) -> list[Path]:
    """Write both plots of each sweep into `folder` and return their paths; `baseline` maps a variable to its value.

    A sweep over two variables at once ("lr*dropout"), and a plot with nothing to show, has no path among them.
    Raises UserError for a missing column, before anything is written.
    """
    _require(results, ["sweep", *NEEDED, ACCURACY.column, TIME.column])
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    single = results[~results["variable"].str.contains("*", regex=False)]
    for sweep, rows in single.groupby("sweep", sort=False):
        mark = _text(baseline[_variable(rows)]) if _variable(rows) in baseline else None
        for measure in (ACCURACY, TIME):
            if _shown(rows, measure).any():
                written.append(folder / re.sub(r"[^\w.-]", "_", f"{measure.stem}_vs_{sweep}.png"))
                _save(_draw(rows, measure, mark), written[-1])
    return written


def remove_plots(folder: Path, but: Iterable[Path]) -> None:
    """Remove an earlier command's plots: they would contradict the table beside them, and can be had again."""
    for path in set(folder.glob("*_vs_*.png")) - set(but):
        if Image.open(path).info.get("Software", "").startswith("tune_mnist"):
            path.unlink()


def _save(figure: Figure, path: Path) -> None:
    said = {"Title": figure.get_suptitle(), "Description": figure.texts[1].get_text()}
    figure.savefig(drawn := io.BytesIO(), dpi=DPI, metadata=said | {"Software": f"tune_mnist {__version__}"})
    write_whole(path, drawn.getvalue())


def _require(results: pd.DataFrame, columns: Iterable[str]) -> None:
    missing = [name for name in columns if name not in results.columns]
    if missing:
        raise UserError(f"the results lack the column{'s' * (len(missing) > 1)} {', '.join(missing)}, which plots need")


def _variable(results: pd.DataFrame) -> str:
    names = _texts(results["variable"])
    if len(names) != 1:
        raise UserError(f"a plot shows one swept variable, not {len(names)}: {', '.join(names) or 'no results'}")
    _require(results, names)
    return names[0]


def _shown(results: pd.DataFrame, measure: Measure) -> pd.Series[bool]:
    return (results["status"] == "done") & results[measure.column].notna()


def _curve(results: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    _require(results, ("variable", "status", measure.column))
    values = _values(results[_variable(results)])
    shown = results.assign(value=values)[_shown(results, measure)]
    curve = shown.groupby("value")[measure.column].agg(mean="mean", low="min", high="max", n="count")
    if values.dtype == object:  # names stand in the order of all rows, also if the first one's first seed failed
        curve = curve.loc[[name for name in values.unique() if name in curve.index]]
    return curve.reset_index()


def _values(column: pd.Series) -> pd.Series:
    """The swept values: numbers if all are, otherwise names ("sgd", "true", and "all" for a missing train_size)."""
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().all() and not pd.api.types.is_bool_dtype(numbers):
        return numbers
    return pd.Series([_text(value) for value in column], index=column.index, dtype=object)


def _text(value: Any) -> str:
    if isinstance(value, (str, bool, np.bool_)):
        return value if isinstance(value, str) else str(value).lower()
    return "all" if pd.isna(value) else f"{value:.10g}"  # ten digits: a CSV may give 0.01 back with another last bit


def _texts(column: Iterable[object]) -> list[str]:
    return list(dict.fromkeys(_text(value) for value in column))


def _name(variable: str) -> str:
    return {"lr": "learning rate", "train_size": "training set size"}.get(variable, variable.replace("_", " "))


def _held(rows: pd.DataFrame, variable: str) -> str:
    """What all points share; what they should and do not is marked, for it may explain a difference."""
    parts = []
    for column in HELD:
        texts = _texts(rows[column])
        ruler, idle = IDLE.get(column, (column, None))
        if column != variable and texts != [SILENT.get(column)] and _texts(rows[ruler]) != [idle]:
            name, loose = "" if column in BARE else f"{column} ", " (not fixed)" if len(texts) > 1 else ""
            parts.append(name + " or ".join(texts) + loose)
    seeds = _texts(rows["seed"].sort_values())
    parts.append(f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds ({', '.join(seeds)})")
    # Hard spaces: a line broken between a name and its value reads badly.
    return "Fixed: " + ", ".join(part.replace("_", " ").replace(" ", "\xa0") for part in parts)


def _conditions(rows: pd.DataFrame) -> str:
    """Where and beside what the times were taken; without these they compare with nothing."""
    devices, threads = _texts(rows["device"]), _texts(rows["threads"])
    hosts = set("+".join(_texts(rows["hostname"])).split("+"))  # a point that moved on names them as "one+other"
    crowd = rows["concurrent"].max() + 1
    beside = "one trial at a time" if crowd == 1 else f"up to {crowd:.0f} trials side by side"
    where = " and ".join(devices) + (f" on {len(hosts)} hosts" if len(hosts) > 1 else "")
    return f"Timed on {where}, {' or '.join(threads)} thread{'s' * (threads != ['1'])} a trial, {beside}"


def _note(results: pd.DataFrame, measure: Measure, n: int) -> str:
    """What is not there: the spread of a single seed, the points that failed."""
    hidden = results[~_shown(results, measure)]
    parts = ["One seed a point: no spread to show."] if n == 1 else []
    for status, rows in hidden.groupby(hidden["status"].fillna("missing").replace("done", "unmeasured")):
        values = ", ".join(_texts(rows[_variable(results)]))
        parts.append(f"{len(rows)} {status} point{'s' * (len(rows) > 1)} not shown ({values}).")
    return " ".join(parts)


def _numbers(measure: Measure, means: list[float]) -> list[str]:
    """Times to three digits; accuracies to tenths, or to hundredths where tenths would hide a difference."""
    if measure is TIME:
        return [f"{mean:.3g}" if mean < 999.5 else f"{mean:.0f}" for mean in means]
    tenths = [f"{mean:.1f}" for mean in means]
    return tenths if len(set(tenths)) == len(means) else [f"{mean:.2f}" for mean in means]


def _draw(results: pd.DataFrame, measure: Measure, baseline: object) -> Figure:
    _require(results, [*NEEDED, measure.column])
    variable, curve, rows = _variable(results), _curve(results, measure), results[_shown(results, measure)]
    if curve.empty:
        raise UserError(f"no finished point to draw {measure.title.lower()} by {_name(variable)} from")
    figure = Figure(figsize=(7.5, 5.0), dpi=DPI)
    FigureCanvasAgg(figure)
    # The data are named first: the default falls back to small bundled digits, which nobody may take for MNIST.
    data = " and ".join(DATASETS.get(name, f"{name} (not MNIST)") for name in _texts(rows["dataset"]))
    title = f"{measure.title} by {_name(variable)}: {data}"
    lines = [_held(rows, variable), *([_conditions(rows)] if measure is TIME else [])]
    lines = [part.replace("\xa0", " ") for line in lines for part in textwrap.wrap(line, 110)]
    figure.suptitle(title, x=0.03, y=0.975, ha="left", fontsize=13, fontweight="bold")
    figure.text(0.03, 0.915, "\n".join(lines), va="top", fontsize=9, color=INK)
    figure.text(0.03, 0.02, textwrap.fill(_note(results, measure, curve["n"].max()), 115), fontsize=8.5, color=INK)
    axes = figure.add_axes((0.1, 0.255, 0.87, 0.625 - 0.037 * len(lines)))
    curve[["mean", "low", "high"]] *= measure.factor
    curve["x"] = _x_axis(axes, variable, curve["value"].tolist())
    _y_axis(axes, measure, curve["low"].min(), curve["high"].max())
    _points(axes, curve, rows[variable].map(_text), rows[measure.column] * measure.factor)
    ringed = curve[curve["value"].map(_text) == _text(baseline)]
    if baseline is not None and len(ringed):
        label = f"baseline: {_name(variable)} {_text(baseline)}"
        axes.plot(ringed["x"], ringed["mean"], "o", ms=13, mfc="none", mec=VERMILION, mew=1.8, zorder=4, label=label)
    if axes.get_legend_handles_labels()[1]:
        figure.legend(loc="lower left", bbox_to_anchor=(0.02, 0.055), ncols=4, fontsize=9, frameon=False)
    _number_points(axes, curve, _numbers(measure, curve["mean"].tolist()))
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
    labels, row, across = [], 0, axes.transData.transform([(place, 0) for place in places])[:, 0] / DPI
    for value, gap in zip(values, np.diff(across, prepend=-1), strict=True):
        row = (row + 1) % 3 if gap < 0.07 * len(_text(value)) + 0.1 else 0  # inches; a near neighbour goes a line lower
        labels.append("\n" * row + _text(value))
    axes.set_xticks(places, labels)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(_name(variable) + remark)
    return places


def _y_axis(axes: Axes, measure: Measure, low: float, high: float) -> None:
    """Time starts at 0. Accuracy zooms in, to 1 point at most: 99 % of 10,000 images has a standard error of 0.1."""
    margin = max(0.15 * (high - low), (1 - high + low) / 2)
    bottom, top = (0.0, 1.15 * high or 1.0) if measure is TIME else (low - margin, high + margin)
    ticks = MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]).tick_values(bottom, top)
    # A point at 100 % needs room above it; the axis needs no accuracy above 100 % to be read there.
    axes.set_yticks([tick for tick in ticks if bottom <= tick <= top and (measure is TIME or 0 <= tick <= 100)])
    axes.set(ylim=(bottom, top), ylabel=measure.axis, axisbelow=True)
    axes.grid(axis="y", color="#e4e4e4")
    axes.spines[["top", "right"]].set_visible(False)


def _points(axes: Axes, curve: pd.DataFrame, values: pd.Series[str], seeds: pd.Series[float]) -> None:
    """Means, joined unless they belong to names; with several seeds also each seed and the bar across them."""
    few, most = curve["n"].min(), curve["n"].max()
    line = "none" if isinstance(curve["value"].iloc[0], str) else "-"
    means = axes.plot(curve["x"], curve["mean"], marker="o", linestyle=line, color=BLUE, zorder=3)[0]
    if most > 1:
        means.set_label(f"mean of {most} seeds" if few == most else f"mean of {few} to {most} seeds")
        places = values.map(dict(zip(curve["value"].map(_text), curve["x"], strict=True)))
        axes.plot(places, seeds, "o", color=INK, markersize=3, zorder=2.5, label="one seed")
        axes.vlines(curve["x"], curve["low"], curve["high"], color=GREY, zorder=2, label="lowest to highest")


def _number_points(axes: Axes, curve: pd.DataFrame, texts: list[str]) -> None:
    """Puts each number where it covers least of the other numbers, the points, their bars and the line."""
    points, lows, highs = (axes.transData.transform(curve[["x", name]]) for name in ("mean", "low", "high"))
    drawn = np.concatenate([*np.linspace(points[:-1], points[1:], 80), *np.linspace(lows, highs, 30)])
    boxes: list[Any] = []

    def cost(box: Any) -> int:
        outside = (box[0] < axes.bbox.min).any() or (box[1] > axes.bbox.max).any()
        over = sum(bool((box[0] < other[1]).all() and (other[0] < box[1]).all()) for other in boxes)
        return 1000 * (over + int(outside)) + int(((box[0] - 8 < drawn) & (drawn < box[1] + 8)).all(axis=1).sum())

    for text, x, y, point in zip(texts, curve["x"], curve["mean"], points, strict=True):
        label = axes.annotate(text, (x, y), (0, 0), textcoords="offset points", ha="center", va="center", fontsize=9)
        label.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
        half = np.array(label.get_window_extent().size) / 2
        centres = [point + side * (half + reach) for reach in (16, 30, 50) for side in np.array(SIDES)]  # pixels
        boxes.append(min([(centre - half, centre + half) for centre in centres], key=cost))
        label.set_position((boxes[-1][0] + half - point) * 72 / DPI)
