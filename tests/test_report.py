"""What a report says: its sentences where the answer is known, and every number in it found again in the tables."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import ROOT, Finished, command, rows, succeeded, surroundings
from tables import (
    CURVE,
    ENVIRONMENT,
    LRS,
    complete,
    curve_sweep,
    epochs_of,
    read_folder,
    seeded_sweep,
    several_sweeps,
    write_folder,
)

from tune_mnist.mnist.task import MNIST
from tune_mnist.parameter import Parameter
from tune_mnist.report import findings
from tune_mnist.report.weaknesses import gaps, weaknesses
from tune_mnist.report.write import write_report
from tune_mnist.results.folder import REPORTS
from tune_mnist.results.read import Results, read_points
from tune_mnist.results.summary import summarise
from tune_mnist.verdicts.reference import compare_reference

pytestmark = pytest.mark.timeout(1200)  # for the sweeps that a test finds first
NUMBER = r"(?<![\w.])[+−-]?\d+(?:\.\d+)*(?:e[+-]?\d+)?(?![\w])"


def answer(points: pd.DataFrame) -> list[str]:
    """The sentences on one sweep."""
    return list(findings.answer(summarise(points, MNIST), MNIST).sentences)


def answers(variable: str, accuracies: dict[Any, list[float]], **common: Any) -> list[str]:
    """The sentences on a sweep with these accuracies, one seed each."""
    return answer(complete(seeded_sweep(variable, accuracies, **common)))


def best(points: pd.DataFrame) -> str:
    return findings.best(summarise(points, MNIST), MNIST)


# The sentences: rise, fall, where it flattens

COURSES: list[tuple[str, str, dict[Any, float], str]] = [
    (
        "a rise that flattens",
        "epochs",
        {1: 0.92, 5: 0.95, 15: 0.951},
        "Test accuracy rises with epochs, from 1 (92.00 %) to 15 (95.10 %); it is nearly flat from 5 (95.00 %) on.",
    ),
    (
        "a rise that goes on",
        "epochs",
        {1: 0.9, 5: 0.93, 15: 0.96},
        "Test accuracy rises with epochs, from 1 (90.00 %) to 15 (96.00 %), and has not flattened there.",
    ),
    (
        "a fall",
        "batch_size",
        {32: 0.96, 64: 0.95, 256: 0.92},
        "Test accuracy falls with batch size, from 32 (96.00 %) to 256 (92.00 %), and has not flattened there.",
    ),
    (
        "a fall that flattens",
        "batch_size",
        {32: 0.96, 64: 0.921, 256: 0.92},
        "Test accuracy falls with batch size, from 32 (96.00 %) to 256 (92.00 %); it is nearly flat from 64 (92.10 %) "
        "on.",
    ),
    (
        "two values",
        "lr",
        {0.01: 0.95, 0.05: 0.98},
        "Test accuracy rises with learning rate, from 0.01 (95.00 %) to 0.05 (98.00 %).",
    ),
    (
        "values in another order",
        "lr",
        {0.05: 0.98, 0.01: 0.95},
        "Test accuracy rises with learning rate, from 0.01 (95.00 %) to 0.05 (98.00 %).",
    ),
    (
        "a peak",
        "lr",
        {0.001: 0.87, 0.01: 0.95, 0.05: 0.93},
        "Over learning rate, test accuracy peaks at 0.01 (95.00 %), with 0.001 (87.00 %) at one end and 0.05 (93.00 %) "
        "at the other.",
    ),
    (
        "a dip",
        "lr",
        {0.001: 0.95, 0.01: 0.87, 0.05: 0.96},
        "Over learning rate, test accuracy has no single direction; it is highest at 0.05 (96.00 %): 0.001 (95.00 %) "
        "at one end and 0.05 (96.00 %) at the other.",
    ),
    ("no change", "lr", {0.01: 0.95, 0.05: 0.95}, "Over learning rate, test accuracy stays the same: 0.01 (95.00 %)."),
    (
        "a plateau of equals",
        "epochs",
        {1: 0.9, 5: 0.95, 15: 0.95},
        "Test accuracy rises with epochs, from 1 (90.00 %) to 15 (95.00 %); it is nearly flat from 5 (95.00 %) on.",
    ),
    (
        "names",
        "optimizer",
        {"adadelta": 0.95, "sgd": 0.9, "adam": 0.96},
        "Over optimizer, test accuracy is highest at adam (96.00 %) and lowest at sgd (90.00 %).",
    ),
    (
        "switches",
        "shuffle",
        {True: 0.95, False: 0.94},
        "Over shuffle, test accuracy is highest at true (95.00 %) and lowest at false (94.00 %).",
    ),
    ("one value", "lr", {0.01: 0.95}, "One value of learning rate is done: 0.01 (95.00 %)."),
    (
        "one value that is done",
        "lr",
        {0.01: 0.95, 0.05: -1},
        "One value of learning rate is done: 0.01 (95.00 %). Not done: 0.05.",
    ),
    (
        "a failed value among others",
        "lr",
        {0.01: 0.95, 0.05: 0.98, 0.5: -1},
        "Test accuracy rises with learning rate, from 0.01 (95.00 %) to 0.05 (98.00 %). Not done: 0.5.",
    ),
]


@pytest.mark.parametrize(
    ("variable", "means", "said"), [case[1:] for case in COURSES], ids=[case[0] for case in COURSES]
)
def test_what_accuracy_does(variable: str, means: dict[Any, float], said: str) -> None:
    assert answers(variable, {value: [mean] for value, mean in means.items()})[0] == said


NOISE = {
    "a rise of nothing": (
        {0.01: [0.95, 0.96, 0.94], 0.05: [0.951, 0.962, 0.943]},
        r"Over learning rate, mean test accuracy lies between 0\.01 \(95\.00 %\) and 0\.05 \(95\.20 %\), and no "
        r"difference to the baseline is resolved\.",
    ),
    "a peak of nothing": (
        {0.001: [0.87, 0.88, 0.86], 0.01: [0.95, 0.97, 0.96], 0.05: [0.95, 0.95, 0.94]},
        r"Over learning rate, mean test accuracy is highest at 0\.01 .*, but 0\.05 is not told apart from it: .*",
    ),
    "a hump beside its like": (
        {0.005: [0.9, 0.89, 0.912], 0.01: [0.93, 0.92, 0.94], 0.3: [0.95, 0.93, 0.945], 0.4: [0.86, 0.85, 0.872]},
        r"Over learning rate, mean test accuracy is highest at 0\.3 .*, but 0\.01 is not told apart from it: .*",
    ),
}


@pytest.mark.parametrize(("accuracies", "said"), NOISE.values(), ids=list(NOISE))
def test_noise_is_told_as_noise(accuracies: dict[Any, list[float]], said: str) -> None:
    assert re.fullmatch(said, answers("lr", accuracies)[0])


def test_nothing_done_is_said() -> None:
    assert answers("lr", {0.01: [-1], 0.05: [-1]}) == ["No point of this sweep is done."]


# A loss: lower is better

LOSSES: dict[str, tuple[str, dict[Any, float], str]] = {
    "a fall": (
        "rate",
        {0.01: 0.5, 0.1: 0.3, 1.0: 0.1},
        "Validation loss falls with step size, from 0.01 (0.5000) to 1 (0.1000), and has not flattened there.",
    ),
    "a valley": (
        "rate",
        {0.01: 0.5, 0.1: 0.2, 1.0: 0.3},
        "Over step size, validation loss is lowest at 0.1 (0.2000), with 0.01 (0.5000) at one end and 1 (0.3000) at "
        "the other.",
    ),
    "a hump": (
        "rate",
        {0.01: 0.2, 0.1: 0.5, 1.0: 0.3},
        "Over step size, validation loss has no single direction; it is lowest at 0.01 (0.2000): 0.01 (0.2000) at one "
        "end and 1 (0.3000) at the other.",
    ),
    "no change": ("width", {8: 0.2, 16: 0.2}, "Over width, validation loss stays the same: 8 (0.2000)."),
}


@pytest.mark.parametrize(("variable", "means", "said"), LOSSES.values(), ids=list(LOSSES))
def test_what_a_loss_does(variable: str, means: dict[Any, float], said: str) -> None:
    points = curve_sweep(variable, {value: [mean] for value, mean in means.items()})
    assert findings.answer(summarise(points, CURVE), CURVE).course == said


def test_names_are_told_from_the_best_to_the_worst() -> None:
    shape = Parameter("shape", default="cubic")
    shaped = replace(CURVE, parameters=(*CURVE.parameters, shape))
    points = curve_sweep("width", {8: [0.4], 16: [0.1], 32: [0.3]})
    points = points.assign(shape=["cubic", "sine", "step"], variable="shape", baseline=False)
    said = "Over shape, validation loss is lowest at sine (0.1000) and highest at cubic (0.4000)."
    assert findings.answer(summarise(points, shaped), shaped).course == said


def test_the_best_loss_is_the_lowest() -> None:
    summary = summarise(curve_sweep("rate", {0.1: [0.20, 0.22], 1.0: [0.30, 0.33]}), CURVE)
    said = "Best by validation loss: rate 0.1, 0.2100 (95 % interval 0.0829 to 0.3371, 2 seeds)."
    assert findings.best(summary, CURVE) == said


def test_differences_of_a_loss_are_told_plainly() -> None:
    points = curve_sweep("rate", {0.1: [0.20, 0.22, 0.24], 1.0: [0.19, 0.22, 0.26]})
    said = findings.answer(summarise(points, CURVE), CURVE).resolved
    assert "not resolved: +0.003333 (95 %: −0.03461 to +0.04128) at 1." in said


def test_another_task_has_its_whole_report_from_its_record(tmp_path: Path) -> None:
    """Without any code of the task: environment.json names its parameters and measures."""
    sweeps = [
        curve_sweep("rate", {0.01: [0.5, 0.52, 0.55], 0.1: [0.2, 0.22, 0.21], 1.0: [0.3, 0.321, -1]}),
        curve_sweep("width", {8: [0.2, 0.22, 0.21], 16: [0.21, 0.2, 0.22]}),
    ]
    folder = write_folder(tmp_path / "results", *sweeps, task=CURVE)
    written = write_report(read_folder(folder))
    stems = ("loss_vs_rate", "time_vs_rate", "learning_rate", "loss_vs_width", "learning_width", "loss_vs_time")
    assert {f"{stem}.{ending}" for stem in stems for ending in ("png", "svg")} <= {path.name for path in written}
    report = (folder / "report.md").read_text("utf-8").replace("\\", "")
    assert report.startswith("# What step size and width do on curve\n")
    assert "How do validation loss and training time change with step size and width" in report
    assert "validation loss is lowest at 0.1 (0.2100)" in report
    assert "![Validation loss by step size: curve. Over step size, validation loss is lowest" in report
    assert "Best by validation loss: rate 0.1 (as width" in report
    assert "on new data it would be somewhat higher" in report
    assert "| rate | 0.1 | 1 | done | 0.2000 |" in report
    assert "Published" not in report
    assert "%" not in report.replace("95 %", "")
    assert "points (95 %" not in report
    page = (folder / "report.html").read_text("utf-8")
    assert "from curve_results.csv and history.csv in the same folder" in page
    text = (report + page.partition("</main>")[0]).lower().replace("tune_mnist", "").replace("tune-mnist", "")
    assert not re.findall("mnist|accuracy|images", text)


# What it costs


def cost(**changes: Any) -> str:
    table = complete(seeded_sweep("lr", {0.001: [0.9], 0.01: [0.95], 0.05: [0.96]}))
    for column, values in changes.items():
        table[column] = values
    if "cpu_time_s" not in changes:
        table["cpu_time_s"] = (table["train_time_s"] + table["eval_time_s"]) * table["threads"]
    return answer(table)[1]


def test_the_cost_names_the_ends_and_the_baseline() -> None:
    said = cost(train_time_s=[60.0, 31.6, 1200.4])
    assert said == "Training takes from 31.6 s at 0.01 to 20 min 00 s at 0.05; the baseline takes 31.6 s."


def test_times_that_are_nearly_equal_are_told_so() -> None:
    assert cost(train_time_s=[60, 61, 62]) == "Training takes about as long at each, 1 min 00 s to 1 min 02 s."


def test_a_time_taken_otherwise_is_left_out_and_said() -> None:
    said = cost(train_time_s=[60, 31, 900], threads=[1, 1, 4])
    assert (
        said
        == "Training takes from 31 s at 0.01 to 1 min 00 s at 0.001; the baseline takes 31 s (no like time at 0.05)."
    )


def test_times_of_a_crowded_machine_are_not_told_as_findings() -> None:
    """At 0.05 the threads had 0.5 of the CPU time that they could have had: 330 s of 10 × 60 + 60."""
    said = cost(train_time_s=[60, 31, 600], eval_time_s=[6, 3, 60], cpu_time_s=[66, 34, 330])
    assert said == (
        "Times are not compared: at 0.05, trainings had 50 % of the CPU time of their threads; "
        "what else ran, or waiting for data, is in the seconds."
    )
    assert cost(train_time_s=[60, 31, 600], cpu_time_s=[1, 1, 1], device="cuda").startswith("Training takes from")


# What is resolved


def test_no_sentence_calls_chance_what_the_table_resolves() -> None:
    """Paired by seed the difference is 2.0, 2.1 and 1.9 points, and the intervals of the means overlap."""
    said = answers("optimizer", {"adadelta": [0.90, 0.95, 0.92], "sgd": [0.88, 0.929, 0.901]})
    assert said[0] == "Over optimizer, test accuracy is highest at adadelta (92.33 %) and lowest at sgd (90.33 %)."
    assert said[2] == "At every other value the difference to the baseline (adadelta) is resolved."


def test_an_interval_excludes_0_just_where_the_difference_is_resolved() -> None:
    """Alone, p is 0.0488; as one of four comparisons it is 0.195, and t(1 - 0.05 / 8, 2) is 8.86 instead of 4.30."""
    base, better = [0.950, 0.952, 0.948], [0.9530, 0.9565, 0.9500]
    same = [0.9501, 0.9518, 0.9481]
    accuracies = {0.01: base, 0.02: better, 0.1: same, 0.2: same[::-1], 0.3: same}
    said = answers("lr", accuracies)[2]
    assert "not resolved: +0.32 points (95 %: −0.33 to +0.96) at 0.02" in said


def test_an_interval_of_a_share_ends_where_shares_end() -> None:
    """By Student's t, 0.1 and 0.9 have an interval from −458 % to 558 %."""
    table = complete(seeded_sweep("lr", {0.01: [0.1, 0.9], 0.05: [0.95, 0.98]}))
    found = summarise(table, MNIST).iloc[0]
    assert (found["accuracy_low"], found["accuracy_high"]) == (0, 1)
    assert found["time_low"] > 0
    assert "(95 %: −100.00 to +100.00)" in answer(table)[2]


