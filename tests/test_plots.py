"""What the plots show: the tables against numbers worked by hand, the drawings against what a reader would look for."""

from __future__ import annotations

import io
import itertools
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from tables import BASELINE, CURVE, complete, curve_sweep, epochs_of, sweep

from tune_mnist.errors import UserError
from tune_mnist.figures import curve, heatmap, learning
from tune_mnist.figures import tradeoff as against
from tune_mnist.figures.gallery import Drawn
from tune_mnist.figures.gallery import save_figures as save
from tune_mnist.figures.style import INK
from tune_mnist.measure import Measure
from tune_mnist.mnist.task import MNIST
from tune_mnist.results.columns import TIME
from tune_mnist.results.read import Results
from tune_mnist.words import typed

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

LR = [(0.01, 1, 0.95, 300.0), (0.001, 1, 0.87, 310.0), (0.05, 1, 0.98, 320.0)]
SEEDED = [(0.01, 1, 0.94, 300.0), (0.01, 2, 0.96, 330.0), (0.01, 3, 0.95, 306.0), (0.001, 1, 0.87, 290.0)]


def accuracy_curve(points: pd.DataFrame) -> pd.DataFrame:
    return curve.curve(points, MNIST.judged, MNIST)


def time_curve(points: pd.DataFrame) -> pd.DataFrame:
    return curve.curve(points, TIME, MNIST)


def draw_accuracy(points: pd.DataFrame) -> Figure:
    return curve.draw(points, MNIST.judged, MNIST)


def draw_time(points: pd.DataFrame) -> Figure:
    return curve.draw(points, TIME, MNIST)


def learning_curves(points: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    return learning.learning_curves(points, history, MNIST)


def draw_learning(points: pd.DataFrame, history: pd.DataFrame) -> Figure:
    return learning.draw_learning(points, history, MNIST)


def draw_cross(points: pd.DataFrame) -> Figure:
    return heatmap.draw_cross(points, MNIST)


def draw_tradeoff(points: pd.DataFrame) -> Figure:
    return against.draw_tradeoff(points, MNIST)


def save_figures(points: pd.DataFrame, history: pd.DataFrame | None, folder: Path) -> list[Drawn]:
    return save(Results(folder, MNIST, points, history, {}))


def texts(figure: Figure) -> str:
    """All words on the page except the axes', one line each."""
    legend = [text.get_text() for box in figure.legends for text in box.get_texts()]
    return "\n".join([figure.get_suptitle(), *(text.get_text() for text in figure.texts), *legend])


def ticks(figure: Figure) -> list[str]:
    return [label.get_text().strip() for label in figure.axes[0].get_xticklabels()]


def numbers(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def test_numbers_ascend_and_each_has_its_mean_interval_and_count() -> None:
    curve = accuracy_curve(sweep("lr", SEEDED))
    assert list(curve.columns) == ["value", "mean", "low", "high", "n", "baseline"]
    assert curve["value"].tolist() == [0.001, 0.01]
    assert curve["mean"].tolist() == pytest.approx([0.87, 0.95])
    # 95 % of Student's t: 0.95 ± 4.3027 × 0.01 / √3; one seed has none.
    assert curve["low"].tolist() == pytest.approx([np.nan, 0.92516], abs=1e-5, nan_ok=True)
    assert curve["high"].tolist() == pytest.approx([np.nan, 0.97484], abs=1e-5, nan_ok=True)
    assert curve["n"].tolist() == [1, 3]
    assert curve["baseline"].tolist() == [False, True]


def test_the_time_curve_is_in_seconds() -> None:
    curve = time_curve(sweep("lr", SEEDED))
    assert curve["mean"].tolist() == pytest.approx([290.0, 312.0])
    assert curve["n"].tolist() == [1, 3]


@pytest.mark.parametrize(
    ("variable", "given", "shown"),
    [
        ("optimizer", ["sgd", "adam", "adadelta"], ["sgd", "adam", "adadelta"]),
        ("model", ["mlp", "cnn"], ["mlp", "cnn"]),
        ("shuffle", [True, False], ["true", "false"]),
        ("train_size", [1000, 10000, "all"], ["1000", "10000", "all"]),
        ("batch_size", [256, 32], [32, 256]),
    ],
)
def test_names_keep_their_order_and_numbers_do_not(variable: str, given: list[Any], shown: list[Any]) -> None:
    results = sweep(variable, [(value, 1, 0.9, 1.0) for value in given])
    assert accuracy_curve(results)["value"].tolist() == shown
    assert ticks(draw_accuracy(results)) == [str(value) for value in shown]


def test_values_come_from_the_variables_own_column_for_value_is_text_in_a_csv() -> None:
    results = sweep("lr", LR, value="0.01 or so")
    assert accuracy_curve(results)["value"].tolist() == [0.001, 0.01, 0.05]


def test_a_table_read_back_from_csv_draws_the_same() -> None:
    results = sweep("shuffle", [(True, 1, 0.95, 1.0), (False, 1, 0.94, 1.0)])
    again = pd.read_csv(io.StringIO(results.to_csv(index=False)))
    assert png(draw_accuracy(again)) == png(draw_accuracy(results))


def test_failed_points_are_left_out_and_said() -> None:
    results = sweep("lr", [*LR, (0.5, 1, -1, -1)])
    assert accuracy_curve(results)["value"].tolist() == [0.001, 0.01, 0.05]
    assert "1 failed point (0.5)" in texts(draw_accuracy(results))


@pytest.mark.parametrize(
    ("variable", "points", "place"),
    [
        ("lr", [(0.01, 1, 0.9, 1.0), (0.1, 1, -1, -1), (0.1, 2, -1, -1), (1, 1, 0.8, 1.0)], 0.1),
        ("optimizer", [("sgd", 1, 0.9, 1.0), ("adam", 1, -1, -1), ("adamw", 1, 0.9, 1.0)], 1),
    ],
)
def test_a_failed_value_has_its_cross_in_its_place(variable: str, points: list[Any], place: float) -> None:
    figure = draw_accuracy(sweep(variable, points))
    (crosses,) = (line for line in figure.axes[0].lines if line.get_label() == "failed")
    assert (np.asarray(crosses.get_xdata()).tolist(), crosses.get_marker()) == ([place], "x")
    assert ticks(figure) == list(dict.fromkeys(str(value) for value, *_ in points))
    assert "failed" in texts(figure).split("\n")


def test_failed_and_missing_points_are_counted_apart() -> None:
    results = sweep("lr", [*LR, (0.5, 1, -1, -1), (0.6, 1, -1, -1), (0.7, 1, -1, -1)])
    results.loc[results["lr"] == 0.7, "status"] = "missing"
    said = texts(draw_time(results))
    assert "2 failed points (0.5, 0.6)" in said
    assert "1 missing point not shown (0.7)" in said


def test_a_name_keeps_its_place_though_its_first_seed_failed() -> None:
    points = [("sgd", 1, 0.9, 1.0), ("adam", 1, -1, -1), ("adamw", 1, 0.9, 1.0), ("adam", 2, 0.8, 1.0)]
    assert accuracy_curve(sweep("optimizer", points))["value"].tolist() == ["sgd", "adam", "adamw"]


@pytest.mark.parametrize(
    ("variable", "values", "scale", "label"),
    [
        ("lr", [0.001, 0.005, 0.01, 0.05], "log", "lr (learning rate, log scale)"),
        ("batch_size", [32, 64, 128, 256], "log", "batch_size (log scale)"),
        ("epochs", [1, 3, 5, 10, 15], "linear", "epochs"),
        ("weight_decay", [0, 1e-05, 0.01], "linear", "weight_decay (evenly spaced)"),
    ],
)
def test_ticks_stand_exactly_at_the_swept_values(variable: str, values: list[Any], scale: str, label: str) -> None:
    figure = draw_accuracy(sweep(variable, [(value, 1, 0.9, 1.0) for value in values]))
    axes = figure.axes[0]
    assert ticks(figure) == [typed(value) for value in values]
    assert axes.get_xticks(minor=True).tolist() == []
    assert (axes.get_xscale(), axes.get_xlabel()) == (scale, label)


def test_batch_sizes_stand_at_equal_steps_a_doubling() -> None:
    axes = draw_time(sweep("batch_size", [(value, 1, 0.9, 1.0) for value in (32, 64, 128)])).axes[0]
    places = axes.transData.transform([(value, 1) for value in (32, 64, 128)])[:, 0]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1])


