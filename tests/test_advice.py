"""What a report begins with: the setting to choose, its gain and cost, where to look on, how many more seeds; and that
no two sentences on the same pair of points disagree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import rows as lines_of
from pandas.testing import assert_frame_equal
from tables import (
    CURVE,
    ENVIRONMENT,
    complete,
    curve_sweep,
    read_folder,
    seeded_sweep,
    several_sweeps,
    sweep,
    write_folder,
)
from test_deciding import ASKED

from tune_mnist.commands.report import report
from tune_mnist.errors import UserError
from tune_mnist.mnist.task import MNIST
from tune_mnist.plan import sweepfile
from tune_mnist.plan.request import Options, build
from tune_mnist.plan.written import written
from tune_mnist.report import findings
from tune_mnist.report.advice import Advice, advice, again, beyond, by_sweep
from tune_mnist.report.findings import in_order, named
from tune_mnist.results.folder import record_products, write_csv, write_environment
from tune_mnist.results.read import Results
from tune_mnist.results.summary import left, summarise, summary_of
from tune_mnist.task import Task
from tune_mnist.verdicts.differences import apart, difference

COMMAND = "tune-mnist run --dataset digits --vary lr=0.01,0.05 --seeds 3"


def advised(points: pd.DataFrame, task: Task = MNIST, margin: float | None = None, **facts: Any) -> list[Advice]:
    margins = {} if margin is None else dict.fromkeys(points["sweep"].unique(), margin)
    results = Results(Path(), task, points, None, {"command": COMMAND, **facts})
    return advice(results, summarise(points, task, margins))


def of_lrs(accuracies: dict[float, list[float]], **more: Any) -> list[Advice]:
    return advised(complete(seeded_sweep("lr", accuracies)), **more)


def test_a_value_that_is_resolved_to_be_better_is_to_be_set() -> None:
    setting, further = of_lrs({0.01: [0.950, 0.952, 0.948], 0.05: [0.980, 0.983, 0.979]})
    assert setting.about == "lr (learning rate)"
    said = (
        "Set 0.05: +3.07 points (95 %: +2.92 to +3.21) over the baseline (0.01), in 1 min 07 s of training instead of 1"
    )
    assert setting.text.startswith(said)
    assert further.text == "The highest test accuracy is at an end of the sweep, 0.05: extend it upwards: 0.25, 1.25."
    assert further.command == "tune-mnist run --dataset digits --vary lr=0.01,0.05,0.25,1.25 --seeds 3"


def test_without_a_resolved_gain_the_baseline_stays_and_the_seeds_it_takes_are_told() -> None:
    """Differences of 0.3, 0.1 and 0.5 points: an effect of 1.5, for which the noncentral t asks 6 pairs."""
    kept, more = of_lrs({0.01: [0.950, 0.952, 0.948], 0.05: [0.953, 0.953, 0.953]})
    assert kept.text == (
        "Keep the baseline (0.01): no other value is resolved to be better; 0.05 comes highest, "
        "+0.30 points (95 %: −0.20 to +0.80)."
    )
    said = (
        r"To resolve \+0\.30 points at 0\.05 takes about 3 more seeds with a power of 80 %, if the difference and its "
    )
    assert re.match(said, more.text)
    assert more.text.endswith(
        ": about 7 min 02 s of training."
    )  # 3 times the slowest seed's 60 + 67 s and a tenth more
    assert more.command == "tune-mnist run --dataset digits --vary lr=0.01,0.05 --seeds 6"


def test_a_difference_of_next_to_nothing_asks_for_no_seeds() -> None:
    said = of_lrs({0.01: [0.950, 0.952, 0.948], 0.05: [0.9502, 0.9534, 0.9465]})[1].text
    assert said == "To resolve +0.00 points at 0.05 would take more than 1000 seeds: take the two for equal."


def test_times_that_were_taken_under_load_are_no_cost() -> None:
    points = complete(seeded_sweep("lr", {0.01: [0.950, 0.952, 0.948], 0.05: [0.980, 0.983, 0.979]}))
    busy = points.assign(cpu_time_s=points["train_time_s"] / 2)
    assert "what it costs in time is not known, because times are not comparable" in advised(busy)[0].text


def test_one_seed_recommends_nothing_but_seeds() -> None:
    first, _ = of_lrs({0.01: [0.95], 0.05: [0.98]}, command="tune-mnist run --vary lr=0.01,0.05")
    assert first.text.startswith("Test accuracy is highest at 0.05 (98.00 %), in one training each")
    assert first.command == "tune-mnist run --vary lr=0.01,0.05 --seeds 5"


def test_a_sweep_without_its_baseline_is_told_how_to_get_it() -> None:
    (first, *_) = advised(complete(seeded_sweep("lr", {0.02: [0.95, 0.96], 0.05: [0.98, 0.97]})), baseline={"lr": 0.01})
    assert first.text.endswith("There is no point at the baseline to tell a gain from: ask 0.01, too.")
    assert first.command.endswith("--vary lr=0.02,0.05,0.01 --seeds 3")


def test_what_is_no_worse_by_the_margin_is_named() -> None:
    found = of_lrs({0.01: [0.950, 0.952, 0.948], 0.02: [0.9502, 0.9526, 0.9478]}, margin=0.2)
    assert found[0].text.endswith("; no worse by the margin of 0.2: 0.02.")
    found = of_lrs({0.01: [0.950, 0.952, 0.948], 0.05: [0.980, 0.983, 0.979]}, margin=0.2)
    assert found[0].text.endswith("; against the margin of 0.2 it is better.")


def test_a_loss_is_advised_by_its_lowest_value() -> None:
    found = advised(curve_sweep("rate", {0.1: [0.20, 0.22, 0.24], 1.0: [0.10, 0.12, 0.141]}), CURVE)
    assert found[0].text.startswith("Set 1: −0.09967 (95 %: ")
    assert found[1].text == "The lowest validation loss is at an end of the sweep, 1: extend it upwards: 10, 100."


@pytest.mark.parametrize(
    ("name", "values", "more"),
    [
        ("lr", [0.001, 0.01, 0.1], ["1", "10"]),
        ("lr", [0.1, 0.05], ["0.025", "0.0125"]),
        ("batch_size", [256, 64, 16], ["4", "1"]),
        ("batch_size", [16, 2], []),
        ("dropout", [0, 0.25, 0.5], ["0.75"]),
        ("dropout", [0.5, 0.25, 0], []),
        ("epochs", [5, 10, 15], ["20", "25"]),
    ],
)
def test_the_next_values_go_on_as_the_sweep_does_within_bounds(name: str, values: list[float], more: list[str]) -> None:
    assert beyond(values, MNIST.parameter(name)) == more


@pytest.mark.parametrize(
    ("command", "vary", "seeds", "said"),
    [
        ("tune-mnist run", "lr=1,2", None, "tune-mnist run --vary lr=1,2"),
        (
            "tune-mnist run --sweep lr --sweep=batch --seeds=3 --exclusive",
            "lr=1,2",
            7,
            "tune-mnist run --exclusive --vary lr=1,2 --seeds 7",
        ),
        (
            "tune-mnist run --config 'my file.yaml' --set epochs=2 --seeds 7,8",
            "lr=1,2",
            None,
            "tune-mnist run --config 'my file.yaml' --set epochs=2 --vary lr=1,2 --seeds 7,8",
        ),
        ("tune-mnist run --sweep lr", "", 5, "tune-mnist run --sweep lr --seeds 5"),
        ("tune-mnist run --sweep lr --seeds 3..20", "", 26, "tune-mnist run --sweep lr --seeds 3..26"),
        ("tune-mnist run --seeds 7,8", "lr=1,2", 5, ""),
        ("tune-mnist run lr=1,2 dropout=0,0.1", "lr=1,2", 5, ""),
        ("python notebook.py", "lr=1,2", 5, ""),
        ("", "lr=1,2", 5, ""),
    ],
)
def test_a_command_is_given_again_with_other_values_and_seeds(
    command: str, vary: str, seeds: int | None, said: str
) -> None:
    assert again(command, vary, seeds) == said


# No two sentences on the same pair disagree


def random_sweep(seed: int) -> tuple[pd.DataFrame, Task]:
    """A sweep over the learning rate with or without its baseline, effects from none to large, holes, and ties."""
    chance = np.random.default_rng(seed)
    lrs = chance.choice([0.01, 0.02, 0.05, 0.1, 0.2, 0.5], int(chance.integers(2, 6)), replace=False).tolist()
    lrs = sorted({*lrs, 0.01} if chance.random() < 0.8 else set(lrs) - {0.01, *lrs[:0]})
    n = int(chance.choice([1, 2, 3, 5]))
    shared, spread = chance.normal(0, 0.01, n), chance.choice([0.0, 0.0005, 0.005])
    points = [
        (lr, place + 1, float(np.clip(round(level + shared[place] + chance.normal(0, spread), 4), 0, 1)), 60.0)
        for lr in lrs or [0.02]
        for level in [0.9 + chance.choice([0, 0, 0.002, 0.02, -0.02, -0.8])]
        for place in range(n)
        if chance.random() > 0.1 or place == 0
    ]
    return complete(sweep("lr", points)), ASKED if chance.random() < 0.5 else MNIST


def listed(words: str) -> list[str]:
    return re.split(r", | and ", words) if words else []


def disagreements(points: pd.DataFrame, task: Task) -> tuple[str, list[str]]:
    """All that is said of a sweep; and which of it cannot be so beside another sentence, or beside the table."""
    summary = summarise(points, task, {"lr": 0.3})
    rows = {row["point"]: row for _, row in in_order(named(summary, task)).iterrows()}
    results = Results(Path(), task, points, None, {"command": COMMAND})
    answer = findings.answer(summary, task)
    text = " ".join([*answer.sentences, *by_sweep(advice(results, summary))])
    wrong = [*_against_the_table(rows), *_courses(rows, answer.course), *_verdicts(rows, text, task)]
    return text, [f"{what}: {text}" for what, so in wrong if not so]


def _against_the_table(rows: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Interval, verdict and margin of each row."""
    for value, row in rows.items():
        resolved = row["resolved"] == "yes"
        if row["resolved"] in ("yes", "no"):
            yield f"interval of {value}", (row["difference_low"] > 0 or row["difference_high"] < 0) == resolved
        yield f"better at {value}", (row["to_margin"] == "better") == (resolved and row["difference"] > 0)
        yield f"worse at {value}", row["to_margin"] != "worse" or (resolved and row["difference"] < 0)


