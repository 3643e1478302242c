"""What the plots show: the tables against numbers worked by hand, the drawings against what a reader would look for."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from tune_mnist.errors import UserError
from tune_mnist.plots import accuracy_curve, draw_accuracy, draw_time, save_plots, time_curve

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

BASELINE: dict[str, Any] = {
    "model": "cnn",
    "optimizer": "adadelta",
    "schedule": "step",
    "epochs": 5,
    "batch_size": 64,
    "lr": 0.01,
    "gamma": 0.7,
    "momentum": 0.0,
    "weight_decay": 0.0,
    "dropout": 0.25,
    "shuffle": True,
    "train_size": 60000,
    "seed": 1,
}
MEASURED = {"test_accuracy": 0.95, "train_time_s": 300.0, "status": "done", "dataset": "mnist", "precision": "fp32"}
MACHINE = {"device": "cpu", "threads": 1, "concurrent": 0, "hostname": "here"}
LR = [(0.01, 1, 0.95, 300.0), (0.001, 1, 0.87, 310.0), (0.05, 1, 0.98, 320.0)]
SEEDED = [(0.01, 1, 0.94, 300.0), (0.01, 2, 0.96, 330.0), (0.01, 3, 0.95, 306.0), (0.001, 1, 0.87, 290.0)]


def sweep(variable: str, points: Sequence[tuple[Any, int, float, float]], **common: object) -> pd.DataFrame:
    """Rows of one sweep from (value, seed, accuracy from 0 to 1, seconds); an accuracy of -1 is a failed point's."""
    named = {"sweep": variable, "variable": variable}
    rows = [
        BASELINE | MEASURED | MACHINE | named | common | {variable: value, "seed": seed} for value, seed, _, _ in points
    ]
    for row, (_, _, accuracy, seconds) in zip(rows, points, strict=True):
        row |= {"test_accuracy": accuracy, "train_time_s": seconds}
        if accuracy < 0:
            row |= {"test_accuracy": float("nan"), "train_time_s": float("nan"), "status": "failed"}
    return pd.DataFrame(rows)


def texts(figure: Figure) -> str:
    """All words on the page except the axes', a line each."""
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


def test_numbers_ascend_and_each_has_its_mean_extremes_and_count() -> None:
    curve = accuracy_curve(sweep("lr", SEEDED))
    assert list(curve.columns) == ["value", "mean", "low", "high", "n"]
    assert curve["value"].tolist() == [0.001, 0.01]
    assert curve["mean"].tolist() == pytest.approx([0.87, 0.95])
    assert curve["low"].tolist() == [0.87, 0.94]
    assert curve["high"].tolist() == [0.87, 0.96]
    assert curve["n"].tolist() == [1, 3]


def test_the_time_curve_is_in_seconds() -> None:
    curve = time_curve(sweep("lr", SEEDED))
    assert curve["mean"].tolist() == pytest.approx([290.0, 312.0])
    assert curve["high"].tolist() == [290.0, 330.0]


