"""The interaction of a cross: against numbers worked by hand, against SciPy's and NumPy's on the same, and in words."""

from __future__ import annotations

import csv
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tables import BASELINE, read_folder, sweep, write_folder

from tune_mnist.figures.interaction import draw_interaction, interaction_curves
from tune_mnist.mnist.task import MNIST
from tune_mnist.report.write import write_report
from tune_mnist.results.interaction import interactions, told
from tune_mnist.statistics.interaction import interaction

# Seeds 1, 2, 3. The effect of the one is 2, 2, 5 alone and 5, 6, 10 beside the other: contrasts 3, 4, 5.
BASE, ONE, OTHER, BOTH = [1.0, 2.0, 3.0], [3.0, 4.0, 8.0], [2.0, 1.0, 1.0], [7.0, 7.0, 11.0]


def test_an_interaction_worked_by_hand() -> None:
    """Contrasts 3, 4, 5: mean 4, sd 1, so 4 ± 4.3027 / √3, and t = 4 √3 = 6.9282 with 2 degrees of freedom."""
    found = interaction(BASE, ONE, OTHER, BOTH)
    assert (found.at_base, found.at_other, found.found.n, found.found.mean) == (3, 7, 3, 4)
    assert (found.found.low, found.found.high) == pytest.approx((1.5159, 6.4841), abs=1e-4)
    assert found.found.p == pytest.approx(2 * stats.t.sf(6.9282, 2), abs=1e-6)


def test_it_is_the_interaction_term_of_least_squares_and_of_the_analysis_of_variance() -> None:
    """A model with the two factors, their product, and a block for each seed and for its answer to each factor."""
    y = np.array([BASE, ONE, OTHER, BOTH])  # (cell, seed)
    design = [[1, one, other, one * other] for other, one in itertools.product((0, 1), repeat=2)]
    slope = np.linalg.lstsq(np.array(design, float), y.mean(axis=1), rcond=None)[0][3]
    cells = y.reshape(2, 2, 3)  # other, one, seed
    rest = cells - cells.mean(axis=0) - cells.mean(axis=1)[:, None] + cells.mean(axis=(0, 1))
    between = 3 * ((rest.mean(axis=2)) ** 2).sum()
    within = ((rest - rest.mean(axis=2)[:, :, None]) ** 2).sum() / 2  # of (2 - 1) (2 - 1) (3 - 1) degrees of freedom
    found = interaction(BASE, ONE, OTHER, BOTH).found
    assert found.mean == pytest.approx(slope)
    assert found.p == pytest.approx(stats.f.sf(between / within, 1, 2))


def crossing(accuracy: Any, values: dict[str, list[Any]], seeds: int = 3) -> pd.DataFrame:
    """A cross of these values: `accuracy(row, seed)` in each cell."""
    rows = [
        {**dict(zip(values, one, strict=True)), "seed": seed}
        for one in itertools.product(*values.values())
        for seed in range(1, seeds + 1)
    ]
    points = [(row["seed"], row["seed"], accuracy(row, row["seed"]), 60.0) for row in rows]
    made = sweep("seed", points, sweep="cross").assign(variable="*".join(values), **pd.DataFrame(rows))
    made["baseline"] = [all(row[name] == BASELINE[name] for name in values) for row in rows]
    return made


def dependent(row: dict[str, Any], seed: int) -> float:
    """Without dropout it is one point better at the baseline's lr and, give or take a bit, three worse at another."""
    effect = (0.01 if row["lr"] == 0.01 else -0.03 + seed / 1000) if row["dropout"] == 0.0 else 0.0
    return 0.95 + effect + seed / 500


def additive(row: dict[str, Any], seed: int) -> float:
    noise = np.random.default_rng([seed, round(row["lr"] * 1000), round(row["dropout"] * 100)]).normal(scale=0.003)
    return float(0.94 + row["lr"] / 10 + row["dropout"] / 10 + noise)


TWO: dict[str, list[Any]] = {"lr": [0.1, 0.01], "dropout": [0.25, 0.0]}


def test_the_effect_of_one_that_depends_on_the_other_is_told_with_its_interval() -> None:
    """Contrasts −0.039, −0.038, −0.037: mean −3.80 points, ± 4.3027 · 0.1 / √3 = 0.25."""
    table = interactions(crossing(dependent, TWO), MNIST)
    assert table[["variable", "base", "value", "beside", "beside_base", "beside_value"]].to_numpy().tolist() == [
        ["dropout", "0.25", "0", "lr", "0.01", "0.1"]
    ]
    assert told(table, MNIST) == (
        "The effect of dropout depends on learning rate: from dropout 0.25 to 0 it is +1.00 points at lr 0.01 and "
        "−2.80 points at 0.1; the difference of the two, −3.80 points (95 %: −4.05 to −3.55), is resolved."
    )


def test_without_an_interaction_none_is_claimed_and_none_denied() -> None:
    table = interactions(crossing(additive, {"lr": [0.01, 0.1, 0.2], "dropout": [0.25, 0.0]}), MNIST)
    assert table["resolved"].tolist() == ["no", "no"]
    said = told(table, MNIST)
    assert said.startswith("No interaction of learning rate and dropout is resolved; that is not to say that there is")
    assert said.endswith("is the largest one seen.")