def _courses(rows: dict[str, Any], course: str) -> Iterator[tuple[str, bool]]:
    """What the first sentence says of two points, or of one and all others."""
    if re.search(r"rises|falls", course):
        first, *_, last = rows.values()
        yield "a course", apart(first, last)
    if found := re.search(r"peaks at ([\d.]+)", course):
        yield "a peak", all(apart(rows[found[1]], row) for value, row in rows.items() if value != found[1])
    if found := re.search(r"lies between ([\d.]+) \(.*?\) and ([\d.]+) ", course):
        yield "a level", not apart(rows[found[1]], rows[found[2]])


def _verdicts(rows: dict[str, Any], text: str, task: Task) -> Iterator[tuple[str, bool]]:
    """What the other sentences say of differences to the baseline."""
    yes = {value for value, row in rows.items() if row["resolved"] == "yes"}
    gains = {value for value in yes if rows[value]["difference"] > 0}
    if found := re.search(r"At ([\d., and]+) the difference to the baseline", text):
        yield "resolved", set(listed(found[1])) == yes
    if found := re.search(r"Set ([\d.]+): (.*?\)) over", text):
        yield "the setting", found[1] in gains and found[2] == difference(rows[found[1]], task.judged)
    yield "the baseline is kept", not gains or "no other value is resolved to be better" not in text
    told = re.findall(r"([+−][\d.]+ points \(95 %: [+−][\d.]+ to [+−][\d.]+\)) at ([\d.]+\d)", text)
    for said, value in told:
        by = "answers" if rows[value]["n"] == 1 else "difference"
        yield f"the interval at {value}", said == difference(rows[value], task.judged, by)