def test_axes_say_their_units() -> None:
    assert draw_accuracy(sweep("lr", LR)).axes[0].get_ylabel() == "test accuracy (%)"
    assert draw_time(sweep("lr", LR)).axes[0].get_ylabel() == "training time (s)"


def test_each_number_is_on_the_plot_once() -> None:
    assert numbers(draw_accuracy(sweep("lr", LR))) == ["87.0", "95.0", "98.0"]
    assert numbers(draw_time(sweep("lr", LR))) == ["310", "300", "320"]


def test_accuracies_gain_a_digit_where_tenths_would_hide_a_difference() -> None:
    results = sweep("lr", [(0.01, 1, 0.9891, 1.0), (0.05, 1, 0.9893, 1.0)])
    assert numbers(draw_accuracy(results)) == ["98.91", "98.93"]


@pytest.mark.parametrize(
    "values", [[1, 3, 5, 10, 15], list(range(1, 21)), [1, 2, 3, 5, 100], list(range(1, 101))], ids=str
)
def test_numbers_and_tick_labels_never_overlap(values: list[int]) -> None:
    figure = draw_accuracy(sweep("epochs", [(n, 1, 0.97 - 0.2 / n, 60.0 * n) for n in values]))
    figure.draw_without_rendering()
    axes = figure.axes[0]
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
    # A label on a lower line begins with empty lines, so its own line is the lowest of its box.
    lines = [(label.get_window_extent(), label.get_text().count("\n")) for label in axes.get_xticklabels()]
    same = [(a, b) for i, (a, row) in enumerate(lines) for b, other in lines[:i] if row == other and a.overlaps(b)]
    assert not same


@pytest.mark.parametrize("variable", ["epochs", "batch_size", "lr"])
def test_labels_of_300_points_do_not_touch_and_name_the_ends_and_the_baseline(variable: str) -> None:
    values = [n / 1000 if variable == "lr" else n for n in range(1, 301)]
    figure = draw_accuracy(sweep(variable, [(value, 1, 0.9, 60.0) for value in values]))
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert all(right.x0 - left.x1 > 4 for left, right in itertools.pairwise(boxes))  # pixels, at 150 to the inch
    ends = {str(values[0]), str(values[-1])}
    assert ends | ({str(BASELINE[variable])} if variable != "epochs" else set()) <= set(ticks(figure))  # 5 is beside 1