def test_p_is_corrected_by_holm_over_all_cells() -> None:
    table = interactions(crossing(additive, {"lr": [0.01, 0.1, 0.2], "dropout": [0.25, 0.0]}), MNIST)
    low, high = sorted(table["p"])
    assert sorted(table["p_holm"]) == pytest.approx([min(1, 2 * low), max(min(1, 2 * low), high)])


def test_one_seed_cannot_tell() -> None:
    said = told(interactions(crossing(dependent, TWO, seeds=1), MNIST), MNIST)
    assert said == "With one seed per point, it cannot be told whether the effect of dropout depends on learning rate."


def test_a_cell_that_is_not_done_is_said() -> None:
    points = crossing(dependent, TWO)
    points.loc[(points["lr"] == 0.1) & (points["dropout"] == 0.0), "status"] = "failed"
    table = interactions(points, MNIST)
    assert table["resolved"].tolist() == ["not done"]
    assert told(table, MNIST).endswith("depends on learning rate: not done.")


def test_without_the_baseline_effects_are_taken_from_the_first_values() -> None:
    table = interactions(crossing(dependent, {"lr": [0.2, 0.1], "dropout": [0.0, 0.5]}), MNIST)
    assert table[["base", "value", "beside_base", "beside_value"]].to_numpy().tolist() == [["0", "0.5", "0.2", "0.1"]]


def test_a_cross_of_three_has_each_pair_with_the_third_at_its_base() -> None:
    table = interactions(crossing(additive, {"batch_size": [64, 32], "lr": [0.01, 0.1], "dropout": [0.25, 0.0]}), MNIST)
    pairs = table[["beside", "variable", "held"]].to_numpy().tolist()
    assert pairs == [
        ["batch_size", "lr", "dropout 0.25"],
        ["batch_size", "dropout", "lr 0.01"],
        ["lr", "dropout", "batch_size 64"],
    ]


@pytest.mark.parametrize("variable", ["lr+dropout", "lr"], ids=["moved together", "one variable"])
def test_what_is_not_combined_has_no_interaction(variable: str) -> None:
    points = crossing(dependent, TWO).assign(variable=variable)
    assert interactions(points, MNIST).empty


def test_a_value_that_nothing_looks_at_has_no_effect_to_compare() -> None:
    points = crossing(additive, {"lr": [0.01, 0.1], "dropout": [0.25, 0.0]})
    points.loc[points["lr"] == 0.1, "dropout"] = np.nan
    assert interactions(points, MNIST).empty


def test_the_lines_of_a_cross_are_its_means_with_their_intervals() -> None:
    curves = interaction_curves(crossing(dependent, {"lr": [0.1, 0.01, 0.2], "dropout": [0.25, 0.0]}), MNIST)
    assert curves[["line", "value"]].drop_duplicates().to_numpy().tolist() == [
        [line, value] for line in ("0", "0.25") for value in (0.01, 0.1, 0.2)
    ]
    at = curves[(curves["line"] == "0.25") & (curves["value"] == 0.01)].iloc[0]
    assert (at["n"], at["mean"], at["baseline"]) == (3, pytest.approx(0.954), True)
    assert at["high"] - at["mean"] == pytest.approx(4.3027 * 0.002 / 3**0.5, abs=1e-6)


def test_the_figure_sets_the_lines_apart_and_names_them() -> None:
    figure = draw_interaction(crossing(dependent, {"lr": [0.1, 0.01, 0.2], "dropout": [0.25, 0.0]}), MNIST)
    (axes,) = figure.axes
    bars: list[Any] = axes.containers
    lines = [one.lines[0] for one in bars]
    assert len({line.get_color() for line in lines}) == 2
    assert (lines[0].get_xdata() != lines[1].get_xdata()).all()
    assert [tick.get_text().strip() for tick in axes.get_xticklabels()] == ["0.01", "0.1", "0.2"]
    (legend,) = figure.legends
    assert [one.get_text() for one in legend.get_texts()] == ["dropout:", "0.25 (baseline)", "0"]


def test_the_report_shows_it_and_its_table_has_every_number(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "results", crossing(dependent, TWO))
    write_report(read_folder(folder))
    report = (folder / "report.md").read_text("utf-8").replace("\\", "")
    assert "- cross, interaction: The effect of dropout depends on learning rate: " in report
    assert "(interaction_cross.png)" in report
    (row,) = csv.DictReader((folder / "interaction.csv").read_text("utf-8").splitlines())
    (line,) = re.findall(r"^\| dropout 0\.25 → 0 \|.*$", report, flags=re.MULTILINE)
    numbers = [
        f"{100 * float(row[name]):+.2f}".replace("-", "−") for name in ("effect", "effect_at_base", "interaction")
    ]
    assert line.split(" | ")[1:6] == ["lr 0.1, base 0.01", "3", *numbers]
    assert line.endswith(f"| {float(row['p_holm']):.4f} | resolved |")


def test_a_folder_without_a_cross_has_no_such_table(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "results", sweep("lr", [(0.01, 1, 0.95, 60.0), (0.1, 1, 0.97, 60.0)]))
    write_report(read_folder(folder))
    assert not (folder / "interaction.csv").exists()
