"""What a reader needs to decide: statistics against numbers worked by hand, published ones and SciPy's."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tables import CURVE, complete, curve_sweep, seeded_sweep

from tune_mnist.mnist.datasets import load
from tune_mnist.mnist.task import MNIST, prepared
from tune_mnist.results.summary import summarise
from tune_mnist.statistics.improvement import improvement
from tune_mnist.statistics.intervals import apart, holm, levels, paired
from tune_mnist.statistics.margin import against_margin
from tune_mnist.statistics.power import pairs_needed, power
from tune_mnist.statistics.shares import is_guessing, share_error, two_shares
from tune_mnist.task import recorded

SEEDS = st.lists(st.sampled_from([0.90, 0.91, 0.93, 0.94, 0.97]), min_size=2, max_size=6)
ASKED = replace(
    MNIST,
    measures=tuple(
        replace(one, examples=10_000, chance=0.1135) if one.name == "test_accuracy" else one for one in MNIST.measures
    ),
)


# The probability of improvement


def test_a_probability_of_improvement_worked_by_hand() -> None:
    """Of the nine pairs of 2, 4, 6 and 1, 4, 5: 1 + 1.5 + 3 = 5.5 are won, a tie as a half."""
    assert improvement([2, 4, 6], [1, 4, 5]).probability == pytest.approx(5.5 / 9)


@given(SEEDS, SEEDS)
def test_a_probability_of_improvement_is_scipys_u(values: list[float], base: list[float]) -> None:
    found = improvement(values, base)
    u = stats.mannwhitneyu(values, base, method="asymptotic").statistic
    assert found.probability == pytest.approx(u / len(values) / len(base))
    assert 0 <= found.low <= found.probability <= found.high <= 1


def test_its_interval_is_newcombes() -> None:
    """Method 5: each end is 1.96 of its own errors away; in these, (n + m) / 2 - 1 stands for both n - 1 and m - 1."""
    for values, base in (([1, 2, 3], [4, 5, 6]), ([1, 3, 5, 7], [2, 4, 6])):
        found, n, m = improvement(values, base), len(values), len(base)
        for end in {found.low, found.high} - {0.0, 1.0}:
            inside = 1 + ((n + m) / 2 - 1) * ((1 - end) / (2 - end) + end / (1 + end))
            error = math.sqrt(end * (1 - end) * inside / (n * m))
            assert abs(found.probability - end) == pytest.approx(1.95996 * error, rel=1e-4)
    assert improvement([4, 5, 6], [1, 2, 3]).low == pytest.approx(0.5010, abs=1e-4)


def test_one_seed_has_a_share_and_no_interval() -> None:
    assert improvement([2], [1]).probability == 1
    assert math.isnan(improvement([2], [1]).low)
    assert math.isnan(improvement([], [1]).probability)


def test_improvement_respects_which_way_is_better() -> None:
    table = summarise(curve_sweep("rate", {0.1: [0.20, 0.22, 0.24], 1.0: [0.10, 0.11, 0.23]}), CURVE)
    (row,) = [row for _, row in table.iterrows() if row["value"] == "1"]
    assert row["improvement"] == pytest.approx(7 / 9)  # 0.23 is more than 0.20 and 0.22


# What the number of test examples says


def test_the_error_of_a_share_is_the_binomial_one() -> None:
    """98.2 % of 10,000: 0.13 points."""
    assert 100 * share_error(0.982, 10_000) == pytest.approx(0.133, abs=5e-4)
    assert math.isnan(share_error(0.982, 0))


@given(st.integers(0, 400), st.sampled_from([0.1, 0.1135, 0.5]))
def test_guessing_and_a_shares_interval_are_scipys(right: int, chance: float) -> None:
    """Of 400 answers. Above a share of 0, whose interval begins there, a difference reaches as far as the share."""
    exact = stats.binomtest(right, 400, chance, "greater").pvalue
    assert is_guessing(right / 400, 400, chance) == (exact >= 0.05)
    wilson = stats.binomtest(right, 400).proportion_ci(0.95, "wilson")
    found = two_shares(right / 400, 0.0, 400)
    assert found.high == pytest.approx(wilson.high)


def test_a_difference_of_two_shares_is_newcombes_example() -> None:
    """9 of 10 against 3 of 10: 0.1705 to 0.8090 (Newcombe 1998, Stat. Med. 17, 873, table II, method 10)."""
    found = two_shares(0.9, 0.3, 10)
    assert (found.mean, found.low, found.high) == pytest.approx((0.6, 0.1705, 0.8090), abs=1e-4)


@pytest.mark.parametrize(("share", "so"), [(0.0974, True), (0.1135, True), (0.1185, True), (0.12, False), (0.9, False)])
def test_what_is_no_better_than_guessing(share: float, so: bool) -> None:
    """Always naming MNIST's most common class gives 11.35 %, with a standard error of 0.32 points."""
    assert is_guessing(share, 10_000, 0.1135) is so