def test_a_baseline_that_another_sweep_trained_is_compared_to() -> None:
    """As of --vary batch_size=8,512 --vary model=mlp,cnn: the baseline, 64 and cnn, is in the second sweep alone."""
    batch = seeded_sweep("batch_size", {8: [0.98, 0.983, 0.979], 512: [0.9, 0.91, 0.89]})
    models = seeded_sweep("model", {"mlp": [0.9, 0.91, 0.92], "cnn": [0.950, 0.952, 0.948]})
    both = complete(pd.concat([batch, models], ignore_index=True))
    summary = summarise(both, MNIST)
    said = findings.answer(summary[summary["sweep"] == "batch_size"], MNIST).resolved
    assert said == "At every other value the difference to the baseline (64, of sweep model) is resolved."
    other = complete(pd.concat([batch.assign(lr=0.5), models], ignore_index=True))  # which is not alike
    summary = summarise(other, MNIST)
    assert set(summary.loc[summary["sweep"] == "batch_size", "resolved"]) == {"no baseline"}


def test_a_large_difference_is_resolved_and_a_small_one_is_not() -> None:
    """By SciPy's ttest_rel: p 0.00047 and 0.53, by Holm 0.00094 and 0.53."""
    base, far, near = [0.950, 0.952, 0.948], [0.980, 0.983, 0.979], [0.951, 0.951, 0.949]
    said = answers("lr", {0.01: base, 0.05: far, 0.02: near})[2]
    ends = "At 0.05 the difference to the baseline (0.01) is resolved; not resolved: +0.03 points (95 %: "
    assert said.startswith(ends)
    assert said.endswith(" at 0.02.")