def test_no_two_sentences_on_the_same_pair_disagree() -> None:
    made = [disagreements(*random_sweep(seed)) for seed in range(60)]
    assert [one for _, wrong in made for one in wrong] == []
    said = " ".join(text for text, _ in made)
    for kind in (
        "Set 0",
        "Keep the baseline",
        "more seed",
        "extend it",
        "in one training each",
        "There is no point at",
    ):
        assert kind in said, kind


def test_what_overlapping_intervals_hide_is_told_by_pairs() -> None:
    """Without a baseline: the means' intervals overlap, and seed by seed the difference is 2.0, 2.1 and 1.9 points."""
    points = complete(seeded_sweep("optimizer", {"adam": [0.90, 0.95, 0.92], "sgd": [0.88, 0.929, 0.901]}))
    answer = findings.answer(summarise(points, MNIST), MNIST)
    assert answer.course == "Over optimizer, test accuracy is highest at adam (92.33 %) and lowest at sgd (90.33 %)."
    assert answer.resolved.endswith("; pair by pair, by seed, corrected by Holm, told apart: sgd from adam.")


def test_one_seed_says_what_the_test_examples_tell_and_no_more() -> None:
    points = complete(seeded_sweep("lr", {0.01: [0.26], 0.02: [0.262], 0.05: [0.77], 10.0: [0.102]}))
    answer = findings.answer(summarise(points, ASKED), ASKED)
    assert answer.resolved.startswith("With one seed per point, nothing is known of how seeds spread, so no difference")
    assert "by their 10,000 answers, differ from the baseline’s: +51.00 points (95 %: +49.5" in answer.resolved
    assert answer.resolved.endswith("are not told apart from it at 0.02.")
    assert answer.guessing == "No better than guessing, which gives 11.35 %, at 10 (10.20 %): it has not learned there."


