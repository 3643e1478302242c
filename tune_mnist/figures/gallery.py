"""Every figure of a results folder: which there are, and their files.

    save_figures(read_results(folder, task))

Two for each sweep over one variable, heat maps for one over several, learning curves for each, and what time buys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from tune_mnist.figures.curve import draw, measured, needed
from tune_mnist.figures.heatmap import draw_cross
from tune_mnist.figures.learning import draw_learning
from tune_mnist.figures.style import remove_drawn, save, title_of
from tune_mnist.figures.tradeoff import draw_tradeoff
from tune_mnist.measure import Measure
from tune_mnist.results.columns import TIME, require, variables
from tune_mnist.results.read import Results
from tune_mnist.results.summary import finished, timed_alike


@dataclass(frozen=True)
class Drawn:
    """A figure in its files, and what it shows: a sweep (none: all of them), and the one measure whose course it is of
    (none: several). The title says it in words.
    """

    stem: str
    sweep: str
    measure: Measure | None
    title: str
    paths: tuple[Path, ...]


def save_figures(results: Results) -> list[Drawn]:
    """Draw all that the tables have anything for, into their folder, and remove what an earlier command drew there.

    Raises UserError for a missing column, before anything is written.
    """
    require(results.points, ["sweep", *needed(TIME, results.task)])
    results.folder.mkdir(parents=True, exist_ok=True)
    drawn = list(_drawn(results))
    remove_drawn(results.folder, but=[path for one in drawn for path in one.paths])
    return drawn


def _drawn(results: Results) -> Iterator[Drawn]:
    task, history, points = results.task, results.history, results.points.reset_index(drop=True)
    place = partial(_saved, results.folder)
    for key, rows in points.groupby("sweep", sort=False):
        sweep, done = str(key), finished(rows, task)
        if len(variables(rows)) == 1:
            for one in (task.judged, TIME):
                if len(measured(rows, one, task)):
                    yield place(f"{one.stem}_vs_{sweep}", draw(rows, one, task), sweep, one)
        elif len(done):
            yield place(f"heatmap_{sweep}", draw_cross(rows, task), sweep, task.judged)
        if history is not None and done["run"].isin(history["run"]).any():
            yield place(f"learning_{sweep}", draw_learning(rows, history, task), sweep)
    if len(timed_alike(points, task)):
        yield place(f"{task.judged.stem}_vs_{TIME.stem}", draw_tradeoff(points, task))


def _saved(folder: Path, stem: str, figure: Figure, sweep: str = "", measure: Measure | None = None) -> Drawn:
    stem = re.sub(r"[^\w.-]", "_", stem)[:200]  # a file's name may have 255 letters
    return Drawn(stem, sweep, measure, title_of(figure), tuple(save(figure, folder / stem)))
