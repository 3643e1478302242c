"""What every figure looks like: its frame, colours and legend, and how it becomes files.

It needs no display and touches no pyplot state, so it may run in any thread. Equal tables give equal bytes.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tune_mnist import __version__
from tune_mnist.files import write_whole
from tune_mnist.results.folder import FIGURES

DPI = 150
SIZE = (7.5, 5.0)  # inches
BLUE, VERMILION, GREY, INK = "#0072B2", "#D55E00", "#8c8c8c", "#333333"  # Okabe and Ito's: safe for the colour-blind
SERIES = ((BLUE, "o"), (VERMILION, "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#56B4E9", "v"), ("#E69F00", "P"))
BELOW: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0.02, 0.055)}  # a legend's place, above the note


class Picture(Figure):
    """A figure that a notebook shows as a picture, also where nothing of pyplot's is loaded."""

    def _repr_png_(self) -> bytes:
        self.savefig(drawn := io.BytesIO(), format="png", dpi=DPI)
        return drawn.getvalue()


def framed(title: str, lines: Iterable[str], note: str) -> tuple[Figure, tuple[float, float, float, float]]:
    """A figure with its title, the lines under it and a note below; and the room (left, bottom, width, height)."""
    wrapped = [part.replace("\xa0", " ") for line in lines for part in textwrap.wrap(line, 110)]
    figure = Picture(figsize=SIZE, dpi=DPI)
    FigureCanvasAgg(figure)
    title = title[:1].upper() + title[1:]
    figure.suptitle(title, x=0.03, y=0.975, ha="left", fontsize=13, fontweight="bold")
    figure.text(0.03, 0.915, "\n".join(wrapped), va="top", fontsize=9, color=INK)
    figure.text(0.03, 0.02, textwrap.fill(note, 115), fontsize=8.5, color=INK)
    return figure, (0.1, 0.255, 0.87, 0.625 - 0.037 * len(wrapped))


def plain(axes: Axes) -> None:
    """Light lines to read values by, and no box."""
    axes.set_axisbelow(True)
    axes.grid(axis="y", color="#e4e4e4")
    axes.spines[["top", "right"]].set_visible(False)


def legend_below(figure: Figure, axes: Axes, columns: int = 4) -> None:
    """The legend between the axes and the note, if there is anything to say."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        figure.legend(handles=handles, **BELOW, ncols=columns, fontsize=9, frameon=False)


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write the figure as PNG and as SVG, whole or not at all; returns the paths, the PNG first."""
    said = {"Title": figure.get_suptitle(), "Description": figure.texts[1].get_text()}
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