def test_a_long_title_is_on_two_lines_and_in_a_file_on_one(tmp_path: Path) -> None:
    points = sweep("lr", LR, dataset="a-collection-of-images-with-quite-a-long-name").assign(run="a")
    figure = draw_accuracy(points)
    figure.draw_without_rendering()
    assert figure.get_suptitle().count("\n") == 1
    drawn = save_figures(points, None, tmp_path)
    assert "a-collection-of-images-with-quite-a-long-name" in drawn[0].title
    assert "\n" not in drawn[0].title


def test_the_interval_of_a_share_is_cut_at_its_bounds() -> None:
    """Of 10 and 90 %, Student's t has −458 to 558 %; the axis ended at 600 %."""
    points = sweep("lr", [(0.01, 1, 0.1, 1.0), (0.01, 2, 0.9, 1.0)])
    assert accuracy_curve(points)[["low", "high"]].to_numpy().tolist() == [[0, 1]]
    low, high = draw_accuracy(points).axes[0].get_ylim()
    assert low > -20
    assert high < 120


def test_a_hundred_points_are_drawn_and_not_numbered() -> None:
    figure = draw_accuracy(sweep("lr", [(n / 1000, 1, 0.97 - 0.2 / n, 60.0) for n in range(1, 101)]))
    assert numbers(figure) == []
    assert np.size(figure.axes[0].lines[0].get_xdata()) == 100
    assert ticks(figure)[:2] == ["0.001", "0.002"]


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ("mnist", "MNIST"),
        ("digits", "digits (not MNIST)"),
        ("fashion-mnist", "Fashion-MNIST"),
        ("own", "own (not MNIST)"),
    ],
)
def test_the_title_says_which_data(dataset: str, said: str) -> None:
    results = sweep("lr", LR, dataset=dataset)
    assert draw_accuracy(results).get_suptitle() == f"Test accuracy by learning rate: {said}"
    assert draw_time(results).get_suptitle() == f"Training time by learning rate: {said}"


def test_the_subtitle_says_what_is_held_and_leaves_out_what_is_swept() -> None:
    lines = texts(draw_accuracy(sweep("lr", LR))).split("\n")
    held = "cnn, adadelta, epochs 5, batch_size 64, gamma 0.7, dropout 0.25, shuffle true, train_size 60000, seed 1"
    assert f"Fixed: {held}" in lines


def test_the_subtitle_admits_what_was_not_held() -> None:
    results = sweep("lr", LR).assign(batch_size=[64, 64, 128], schedule="cosine", optimizer="sgd", momentum=0.9)
    said = texts(draw_accuracy(results))
    assert "batch_size 64 or 128 (not fixed)" in said
    assert "schedule cosine" in said
    assert "momentum 0.9" in said
    assert "gamma" not in said


def test_no_words_run_off_the_page() -> None:
    points = [(value, seed, 0.9, 1.0) for value in (0.001, 0.01) for seed in range(1, 21)]
    failed = [(0.1, seed, -1.0, -1.0) for seed in range(1, 21)]
    figure = draw_time(sweep("lr", points + failed, hostname="a+b", concurrent=15, momentum=0.9))
    figure.draw_without_rendering()
    for words in [figure._suptitle, *figure.texts, *figure.legends, *figure.axes[0].texts]:  # type: ignore[attr-defined]
        box = words.get_window_extent()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1, words
        assert box.y1 <= figure.bbox.y1, words


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Timed on cpu, 1 thread per trial, one trial at a time"),
        ({"concurrent": 3, "threads": 4}, "Timed on cpu, 4 threads per trial, 4 trials side by side"),
        ({"hostname": ["a", "a+b", "c"]}, "Timed on cpu on 3 hosts, 1 thread per trial, one trial at a time"),
    ],
    ids=["alone", "side by side", "hosts"],
)
def test_times_come_with_their_conditions(changes: dict[str, Any], said: str) -> None:
    results = sweep("lr", LR).assign(**changes)
    assert said in texts(draw_time(results)).split("\n")
    assert "Timed" not in texts(draw_accuracy(results))


def test_the_baseline_is_ringed_and_named() -> None:
    figure = draw_accuracy(sweep("batch_size", [(32, 1, 0.96, 1.0), (64, 1, 0.95, 1.0)]))
    ring = next(line for line in figure.axes[0].lines if line.get_label() == "baseline: batch_size 64")
    assert np.asarray(ring.get_xydata()).tolist() == [[64, 95.0]]
    assert "baseline: batch_size 64" in texts(figure)


def test_a_baseline_that_is_not_there_is_not_marked() -> None:
    assert "baseline" not in texts(draw_accuracy(sweep("lr", [(0.02, 1, 0.9, 1.0), (0.05, 1, 0.9, 1.0)])))


