"""Several variables at once: the heat map of a cross, and one for each value of a third variable.

draw_cross(points[points["sweep"] == "cross"], task).savefig("cross.png")
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from tune_mnist.errors import UserError
from tune_mnist.figures.facets import MOST_FACETS, columns_for, facet_names, facets, height_for, spread
from tune_mnist.figures.labels import axis_of, ticks
from tune_mnist.figures.style import VERMILION, as_is, framed
from tune_mnist.measure import Measure
from tune_mnist.results.columns import variables
from tune_mnist.results.fixed import data_name, fixed, read_at
from tune_mnist.results.summary import averaged, diverged
from tune_mnist.results.values import numbers_or_names, text
from tune_mnist.store.history import DIVERGED
from tune_mnist.task import Task
from tune_mnist.words import from_to, several

ENDED = "∞"  # in a cell whose trainings, or some of them, diverged
SIZES = (9, 7.5, 6.5)  # points: of the numbers in the cells, the largest that fits
WIDE, HIGH = 0.0095, 0.019  # inches of a letter and of a line, for each point of its size


@dataclass(frozen=True)
class Cells:
    """What the cells of one heat map show, rows by the first variable and columns by the second, in the order asked."""

    means: pd.DataFrame  # nan: not done
    sds: pd.DataFrame  # nan: one seed
    failed: pd.DataFrame
    baseline: pd.DataFrame
    diverged: pd.DataFrame  # seeds that did
    seeds: pd.DataFrame

    def said(self, measure: Measure) -> list[list[str]]:
        """The numbers of each cell: the mean, and the seeds' standard deviation; or how many of the seeds diverged."""
        means, sds, failed = self.means.to_numpy(float), self.sds.to_numpy(float), self.failed.to_numpy(bool)
        ended, seeds = self.diverged.to_numpy(int), self.seeds.to_numpy(int)
        rows, columns = means.shape
        return [
            [
                _ended(ended[y, x], seeds[y, x]) or _said(means[y, x], sds[y, x], failed[y, x], measure)
                for x in range(columns)
            ]
            for y in range(rows)
        ]


def _ended(diverged: int, seeds: int) -> str:
    return "" if not diverged else ENDED if seeds == 1 else f"{ENDED}\n{diverged} of {seeds}"


def _said(mean: float, sd: float, failed: bool, measure: Measure) -> str:
    if math.isnan(mean):
        return "×" if failed else ""
    places, fewer = (".2f", ".2f") if measure.unit == "%" else (".4g", ".2g")
    return f"{mean:{places}}" + ("" if math.isnan(sd) else f"\n± {sd:{fewer}}")


def crossed(points: pd.DataFrame) -> tuple[str, str, list[str]]:
    """A cross's variables: those of the heat map's rows and columns, which have the most values, and the others."""
    names = list(variables(points))
    if len(names) < 2:
        raise UserError(f"a heat map shows two crossed variables, not {len(names)}: {', '.join(names)}")
    axes = sorted(names, key=lambda one: -points[one].map(text).nunique())[:2]
    first, second = (one for one in names if one in axes)
    return first, second, [one for one in names if one not in axes]


def cross_cells(points: pd.DataFrame, task: Task) -> dict[str, Cells]:
    """One sweep's heat maps, each by the values of the variables that it does not show ("" where it shows both).

    Values as figures show them. Raises UserError if the sweep is over one variable.
    """
    first, second, others = crossed(points)
    rows = points.assign(row=numbers_or_names(points[first]), column=numbers_or_names(points[second]))
    rows["facet"] = facet_names(rows, others)
    rows["shown"] = rows[task.judged.name].where((rows["status"] == "done") & ~diverged(rows)) * task.judged.factor
    rows["failed"], rows["base"] = rows["status"] == "failed", rows["baseline"].astype(bool)
    rows["ended"], rows["asked"] = rows["status"] == DIVERGED, 1
    index, columns = rows["row"].unique(), rows["column"].unique()

    def table(mine: pd.DataFrame, column: str, how: Any) -> pd.DataFrame:
        whole = mine.pivot_table(column, "row", "column", how, dropna=False, sort=False)
        return whole.reindex(index=index, columns=columns)

    return {
        str(facet): Cells(
            *(table(mine, "shown", how) for how in ("mean", "std")),
            *(table(mine, column, "max").eq(True) for column in ("failed", "base")),
            *(table(mine, column, "sum").fillna(0).astype(int) for column in ("ended", "asked")),
        )
        for facet, mine in rows.groupby("facet", sort=False)
    }


