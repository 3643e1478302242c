"""Swept values as people write them: numbers where all are numbers, otherwise names; and the words around them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd


def text(value: Any) -> str:
    """A value in words: "0.01", "true", and "all" for a missing train_size."""
    if isinstance(value, (str, bool, np.bool_)):
        return value if isinstance(value, str) else str(value).lower()
    return "all" if pd.isna(value) else f"{value:.10g}"  # ten digits: a CSV may give 0.01 back with another last bit


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
    """The swept value of each row of one sweep, in words; those of a cross are joined by `*`.

    They come from the variables' own columns: in a CSV the column `value` holds numbers, names and switches together.
    """
    columns = [points[part].map(text) for part in points["variable"].iloc[0].split("*")]
    joined: pd.Series = columns[0]
    for column in columns[1:]:
        joined = joined + "*" + column
    return joined


def combined(value: str) -> str:
    """The values of a cross as a person reads them: "0.05, 0"."""
    return value.replace("*", ", ")


def name(variable: str) -> str:
    """A hyper-parameter in words."""
    return {"lr": "learning rate", "train_size": "training set size"}.get(variable, variable.replace("_", " "))


def words(variables: str) -> str:
    """The variables of a sweep, as its column `variable` has them, in words: "learning rate and dropout"."""
    return " and ".join(map(name, variables.split("*")))


def rows_of(table: pd.DataFrame) -> list[Any]:
    """The table's rows, each cell an attribute named by its column."""
    return list(table.itertuples(index=False))