def test_several_seeds_are_all_shown_and_explained() -> None:
    figure = draw_accuracy(sweep("lr", SEEDED))
    dots = next(line for line in figure.axes[0].lines if line.get_label() == "one seed")
    assert sorted(np.asarray(dots.get_xydata()).tolist()) == [[0.001, 87.0], [0.01, 94.0], [0.01, 95.0], [0.01, 96.0]]
    said = texts(figure)
    assert "mean of 1 to 3 seeds" in said
    assert "95 % interval" in said
    assert "1 to 3 seeds (1, 2, 3)" in said.replace("\xa0", " ")


def test_a_single_seed_says_that_there_is_no_spread() -> None:
    assert "One seed per point: no interval to show." in texts(draw_accuracy(sweep("lr", LR)))
    assert "One seed" not in texts(draw_accuracy(sweep("lr", SEEDED)))


@pytest.mark.parametrize("variable", ["lr", "epochs", "dropout", "optimizer"])
def test_one_value_draws(variable: str) -> None:
    figure = draw_time(sweep(variable, [(BASELINE[variable], 1, 1.0, 300.0)]))
    assert ticks(figure) == [str(BASELINE[variable])]
    assert numbers(figure) == ["300"]


def test_time_starts_at_zero_and_nothing_is_clipped() -> None:
    points = [(0.01, 1, 1.0, 0.0), (0.01, 2, 0.5, 900.0), (0.05, 1, 0.98, 320.0)]
    low, high = draw_time(sweep("lr", points)).axes[0].get_ylim()
    assert low == 0
    assert high > 900
    axes = draw_accuracy(sweep("lr", points)).axes[0]
    low, high = axes.get_ylim()
    assert low < 50
    assert high > 100
    assert max(axes.get_yticks()) <= 100


def test_a_missing_column_is_named_in_one_line() -> None:
    results = sweep("lr", LR).drop(columns=["test_accuracy", "status"])
    with pytest.raises(UserError, match=r"^the results lack the columns status, test_accuracy, which plots need$"):
        accuracy_curve(results)


def test_the_swept_column_is_missed_too() -> None:
    with pytest.raises(UserError, match="the results lack the column lr"):
        accuracy_curve(sweep("lr", LR).drop(columns="lr"))


def test_two_variables_in_one_curve_are_refused() -> None:
    both = pd.concat([sweep("lr", LR), sweep("epochs", [(5, 1, 0.9, 1.0)])])
    with pytest.raises(UserError, match="one swept variable, not 2: lr, epochs"):
        accuracy_curve(both)


def test_nothing_finished_is_refused_by_draw() -> None:
    with pytest.raises(UserError, match="no finished point to draw test accuracy by learning rate"):
        draw_accuracy(sweep("lr", [(0.01, 1, -1, -1)]))


def test_learning_curves_of_many_values_show_some_and_say_how_many_not() -> None:
    runs = [f"run {n}" for n in range(30)]
    points = sweep("lr", [(n / 1000, 1, 0.9, 1.0) for n in range(1, 31)]).assign(run=runs, epochs=3)
    history = pd.concat([HISTORY[HISTORY["run"] == "a"].assign(run=run) for run in runs])
    shown = texts(draw_learning(points, history))
    assert "18 other values not shown." in shown
    assert {"0.001", "0.03"} <= set(shown.split("\n"))


@pytest.mark.parametrize(
    "changes", [{"concurrent": [0, 1, 0]}, {"threads": [1, 2, 1]}, {"device": ["cpu", "cuda", "cpu"]}], ids=str
)
def test_times_under_other_conditions_are_left_out_and_counted(changes: dict[str, Any]) -> None:
    results = sweep("lr", LR).assign(**changes)
    assert time_curve(results)["value"].tolist() == [0.01, 0.05]
    assert "1 point timed under other conditions not shown." in texts(draw_time(results))
    assert accuracy_curve(results)["value"].tolist() == [0.001, 0.01, 0.05]
    assert "conditions" not in texts(draw_accuracy(results))


HISTORY = pd.DataFrame(
    [
        {"run": run, "epoch": epoch, "train_loss": 1 / epoch, "test_loss": 0.5 / epoch, "train_accuracy": 0.5}
        | {"test_accuracy": accuracy}
        for run, accuracy in (("a", 0.8), ("b", 0.9))
        for epoch in (1, 2, 3)
    ]
)


def test_learning_curves_are_means_over_seeds_up_to_the_epochs_asked() -> None:
    points = sweep("lr", [(0.01, 1, 0.8, 1.0), (0.01, 2, 0.9, 1.0)]).assign(run=["a", "b"], epochs=2)
    curves = learning_curves(points, HISTORY)
    assert curves["epoch"].tolist() == [1, 2]
    assert curves["n"].tolist() == [2, 2]
    assert curves["test_accuracy"].tolist() == pytest.approx([0.85, 0.85])
    assert curves["train_loss"].tolist() == [1.0, 0.5]


def test_notes_say_how_many_seeds_the_points_have_where_some_have_more() -> None:
    given = [(0.01, 1, 0.8, 1.0), (0.01, 2, 0.9, 1.0), (0.05, 1, 0.8, 1.0)]
    points = sweep("lr", given).assign(run=["a", "b", "a"], epochs=2)
    assert "Means of 1 to 2 seeds." in texts(draw_learning(points, HISTORY))
    assert "Means of 2 seeds." in texts(draw_learning(points[:2], HISTORY))


