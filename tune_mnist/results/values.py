"""Swept values as people write them: numbers where all are numbers, otherwise names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from tune_mnist.plan.sweeps import CROSS
from tune_mnist.results.columns import variables
from tune_mnist.words import typed


def text(value: Any) -> str:
    """A value as people type it: "0.01", "1e6", "true"; and "all" for one that is missing."""
    plain = value.item() if isinstance(value, np.generic) else value
    return "all" if not isinstance(plain, str) and pd.isna(plain) else typed(plain)


def texts(column: Iterable[object]) -> list[str]:
    """Each value's text once, in the order of first appearance."""
    return list(dict.fromkeys(text(value) for value in column))


def numbers_or_names(column: pd.Series) -> pd.Series:
    """The swept values: numbers if all are, otherwise names ("sgd", "true", "all")."""
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().all() and not pd.api.types.is_bool_dtype(numbers):
        return numbers
    return pd.Series([text(value) for value in column], index=column.index, dtype=object)


def values_of(points: pd.DataFrame) -> pd.Series:
    """The swept value of each row of one sweep, in words; those of a cross are joined as the column `value` has them.

    They come from the variables' own columns: in a CSV the column `value` holds numbers, names and switches together.
    """
    first, *others = (points[variable].map(text) for variable in variables(points))
    joined: pd.Series = first
    for column in others:
        joined = joined + CROSS + column
    return joined


def said(value: Any) -> str:
    """A swept value as a person types it; those of a cross with commas between them: "0.05, 0"."""
    return text(value).replace(CROSS, ", ")


def rows_of(table: pd.DataFrame) -> list[Any]:
    """The table's rows, each cell an attribute named by its column."""
    return list(table.itertuples(index=False))