def test_nothing_resolved_lists_the_differences() -> None:
    said = answers("lr", {0.01: [0.95, 0.96, 0.94], 0.05: [0.951, 0.955, 0.944]})[2]
    assert re.fullmatch(
        r"At no value is the difference to the baseline \(0.01\) resolved; not resolved: "
        r"\+0.00 points \(95 %: −1.14 to \+1.14\) at 0.05\.",
        said,
    )


def test_all_resolved_is_said_in_short() -> None:
    said = answers("lr", {0.01: [0.950, 0.952, 0.948], 0.05: [0.980, 0.983, 0.979]})[2]
    assert said == "At every other value the difference to the baseline (0.01) is resolved."


@pytest.mark.parametrize(
    ("accuracies", "said"),
    [
        (
            {0.01: [0.95], 0.05: [0.98]},
            "With one seed per point, nothing is known of how seeds spread, so no difference is tested.",
        ),
        ({0.01: [0.95, 0.96]}, "There is no other point to take a difference to."),
        (
            {0.02: [0.95, 0.96], 0.05: [0.98, 0.97]},
            "No point at the baseline is done, so there is nothing to take a difference to; pair by pair, by seed, "
            "corrected by Holm, no two values are told apart.",
        ),
        (
            {0.01: [-1, -1], 0.05: [0.98, 0.97]},
            "No point at the baseline is done, so there is nothing to take a difference to.",
        ),
        (
            {0.01: [0.95, 0.96, 0.94], 0.05: [0.98, -1, -1]},
            "At no value is the difference to the baseline (0.01) resolved; not tested at 0.05 (one seed).",
        ),
        (
            {0.01: [0.95, 0.96], 0.05: [0.96, 0.97]},
            "At no value is the difference to the baseline (0.01) resolved; not tested at 0.05 (no spread).",
        ),
    ],
    ids=[
        "one seed",
        "the baseline alone",
        "no baseline",
        "a baseline that failed",
        "one seed left",
        "equal differences",
    ],
)
def test_what_cannot_be_resolved(accuracies: dict[Any, list[float]], said: str) -> None:
    assert answers("lr", accuracies)[2] == said


