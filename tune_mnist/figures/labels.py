"""The numbers and names beside the points of a figure: how they are written, and where each stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullLocator

from tune_mnist.figures.style import DPI, as_is
from tune_mnist.measure import Measure
from tune_mnist.task import Task

SIDES = ((0, 1), (0, -1), (-1, 1), (1, -1), (1, 1), (-1, -1), (1, 0), (-1, 0))  # where a label may stand, best first


def axis_of(task: Task, variable: str, remark: str = "") -> str:
    """An axis of a variable: its name as it is typed, and what a person calls it: "lr (learning rate, log scale)"."""
    words = task.words(variable)
    more = ", ".join(filter(None, (words if words != variable.replace("_", " ") else "", remark)))
    return as_is(f"{variable} ({more})" if more else variable)


def ticks(axes: Axes, values: Sequence[str], places: Sequence[float], first: Sequence[int] = (), rows: int = 1) -> None:
    """Ticks of an x axis: at the ends, at those whose index is `first`, and wherever there is still room.

    Near neighbours go a line lower, in up to so many rows; what fits in none is left out.
    """
    across = axes.transData.transform([(place, 0) for place in places])[:, 0] / DPI
    halves = [0.046 * len(value) + 0.05 for value in values]  # inches
    order = [0, len(values) - 1, *first, *range(len(values))] if rows == 1 else range(len(values))
    kept: dict[int, int] = {}
    for one in dict.fromkeys(order):
        beside = [(row, abs(across[one] - across[other]) < halves[one] + halves[other]) for other, row in kept.items()]
        free = [row for row in range(rows) if (row, True) not in beside]
        if free:
            kept[one] = free[0]
    said = {one: "\n" * row + as_is(values[one]) for one, row in sorted(kept.items())}
    axes.set_xticks([places[one] for one in said], list(said.values()))
    axes.xaxis.set_minor_locator(NullLocator())


def numbers(measure: Measure, means: Sequence[float]) -> list[str]:
    """Seconds to three digits; per cent to tenths, or to hundredths where tenths would hide a difference."""
    if measure.unit == "s":
        return [f"{mean:.3g}" if mean < 999.5 else f"{mean:.0f}" for mean in means]
    if measure.unit != "%":
        return [f"{mean:.4g}" for mean in means]
    tenths = [f"{mean:.1f}" for mean in means]
    return tenths if len(set(tenths)) == len(means) else [f"{mean:.2f}" for mean in means]


def label_points(axes: Axes, points: np.ndarray, labels: Sequence[str], drawn: np.ndarray) -> None:
    """Puts each label beside its point, where it covers least of the other labels, the points and what is `drawn`.

    points and drawn: (n, 2), in pixels.
    """
    boxes: list[Any] = []
    drawn = np.concatenate([points, drawn])

    def cost(box: Any) -> int:
        outside = (box[0] < axes.bbox.min).any() or (box[1] > axes.bbox.max).any()
        over = sum(bool((box[0] < other[1]).all() and (other[0] < box[1]).all()) for other in boxes)
        return 1000 * (over + int(outside)) + int(((box[0] - 8 < drawn) & (drawn < box[1] + 8)).all(axis=1).sum())

    for said, point in zip(labels, points, strict=True):
        x, y = axes.transData.inverted().transform(point)
        look: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "center", "fontsize": 9}
        label = axes.annotate(as_is(said), (x, y), (0, 0), **look)
        label.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
        half = np.array(label.get_window_extent().size) / 2
        centres = [point + side * (half + reach) for reach in (16, 30, 50) for side in np.array(SIDES)]  # pixels
        boxes.append(min([(centre - half, centre + half) for centre in centres], key=cost))
        label.set_position((boxes[-1][0] + half - point) * 72 / DPI)