def test_values_read_off_one_training_share_a_learning_curve() -> None:
    points = sweep("epochs", [(1, 1, 0.8, 1.0), (3, 1, 0.8, 1.0)]).assign(run="a")
    assert learning_curves(points, HISTORY)[["values", "epoch"]].to_numpy().tolist() == [
        ["1, 3", 1],
        ["1, 3", 2],
        ["1, 3", 3],
    ]


def test_learning_curves_show_loss_and_accuracy_of_both_kinds_of_images() -> None:
    points = sweep("lr", [(0.01, 1, 0.8, 1.0), (0.05, 1, 0.9, 1.0)]).assign(run=["a", "b"], epochs=3)
    figure = draw_learning(points, HISTORY)
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy (%)"]
    assert [len(axes.lines) for axes in figure.axes] == [4, 4]
    assert {"lr:", "0.01 (baseline)", "0.05", "test images", "training images"} <= set(texts(figure).split("\n"))


def test_one_epoch_has_one_tick() -> None:
    """A locator put ticks at 0.945, 0.960 and so on, over each other."""
    figure = draw_learning(sweep("lr", [(0.01, 1, 0.8, 1.0)]).assign(run="a", epochs=1), HISTORY)
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert [label.get_text() for label in axes.get_xticklabels()] == ["1"]
    figure = draw_learning(sweep("lr", [(0.01, 1, 0.8, 1.0)]).assign(run="a", epochs=2), HISTORY)
    assert [tick for tick in figure.axes[0].get_xticks() if 1 <= tick <= 2] == [1, 2]


@pytest.mark.parametrize("at", [0.002, 0.0155, 0.03], ids=str)
def test_of_many_curves_the_baselines_is_drawn_and_named(at: float) -> None:
    values = sorted({n / 1000 for n in range(1, 31)} - {0.01, 0.002, 0.03} | {at})
    points = sweep("lr", [(value, 1, 0.9, 1.0) for value in values])
    points = points.assign(run=[f"run {value}" for value in values], epochs=3, baseline=points["lr"] == at)
    history = pd.concat([HISTORY[HISTORY["run"] == "a"].assign(run=run) for run in points["run"]])
    figure = draw_learning(points, history)
    assert f"{at} (baseline)" in texts(figure).split("\n")
    assert len(figure.axes[0].lines) == 2 * learning.MOST
    assert len([line for line in figure.axes[0].lines if line.get_linewidth() > 2]) == 2  # test and training images


def test_the_front_is_what_nothing_beats_in_both() -> None:
    points = [(0.001, 1, 0.87, 290.0), (0.005, 1, 0.86, 300.0), (0.01, 1, 0.95, 310.0), (0.05, 1, 0.95, 320.0)]
    table = against.tradeoff(sweep("lr", points), MNIST)
    assert table["front"].tolist() == [True, False, True, False]
    said = [text.get_text() for text in draw_tradeoff(sweep("lr", points)).axes[0].texts]
    assert said == ["lr 0.001", "baseline"]


def test_the_front_joins_points_that_are_apart_only() -> None:
    """By seed, 0.02 is better than 0.01 by −0.001, 0 and 0.002, 0.1 by 0.02 to 0.022; 0.2 is as quick as 0.1."""
    measured: dict[float, list[tuple[float, float]]] = {
        0.01: [(0.900, 100), (0.902, 104), (0.898, 102)],
        0.02: [(0.899, 110), (0.902, 115), (0.900, 112)],
        0.1: [(0.920, 130), (0.923, 133), (0.920, 134)],
        0.2: [(0.930, 131), (0.934, 131), (0.931, 136)],
    }
    points = [(value, seed, *one) for value, seeds in measured.items() for seed, one in enumerate(seeds, start=1)]
    table = against.tradeoff(sweep("lr", points), MNIST)
    assert table["front"].tolist() == [True, False, False, True]


def test_accuracy_against_time_has_intervals_of_both() -> None:
    """95 % of Student's t: 0.95 ± 4.3027 × 0.01 / √3, and 312 ± 4.3027 × 15.875 / √3."""
    table = against.tradeoff(sweep("lr", SEEDED), MNIST)
    assert table["value"].tolist() == ["0.01", "0.001"]
    assert table["low"].tolist() == pytest.approx([0.92516, np.nan], abs=1e-5, nan_ok=True)
    assert table["high"].tolist() == pytest.approx([0.97484, np.nan], abs=1e-5, nan_ok=True)
    assert table["time_low"].tolist() == pytest.approx([272.565, np.nan], abs=1e-2, nan_ok=True)
    assert table["time_high"].tolist() == pytest.approx([351.435, np.nan], abs=1e-2, nan_ok=True)
    axes = draw_tradeoff(sweep("lr", SEEDED)).axes[0]
    assert len(axes.containers) == 1  # its error bars


def test_the_baseline_is_called_so_once_however_many_sweeps_have_it() -> None:
    both = pd.concat([sweep("lr", LR), sweep("batch_size", [(64, 1, 0.95, 300.0), (32, 1, 0.99, 500.0)])])
    figure = draw_tradeoff(both)
    assert sorted(text.get_text() for text in figure.axes[0].texts) == ["baseline", "batch_size 32", "lr 0.05"]
    assert texts(figure).split("\n").count("baseline") == 1


