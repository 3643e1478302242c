"""Numbers and values as people write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tune_mnist.results.values import said, text
from tune_mnist.words import from_to, seconds


@pytest.mark.parametrize(
    ("value", "written"),
    [
        *[(0.01, "0.01"), (0.010000000000000002, "0.01"), (1e-4, "0.0001"), (1e-5, "1e-5"), (2.5e-7, "2.5e-7")],
        *[(1e6, "1e6"), (np.float64(1e6), "1e6"), (1000000, "1000000"), (20000.0, "20000"), (123456.5, "123456.5")],
        *[(0.0, "0"), (-1e6, "-1e6"), (False, "false"), (np.True_, "true"), ("SGD", "SGD"), (None, "–")],
        *[(64, "64"), (np.int64(64), "64")],
    ],
)
def test_a_value_is_written_as_it_is_typed(value: Any, written: str) -> None:
    assert text(value) == written
    assert value is None or isinstance(value, (str, bool, np.bool_)) or float(written) == pytest.approx(float(value))


def test_the_values_of_a_cross_have_commas() -> None:
    assert said("0.05*16") == "0.05, 16"
    assert said(0.05) == "0.05"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        *[(0.0512, "0.0512 s"), (9.876, "9.88 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (92, "1 min 32 s")],
        *[(3599.6, "1 h 00 min"), (7500, "2 h 05 min")],
    ],
)
def test_measured_times_have_one_style(value: float, written: str) -> None:
    assert seconds(value) == written


def test_counts_are_one_number_where_they_are_equal() -> None:
    assert [from_to(counts) for counts in ([3, 3], [9, 3, 4], [])] == ["3", "3 to 9", ""]
