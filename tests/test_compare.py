"""`tune-mnist compare A B`: which points two folders share, which test goes with them, and what it says."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy import stats
from tables import complete, seeded_sweep, write_folder

from tune_mnist.__main__ import main
from tune_mnist.mnist.task import MNIST
from tune_mnist.verdicts.compare import compare_points, differing

A = {0.01: [0.950, 0.952, 0.948], 0.05: [0.980, 0.983, 0.978], 0.001: [0.87, 0.871, 0.866]}
B = {0.05: [0.984, 0.988, 0.983], 0.01: [0.951, 0.951, 0.949], 0.1: [0.985, 0.986, 0.987]}


def table(accuracies: dict[Any, list[float]], first_seed: int = 1, **common: Any) -> pd.DataFrame:
    """A learning-rate sweep; its trainings are its own, as another data set's or another setting's are."""
    points = seeded_sweep("lr", accuracies, **common)
    points["seed"] += first_seed - 1
    return complete(points).assign(run=lambda rows: [f"{common}{key}" for key in rows["run"]])


def found(a: pd.DataFrame, b: pd.DataFrame) -> dict[str, Any]:
    return {row["value"]: row for _, row in compare_points(a, b, MNIST).iterrows()}


def test_points_of_both_are_compared_in_the_order_of_the_first() -> None:
    compared = compare_points(table(A), table(B, dropout=0.1), MNIST)
    assert compared["value"].tolist() == ["0.01", "0.05"]


def test_equal_seeds_are_paired() -> None:
    row = found(table(A), table(B, dropout=0.1))["0.05"]
    expected = stats.ttest_rel(B[0.05], A[0.05])
    interval = expected.confidence_interval(0.975)  # of two comparisons
    assert row["test"] == "paired"
    assert row["difference"] == pytest.approx(0.985 - 0.980333, abs=1e-6)
    assert (row["low"], row["high"], row["p"]) == pytest.approx((interval.low, interval.high, expected.pvalue))
    assert (row["p_holm"], row["resolved"]) == (pytest.approx(2 * expected.pvalue), "yes")


def test_other_seeds_are_compared_by_welch() -> None:
    row = found(table(A), table(B, first_seed=11, dropout=0.1))["0.05"]
    assert row["test"] == "Welch"
    assert row["p"] == pytest.approx(stats.ttest_ind(B[0.05], A[0.05], equal_var=False).pvalue)
    assert (row["n_a"], row["n_b"]) == (3, 3)


def test_where_some_seeds_match_only_those_count() -> None:
    """Seeds 1, 2, 3 and 2, 3, 4: two pairs, and every number in the row is of them."""
    row = found(table(A), table(B, first_seed=2, dropout=0.1))["0.05"]
    assert (row["test"], row["n_a"], row["n_b"]) == ("paired", 2, 2)
    assert (row["mean_a"], row["mean_b"]) == pytest.approx(((0.983 + 0.978) / 2, (0.984 + 0.988) / 2))
    assert row["difference"] == pytest.approx(row["mean_b"] - row["mean_a"])


@pytest.mark.parametrize("first_seed", [1, 9], ids=["the same seed", "another seed"])
def test_one_seed_is_not_tested(first_seed: int) -> None:
    row = found(table({0.01: [0.95]}), table({0.01: [0.96]}, first_seed=first_seed, dropout=0.1))["0.01"]
    assert (row["test"], row["resolved"]) == ("one seed", "-")
    assert row["difference"] == pytest.approx(0.01)


def test_the_same_trainings_are_not_set_against_themselves() -> None:
    row = found(table(A), table(A))["0.05"]
    assert (row["test"], row["difference"], row["resolved"]) == ("same runs", 0, "-")


def test_failed_points_are_not_compared() -> None:
    compared = found(table({0.01: [0.95, -1, 0.94], 0.05: [-1, -1, -1]}), table(B, dropout=0.1))
    assert list(compared) == ["0.01"]
    assert compared["0.01"]["n_a"] == 2


def test_what_was_held_otherwise_is_named() -> None:
    other = table(B, dropout=0.1, threads=4, dataset="digits")
    assert differing(table(A), other, MNIST) == [
        "dataset: A mnist, B digits",
        "dropout: A 0.25, B 0.1",
        "threads: A 1, B 4",
    ]
    assert differing(table(A), table(B), MNIST) == []  # the learning rate is swept


def test_what_one_sweep_held_otherwise_is_named_though_another_sweeps_it() -> None:
    """At 0.01 the one trained 5 epochs and the other 3."""
    epochs = complete(seeded_sweep("epochs", {1: [0.9, 0.91], 5: [0.95, 0.96]}))
    a, b = (pd.concat([epochs, table(A, epochs=asked)], ignore_index=True) for asked in (5, 3))
    assert differing(a, b, MNIST) == ["epochs: A 5, B 3 (sweep lr)"]


# The command


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["tune-mnist", "compare", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "160")
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_command_prints_what_differs_and_one_line_per_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a = write_folder(tmp_path / "a", seeded_sweep("lr", A))
    b = write_folder(tmp_path / "b", seeded_sweep("lr", B, dropout=0.1))
    assert command(monkeypatch, a, b) == 0
    out = capsys.readouterr().out
    assert out.startswith("dropout: A 0.25, B 0.1\n")
    line = re.search(r"^lr +0\.05 .*$", out, re.MULTILINE)
    assert line
    cells = re.split(r"  +", line[0].strip())
    assert cells[:3] == ["lr", "0.05", "98.03 % (n=3)"]
    assert cells[3:5] == ["98.50 % (n=3)", "+0.47"]
    assert cells[6] == "paired"
    assert cells[8] == "yes"
    assert "0.001" not in out  # A alone has it


def test_the_command_needs_two_folders_with_something_in_common(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a = write_folder(tmp_path / "a", seeded_sweep("lr", A))
    b = write_folder(tmp_path / "b", seeded_sweep("batch_size", {64: [0.95, 0.96]}, sweep="batch"))
    for arguments, said in (
        ((a, b), "have no finished point in common"),
        ((a, tmp_path / "none"), "there is no folder"),
        ((a, tmp_path), "there is no table"),
        ((a,), "B"),
    ):
        assert command(monkeypatch, *arguments) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1


def test_an_interval_goes_with_the_corrected_p() -> None:
    """Alone, the differences at 0.02 have p = 0.0488; as one of four they are not resolved, and neither excludes 0."""
    same, more = [0.950, 0.952, 0.948], [0.9530, 0.9565, 0.9500]
    near = [0.9501, 0.9518, 0.9481]
    points = [complete(seeded_sweep("lr", {0.01: same, 0.02: one, 0.05: same, 0.1: same})) for one in (same, more)]
    points[1].loc[points[1]["lr"] != 0.02, "test_accuracy"] = [*near, *near[::-1], *near]
    points[1]["run"] = points[1]["run"].str[::-1]
    row = found(*points)["0.02"]
    assert row["p"] == pytest.approx(0.0488, abs=1e-4)
    assert row["resolved"] == "no"
    assert row["low"] < 0 < row["high"]
