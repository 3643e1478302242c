"""What every figure shares: its frame and colours, the words that say what was held, and how it becomes files.

It needs no display and touches no pyplot state, so it may run in any thread. Equal tables give equal bytes.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from PIL import Image

from tune_mnist import __version__
from tune_mnist.errors import UserError
from tune_mnist.results.values import texts
from tune_mnist.store.store import write_whole

HELD = ["model", "optimizer", "precision", "schedule", "epochs", "batch_size", "lr", "gamma", "momentum"]
HELD += ["weight_decay", "dropout", "shuffle", "train_size"]  # in a subtitle's order, less the swept one
BARE = ("model", "optimizer", "precision")  # their values speak for themselves
SILENT = {"momentum": "0", "weight_decay": "0", "precision": "fp32", "schedule": "step"}  # "gamma 0.7" says step
IDLE = {"gamma": ("schedule", "cosine"), "dropout": ("model", "linear")}  # a cosine schedule ignores gamma
DATASETS = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST", "kmnist": "KMNIST", "qmnist": "QMNIST"}
DPI = 150
SIZE = (7.5, 5.0)  # inches
BLUE, VERMILION, GREY, INK = "#0072B2", "#D55E00", "#8c8c8c", "#333333"  # Okabe and Ito's: safe for the colour-blind
SERIES = ((BLUE, "o"), (VERMILION, "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#56B4E9", "v"), ("#E69F00", "P"))
SIDES = ((0, 1), (0, -1), (-1, 1), (1, -1), (1, 1), (-1, -1), (1, 0), (-1, 0))  # where a label may stand, best first
SUFFIXES = (".png", ".svg")


def require(results: pd.DataFrame, columns: Iterable[str]) -> None:
    """Raise UserError if the table lacks one of the columns."""
    missing = [name for name in columns if name not in results.columns]
    if missing:
        raise UserError(f"the results lack the column{'s' * (len(missing) > 1)} {', '.join(missing)}, which plots need")


def data_name(rows: pd.DataFrame) -> str:
    """The data sets: the default falls back to small bundled digits, which nobody may take for MNIST."""
    return " and ".join(DATASETS.get(name, f"{name} (not MNIST)") for name in texts(rows["dataset"]))


def held(rows: pd.DataFrame, swept: Sequence[str]) -> str:
    """What all points share; what they should and do not is marked, for it may explain a difference."""
    parts = []
    for column in HELD:
        found = texts(rows[column])
        ruler, idle = IDLE.get(column, (column, None))
        if column not in swept and found != [SILENT.get(column)] and texts(rows[ruler]) != [idle]:
            name, loose = "" if column in BARE else f"{column} ", " (not fixed)" if len(found) > 1 else ""
            parts.append(name + " or ".join(found) + loose)
    seeds = texts(rows["seed"].sort_values())
    parts.append(f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds ({', '.join(seeds)})")
    # Hard spaces: a line broken between a name and its value reads badly.
    return "Fixed: " + ", ".join(part.replace("_", " ").replace(" ", "\xa0") for part in parts)


def conditions(rows: pd.DataFrame) -> str:
    """Where and beside what the times were taken; without these they compare with nothing."""
    devices, threads = texts(rows["device"]), texts(rows["threads"])
    hosts = set("+".join(texts(rows["hostname"])).split("+"))  # a point that moved on names them as "one+other"
    crowd = rows["concurrent"].max() + 1
    beside = "one trial at a time" if crowd == 1 else f"{crowd:.0f} trials side by side"
    if rows["concurrent"].isna().any():
        beside = "what ran beside is not known"
    where = " and ".join(devices) + (f" on {len(hosts)} hosts" if len(hosts) > 1 else "")
    return f"Timed on {where}, {' or '.join(threads)} thread{'s' * (threads != ['1'])} a trial, {beside}"


def framed(title: str, lines: Iterable[str], note: str) -> tuple[Figure, tuple[float, float, float, float]]:
    """A figure with its title, what was held under it and a note below; and the room (left, bottom, width, height)."""
    wrapped = [part.replace("\xa0", " ") for line in lines for part in textwrap.wrap(line, 110)]
    figure = Figure(figsize=SIZE, dpi=DPI)
    FigureCanvasAgg(figure)
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
    shown = axes.get_legend_handles_labels()
    if shown[1]:
        place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0.02, 0.055)}
        figure.legend(handles=shown[0], **place, ncols=columns, fontsize=9, frameon=False)


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


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write the figure as PNG and as SVG, whole or not at all; returns the paths, the PNG first."""
    said = {"Title": figure.get_suptitle(), "Description": figure.texts[1].get_text()}
    made = {
        ".png": said | {"Software": f"tune_mnist {__version__}"},
        ".svg": said | {"Creator": f"tune_mnist {__version__}", "Date": None},
    }
    paths = []
    for suffix in SUFFIXES:
        with mpl.rc_context({"svg.hashsalt": "tune_mnist"}):  # ids in an SVG are otherwise drawn at random
            figure.savefig(drawn := io.BytesIO(), format=suffix[1:], dpi=DPI, metadata=made[suffix])
        paths.append(stem.with_name(stem.name + suffix))
        write_whole(paths[-1], drawn.getvalue())
    return paths


def remove_drawn(folder: Path, but: Iterable[Path]) -> None:
    """Remove an earlier command's figures: they would contradict the tables beside them, and can be had again."""
    for path in {one for suffix in SUFFIXES for one in folder.glob(f"*{suffix}")} - set(but):
        if _is_ours(path):
            path.unlink()


def _is_ours(path: Path) -> bool:
    if path.suffix == ".png":
        try:
            with Image.open(path) as image:
                return str(image.info.get("Software", "")).startswith("tune_mnist")
        except OSError:  # no picture at all
            return False
    return b"<dc:title>tune_mnist " in path.read_bytes()[:4000]
