"""What every figure looks like: its frame, colours and legend, and how it becomes files.

It needs no display and touches no pyplot state, so it may run in any thread. Equal tables give equal bytes.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tune_mnist import __version__
from tune_mnist.files import write_whole
from tune_mnist.measure import Measure
from tune_mnist.results.folder import FIGURES
from tune_mnist.words import legible

DPI = 150
EDGE = 0.03  # of the height: how far from the edge a mark stands that has no value
WIDTH, HEIGHT = 7.5, 5.0  # inches
LINE = {"title": 0.25, "under it": 0.185, "note": 0.15}  # inches from one line to the next
BLUE, VERMILION, GREY, INK = "#0072B2", "#D55E00", "#8c8c8c", "#333333"  # Okabe and Ito's: safe for the colour-blind
SERIES = ((BLUE, "o"), (VERMILION, "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#56B4E9", "v"), ("#E69F00", "P"))


class Picture(Figure):
    """A figure that a notebook shows as a picture, also where nothing of pyplot's is loaded.

    `foot`: inches from its lower edge to what stands above the note.
    """

    foot = 0.275

    def _repr_png_(self) -> bytes:
        self.savefig(drawn := io.BytesIO(), format="png", dpi=DPI)
        return drawn.getvalue()


Room = tuple[float, float, float, float]  # left, bottom, width and height, of the figure's


def as_is(text: str) -> str:
    """Words from outside as they are: dollars are no formula, and an SVG may have every letter."""
    return legible(text).replace("$", r"\$")


def framed(title: str, lines: Iterable[str], note: str, height: float = HEIGHT) -> tuple[Picture, Room]:
    """A figure with its title, the lines under it and a note below; and the room that is left."""
    titles = textwrap.wrap(as_is(title[:1].upper() + title[1:]), 64, break_on_hyphens=False)
    wrapped = [part.replace("\xa0", " ") for line in lines for part in textwrap.wrap(as_is(line), 110)]
    noted = textwrap.wrap(as_is(note), 115)
    figure = Picture(figsize=(WIDTH, height), dpi=DPI)
    FigureCanvasAgg(figure)
    figure.suptitle("\n".join(titles), x=0.03, y=1 - 0.125 / height, ha="left", fontsize=13, fontweight="bold")
    top = 0.425 + LINE["title"] * (len(titles) - 1)
    figure.text(0.03, 1 - top / height, "\n".join(wrapped), va="top", fontsize=9, color=INK)
    figure.text(0.03, 0.1 / height, "\n".join(noted), fontsize=8.5, color=INK)
    figure.foot += LINE["note"] * max(0, len(noted) - 1)
    top, bottom = top + 0.175 + LINE["under it"] * len(wrapped), figure.foot + 1.0
    return figure, (0.1, bottom / height, 0.87, 1 - (top + bottom) / height)


def title_of(figure: Figure) -> str:
    """A figure's title in one line."""
    return figure.get_suptitle().replace("\n", " ").replace(r"\$", "$")


def below(figure: Picture) -> dict[str, Any]:
    """A legend's place, above the note."""
    return {"loc": "lower left", "bbox_to_anchor": (0.02, figure.foot / figure.get_figheight()), "frameon": False}


def plain(axes: Axes) -> None:
    """Light lines to read values by, and no box."""
    axes.set_axisbelow(True)
    axes.grid(axis="y", color="#e4e4e4")
    axes.spines[["top", "right"]].set_visible(False)


def ended_at(axes: Axes, places: Sequence[float], measure: Measure, label: str = "", **look: Any) -> float:
    """A mark at the edge where the measure is worst, at each place of x where a training diverged: it points out of
    the axes. Returns how high it stands, of the height.
    """
    is_above = measure.better == "lower"
    high = 1 - EDGE if is_above else EDGE
    how: dict[str, Any] = {"color": VERMILION, "ms": 9, "zorder": 5, "clip_on": False, "linestyle": "none"}
    how |= {"marker": "^" if is_above else "v", "transform": axes.get_xaxis_transform(), "label": label or None}
    if len(places):
        axes.plot(places, [high] * len(places), **how, **look)
    return high


def legend_below(figure: Picture, axes: Axes, columns: int = 4) -> None:
    """The legend between the axes and the note, if there is anything to say."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        figure.legend(handles=handles, **below(figure), ncols=columns, fontsize=9)


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write the figure as PNG and as SVG, whole or not at all; returns the paths, the PNG first."""
    said = {"Title": title_of(figure), "Description": figure.texts[1].get_text().replace(r"\$", "$")}
    made = {
        ".png": said | {"Software": f"tune_mnist {__version__}"},
        ".svg": said | {"Creator": f"tune_mnist {__version__}", "Date": None},
    }
    paths = []
    for suffix in FIGURES:
        with mpl.rc_context({"svg.hashsalt": "tune_mnist"}):  # ids in an SVG are otherwise drawn at random
            figure.savefig(drawn := io.BytesIO(), format=suffix[1:], dpi=DPI, metadata=made[suffix])
        paths.append(stem.with_name(stem.name + suffix))
        write_whole(paths[-1], drawn.getvalue())
    return paths
