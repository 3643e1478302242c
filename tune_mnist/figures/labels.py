"""The numbers and names beside the points of a figure: how they are written, and where each stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from tune_mnist.figures.style import DPI
from tune_mnist.measure import Measure

SIDES = ((0, 1), (0, -1), (-1, 1), (1, -1), (1, 1), (-1, -1), (1, 0), (-1, 0))  # where a label may stand, best first


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
        label = axes.annotate(said, (x, y), (0, 0), textcoords="offset points", ha="center", va="center", fontsize=9)
        label.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
        half = np.array(label.get_window_extent().size) / 2
        centres = [point + side * (half + reach) for reach in (16, 30, 50) for side in np.array(SIDES)]  # pixels
        boxes.append(min([(centre - half, centre + half) for centre in centres], key=cost))
        label.set_position((boxes[-1][0] + half - point) * 72 / DPI)
