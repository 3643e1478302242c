"""Means, intervals and differences: against numbers worked by hand, against SciPy's own, and on tables with holes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tables import CURVE, curve_sweep, sweep

from tune_mnist.mnist.task import MNIST
from tune_mnist.results import summary
from tune_mnist.statistics.intervals import estimate, holm, paired, unpaired

NUMBERS = st.lists(st.floats(-100, 100, allow_nan=False), min_size=2, max_size=9)


def summarise(points: pd.DataFrame) -> pd.DataFrame:
    return summary.summarise(points, MNIST)


def rows(table: pd.DataFrame) -> dict[str, Any]:
    return {row["value"]: row for _, row in table.iterrows()}


def seeded(accuracies: dict[float, list[float]], **common: object) -> pd.DataFrame:
    """A learning-rate sweep with these accuracies, one seed each."""
    points = [(lr, seed, one, 300.0) for lr, listed in accuracies.items() for seed, one in enumerate(listed, start=1)]
    table = sweep("lr", points, **common)
    return table.assign(run=[f"{lr} {seed}" for lr, seed in zip(table["lr"], table["seed"], strict=True)])


def test_an_interval_worked_by_hand() -> None:
    """1, 2, 3: mean 2, sd 1; t(0.975, 2) is 4.3027 in any table, so 2 ± 4.3027 / √3."""
    found = estimate([1, 2, 3])
    assert (found.n, found.mean, found.sd) == (3, 2, 1)
    assert (found.low, found.high) == pytest.approx((-0.4841, 4.4841), abs=1e-4)


@given(NUMBERS)
def test_an_interval_is_scipys(values: list[float]) -> None:
    if np.ptp(values) > 1e-3:
        found, interval = estimate(values), stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-6)


def test_one_value_has_no_interval() -> None:
    found = estimate([0.95])
    assert (found.n, found.mean) == (1, 0.95)
    assert all(map(math.isnan, (found.sd, found.low, found.high)))


def test_no_value_has_no_mean() -> None:
    assert estimate([]).n == 0
    assert math.isnan(estimate([]).mean)


def test_a_paired_difference_worked_by_hand() -> None:
    """Differences 1, 2, 3: t = 2 / (1 / √3) = 3.4641 with 2 degrees of freedom, p = 0.0742."""
    found = paired([2, 4, 6], [1, 2, 3])
    assert (found.n, found.mean) == (3, 2)
    assert (found.low, found.high, found.p) == pytest.approx((-0.4841, 4.4841, 0.0742), abs=1e-4)


def test_pairing_takes_out_what_a_seed_shares() -> None:
    """Seeds differ by whole points, the settings by a tenth: only pair by pair can that be seen."""
    base, other = [0.90, 0.93, 0.96, 0.91], [0.9011, 0.9309, 0.9610, 0.9110]
    assert paired(other, base).p < 0.001
    assert unpaired(other, base).p > 0.5


@pytest.mark.parametrize("values", [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], ids=["equal", "moved by 0.3"])
def test_differences_without_spread_are_not_tested(values: list[float]) -> None:
    """A t test would divide by 0 and be sure of a few seeds that agree by chance."""
    found = paired(values, [0.1, 0.2, 0.3])
    assert found.mean == pytest.approx(values[0] - 0.1)
    assert all(map(math.isnan, (found.low, found.high, found.p)))


def test_one_pair_is_not_tested() -> None:
    assert math.isnan(paired([0.9], [0.8]).p)
    assert paired([0.9], [0.8]).mean == pytest.approx(0.1)


@given(NUMBERS, NUMBERS)
def test_an_unpaired_difference_is_welchs(first: list[float], second: list[float]) -> None:
    if np.ptp(first) > 1e-3 and np.ptp(second) > 1e-3:
        assert unpaired(first, second).p == pytest.approx(stats.ttest_ind(first, second, equal_var=False).pvalue)


def test_holms_correction_worked_by_hand() -> None:
    """0.01 × 4, 0.02 × 3, then 0.03 × 2 and 0.04 × 1, neither below what came before."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_holm_leaves_out_what_was_not_tested() -> None:
    corrected = holm([math.nan, 0.02, 0.04])
    assert math.isnan(corrected[0])
    assert corrected[1:] == pytest.approx([0.04, 0.04])


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_never_lowers_a_p_and_is_at_most_bonferronis(p: list[float]) -> None:
    for corrected, before in zip(holm(p), p, strict=True):
        assert before <= corrected <= min(1, before * len(p)) + 1e-12


def test_one_row_per_point_with_its_difference_to_the_baseline() -> None:
    made = summarise(seeded({0.01: [0.950, 0.952, 0.948], 0.05: [0.980, 0.983, 0.978], 0.001: [0.950, 0.953, 0.946]}))
    found = rows(made)
    assert list(found) == ["0.01", "0.05", "0.001"]
    assert (found["0.05"]["accuracy_n"], found["0.05"]["accuracy_mean"]) == (3, pytest.approx(0.980333, abs=1e-6))
    assert found["0.05"]["difference"] == pytest.approx(0.030333, abs=1e-6)
    assert [found[value]["resolved"] for value in found] == ["baseline", "yes", "no"]


