"""How a table's cells are read from text: each reader raises ValueError, OverflowError or KeyError for what is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence


def number(low: float = -math.inf, high: float = math.inf, missing: bool = False) -> Callable[[str], float]:
    """A finite number within the limits; with `missing`, an empty cell is nan.

    By Python's own `float`: pandas before 3 can be off in the last bit, and `verify` compares bits.
    """

    def read(cell: str) -> float:
        if missing and cell.lower() in ("", "nan"):
            return math.nan
        found = float(cell)
        if not math.isfinite(found) or not low <= found <= high:
            raise ValueError
        return found

    return read


def whole(low: float | None = None) -> Callable[[str], int]:
    """A whole number, also as a spreadsheet may write it: 5.0."""

    def read(cell: str) -> int:
        found = int(cell) if cell.isdecimal() else float(cell)
        if found != int(found) or (low is not None and found < low):
            raise ValueError
        return int(found)

    return read


def name(cell: str) -> str:
    """A text that is not empty."""
    if not cell:
        raise ValueError
    return cell


def flag(cell: str) -> bool:
    """True or False, in any case of letters."""
    return {"true": True, "false": False}[cell.lower()]


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """One of the texts."""
    return lambda cell: choices[choices.index(cell)]