def test_some_untested_values_do_not_hide_the_others() -> None:
    said = answers("lr", {0.01: [0.950, 0.952, 0.948], 0.05: [0.980, 0.983, 0.979], 0.1: [0.9, -1, -1]})[2]
    assert said == "At 0.05 the difference to the baseline (0.01) is resolved; not tested at 0.1 (one seed)."


# The best point, and what weakens it


def test_the_best_point_has_its_interval() -> None:
    """0.98, 0.983, 0.979: mean 0.98067, sd 0.0020817; 4.3027 × sd / √3 = 0.005171."""
    table = complete(seeded_sweep("lr", {0.01: [0.950, 0.952, 0.948], 0.05: [0.980, 0.983, 0.979]}))
    said = "lr 0.05 reaches the highest test accuracy, 98.07 % (95 % interval 97.55 % to 98.58 %, 3 seeds)."
    assert best(table) == said


def test_points_that_are_as_good_are_named_too() -> None:
    tables = [seeded_sweep("lr", {0.01: [0.95], 0.05: [0.9]}), seeded_sweep("batch_size", {64: [0.95]}, sweep="batch")]
    said = "lr 0.01 reaches the highest test accuracy (as batch_size 64 does), 95.00 % (one seed)."
    assert best(complete(pd.concat(tables, ignore_index=True))) == said


def weak(table: pd.DataFrame, dirty: bool = False) -> str:
    results = Results(Path(), MNIST, table, None, {"git": {"dirty": dirty}})
    return "\n".join(weaknesses(results, summarise(table, MNIST)))


def test_each_weakness_is_said_where_it_is_so() -> None:
    plain = complete(seeded_sweep("lr", {0.01: [0.95] * 5, 0.05: [0.96] * 5}))
    assert weak(plain).split("\n") == [
        "The test images are the same for every seed, and others would shift all.",
        "The highest test accuracy is picked from all: on new images it would be somewhat lower. "
        "Without validation data no point is called the best.",
    ]
    assert "One seed per point" in weak(plain[plain["seed"] == 1])
    assert "3 seeds per point: intervals are wide" in weak(plain[plain["seed"] < 4])
    assert "--exclusive gives clean times" in weak(plain.assign(concurrent=1))
    history = epochs_of(plain).assign(train_time_s=9.0, eval_time_s=1.0, cpu_time_s=7.0, threads=1, device="cpu")
    results = Results(Path(), MNIST, plain.assign(concurrent=1), history, {})
    beside = weaknesses(results, summarise(plain, MNIST))
    assert any("on the CPU, their epochs had 70 % of the CPU time of their threads" in said for said in beside)
    assert "Times come from 2 hosts" in weak(plain.assign(hostname=["a", "b"] * 5))
    assert "not all trained under the same threads" in weak(plain.assign(threads=[1, 2] * 5))
    assert "The data are not MNIST: digits (not MNIST)" in weak(plain.assign(dataset="digits"))
    assert "changes that are in no commit" in weak(plain, dirty=True)
    shared = complete(seeded_sweep("epochs", {1: [0.9, 0.91], 5: [0.95, 0.96]}))
    assert "read off one training" in weak(shared)


