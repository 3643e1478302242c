"""Stored runs as a list that fits a terminal: what they have in common once, then each, the newest first."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

SHORTEST = 7  # letters of a key, as git has it
STAYS = "\N{NO-BREAK SPACE}"
NARROWEST = 14  # of the column that says what differs


@dataclass(frozen=True)
class Listed:
    """A run: what it was trained with and under, by name and in words, and what came of it."""

    key: str
    settings: Mapping[str, str] = field(default_factory=dict)  # name -> "lr=0.05", "2 threads"
    epochs: str = "-"
    measure: str = ""
    result: str = "-"
    finished: str = "-"  # ISO 8601


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """Key -> its shortest beginning that no other has, of SHORTEST letters at least."""
    ordered = sorted(keys)
    shared = [0, *(_shared(one, other) for one, other in itertools.pairwise(ordered)), 0]
    return {key: key[: max(SHORTEST - 1, *shared[place : place + 2]) + 1] for place, key in enumerate(ordered)}


def _shared(one: str, other: str) -> int:
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def listing(runs: Sequence[Listed], short: Mapping[str, str], width: int) -> list[str]:
    """The lines, none wider than `width`."""
    common = _common(runs)
    lines = _wrapped("all: " + _joined(common.values()), width, "     ") if common else []
    measures = {one.measure for one in runs if one.measure}
    rows = [
        (
            short[one.key],
            _joined(text for name, text in one.settings.items() if name not in common),
            one.epochs,
            one.result if len(measures) < 2 else f"{one.result} {one.measure}",
            one.finished[:10],
        )
        for one in sorted(runs, key=lambda run: run.finished, reverse=True)
    ]
    head = ("run", "", "epochs", measures.pop() if len(measures) == 1 else "result", "trained")
    return [*lines, *([""] if lines else []), *table([head, *rows], width)]


def _joined(texts: Iterable[str]) -> str:
    """A line of them, in each of which the words stay together."""
    return ", ".join(text.replace(" ", STAYS) for text in texts)


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    lines = (
        [text] if len(text) <= width else textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)
    )
    return [line.replace(STAYS, " ") for line in lines]


def _common(runs: Sequence[Listed]) -> dict[str, str]:
    """What is the same for all of them; of one run alone, everything."""
    first = runs[0].settings
    return {name: text for name, text in first.items() if all(one.settings.get(name) == text for one in runs)}


def table(rows: Sequence[tuple[str, ...]], width: int) -> list[str]:
    """The rows in five columns; only the second one is broken into more lines, between words.

    Of 10,000 rows it takes a tenth of the time of rich's tables, which cost most of a plan.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[1] = max(min(widths[1], width - sum(widths) + widths[1] - 2 * (len(widths) - 1)), min(widths[1], NARROWEST))
    return [line for row in rows for line in _row(row, widths)]


def _row(row: tuple[str, ...], widths: Sequence[int]) -> list[str]:
    key, differs, epochs, result, finished = row
    parts = _wrapped(differs, widths[1]) or [""]
    cells = [key.ljust(widths[0]), parts[0].ljust(widths[1])] if widths[1] else [key.ljust(widths[0])]
    first = "  ".join([*cells, epochs.rjust(widths[2]), result.rjust(widths[3]), finished])
    return [first, *(" " * (widths[0] + 2) + part for part in parts[1:])]
