"""Every figure of a results folder: which there are, and their files.

    save_figures(read_points(folder), read_history(folder), folder)

Two for each sweep over one variable, a heat map for one over two, learning curves for each sweep, and what time buys.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from tune_mnist.figures.curve import ACCURACY, NEEDED, TIME, draw_accuracy, draw_time, shown
from tune_mnist.figures.heatmap import draw_cross
from tune_mnist.figures.learning import draw_learning
from tune_mnist.figures.style import remove_drawn, require, save
from tune_mnist.figures.tradeoff import draw_tradeoff
from tune_mnist.results.summary import finished, timed_alike


@dataclass(frozen=True)
class Drawn:
    """A figure in its files: which sweep it is of (none: of all), its file's stem, and what it shows in words."""

    sweep: str
    stem: str
    title: str
    paths: tuple[Path, ...]


def save_figures(points: pd.DataFrame, history: pd.DataFrame | None, folder: Path) -> list[Drawn]:
    """Draw all that the tables have anything for, into `folder`, and remove what an earlier command drew there.

    A sweep over three variables or more has learning curves only. Raises UserError for a missing column, before
    anything is written.
    """
    require(points, ["sweep", *NEEDED, ACCURACY.column, TIME.column])
    folder.mkdir(parents=True, exist_ok=True)
    drawn, points = [], points.reset_index(drop=True)
    for sweep, stem, draw in _figures(points, history):
        figure = draw()
        drawn.append(Drawn(sweep, stem, figure.get_suptitle(), tuple(save(figure, folder / stem))))
    remove_drawn(folder, but=[path for one in drawn for path in one.paths])
    return drawn


def _figures(points: pd.DataFrame, history: pd.DataFrame | None) -> Iterator[tuple[str, str, Callable[[], Figure]]]:
    for sweep, rows in points.groupby("sweep", sort=False):
        file = re.sub(r"[^\w.-]", "_", str(sweep))
        crossed = rows["variable"].iloc[0].count("*")
        if not crossed:
            for measure, draw in ((ACCURACY, draw_accuracy), (TIME, draw_time)):
                if len(shown(rows, measure)):
                    yield str(sweep), f"{measure.stem}_vs_{file}", partial(draw, rows)
        elif crossed == 1 and len(finished(rows)):
            yield str(sweep), f"heatmap_{file}", partial(draw_cross, rows)
        if history is not None and finished(rows)["run"].isin(history["run"]).any():
            yield str(sweep), f"learning_{file}", partial(draw_learning, rows, history)
    if len(timed_alike(points)):
        yield "", "accuracy_vs_time", partial(draw_tradeoff, points)