def crossing(**values: list[Any]) -> pd.DataFrame:
    """A sweep over the product of these values, one seed each."""
    rows = [dict(zip(values, combined, strict=True)) for combined in itertools.product(*values.values())]
    points = [(n, 1, 0.5 + n / 100, 1.0 + n) for n in range(len(rows))]
    made = sweep("seed", points, sweep="cross").assign(variable="*".join(values), seed=1, **pd.DataFrame(rows))
    made["baseline"] = [all(BASELINE[name] == value for name, value in row.items()) for row in rows]
    return made


CROSS = crossing(lr=[0.05, 0.01], dropout=[0.25, 0.0])


def test_a_cross_is_a_table_of_both_variables_in_the_order_asked() -> None:
    (cells,) = heatmap.cross_cells(CROSS, MNIST).values()
    assert cells.means.index.tolist() == [0.05, 0.01]
    assert [float(name) for name in cells.means.columns] == [0.25, 0.0]
    assert cells.means.to_numpy().tolist() == [pytest.approx([50, 51]), pytest.approx([52, 53])]
    assert cells.baseline.to_numpy().tolist() == [[False, False], [True, False]]


def test_the_cells_of_a_heat_map_have_the_spread_of_their_seeds() -> None:
    """sd of 50, 51 and 52 is 1."""
    seeded = pd.concat(
        [CROSS.assign(seed=seed, test_accuracy=CROSS["test_accuracy"] + seed / 100) for seed in (0, 1, 2)]
    )
    figure = draw_cross(seeded)
    assert numbers(figure) == ["51.00\n± 1.00", "52.00\n± 1.00", "53.00\n± 1.00", "54.00\n± 1.00"]
    assert "Each cell: the mean of 3 seeds ± their standard deviation." in texts(figure)


def test_a_cross_of_three_has_a_heat_map_for_each_value_of_the_third() -> None:
    figure = draw_cross(crossing(optimizer=["sgd", "adam"], lr=[0.05, 0.01, 0.1], dropout=[0.25, 0.0, 0.1]))
    maps = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in maps] == ["optimizer sgd", "optimizer adam"]
    assert len({axes.images[0].get_clim() for axes in maps}) == 1  # one scale
    assert [len(axes.texts) for axes in maps] == [9, 9]
    assert [axes.get_xlabel() for axes in maps] == ["dropout", "dropout"]
    assert [axes.get_ylabel() for axes in maps] == ["lr (learning rate)", ""]
    assert figure.get_suptitle().replace("\n", " ") == "Test accuracy by optimizer, learning rate and dropout: MNIST"


def test_a_cross_of_more_than_can_be_shown_keeps_the_baselines_map() -> None:
    values: dict[str, list[Any]] = {"lr": [0.01, 0.1, 0.2, 0.3], "dropout": [0.0, 0.1, 0.2, 0.25]}
    figure = draw_cross(crossing(**values, batch_size=[32, 64, 128, 256], epochs=[1, 2, 3, 5]))
    maps = [axes for axes in figure.axes if axes.images]
    assert len(maps) == 12
    assert "4 other maps not shown." in texts(figure)
    assert "The baseline is framed." in texts(figure)


def test_the_curves_of_a_cross_are_in_facets_that_can_be_told_apart() -> None:
    points = crossing(lr=[0.1, 0.01, 0.05, 0.5], dropout=[0.5, 0.25, 0.0]).assign(epochs=3)
    points["run"] = [f"run {n}" for n in range(len(points))]
    history = pd.concat([HISTORY[HISTORY["run"] == "a"].assign(run=run) for run in points["run"]])
    table = learning_curves(points, history)
    assert table["variable"].unique().tolist() == ["lr"]
    assert table["values"].unique().tolist() == ["0.1", "0.01", "0.05", "0.5"]
    figure = draw_learning(points, history)
    assert [axes.get_title() for axes in figure.axes] == ["dropout 0.5", "dropout 0.25", "dropout 0"]
    for axes in figure.axes:
        assert len({(line.get_color(), line.get_marker()) for line in axes.lines}) == 4
    assert "*" not in texts(figure)


def test_epochs_of_a_cross_that_share_a_training_share_a_curve() -> None:
    points = crossing(lr=[0.01, 0.05], epochs=[1, 3]).assign(run=["a", "a", "b", "b"])
    table = learning_curves(points, HISTORY)
    assert table["values"].unique().tolist() == ["0.01", "0.05"]
    assert table["facet"].unique().tolist() == [""]
    assert table["epoch"].tolist() == [1, 2, 3, 1, 2, 3]


def brightness(colour: Any) -> float:
    """As the eye has it (Rec. 709), from 0 to 1."""
    return float(np.dot(to_rgb(colour), (0.2126, 0.7152, 0.0722)))


def looks(figure: Figure) -> set[tuple[float, Any, Any, bool]]:
    """What is left of each line of a figure without its hue: brightness, mark, dashes, whether the mark is a ring."""
    lines = [line for axes in figure.axes for line in axes.lines]
    return {
        (
            round(brightness(line.get_color()), 2),
            *(line.get_marker(), line.get_linestyle(), line.get_markerfacecolor() == "none"),
        )
        for line in lines
    }


