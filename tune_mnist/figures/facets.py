"""Small multiples: several drawings in one figure, alike in their axes, one for each value of what they do not show.

figure, room = framed(title, lines, note, height_for(len(titles), columns))
for axes in facets(figure, room, titles, columns, ("epoch", "loss")): axes.plot(...)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import pandas as pd
from matplotlib.axes import Axes

from tune_mnist.figures.style import HEIGHT, INK, WIDTH, Picture, Room, as_is
from tune_mnist.results.values import text

MOST_FACETS = 12
COLUMNS = 4
ROW, BETWEEN = 1.5, (0.18, 0.32)  # inches: what a further row adds; between columns, and between rows


def facet_names(rows: pd.DataFrame, variables: Sequence[str]) -> pd.Series[str]:
    """Which facet each row belongs to, by the values of these variables: "dropout 0.25, optimizer sgd"."""
    named = [[f"{one} {text(value)}" for value in rows[one]] for one in variables]
    return pd.Series([", ".join(parts) for parts in zip(*named, strict=True)] or "", index=rows.index, dtype=object)


def spread(values: Sequence[str], most: int, keep: Iterable[str] = ()) -> list[str]:
    """At most so many of the values, in their order: evenly spread, the ends among them, and those to `keep`."""
    count = min(most, len(values))
    picked = {round(i * (len(values) - 1) / max(1, count - 1)) for i in range(count)}
    for place in {values.index(one) for one in keep} - picked:
        inner = sorted(picked - {0, len(values) - 1}, key=lambda other: abs(other - place))
        picked = picked - set(inner[:1]) | {place}
    return [values[place] for place in sorted(picked)]


def columns_for(count: int) -> int:
    """Facets side by side: as even rows as can be."""
    return {1: 1, 2: 2, 4: 2}.get(count, 3 if count in (3, 5, 6, 9) else COLUMNS)


def height_for(count: int, columns: int) -> float:
    """Inches of a figure with so many facets."""
    return HEIGHT + ROW * (math.ceil(count / columns) - 1)


def facets(figure: Picture, room: Room, titles: Sequence[str], columns: int, labels: tuple[str, str]) -> list[Axes]:
    """Axes row by row, titled if there are several; what is written on an axis, and the labels of x and y, stand at
    the left and below.
    """
    left, bottom, width, height = room
    rows, columns = math.ceil(len(titles) / columns), min(columns, len(titles))
    apart, over = BETWEEN[0] / WIDTH, BETWEEN[1] / figure.get_figheight()
    height -= over if len(titles) > 1 else 0  # of the first row's titles
    across, down = (width - apart * (columns - 1)) / columns, (height - over * (rows - 1)) / rows
    made: list[Axes] = []
    for place, title in enumerate(titles):
        row, column = divmod(place, columns)
        at = (left + column * (across + apart), bottom + (rows - 1 - row) * (down + over), across, down)
        axes = figure.add_axes(at, sharex=made[0] if made else None, sharey=made[0] if made else None)
        is_left, is_lowest = column == 0, place + columns >= len(titles)
        axes.tick_params(labelleft=is_left, labelbottom=is_lowest)
        axes.set(xlabel=labels[0] if is_lowest else "", ylabel=labels[1] if is_left else "")
        if len(titles) > 1:
            axes.set_title(as_is(title), fontsize=8.5 if len(title) < 16 * across * WIDTH else 6.5, color=INK, pad=4)
        made.append(axes)
    return made