@pytest.mark.parametrize(
    ("variable", "given", "shown"),
    [
        ("optimizer", ["sgd", "adam", "adadelta"], ["sgd", "adam", "adadelta"]),
        ("model", ["mlp", "cnn"], ["mlp", "cnn"]),
        ("shuffle", [True, False], ["true", "false"]),
        ("train_size", [1000, 10000, None], ["1000", "10000", "all"]),
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
    assert png(draw_accuracy(again, True)) == png(draw_accuracy(results, True))


def test_failed_points_are_left_out_and_said() -> None:
    results = sweep("lr", [*LR, (0.5, 1, -1, -1)])
    assert accuracy_curve(results)["value"].tolist() == [0.001, 0.01, 0.05]
    assert "1 failed point not shown (0.5)" in texts(draw_accuracy(results))


def test_failed_and_missing_points_are_counted_apart() -> None:
    results = sweep("lr", [*LR, (0.5, 1, -1, -1), (0.6, 1, -1, -1), (0.7, 1, -1, -1)])
    results.loc[results["lr"] == 0.7, "status"] = "missing"
    said = texts(draw_time(results))
    assert "2 failed points not shown (0.5, 0.6)" in said
    assert "1 missing point not shown (0.7)" in said


def test_a_name_keeps_its_place_though_its_first_seed_failed() -> None:
    points = [("sgd", 1, 0.9, 1.0), ("adam", 1, -1, -1), ("adamw", 1, 0.9, 1.0), ("adam", 2, 0.8, 1.0)]
    assert accuracy_curve(sweep("optimizer", points))["value"].tolist() == ["sgd", "adam", "adamw"]


@pytest.mark.parametrize(
    ("variable", "values", "scale", "label"),
    [
        ("lr", [0.001, 0.005, 0.01, 0.05], "log", "learning rate (log scale)"),
        ("batch_size", [32, 64, 128, 256], "log", "batch size (log scale)"),
        ("epochs", [1, 3, 5, 10, 15], "linear", "epochs"),
        ("weight_decay", [0, 1e-05, 0.01], "linear", "weight decay (evenly spaced)"),
    ],
)
def test_ticks_stand_exactly_at_the_swept_values(variable: str, values: list[Any], scale: str, label: str) -> None:
    figure = draw_accuracy(sweep(variable, [(value, 1, 0.9, 1.0) for value in values]))
    axes = figure.axes[0]
    assert ticks(figure) == [str(value) for value in values]
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


@pytest.mark.parametrize("values", [[1, 3, 5, 10, 15], list(range(1, 21)), [1, 2, 3, 5, 100]], ids=str)
def test_numbers_and_tick_labels_never_overlap(values: list[int]) -> None:
    figure = draw_accuracy(sweep("epochs", [(n, 1, 0.97 - 0.2 / n, 60.0 * n) for n in values]), 5)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
    # A label on a lower line begins with empty lines, so its own line is the lowest of its box.
    lines = [(label.get_window_extent(), label.get_text().count("\n")) for label in axes.get_xticklabels()]
    same = [(a, b) for i, (a, row) in enumerate(lines) for b, other in lines[:i] if row == other and a.overlaps(b)]
    assert not same


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
    held = "cnn, adadelta, epochs 5, batch size 64, gamma 0.7, dropout 0.25, shuffle true, train size 60000, seed 1"
    assert f"Fixed: {held}" in lines


def test_the_subtitle_admits_what_was_not_held() -> None:
    results = sweep("lr", LR).assign(batch_size=[64, 64, 128], schedule="cosine", momentum=0.9)
    said = texts(draw_accuracy(results))
    assert "batch size 64 or 128 (not fixed)" in said
    assert "schedule cosine" in said
    assert "momentum 0.9" in said
    assert "gamma" not in said


def test_no_words_run_off_the_page() -> None:
    points = [(value, seed, 0.9, 1.0) for value in (0.001, 0.01) for seed in range(1, 21)]
    failed = [(0.1, seed, -1.0, -1.0) for seed in range(1, 21)]
    figure = draw_time(sweep("lr", points + failed, hostname="a+b", concurrent=15, momentum=0.9), 0.01)
    figure.draw_without_rendering()
    for words in [*figure.texts, *figure.legends, *figure.axes[0].texts]:
        box = words.get_window_extent()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1, words
        assert box.y1 <= figure.bbox.y1, words


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Timed on cpu, 1 thread a trial, one trial at a time"),
        ({"concurrent": [0, 3, 1], "threads": 4}, "Timed on cpu, 4 threads a trial, up to 4 trials side by side"),
        ({"device": ["cpu", "cuda", "cpu"]}, "Timed on cpu and cuda, 1 thread a trial, one trial at a time"),
        ({"hostname": ["a", "a+b", "c"]}, "Timed on cpu on 3 hosts, 1 thread a trial, one trial at a time"),
    ],
    ids=["alone", "side by side", "devices", "hosts"],
)
def test_times_come_with_their_conditions(changes: dict[str, Any], said: str) -> None:
    results = sweep("lr", LR).assign(**changes)
    assert said in texts(draw_time(results)).split("\n")
    assert "Timed" not in texts(draw_accuracy(results))