def test_gaps_are_none_where_all_is_there() -> None:
    points = complete(seeded_sweep("lr", LRS))
    results = Results(Path(), MNIST, points, epochs_of(points), {"plan": {"points": len(points)}})
    assert gaps(results) == []


# Published against measured


def standard_points(**changes: Any) -> pd.DataFrame:
    """The published recipe with two seeds; epochs 3 was not published."""
    accuracies = {1: [0.917, 0.919], 3: [0.94, 0.942], 5: [0.95, 0.952], 15: [0.956, 0.958]}
    tables = [
        seeded_sweep("epochs", accuracies, shuffle=False),
        seeded_sweep("lr", {0.01: [0.95, 0.952], 0.2: [0.97, 0.98]}),
    ]
    return complete(pd.concat(tables, ignore_index=True)).assign(**changes)


def test_only_points_that_were_published_are_set_beside_them() -> None:
    table = compare_reference(standard_points(), MNIST)
    assert list(zip(table["sweep"], table["value"], strict=True)) == [
        ("epochs", "1"),
        ("epochs", "5"),
        ("epochs", "15"),
        ("lr", "0.01"),
    ]
    first = table.iloc[0]
    assert (first["published"], first["measured"], first["n"]) == (0.92, pytest.approx(0.918), 2)
    assert first["difference"] == pytest.approx(-0.002)
    assert (first["low"], first["high"]) == pytest.approx((0.918 - 12.7062 * 0.001, 0.918 + 12.7062 * 0.001), abs=1e-6)


def test_times_are_relative_to_the_first_published_one() -> None:
    """65 s and 916 s were published for 1 and 15 epochs, none for 5; no learning rate has one."""
    table = compare_reference(standard_points(), MNIST)
    assert table["published_time"].tolist() == pytest.approx([1, float("nan"), 916 / 65, float("nan")], nan_ok=True)
    means = [60 + 7 * place + (1 / 8 + 2 / 8) / 2 for place in (0, 3)]
    assert table["time"].tolist() == pytest.approx([1, float("nan"), means[1] / means[0], float("nan")], nan_ok=True)


@pytest.mark.parametrize(
    "changes",
    [
        *({"dataset": "digits"}, {"model": "mlp"}, {"optimizer": "sgd"}, {"schedule": "cosine"}, {"gamma": 0.9}),
        *({"weight_decay": 0.1}, {"dropout": 0.1}, {"train_size": 10000}, {"precision": "bf16"}, {"status": "failed"}),
        {"batch_size": 63},
    ],
    ids=str,
)
def test_points_of_another_recipe_are_not_its_points(changes: dict[str, Any]) -> None:
    assert compare_reference(standard_points(**changes), MNIST).empty


def test_without_published_figures_there_is_nothing_to_compare() -> None:
    assert compare_reference(standard_points(), replace(MNIST, reference=None)).empty


# Every number is found again


def section(report: str, title: str) -> str:
    return report.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def tables(text: str) -> Iterator[tuple[str, list[list[str]]]]:
    """(caption, cells) of each table, the head first."""
    for caption, table in re.findall(r"^([^|!\n][^\n]*)\n\n((?:\|[^\n]*\n?)+)", text, flags=re.MULTILINE):
        lines = [line.strip("| \n").split(" | ") for line in table.strip().splitlines()]
        yield caption, [lines[0], *lines[2:]]


def per_cent(text: str, places: int = 2) -> str:
    return f"{100 * float(text):.{places}f} %" if text else "–"


def points(text: str) -> str:
    return f"{100 * float(text):+.2f}".replace("-", "−")


def time(text: str) -> str:
    if not text or float(text) < 59.95:
        return f"{float(text):.3g} s" if text else "–"
    minutes, seconds = divmod(round(float(text)), 60)
    return f"{minutes} min {seconds:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def summary_cells(row: dict[str, str], *head: str) -> list[str]:
    """A line of a sweep's table, from its line of summary.csv; some columns are there only if the head has them."""
    interval = f"{per_cent(row['accuracy_low'])} to {per_cent(row['accuracy_high'])}" if row["accuracy_low"] else "–"
    ends = row["difference_low"] and f"{points(row['difference_low'])} to {points(row['difference_high'])}"
    mean = per_cent(row["accuracy_mean"]) if row["accuracy_mean"] else "not done"
    difference = points(row["difference"]) if row["difference"] else "–"
    p = f"{float(row['p_holm']):.4f}" if row["p_holm"] else "–"
    verdict = {"yes": "resolved", "no": "not resolved"}.get(row["resolved"], row["resolved"])
    said = [
        row["value"].replace("*", ", "),
        row["accuracy_n"],
        mean,
        per_cent(row["accuracy_sd"]),
        interval,
        difference,
        ends or "–",
    ]
    better = "–"
    if row["improvement"]:
        share, low, high = (f"{float(row[f'improvement{end}']):.2f}" for end in ("", "_low", "_high"))
        better = f"{share} ({low} to {high})"
    if "± test set" in head:
        said.insert(3, f"{100 * float(row['share_error']):.2f}" if row["share_error"] else "–")
    said += [better] if "does better" in head else []
    return [*said, p, verdict, time(row["time_mean"]), row["same_run"].replace(" ", ", ") or "–"]