# The margin, from the options to the report


def test_a_margin_is_of_the_request_and_of_its_sweep_file(tmp_path: Path) -> None:
    request = build(MNIST, Options(vary=["lr=0.01,0.1"], margin="0.2"))
    assert request.margin == 0.2
    text = written(request, MNIST, {})
    assert text.endswith("margin: 0.2\n")
    path = tmp_path / "mine.yaml"
    path.write_text(text, "utf-8")
    assert sweepfile.read(path, MNIST).margin == 0.2
    assert build(MNIST, Options(config=path)).margin == 0.2
    assert build(MNIST, Options(config=path, margin="0.5")).margin == 0.5


@pytest.mark.parametrize("margin", ["0", "-1", "inf", "nan", "much", "true"])
def test_a_margin_that_is_none_is_refused(tmp_path: Path, margin: str) -> None:
    with pytest.raises(UserError, match=r"margin must be a number above 0, such as 0\.2"):
        build(MNIST, Options(vary=["lr=0.01,0.1"], margin=margin))
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: mine\nvary:\n  lr: [0.01, 0.1]\nmargin: {margin}\n", "utf-8")
    with pytest.raises(UserError, match=r"mine\.yaml:4: margin must be a number above 0"):
        sweepfile.read(path, MNIST)


def test_a_report_against_a_margin_has_its_verdicts_and_keeps_it(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "results", seeded_sweep("lr", {0.01: [0.950, 0.952, 0.948], 0.05: [0.980, 0.983, 0.979]})
    )
    write_environment(folder, ENVIRONMENT | {"sweeps": {"lr": {"lr": [0.01, 0.05]}}})
    assert report([folder], margin="0.2") == 0
    text = (folder / "report.md").read_text("utf-8").replace("\\", "")
    assert text.index("## What to do") < text.index("## The answer")
    assert "; the margin is 0.2 points\n" in text
    assert re.search(r"\| 0\.05 \| 3 \| 98\.07 % .* \| resolved \| better \|", text)
    assert "“no worse”: it reaches 0, or lies below, and lies above −margin" in text
    assert [row["to_margin"] for row in lines_of(folder / "summary.csv")] == ["", "better"]
    assert report([folder], margin=None) == 0  # the folder tells it by now
    assert (folder / "report.md").read_text("utf-8").replace("\\", "") == text


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_summary_that_is_left_reads_as_it_was_made(tmp_path: Path, seeds: int) -> None:
    """A command's last lines are made from it: numbers to the last bit, and words as they were."""
    without_baseline = seeded_sweep("gamma", {0.1: [0.93, 0.94, 0.95], 0.2: [0.96, 0.97, 0.98]}).assign(baseline=False)
    formula = seeded_sweep("model", {"=cnn": [0.93, 0.94, 0.95]})
    ended = seeded_sweep("weight_decay", {0.0: [0.93, 0.94, 0.95], 0.5: [0.96, 0.97, 0.98]})
    ended.loc[ended.index[-1], "status"] = "diverged"
    tables = [one[one["seed"] <= seeds] for one in (*several_sweeps(), without_baseline, formula, ended)]
    results = read_folder(write_folder(tmp_path, *tables))
    facts = results.environment | {"sweeps": {"lr": {"lr": [0.01]}}, "margin": 0.2}
    made = write_csv(summary_of(replace(results, environment=facts)), tmp_path / "summary.csv")
    record_products(tmp_path, facts, [made.name])
    results = read_folder(tmp_path)
    assert_frame_equal(left(results), summary_of(results), check_exact=True)
    made.write_text(made.read_text("utf-8").replace("0.9", "0.8"), "utf-8")  # by hand
    assert_frame_equal(left(results), summary_of(results), check_exact=True)
    made.unlink()
    assert_frame_equal(left(replace(results, environment={})), summary_of(replace(results, environment={})))


def test_of_many_values_the_pairs_are_counted() -> None:
    points = complete(
        seeded_sweep("lr", {lr: [lr, lr + 0.001, lr + 0.0005 * lr] for lr in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)})
    )
    answer = findings.answer(summarise(points, MNIST), MNIST)
    assert re.search(r", \d+ of 21 pairs are told apart\.$", answer.resolved)