def draw_cross(points: pd.DataFrame, task: Task) -> Figure:
    """The heat maps of a sweep over several variables; what is not done is hatched. Raises UserError if nothing is."""
    done, (first, second, others) = averaged(points, task), crossed(points)
    if done.empty:
        raise UserError("no finished point to draw a heat map from")
    cells = cross_cells(points, task)
    kept = spread([*cells], MOST_FACETS, [one for one, of in cells.items() if of.baseline.any(axis=None)])
    made = {one: cells[one] for one in kept}
    title = f"{task.judged.words} by {several(map(task.words, variables(points)))}: {data_name(done, task)}"
    columns = _columns(made)
    note = _note(points, done, made, len(cells) - len(made))
    held = fixed(done, [first, second, *others], task)
    figure, room = framed(title, [held, *read_at(task)], note, height_for(len(made), columns))
    left, bottom, width, height = room
    lower = 0.35 / figure.get_figheight()  # there is no legend
    room = (left + 0.03, bottom - lower, width - 0.14, height + lower)
    found = facets(figure, room, kept, columns, (axis_of(task, second), axis_of(task, first)))
    image = _draw(found, [*made.values()], task.judged)
    bar = figure.add_axes((room[0] + room[2] + 0.02, room[1], 0.018, found[0].get_position().y1 - room[1]))
    figure.colorbar(image, cax=bar, label=as_is(task.judged.axis))
    return figure


def _columns(made: dict[str, Cells]) -> int:
    """Heat maps side by side: as many as leave room for the numbers in their cells."""
    wide = len(next(iter(made.values())).means.columns)
    return max(1, min(columns_for(len(made)), 12 // wide))


def _draw(found: list[Axes], made: list[Cells], judged: Measure) -> AxesImage:
    """All in the colours of one scale."""
    low, high = (pd.concat([one.means for one in made]).agg(how).agg(how) for how in ("min", "max"))
    for axes, one in zip(found, made, strict=True):
        axes.set_facecolor("#f2f2f2")
        image = axes.imshow(one.means.to_numpy(float), cmap="cividis", aspect="auto", vmin=low, vmax=high)
        names = [text(value) for value in one.means.columns]
        ticks(axes, names, list(range(len(names))), rows=2)
        axes.set_yticks(range(len(one.means.index)), [as_is(text(value)) for value in one.means.index])
        _numbers(axes, one, image, judged)
    return image


def _numbers(axes: Axes, cells: Cells, image: AxesImage, judged: Measure) -> None:
    """What stands in the cells, where it fits; the baseline's frame, and the hatches of what is not done."""
    said, means, framed_at = cells.said(judged), cells.means.to_numpy(float), cells.baseline.to_numpy(bool)
    size = _size(axes, said)
    low, high = image.get_clim()
    limit = (low or 0) + 0.55 * ((high or 0) - (low or 0))
    for (y, x), value in np.ndenumerate(means):
        if math.isnan(value):
            axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, hatch="///", fill=False, edgecolor="#999999"))
        if framed_at[y, x]:
            frame = Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, fill=False, edgecolor=VERMILION, linewidth=2.5)
            axes.add_patch(frame)
        look: dict[str, Any] = {"ha": "center", "va": "center", "linespacing": 1.3}
        if said[y][x].startswith(ENDED):
            paper = {"facecolor": axes.get_facecolor(), "edgecolor": "none", "pad": 2}  # over the hatches
            told = said[y][x] if size else ENDED
            axes.text(x, y, told, fontsize=size or 9, fontweight="bold", color=VERMILION, bbox=paper, **look)
        elif said[y][x] == "×":
            axes.text(x, y, "×", fontsize=13, fontweight="bold", color=VERMILION, **look)
        elif said[y][x] and size:
            axes.text(x, y, said[y][x], fontsize=size, color="white" if value < limit else "black", **look)


def _size(axes: Axes, said: list[list[str]]) -> float | None:
    """Of the numbers in the cells, points; None where they do not fit."""
    box, dpi = axes.get_window_extent(), axes.figure.dpi
    wide, high = box.width / dpi / len(said[0]), box.height / dpi / len(said)  # inches of a cell
    cells = [numbers.split("\n") for row in said for numbers in row]
    longest, lines = max(len(line) for cell in cells for line in cell), max(map(len, cells))
    return next((size for size in SIZES if WIDE * longest * size < wide and HIGH * lines * size < high), None)


def _note(points: pd.DataFrame, done: pd.DataFrame, made: dict[str, Cells], left_out: int) -> str:
    counts = done.groupby([*variables(points)], dropna=False).size()
    empty = sum(int(one.means.isna().sum().sum()) for one in made.values())
    cells = sum(one.means.size for one in made.values())
    # A value that is inactive beside another is not asked for there.
    not_asked = 0 if left_out else cells - points.groupby([*variables(points)], dropna=False).ngroups
    failed = any((one.failed & one.means.isna()).any(axis=None) for one in made.values())
    ended = sum(int((one.diverged > 0).sum().sum()) for one in made.values())
    parts = {
        f"Each cell: the mean of {from_to(counts)} seeds ± their standard deviation.": counts.max() > 1,
        "One seed per point: no spread to show.": counts.max() == 1,
        f"Hatched: {_hatched(not_asked, empty - not_asked - ended, ended)}{'; ×: failed' if failed else ''}.": empty
        > 0,
        "The baseline is framed.": any(one.baseline.any(axis=None) for one in made.values()),
        f"{left_out} other maps not shown.": left_out > 0,
    }
    return " ".join(said for said, so in parts.items() if so)


def _hatched(not_asked: int, not_done: int, ended: int) -> str:
    said = {f"not asked for ({not_asked})": not_asked, f"not done ({not_done})": not_done}
    said |= {f"{ENDED}, diverged ({ended})": ended}
    return ", ".join(words for words, count in said.items() if count)