def answer_numbers(mine: list[dict[str, str]]) -> set[str]:
    """Every number that a sentence on these lines of summary.csv may have; 95 is the intervals' level."""
    known = {"95", str(sum(row["p"] != "" for row in mine))}  # and how many comparisons Holm's correction is of
    for row in mine:
        known |= {*re.findall(NUMBER, row["value"]), *re.findall(NUMBER, time(row["time_mean"])), row["accuracy_n"]}
        known |= {f"{100 * float(row['cpu_share']):.0f}"} if row["cpu_share"] else set()
        for name in ("accuracy_mean", "accuracy_low", "accuracy_high"):
            known.add(per_cent(row[name]).removesuffix(" %"))
        for name in ("difference", "difference_low", "difference_high", "answers_low", "answers_high"):
            known |= {points(row[name])} if row[name] else set()
        known.add(row["guessing"])
    return known


def examples_numbers(folder: Path, summary: list[dict[str, str]]) -> set[str]:
    """How many test examples were asked, what guessing gives, and the means with the errors that this leaves."""
    judged = (json.loads((folder / "environment.json").read_text("utf-8")).get("task") or {}).get("measures", [{}])[0]
    if "examples" not in judged:
        return set()
    means = {per_cent(row[name]).removesuffix(" %") for row in summary for name in ("accuracy_mean", "share_error")}
    return {*re.findall(NUMBER, f"{judged['examples']:,}"), f"{100 * judged['chance']:.2f}", *means}


def unaccounted(folder: Path) -> list[str]:
    """What report.md says and the tables beside it do not: numbers of sentences, cells of tables."""
    report = (folder / "report.md").read_text("utf-8").replace("\\", "")
    summary, done, epochs = (rows(folder / name) for name in ("summary.csv", "mnist_results.csv", "history.csv"))
    wrong: list[str] = []
    sentences, asked = section(report, "The answer"), examples_numbers(folder, summary)
    for sweep in dict.fromkeys(row["sweep"] for row in summary):
        mine = [row for row in summary if row["sweep"] == sweep]
        (line,) = re.findall(rf"^- {re.escape(sweep)}: (.*)$", sentences, flags=re.MULTILINE)
        wrong += [f"{sweep}: {one}" for one in re.findall(NUMBER, line) if one not in answer_numbers(mine) | asked]
        ((_, (head, *cells)),) = tables(section(report, f"Sweep {sweep}"))
        known = [summary_cells(row, *head) for row in mine]
        wrong += [f"{sweep}: {cell}" for cell, said in zip(cells, known, strict=True) if cell != said]
    (line,) = re.findall(r"^(.* reaches the highest .*)$", sentences, flags=re.MULTILINE)
    wrong += [f"best: {one}" for one in re.findall(NUMBER, line) if one not in answer_numbers(summary)]
    ((_, (_, *cells)),) = tables(section(report, "All points"))
    wrong += [f"points: {cell}" for cell, row in zip(cells, done, strict=True) if cell != point_cells(row)]
    facts = section(report, "How it was done") + section(report, "What would weaken it")
    wrong += [f"not said: {one}" for one in whole_sentences(done, epochs) if one not in facts]
    return wrong + [f"how: {one}" for one in how_numbers(facts, folder) if one not in how_known(done, epochs) | asked]


def whole_sentences(done: list[dict[str, str]], epochs: list[dict[str, str]]) -> list[str]:
    """What must be said of the tables as a whole."""
    runs, asked = len({row["run"] for row in done}), sum(int(row["epochs"]) for row in done)
    said = [f"Plan: {len(done)} points, {runs} runs, {asked} epochs asked for, {len(epochs)} trained."]
    told = {"missing": "are not done or not measured", "failed": "failed"}
    counts = {words: sum(row["status"] == status for row in done) for status, words in told.items()}
    return [*said, *(f"{count} of {len(done)} points {words}" for words, count in counts.items() if count)]


def point_cells(row: dict[str, str]) -> list[str]:
    """A line of the table of all points, from its line of mnist_results.csv."""
    value = ", ".join(plainly(row[part]) for part in row["variable"].split("*"))
    measured = [per_cent(row["test_accuracy"]), time(row["train_time_s"])]
    beside = f"{float(row['concurrent']):g}" if row["concurrent"] else "–"
    return [row["sweep"], value, row["seed"], row["status"], *measured, beside, row["hostname"] or "–", row["run"][:8]]


def plainly(cell: str) -> str:
    """0.0 as 0, True as true."""
    return f"{float(cell):.10g}" if re.fullmatch(r"[\d.e-]+", cell) else cell.lower()