@pytest.mark.parametrize("kind", ["learning", "tradeoff", "accuracy"])
def test_in_grey_no_two_series_look_alike(kind: str) -> None:
    """Any two differ in mark, in dashes, or by a tenth in brightness; and all stand out from the paper."""
    if kind == "learning":
        points = sweep("lr", [(lr, 1, 0.8, 1.0) for lr in (0.001, 0.01, 0.05, 0.1)]).assign(run=list("abcd"), epochs=3)
        figure = draw_learning(points, pd.concat([HISTORY, HISTORY.replace({"run": {"a": "c", "b": "d"}})]))
    elif kind == "tradeoff":
        figure = draw_tradeoff(pd.concat([sweep("lr", LR), sweep("batch_size", [(32, 1, 0.9, 200.0)])]))
    else:
        figure = draw_accuracy(sweep("lr", SEEDED))
    found = looks(figure)
    assert len(found) > 1
    for (bright, *look), (other, *another) in itertools.combinations(found, 2):
        assert look != another or abs(bright - other) >= 0.1
    assert max(bright for bright, *_ in found) < 0.85


def test_words_are_dark_on_white() -> None:
    assert brightness(INK) < 0.25


def test_a_heat_map_writes_each_number_hatches_what_is_not_done_and_crosses_what_failed() -> None:
    results = CROSS.assign(status=["done", "failed", "done", "missing"], test_accuracy=[0.95, np.nan, 0.9525, np.nan])
    figure = draw_cross(results)
    assert numbers(figure) == ["95.00", "×", "95.25"]
    assert "Hatched: not done (2); ×: failed." in texts(figure)
    assert [patch.get_hatch() for patch in figure.axes[0].patches if patch.get_hatch()] == ["///", "///"]
    assert len([patch for patch in figure.axes[0].patches if not patch.get_hatch()]) == 1  # the baseline's frame


def test_a_heat_map_of_one_variable_is_refused() -> None:
    with pytest.raises(UserError, match="two crossed variables, not 1: lr"):
        draw_cross(sweep("lr", LR))


def test_save_writes_every_figure_of_each_sweep_and_nothing_else(tmp_path: Path) -> None:
    frames = [
        sweep("batch_size", [(32, 1, 0.96, 1.0)], sweep="batch"),
        sweep("lr", LR),
        sweep("dropout", [(0.1, 1, -1, -1)]),  # nothing finished
        CROSS,
    ]
    results = pd.concat(frames).assign(run="a", epochs=2)  # as it comes: the index has doubles
    drawn = save_figures(results, HISTORY, tmp_path / "plots")
    stems = [
        *("accuracy_vs_batch", "time_vs_batch", "learning_batch", "accuracy_vs_lr", "time_vs_lr", "learning_lr"),
        *("heatmap_cross", "interaction_cross", "learning_cross", "accuracy_vs_time"),
    ]
    assert [one.stem for one in drawn] == stems
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {
        f"{stem}{suffix}" for stem in stems for suffix in (".png", ".svg")
    }


def test_without_a_history_there_are_no_learning_curves(tmp_path: Path) -> None:
    drawn = save_figures(sweep("lr", LR).assign(run="a"), None, tmp_path)
    assert [one.stem for one in drawn] == ["accuracy_vs_lr", "time_vs_lr", "accuracy_vs_time"]


def test_save_names_every_missing_column_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="columns sweep, dataset, threads, train_time_s"):
        save_figures(
            sweep("lr", LR).drop(columns=["sweep", "dataset", "threads", "train_time_s"]), None, tmp_path / "new"
        )
    assert not (tmp_path / "new").exists()


def test_a_sweeps_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    drawn = save_figures(sweep("lr", LR, sweep="../lr").assign(run="a"), None, tmp_path)
    assert [one.stem for one in drawn] == ["accuracy_vs_.._lr", "time_vs_.._lr", "accuracy_vs_time"]


def test_equal_results_give_equal_bytes_in_any_thread(tmp_path: Path) -> None:
    table = sweep("lr", SEEDED).assign(run="a")
    first = save_figures(table, HISTORY, tmp_path / "first")
    thread = threading.Thread(target=save_figures, args=(table, HISTORY, tmp_path / "second"))
    thread.start()
    thread.join()
    paths = [path for one in first for path in one.paths]
    assert [path.read_bytes() for path in paths] == [(tmp_path / "second" / path.name).read_bytes() for path in paths]


def test_a_file_says_what_it_is_and_not_when(tmp_path: Path) -> None:
    png, svg = save_figures(sweep("lr", LR).assign(run="a"), None, tmp_path)[0].paths
    assert png.read_bytes().startswith(b"\x89PNG")
    for content in (png.read_bytes(), svg.read_bytes()):
        assert b"Test accuracy by learning rate: MNIST" in content
        assert b"Fixed: cnn, adadelta" in content
        assert b"tune_mnist" in content
        assert b"Date" not in content
        assert b"dc:date" not in content


# A task whose judged measure is a loss: lower is better, and nothing is in per cent

FALLING = {0.01: [0.5, 0.52], 0.1: [0.2, 0.22], 1.0: [0.3, 0.34]}


