"""Every figure of a results folder: which there are, and their files.

    save_figures(read_results(folder, task))

Two for each sweep over one variable, heat maps for one over several and, of a cross, how its variables act together;
learning curves for each, and what time buys.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from tune_mnist.display.log import stage
from tune_mnist.figures.curve import draw, measured, needed
from tune_mnist.figures.heatmap import draw_cross
from tune_mnist.figures.interaction import draw_interaction
from tune_mnist.figures.learning import draw_learning
from tune_mnist.figures.style import save, title_of
from tune_mnist.figures.tradeoff import draw_tradeoff
from tune_mnist.files import shortened
from tune_mnist.measure import Measure
from tune_mnist.results.columns import TIME, as_one, require, variables
from tune_mnist.results.folder import FIGURES
from tune_mnist.results.interaction import is_crossed
from tune_mnist.results.read import Results
from tune_mnist.results.summary import averaged, timed_alike
from tune_mnist.store.history import DIVERGED
from tune_mnist.task import Task
from tune_mnist.words import plural


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


def sweep_files(sweep: str, task: Task) -> list[str]:
    """The names of all files that a sweep's figures may have."""
    stems = [f"{one.stem}_vs_{sweep}" for one in (task.judged, TIME)]
    stems += [f"{kind}_{sweep}" for kind in ("heatmap", "interaction", "learning")]
    return [_plain(stem) + suffix for stem in stems for suffix in FIGURES]


def overall_files(task: Task) -> list[str]:
    """Of the figures of all sweeps together."""
    return [_plain(f"{task.judged.stem}_vs_{TIME.stem}") + suffix for suffix in FIGURES]


def _plain(stem: str) -> str:
    return shortened(re.sub(r"[^\w.-]", "_", stem))


def save_figures(results: Results) -> list[Drawn]:
    """Draw all that the tables have anything for, into their folder.

    Raises UserError for a missing column, before anything is written.
    """
    require(results.points, ["sweep", *needed(TIME, results.task)])
    results.folder.mkdir(parents=True, exist_ok=True)
    figures = list(_figures(results))
    stage(f"drawing {plural(len(figures), 'figure')}", long=True)
    return [draw_one() for draw_one in figures]


def _figures(results: Results) -> Iterator[Callable[[], Drawn]]:
    """How each is drawn and saved, so that they are counted first."""
    task, history, points = results.task, results.history, results.points.reset_index(drop=True)
    place = partial(partial, _saved, results.folder)
    for key, rows in points.groupby("sweep", sort=False):
        sweep, tried = str(key), rows["status"].isin(("done", DIVERGED))
        single, of = as_one(rows, task)
        if len(variables(single)) == 1:
            for one in (task.judged, TIME):
                if len(measured(single, one, of)):
                    yield place(f"{one.stem}_vs_{sweep}", partial(draw, single, one, of), sweep, one)
        elif len(averaged(rows, task)):
            yield place(f"heatmap_{sweep}", partial(draw_cross, rows, task), sweep, task.judged)
            if is_crossed(rows):
                yield place(f"interaction_{sweep}", partial(draw_interaction, rows, task), sweep)
        if history is not None and rows.loc[tried, "run"].isin(history["run"]).any():
            yield place(f"learning_{sweep}", partial(draw_learning, rows, history, task), sweep)
    if len(timed_alike(points, task)):
        yield place(f"{task.judged.stem}_vs_{TIME.stem}", partial(draw_tradeoff, points, task))


def _saved(
    folder: Path, stem: str, drawing: Callable[[], Figure], sweep: str = "", measure: Measure | None = None
) -> Drawn:
    figure, stem = drawing(), _plain(stem)
    return Drawn(stem, sweep, measure, title_of(figure), tuple(save(figure, folder / stem)))