def how_numbers(text: str, folder: Path) -> list[str]:
    """The numbers in the text that are not part of one of environment.json's own words."""
    facts = json.loads((folder / "environment.json").read_text("utf-8"))
    known: list[Any] = [facts]
    while known:
        one = known.pop()
        if isinstance(one, (dict, list)):
            known += [*one, *one.values()] if isinstance(one, dict) else one
        elif isinstance(one, str) and len(one) > 2:
            text = text.replace(one, "")
    text = text.replace(f"{facts['cpu']['usable']} CPUs usable", "").replace("SHA-256", "")
    return re.findall(NUMBER, text)


def how_known(done: list[dict[str, str]], epochs: list[dict[str, str]]) -> set[str]:
    """What may be said of the tables as a whole: their sizes, what was held, how many trials ran side by side."""
    counts = {len(done), len({row["run"] for row in done}), len(epochs), sum(int(row["epochs"]) for row in done)}
    counts |= {len({row["seed"] for row in done}), sum(row["status"] != "done" for row in done)}
    counts.add(max(int(row["concurrent"] or 0) for row in done) + 1)
    names = (
        "epochs",
        "batch_size",
        "lr",
        "gamma",
        "momentum",
        "weight_decay",
        "dropout",
        "train_size",
        "seed",
        "threads",
    )
    held = {plainly(row[name]) for row in done for name in names}
    # The advice: "with --seeds 3 or more"; the level of intervals and of p; the share of the CPU time asked for.
    said = {"3"} if len({row["seed"] for row in done}) == 1 else {"95", "0.05"}
    took = sum((float(row["train_time_s"]) + float(row["eval_time_s"])) * int(row["threads"]) for row in epochs)
    said.add(f"{100 * sum(float(row['cpu_time_s']) for row in epochs) / took:.0f}")
    return {str(count) for count in counts} | held | said


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five sweeps with three seeds, and their report."""
    folder = write_folder(tmp_path_factory.mktemp("hand") / "results", *several_sweeps())
    write_report(read_folder(folder))
    return folder


def test_every_number_of_the_report_is_in_the_tables(by_hand: Path) -> None:
    assert unaccounted(by_hand) == []


def test_every_number_of_a_real_report_is_in_its_tables(standard: Finished) -> None:
    assert unaccounted(standard.results) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"from 1 \(92\.10 %\)", "from 1 (92.11 %)"),
        (r"\| 0\.05 \| 3 \| 98\.15 %", "| 0.05 | 3 | 98.16 %"),
        (r"48 points, (\d+) runs", r"49 points, \1 runs"),
        (r"1 of 48 points failed", "2 of 48 points failed"),
        (r"\| batch \| 32 \| 2 \| done \| 95\.85 %", "| batch | 32 | 2 | done | 95.84 %"),
        (r"(reaches the highest .*) 98\.15 %", r"\1 98.25 %"),
    ],
)
def test_a_wrong_number_would_be_found(by_hand: Path, tmp_path: Path, old: str, new: str) -> None:
    folder = shutil.copytree(by_hand, tmp_path / "copy")
    text, changed = re.subn(old, new, (by_hand / "report.md").read_text("utf-8").replace("\\", ""), count=1)
    assert changed
    (folder / "report.md").write_text(text, "utf-8")
    assert len(unaccounted(folder)) in (1, 2)  # as a number, and as a sentence


def test_the_published_table_is_of_the_tables_and_the_published_file(by_hand: Path) -> None:
    report = (by_hand / "report.md").read_text("utf-8").replace("\\", "")
    ((_, (_, *cells)),) = tables(section(report, "Published and measured"))
    published = {(row["sweep"], row["value"]): row for row in rows(ROOT / "data" / "published.csv")}
    summary = {(row["sweep"], row["value"]): row for row in rows(by_hand / "summary.csv")}
    assert [tuple(cell[:2]) for cell in cells] == [key for key in published if key in summary]
    for sweep, value, known, measured, interval, difference, *_ in cells:
        theirs, ours = float(published[sweep, value]["accuracy_percent"]), summary[sweep, value]
        assert known == f"{theirs:.1f} %"
        assert measured == per_cent(ours["accuracy_mean"])
        assert interval == f"{per_cent(ours['accuracy_low'])} to {per_cent(ours['accuracy_high'])}"
        assert difference == f"{100 * float(ours['accuracy_mean']) - theirs:+.2f}".replace("-", "−")


def test_every_figure_and_every_form_says_the_same(by_hand: Path) -> None:
    text = (by_hand / "report.md").read_text("utf-8").replace("\\", "")
    shown = set(re.findall(r"\]\((\S+\.png)\)", text))
    assert shown == {path.name for path in by_hand.glob("*.png")}
    page = (by_hand / "report.html").read_text("utf-8")
    for sentence in re.findall(r"^- (.*)$", section(text, "The answer"), flags=re.MULTILINE):
        assert f"<li>{sentence}</li>" in page
    assert page.count('<img src="data:image/svg+xml;base64,') == len(shown)
    paper = (by_hand / "report.pdf").read_bytes()
    assert paper.startswith(b"%PDF-")
    assert paper.count(b"/Subtype /Image") == len(shown)


def test_the_command_and_the_machine_are_told(by_hand: Path) -> None:
    how = section((by_hand / "report.md").read_text("utf-8").replace("\\", ""), "How it was done")
    assert f"```sh\n{ENVIRONMENT['command']}\n```" in how
    for fact in ("Some CPU, 2 CPUs usable", "torch 2.15.0", "commit 0123456789abcdef", "SHA-256 " + "ab" * 32):
        assert fact in how


def test_a_report_has_the_day_of_its_command(by_hand: Path) -> None:
    assert "\n\nResults of 2025-01-02.\n\n" in (by_hand / "report.md").read_text("utf-8")
    assert '<time datetime="2025-01-02">2025-01-02</time>' in (by_hand / "report.html").read_text("utf-8")
    assert b"/CreationDate (D:20250102" in (by_hand / "report.pdf").read_bytes()


def test_values_are_as_they_were_typed_in_every_form(tmp_path: Path) -> None:
    """0.05, 0 and never 0.05*0; false and 1e6, and not False and 1000000.0."""
    switches = seeded_sweep("shuffle", {True: [0.95, 0.96], False: [0.94, 0.95]})
    large = seeded_sweep("weight_decay", {1e6: [0.5, 0.6], 0.0: [0.95, 0.96], 1e-5: [0.95, 0.97]})
    folder = write_folder(tmp_path / "results", *several_sweeps()[-1:], switches, large)
    written = write_report(read_folder(folder))
    report = (folder / "report.md").read_text("utf-8").replace("\\", "")
    assert "| 0.05, 0.25 |" in report
    assert "| false |" in report
    assert "| 1e6 |" in report
    page = (folder / "report.html").read_text("utf-8").partition("<script>")[0]
    drawn = "".join(path.read_text("utf-8") for path in written if path.suffix == ".svg")
    for text in (report, page, drawn):
        assert not re.search(r"0\.05\*0|False|1000000|1e-05", text)


# Drawn again


@pytest.fixture(scope="module")
def again(standard: Finished, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """`tune-mnist report` over a copy of the tables alone; stderr names all modules it imported."""
    folder = tmp_path_factory.mktemp("again") / "results" / "digits"
    folder.mkdir(parents=True)
    for name in ("mnist_results.csv", "history.csv", "environment.json"):
        shutil.copy(standard.results / name, folder)
    done = subprocess.run(
        command("report", str(folder), module="tune_mnist", python=("-X", "importtime")),
        cwd=folder,
        env=surroundings(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return succeeded(Finished(folder.parents[1], done.returncode, done.stdout, done.stderr))


def test_a_report_drawn_again_is_the_same_byte_for_byte(standard: Finished, again: Finished) -> None:
    made = {path.name for path in again.results.iterdir()}
    assert {"summary.csv", *REPORTS, "accuracy_vs_lr.png", "accuracy_vs_lr.svg"} <= made
    unlike = [
        name for name in sorted(made) if (again.results / name).read_bytes() != (standard.results / name).read_bytes()
    ]
    assert unlike == []


def test_a_report_trains_nothing_and_loads_neither_torch_nor_ray(again: Finished) -> None:
    imported = set(re.findall(r"\|\s+([\w.]+)$", again.err, re.MULTILINE))
    assert "tune_mnist.report.write" in imported
    assert not {"ray", "torch", "tune_mnist.mnist.training"} & imported


def test_two_reports_of_one_process_are_each_as_they_would_be_alone(tmp_path: Path) -> None:
    folders = [write_folder(tmp_path / name, seeded_sweep("lr", LRS, epochs=2)) for name in ("first", "second")]
    for folder in folders:
        write_report(read_folder(folder))
    for path in folders[0].iterdir():
        assert path.read_bytes() == (folders[1] / path.name).read_bytes(), path.name


def test_the_values_of_a_table_are_those_of_its_variable(by_hand: Path) -> None:
    values = read_points(by_hand, MNIST).groupby("sweep", sort=False)["value"].unique()
    assert list(values["cross"]) == ["0.01*0", "0.01*0.25", "0.05*0", "0.05*0.25"]


# All committed folders at once


@pytest.mark.long
def test_make_report_draws_every_folder_of_results_again(by_hand: Path, tmp_path: Path) -> None:
    """In a project of its own, whose .venv is this Python; as many folders as are committed, at least two."""
    committed = [path.parent for path in (ROOT / "results" / "published").glob("*/mnist_results.csv")]
    for place, folder in enumerate(committed + [by_hand] * max(0, 2 - len(committed))):
        made = tmp_path / "results" / f"data-{place}"
        made.mkdir(parents=True)
        for name in ("mnist_results.csv", "history.csv", "environment.json"):
            shutil.copy(folder / name, made)
    (tmp_path / "results" / "store").mkdir()  # holds no table
    for name in ("Makefile", "requirements.txt", "requirements-uv.txt"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (tmp_path / ".venv" / ".made").touch()
    around = {name: value for name, value in surroundings().items() if name not in ("MAKEFLAGS", "MFLAGS", "ARGS")}

    def make(*options: str) -> subprocess.CompletedProcess[str]:
        command = ["make", *options, "report"]
        return subprocess.run(
            command, cwd=tmp_path, env=around, capture_output=True, text=True, timeout=120, check=False
        )

    (drawing,) = [line for line in make("--dry-run").stdout.splitlines() if "-m tune_mnist" in line]
    assert drawing.count("results/data-") == len(list(tmp_path.glob("results/data-*")))  # imported once for all
    done = make()
    assert done.returncode == 0, done.stderr
    for made in tmp_path.glob("results/data-*"):
        assert {path.name for path in made.glob("report.*")} == set(REPORTS)
        assert f"results/{made.name}/accuracy_vs_lr.png" in done.stdout