def test_mnist_knows_how_many_images_were_asked_and_what_guessing_gives() -> None:
    data = load("digits", Path("data"), print)
    task = prepared(data, "cpu", 1, "fp32")
    asked, counts = len(data.test.labels), Counter(data.test.labels.tolist())
    assert (task.judged.examples, task.judged.chance) == (asked, max(counts.values()) / asked)
    assert [one.examples for one in task.measures[1:]] == [0] * 4
    assert recorded(json.loads(json.dumps(task.record()))).judged == task.judged


def test_a_summary_says_what_the_examples_say_where_their_number_is_known() -> None:
    points = complete(seeded_sweep("lr", {0.01: [0.951], 0.02: [0.952], 0.05: [0.98], 10.0: [0.102]}))
    found = {row["value"]: row for _, row in summarise(points, ASKED).iterrows()}
    assert 100 * found["0.05"]["share_error"] == pytest.approx(0.14, abs=1e-3)
    assert [found[value]["guessing"] for value in found] == [0, 0, 0, 1]
    assert found["0.02"]["answers_low"] < 0 < found["0.02"]["answers_high"]
    assert found["0.05"]["answers_low"] > 0
    assert summarise(points, MNIST)[["share_error", "answers_low"]].isna().all(axis=None)


# Intervals that say what Holm's correction says


def test_levels_worked_by_hand() -> None:
    """Of three, 0.001 is below 0.05 / 3; 0.02 and 0.04 are resolved by the second and the third step alone."""
    assert levels([0.04, 0.001, 0.02]) == pytest.approx([0.95, 1 - 0.05 / 3, 0.975])
    assert levels([0.04, 0.03, math.nan]) == pytest.approx([0.975] * 3)
    assert levels([]) == []


@given(st.lists(st.lists(st.floats(-1, 1), min_size=3, max_size=3), min_size=1, max_size=6))
def test_an_interval_excludes_0_just_where_holm_resolves(differences: list[list[float]]) -> None:
    p = [paired(one, [0, 0, 0]).p for one in differences]
    for one, corrected, level in zip(differences, holm(p), levels(p), strict=True):
        found = paired(one, [0, 0, 0], level)
        if not math.isnan(found.p) and abs(corrected - 0.05) > 1e-9:
            assert (found.low > 0 or found.high < 0) == (corrected < 0.05)


def test_pairs_of_settings_are_scipys_paired_test_corrected_by_holm() -> None:
    table = np.random.default_rng(3).normal([0, 0, 2.5, 5], 0.5, (4, 4))
    table[0, 1] = math.nan
    pairs = [(a, b) for a, b in product(range(4), repeat=2) if a < b]
    known = [table[~np.isnan(table[:, [a, b]]).any(axis=1)][:, [a, b]] for a, b in pairs]
    p = holm([float(stats.ttest_rel(one[:, 0], one[:, 1]).pvalue) for one in known])
    told = {pair for pair, corrected in zip(pairs, p, strict=True) if corrected < 0.05}
    assert {(a, b) for a, others in enumerate(apart(table)) for b in others if a < b} == told
    assert 0 < len(told) < len(pairs)


# The margin, and how many seeds it takes


@pytest.mark.parametrize(
    ("gain", "word"),
    [
        ((0.1, 0.5), "better"),
        ((-0.1, 0.5), "no worse"),
        ((-0.15, -0.05), "no worse"),
        ((-0.5, -0.05), "worse"),
        ((-0.5, 0.1), "not known"),
        ((math.nan, math.nan), "not known"),
    ],
)
def test_a_gain_against_a_margin(gain: tuple[float, float], word: str) -> None:
    assert against_margin(gain, 0.2) == word


def test_a_margin_is_in_the_unit_that_is_shown() -> None:
    """The difference at 0.02 is 0.02 points, −0.08 to +0.12: no worse by 0.2 points, and not known by 0.05."""
    points = complete(seeded_sweep("lr", {0.01: [0.950, 0.952, 0.948], 0.02: [0.9502, 0.9526, 0.9478]}))
    words = [summarise(points, MNIST, {"lr": margin})["to_margin"].tolist() for margin in (0.2, 0.05)]
    assert words == [["", "no worse"], ["", "not known"]]
    assert summarise(points, MNIST)["to_margin"].tolist() == ["", ""]


def test_less_is_better_against_a_margin_too() -> None:
    table = summarise(curve_sweep("rate", {0.1: [0.20, 0.22, 0.24], 1.0: [0.10, 0.12, 0.141]}), CURVE, {"rate": 0.05})
    assert table["to_margin"].tolist() == ["", "better"]


@pytest.mark.parametrize(("effect", "pairs"), [(0.5, 34), (0.8, 15), (1.0, 10)])
def test_pairs_that_a_paired_t_test_needs_are_those_of_the_tables(effect: float, pairs: int) -> None:
    """Cohen's table for a power of 80 % at 5 %, two-sided, as G*Power has it."""
    assert pairs_needed(effect, 1.0, 0.05) == pairs
    assert power(pairs - 1, effect, 0.05) < 0.8 <= power(pairs, effect, 0.05)


def test_what_no_number_of_seeds_resolves() -> None:
    assert pairs_needed(0.001, 1.0, 0.05) is None
    assert pairs_needed(0.0, 1.0, 0.05) is None
    assert pairs_needed(1.0, 0.0, 0.05) is None