def test_the_baseline_is_ringed_and_named() -> None:
    figure = draw_accuracy(sweep("batch_size", [(32, 1, 0.96, 1.0), (64, 1, 0.95, 1.0)]), 64)
    ring = next(line for line in figure.axes[0].lines if line.get_label() == "baseline: batch size 64")
    assert np.asarray(ring.get_xydata()).tolist() == [[64, 95.0]]
    assert "baseline: batch size 64" in texts(figure)


@pytest.mark.parametrize("baseline", [None, 0.02], ids=str)
def test_a_baseline_that_is_not_there_is_not_marked(baseline: float | None) -> None:
    assert "baseline" not in texts(draw_accuracy(sweep("lr", LR), baseline))


def test_several_seeds_are_all_shown_and_explained() -> None:
    figure = draw_accuracy(sweep("lr", SEEDED))
    dots = next(line for line in figure.axes[0].lines if line.get_label() == "one seed")
    assert sorted(np.asarray(dots.get_xydata()).tolist()) == [[0.001, 87.0], [0.01, 94.0], [0.01, 95.0], [0.01, 96.0]]
    said = texts(figure)
    assert "mean of 1 to 3 seeds" in said
    assert "lowest to highest" in said
    assert "3 seeds (1, 2, 3)" in said


def test_a_single_seed_says_that_there_is_no_spread() -> None:
    assert "One seed a point: no spread to show." in texts(draw_accuracy(sweep("lr", LR)))
    assert "One seed" not in texts(draw_accuracy(sweep("lr", SEEDED)))


@pytest.mark.parametrize("variable", ["lr", "epochs", "dropout", "optimizer"])
def test_one_value_draws(variable: str) -> None:
    figure = draw_time(sweep(variable, [(BASELINE[variable], 1, 1.0, 300.0)]), BASELINE[variable])
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


def test_save_writes_both_plots_of_each_sweep_and_nothing_else(tmp_path: Path) -> None:
    frames = [
        sweep("batch_size", [(32, 1, 0.96, 1.0)], sweep="batch"),
        sweep("lr", LR),
        sweep("dropout", [(0.1, 1, -1, -1)]),  # nothing finished
        sweep("lr*dropout", [(0.1, 1, 0.9, 1.0)], sweep="cross"),
    ]
    results = pd.concat(frames)  # as it comes: the index has doubles
    written = save_plots(results, tmp_path / "plots", BASELINE)
    assert [path.name for path in written] == [
        "accuracy_vs_batch.png",
        "time_vs_batch.png",
        "accuracy_vs_lr.png",
        "time_vs_lr.png",
    ]
    assert sorted((tmp_path / "plots").iterdir()) == sorted(written)


def test_save_names_every_missing_column_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="columns sweep, dataset, threads, train_time_s"):
        save_plots(sweep("lr", LR).drop(columns=["sweep", "dataset", "threads", "train_time_s"]), tmp_path / "new", {})
    assert not (tmp_path / "new").exists()


def test_a_sweeps_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    written = save_plots(sweep("lr", LR, sweep="../lr"), tmp_path, BASELINE)
    assert [path.name for path in written] == ["accuracy_vs_.._lr.png", "time_vs_.._lr.png"]


def test_equal_results_give_equal_bytes_in_any_thread(tmp_path: Path) -> None:
    first = save_plots(sweep("lr", SEEDED), tmp_path / "first", BASELINE)
    thread = threading.Thread(target=save_plots, args=(sweep("lr", SEEDED), tmp_path / "second", BASELINE))
    thread.start()
    thread.join()
    assert [path.read_bytes() for path in first] == [(tmp_path / "second" / path.name).read_bytes() for path in first]


def test_a_png_says_what_it_is_and_not_when(tmp_path: Path) -> None:
    content = save_plots(sweep("lr", LR), tmp_path, BASELINE)[0].read_bytes()
    assert content.startswith(b"\x89PNG")
    assert b"Test accuracy by learning rate: MNIST" in content
    assert b"Fixed: cnn, adadelta" in content
    assert b"tune_mnist" in content
    assert b"Date" not in content
    assert b"Time" not in content