def test_a_loss_is_drawn_as_it_is_on_an_axis_of_its_own() -> None:
    points = curve_sweep("rate", FALLING)
    table = curve.curve(points, CURVE.judged, CURVE)
    assert table["mean"].tolist() == pytest.approx([0.51, 0.21, 0.32])
    figure = curve.draw(points, CURVE.judged, CURVE)
    axes = figure.axes[0]
    assert figure.get_suptitle() == "Validation loss by step size: curve"
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("validation loss", "rate (step size, log scale)")
    assert numbers(figure) == ["0.51", "0.21", "0.32"]
    low, high = axes.get_ylim()
    assert -0.3 < low < 0.14  # the seeds' intervals, and neither 0 to 100 nor a whole point
    assert high < 1


def test_any_measure_of_a_task_has_a_curve() -> None:
    points = curve_sweep("rate", FALLING)
    assert curve.curve(points, CURVE.measures[1], CURVE)["mean"].tolist() == pytest.approx([1.49, 1.79, 1.68])


@pytest.mark.parametrize("loss", [0.0, 0.1, 7.3e-6], ids=str)
def test_equal_losses_have_an_axis_too(loss: float) -> None:
    figure = curve.draw(curve_sweep("rate", {0.01: [loss] * 3, 0.1: [loss] * 3}), CURVE.judged, CURVE)
    low, high = figure.axes[0].get_ylim()
    assert high - low > 0.001 * loss
    assert low < loss < high


def test_learning_panels_are_of_what_measures_share() -> None:
    points = complete(sweep("lr", LR))
    assert [[*panel.measures] for panel in learning.panels(MNIST)] == [["test", "train"], ["test", "train"]]
    assert [panel.label for panel in learning.panels(CURVE)] == ["score", "loss"]  # the judged one is last
    drawn = learning.draw_learning(points, epochs_of(points), MNIST)
    assert [axes.get_ylabel() for axes in drawn.axes] == ["loss", "accuracy (%)"]


def test_learning_curves_of_a_task_with_validation_data_alone() -> None:
    points = curve_sweep("rate", FALLING)
    figure = learning.draw_learning(points, epochs_of(points, CURVE), CURVE)
    assert [axes.get_ylabel() for axes in figure.axes] == ["score", "loss"]
    assert [len(axes.lines) for axes in figure.axes] == [3, 3]
    said = set(texts(figure).split("\n"))
    assert {"rate:", "0.01", "validation data", "Means of 2 seeds."} <= said
    assert "training data" not in said


def test_validation_and_test_data_of_one_panel_look_apart() -> None:
    both = replace(CURVE, measures=(Measure("test_loss"), Measure("val_loss"), Measure("train_loss")))
    points = curve_sweep("rate", {0.1: [0.2]}).assign(test_loss=0.3, train_loss=0.1)
    figure = learning.draw_learning(points, epochs_of(points, both), both)
    assert len(figure.axes) == 1
    assert [line.get_linestyle() for line in figure.axes[0].lines] == ["-", "-.", "--"]


def test_measures_without_a_part_of_the_data_have_a_panel_each() -> None:
    one = replace(CURVE, measures=(Measure("return", unit="m"),))
    two = replace(CURVE, measures=(Measure("return", unit="m"), Measure("regret")))
    assert [[panel.label for panel in learning.panels(task)] for task in (one, two)] == [
        ["return (m)"],
        ["regret", "return (m)"],
    ]
    points = curve_sweep("rate", FALLING).rename(columns={"val_loss": "return"})
    figure = learning.draw_learning(points, epochs_of(points, one), one)
    assert [axes.get_ylabel() for axes in figure.axes] == ["return (m)"]
    assert "data" not in texts(figure)


def test_the_front_of_a_loss_is_low_and_quick() -> None:
    points = curve_sweep("rate", {0.01: [0.3], 0.1: [0.4], 0.5: [0.2], 1.0: [0.2]})  # a second more for each
    table = against.tradeoff(points, CURVE)
    assert table["front"].tolist() == [True, False, True, False]
    assert against.draw_tradeoff(points, CURVE).get_suptitle() == "Loss against training time: curve"


def test_a_heat_map_of_a_loss_has_its_plain_numbers() -> None:
    crossed = [
        curve_sweep("rate", {0.1: [0.2 / width], 1.0: [0.3 / width]}, sweep="cross", width=width) for width in (8, 16)
    ]
    points = pd.concat(crossed, ignore_index=True).assign(variable="rate*width")
    figure = heatmap.draw_cross(points, CURVE)
    assert numbers(figure) == ["0.025", "0.0125", "0.0375", "0.01875"]
    assert figure.get_suptitle() == "Validation loss by step size and width: curve"


def test_a_measures_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    task = replace(CURVE, measures=(Measure("../val/loss", better="lower"),))
    points = curve_sweep("rate", FALLING).rename(columns={"val_loss": "../val/loss"})
    drawn = save(Results(tmp_path, task, points, None, {}))
    assert [one.stem for one in drawn] == [".._val_loss_vs_rate", "time_vs_rate", ".._val_loss_vs_time"]


def test_files_are_named_by_the_judged_measure(tmp_path: Path) -> None:
    points = curve_sweep("rate", FALLING)
    drawn = save(Results(tmp_path, CURVE, points, epochs_of(points, CURVE), {}))
    assert [one.stem for one in drawn] == ["loss_vs_rate", "time_vs_rate", "learning_rate", "loss_vs_time"]
    assert [one.measure for one in drawn] == [CURVE.judged, TIME, None, None]