def test_p_is_corrected_for_the_sweeps_other_values() -> None:
    """Alone the difference would be resolved; as one of three comparisons it is not."""
    base, better = [0.950, 0.952, 0.948], [0.9532, 0.9544, 0.9508]
    same = [0.9501, 0.9518, 0.9481]
    alone = rows(summarise(seeded({0.01: base, 0.05: better})))["0.05"]
    among = rows(summarise(seeded({0.01: base, 0.05: better, 0.1: same, 0.2: same[::-1]})))["0.05"]
    assert alone["p"] == among["p"]
    assert (alone["resolved"], among["p_holm"]) == ("yes", pytest.approx(3 * alone["p"]))


def test_a_seed_that_failed_leaves_its_pair_out() -> None:
    table = seeded({0.01: [0.95, 0.96, 0.94], 0.05: [0.98, -1, 0.97]})
    found = rows(summarise(table))["0.05"]
    assert (found["accuracy_n"], found["pairs"], found["not_done"]) == (2, 2, 1)
    assert found["difference"] == pytest.approx(0.03)


def test_one_seed_says_so() -> None:
    found = rows(summarise(seeded({0.01: [0.95], 0.05: [0.98]})))["0.05"]
    assert found["resolved"] == "one seed"
    assert math.isnan(found["accuracy_low"])


def test_no_spread_and_no_seed_in_common_say_so() -> None:
    table = seeded({0.01: [0.95, 0.96, -1], 0.05: [0.96, 0.97, 0.99], 0.1: [-1, -1, 0.9]})
    found = rows(summarise(table))
    assert [found[value]["resolved"] for value in ("0.05", "0.1")] == ["no spread", "no seed in common"]
    assert found["0.05"]["difference"] == pytest.approx(0.01)


def test_without_a_baseline_there_is_no_difference() -> None:
    found = rows(summarise(seeded({0.02: [0.95, 0.96], 0.05: [0.98, 0.97]})))["0.05"]
    assert found["resolved"] == "no baseline"
    assert math.isnan(found["difference"])


def test_points_of_one_training_are_marked() -> None:
    table = sweep("epochs", [(1, 1, 0.92, 60.0), (5, 1, 0.95, 300.0), (15, 1, 0.96, 900.0)])
    found = rows(summarise(table.assign(run=["a", "a", "b"])))
    assert [found[value]["same_run"] for value in found] == ["5", "1", ""]


def test_correlated_points_are_compared_seed_by_seed() -> None:
    """Points of one training count once per seed: n is the seeds, not the points, and so are the degrees of freedom."""
    points = [(e, s, 0.9 + 0.01 * e + 0.005 * s, 60.0 * e) for e in (1, 5) for s in (1, 2, 3)]
    table = sweep("epochs", points)
    found = rows(summarise(table.assign(run=table["seed"].map(str))))["1"]
    assert found["pairs"] == 3


def test_times_under_other_conditions_are_left_out() -> None:
    table = seeded({0.01: [0.95, 0.95, 0.95], 0.05: [0.98, 0.98, 0.98]})
    table.loc[4, ["concurrent", "train_time_s"]] = [1, 900.0]
    assert len(summary.timed_alike(table, MNIST)) == 5
    found = rows(summarise(table))["0.05"]
    assert (found["time_n"], found["time_mean"]) == (2, 300.0)


def test_values_are_read_from_the_variables_own_column() -> None:
    table = sweep("shuffle", [(True, 1, 0.95, 1.0), (False, 1, 0.94, 1.0)], value="?").assign(run=["a", "b"])
    assert list(rows(summarise(table))) == ["true", "false"]


def test_a_task_of_other_measures_has_columns_of_its_own() -> None:
    """Differences are what was measured less the baseline, whichever way is better."""
    made = summary.summarise(curve_sweep("rate", {0.1: [0.20, 0.22, 0.21], 1.0: [0.30, 0.33, 0.32]}), CURVE)
    measured = [name for name in made.columns if name.startswith("loss_")]
    assert measured == ["loss_n", "loss_mean", "loss_sd", "loss_low", "loss_high"]
    found = rows(made)
    assert found["1"]["loss_mean"] == pytest.approx(0.316667, abs=1e-6)
    assert found["1"]["difference"] == pytest.approx(0.106667, abs=1e-6)
    assert (found["0.1"]["resolved"], found["1"]["resolved"]) == ("baseline", "yes")


def test_a_summary_can_be_had_without_the_measures_name() -> None:
    made = summary.without_stem(summary.summarise(curve_sweep("rate", {0.1: [0.2]}), CURVE), CURVE)
    assert {"n", "mean", "sd", "low", "high", "time_mean"} <= set(made.columns)
    assert summary.without_stem(made, CURVE).columns.tolist() == made.columns.tolist()
