"""A training that diverges is a result: stored with its epoch, told in every table, never averaged away or repeated."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import DIGITS, Finished, Rows, rows, run
from tables import CURVE, LRS, complete, curve_sweep, epochs_of, read_folder, seeded_sweep, several_sweeps, write_folder
from tasks import asked, config, mnist
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tune_mnist.__main__ import main
from tune_mnist.display.overview import best_lines, diverged_line, plan_lines
from tune_mnist.display.progress import Progress
from tune_mnist.display.tensorboard import TensorBoard
from tune_mnist.errors import UserError
from tune_mnist.figures.curve import curve, draw, endings
from tune_mnist.figures.gallery import save_figures
from tune_mnist.figures.heatmap import cross_cells, draw_cross
from tune_mnist.figures.learning import draw_learning, learning_curves
from tune_mnist.figures.tradeoff import draw_tradeoff, tradeoff
from tune_mnist.measure import divergence
from tune_mnist.mnist.task import MNIST
from tune_mnist.plan.plan import Plan, make_plan
from tune_mnist.plan.timeleft import TimeLeft
from tune_mnist.report.findings import answer, best
from tune_mnist.report.interactive import draw_views
from tune_mnist.report.sections import compose
from tune_mnist.report.weaknesses import weaknesses
from tune_mnist.results.columns import TIME
from tune_mnist.results.read import Results
from tune_mnist.results.summary import summarise
from tune_mnist.results.tables import Outcome, history_frame, points_frame
from tune_mnist.store.merge import merge
from tune_mnist.store.store import Row, Store
from tune_mnist.task import Config, run_key
from tune_mnist.verdicts.compare import compare_points

TASK = mnist()
RECORD: dict[str, Any] = {"config": {"lr": 0.1}, "conditions": {"dataset": "digits"}}
KEY = run_key(Config(RECORD["config"]), RECORD["conditions"])
ERROR = "train_loss is nan at epoch 3"


# What has diverged


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"val_score": 0.5, "train_loss": 3.0}, ""),
        ({"val_score": 0.5, "train_loss": math.nan}, "train_loss is nan"),
        ({"val_score": 0.5, "Loss/train": math.inf}, "Loss/train is inf"),
        ({"val_score": -math.inf, "train_loss": 3.0}, "val_score is -inf"),
        ({"val_score": 0.5, "grad_norm": math.inf, "lr": math.nan}, ""),
        ({"val_score": 0.5, "train_loss": 1e300, "note_loss": "none"}, ""),
    ],
)
def test_a_loss_or_the_judged_measure_shows_it(metrics: dict[str, Any], said: str) -> None:
    assert divergence(metrics, "val_score") == said


# The store


def row(epoch: int, **more: Any) -> Row:
    times = {"train_time_s": 10.0 + epoch, "eval_time_s": 1.0, "cpu_time_s": 9.0}
    where = {"concurrent": 1, "hostname": "here", "trial_id": "t_1", "finished": f"2026-01-01T00:00:{epoch:02d}+00:00"}
    measured = {"lr": 0.5, "train_loss": 3 / epoch, "train_accuracy": 0.1, "test_loss": 2 / epoch, "test_accuracy": 0.2}
    return {"epoch": epoch, **measured, **times, **where, **more}


def last(epoch: int) -> Row:
    kept = ("epoch", "train_time_s", "eval_time_s", "cpu_time_s", "concurrent", "hostname", "trial_id", "finished")
    return {name: row(epoch)[name] for name in kept} | {"diverged": "train_loss is nan"}


def filled(store: Store, lines: list[Row], key: str = KEY) -> Store:
    with store.claim([key]):
        store.open(key, RECORD)
        for line in lines:
            store.append(key, line)
            if "diverged" not in line:
                store.save_checkpoint(key, line["epoch"], b"state")
    return store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return filled(Store(tmp_path / "store"), [row(1), row(2), last(3)])


def test_the_epochs_before_it_are_good_and_its_own_row_is_none_of_them(store: Store) -> None:
    held = Store(store.folder).held(KEY)
    assert [one["epoch"] for one in held.rows] == [1, 2]
    assert held.diverged == last(3)
    assert held.resume == 2


@pytest.mark.parametrize("epoch", [3, 4, 5])
def test_nothing_follows_it(store: Store, epoch: int) -> None:
    """As a training that is not deterministic might, whose worker was lost just then."""
    assert store.append(KEY, row(epoch)) is False
    assert Store(store.folder).held(KEY).diverged == last(3)


def test_a_row_that_an_older_program_added_after_it_is_damage_that_is_named(store: Store) -> None:
    path = store.folder / KEY / "history.jsonl"
    longer = filled(Store(store.folder.parent / "other"), [row(epoch) for epoch in range(1, 5)])
    with path.open("ab") as file:
        file.write((longer.folder / KEY / "history.jsonl").read_bytes().splitlines(keepends=True)[3])
    held = Store(store.folder).held(KEY)
    assert held.rows == ()
    assert held.damage == f"line 4 of {path} is after the epoch at which the training diverged"


def test_its_row_has_no_measure_that_a_program_could_take_for_good(store: Store) -> None:
    line = (store.folder / KEY / "history.jsonl").read_text().splitlines()[2]
    assert not [one.name for one in MNIST.measures if one.name in line.replace("train_loss is nan", "")]


def test_a_measure_of_that_name_is_a_measure(tmp_path: Path) -> None:
    store = filled(Store(tmp_path), [row(1, diverged=0.0), row(2, diverged=1.0)])
    assert (store.held(KEY).epochs, store.held(KEY).diverged) == (2, None)


def test_merging_carries_it_over_and_once(store: Store, tmp_path: Path) -> None:
    target = filled(Store(tmp_path / "target"), [row(1)])
    assert merge(store.folder, target) == 2
    assert target.held(KEY) == store.held(KEY)
    assert merge(store.folder, target) == 0


def test_fresh_begins_again(store: Store) -> None:
    with store.claim([KEY]):
        store.open(KEY, RECORD, fresh=True)
        assert store.append(KEY, row(1))
    assert (store.held(KEY).epochs, store.held(KEY).diverged) == (1, None)


def told_by(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a command prints."""
    monkeypatch.setattr(sys, "argv", ["tune-mnist", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    return capsys.readouterr().out


def test_the_list_of_runs_says_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = told_by(monkeypatch, capsys, "runs", "--store", store.folder)
    assert "  2  diverged at 3  2026-01-01" in said


# The plan and the tables


def planned(store: Store, lines: list[Row], **options: Any) -> Plan:
    points = asked(**options).points
    for key in make_plan(points, TASK, store.held).keys:
        filled(store, lines, key)
    return make_plan(points, TASK, store.held)


EPOCHS: dict[str, Any] = {"vary": ["epochs=2,3,15"]}


def test_what_asks_for_fewer_epochs_has_its_value_and_what_asks_for_more_diverged(tmp_path: Path) -> None:
    plan = planned(Store(tmp_path), [row(1), row(2), last(3)], **EPOCHS)
    points = points_frame(plan, TASK, Outcome(), config())
    assert points["status"].tolist() == ["done", "diverged", "diverged"]
    assert points["error"].tolist() == ["", ERROR, ERROR]
    assert points["test_accuracy"].tolist() == pytest.approx([0.2, math.nan, math.nan], nan_ok=True)
    assert points["train_time_s"].tolist() == [11 + 12, 11 + 12 + 13, 11 + 12 + 13]
    assert points["hostname"].tolist() == ["here"] * 3
    assert history_frame(plan, TASK)["epoch"].tolist() == [1, 2]


def test_it_is_not_trained_again_and_the_plan_says_so(tmp_path: Path) -> None:
    plan = planned(Store(tmp_path), [row(1), row(2), last(3)], **EPOCHS)
    assert plan.todo == ()
    assert plan_lines(plan, "epoch")[1] == "2 epochs in the store, 0 to train, 1 run diverged and is not trained again"


def test_a_run_that_diverged_after_what_is_asked_is_not_told(tmp_path: Path) -> None:
    plan = planned(Store(tmp_path), [row(1), row(2), last(3)], vary=["epochs=1,2"])
    assert plan.diverged == 0


class Shown:
    def follow(self, runs: object) -> None:
        pass


def test_a_run_that_diverges_leaves_nothing_to_train_and_answers_its_points(tmp_path: Path) -> None:
    plan = planned(Store(tmp_path), [], **EPOCHS)
    (run,) = plan.runs
    display: Any = Shown()
    progress = Progress(plan, {run.key: "lr=1000"}, TASK, display, TimeLeft(plan.runs, TASK, {}))
    progress.started(run.key, 0, "here")
    progress.epoch(run.key, row(1))
    progress.diverged(run.key, last(2))
    assert progress._sweeps_line() == "epochs 3/3 points"
    assert (sum(progress.left.values()), progress.running) == (0, {})


@pytest.mark.parametrize("live", [True, False], ids=["as it comes in", "from the store"])
def test_tensorboard_has_a_nan_at_its_epoch(tmp_path: Path, live: bool) -> None:
    plan = planned(Store(tmp_path / "store"), [] if live else [row(1), row(2), last(3)], **EPOCHS)
    (run,) = plan.runs
    board = TensorBoard(tmp_path, plan, {run.key: "lr=1000"}, TASK, {})
    for line in [row(1), row(2), last(3)] if live else []:
        board.epoch(run.key, line)
    (folder,) = (tmp_path / "tensorboard").iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    scalars = [(one.step, one.value) for one in events.Scalars("test_accuracy")]
    assert np.array(scalars) == pytest.approx(np.array([(1, 0.2), (2, 0.2), (3, math.nan)]), nan_ok=True)


# The summary, and what it says


def ended(points: pd.DataFrame, at: dict[Any, list[int]], variable: str = "lr", epoch: int = 3) -> pd.DataFrame:
    """The points with those that diverged: value -> seeds."""
    points = points.copy()
    is_over = pd.Series([row["seed"] in at.get(row[variable], []) for _, row in points.iterrows()], index=points.index)
    measures = [one.name for one in (*MNIST.measures, *CURVE.measures) if one.in_points and one.name in points]
    points.loc[is_over, measures] = math.nan
    points.loc[is_over, "status"], points.loc[is_over, "error"] = "diverged", f"train_loss is nan at epoch {epoch}"
    return points


LR = complete(seeded_sweep("lr", LRS | {1000.0: [0.1, 0.1, 0.1]}))


def summed(points: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {str(row["value"]): dict(row) for _, row in summarise(points, MNIST).iterrows()}


def test_the_mean_of_the_survivors_is_not_in_the_summary() -> None:
    found = summed(ended(LR, {1000.0: [1, 3]}))
    row = found["1000"]
    assert (row["accuracy_n"], row["diverged"], row["not_done"], row["resolved"]) == (1, 2, 0, "diverged")
    empty = ("accuracy_mean", "accuracy_sd", "accuracy_low", "difference", "difference_low", "p", "p_holm", "time_mean")
    assert all(math.isnan(row[name]) for name in empty)
    assert [found[value]["diverged"] for value in ("0.001", "0.01", "0.05")] == [0, 0, 0]


def test_the_others_are_corrected_for_their_own_number() -> None:
    """p is multiplied by 2 comparisons, not by 3."""
    found, without = (summed(points) for points in (ended(LR, {1000.0: [2]}), LR[LR["lr"] < 1000]))
    assert [found[value]["p_holm"] for value in ("0.001", "0.05")] == [
        without[value]["p_holm"] for value in ("0.001", "0.05")
    ]


def test_to_a_baseline_that_diverged_no_difference_is_taken() -> None:
    found = summed(ended(LR, {0.01: [2]}))
    assert found["0.01"]["resolved"] == "diverged"
    assert {found[value]["resolved"] for value in ("0.001", "0.05", "1000")} == {"baseline diverged"}
    assert math.isnan(found["0.05"]["difference"])
    said = answer(summarise(ended(LR, {0.01: [2]}), MNIST), MNIST)
    assert said.resolved.startswith(
        "Training diverged at the baseline (0.01), so there is nothing to take a difference to; pair by pair"
    )


@pytest.mark.parametrize(
    ("at", "sentence"),
    [
        ({1000.0: [1, 3]}, "2 of 3 seeds diverged at learning rate 1000."),
        ({1000.0: [1, 2, 3]}, "All 3 seeds diverged at learning rate 1000."),
        ({0.05: [1], 1000.0: [2]}, "1 of 3 seeds diverged at learning rate 0.05 and 1000."),
    ],
)
def test_the_course_is_of_the_others_and_says_what_diverged(at: dict[Any, list[int]], sentence: str) -> None:
    summary = summarise(ended(LR, at), MNIST)
    course = answer(summary, MNIST).course
    assert course.endswith(sentence)
    assert "(10.00 %)" not in course
    assert "1000" not in best(summary, MNIST)


def test_of_one_seed_no_number_of_seeds_is_told() -> None:
    points = ended(LR[LR["seed"] == 1], {1000.0: [1]})
    assert answer(summarise(points, MNIST), MNIST).course.endswith("Training diverged at learning rate 1000.")


def test_a_sweep_of_which_nothing_is_left_says_so() -> None:
    points = ended(LR[LR["lr"] >= 0.05], {0.05: [1], 1000.0: [1, 2, 3]})
    said = "No value of learning rate has a mean. 1 of 3 seeds diverged at learning rate 0.05."
    assert answer(summarise(points, MNIST), MNIST).sentences == (f"{said} All 3 seeds diverged at learning rate 1000.",)


def test_what_diverged_is_never_the_best_though_its_survivor_is() -> None:
    points = ended(complete(seeded_sweep("lr", {0.01: [0.9, 0.9], 1.0: [0.99, 0.99]})), {1.0: [2]})
    assert best_lines(points, MNIST) == [
        "highest test accuracy of lr (learning rate): lr=0.01, 90.00 % (mean of 2 seeds)"
    ]
    assert best(summarise(points, MNIST), MNIST).startswith("lr 0.01 reaches the highest")


def test_the_terminal_says_how_many_and_where() -> None:
    assert diverged_line(ended(LR, {1000.0: [1, 3]})) == "2 of 12 points diverged: lr=1000 (2 of 3 seeds)"
    assert diverged_line(LR) == ""


def told(tmp_path: Path, at: dict[Any, list[int]]) -> Results:
    folder = write_folder(tmp_path, LR)
    found = read_folder(folder)
    return Results(folder, found.task, ended(found.points, at), found.history, found.environment)


def test_the_report_says_it_in_its_table_its_points_and_its_weaknesses(tmp_path: Path) -> None:
    results = told(tmp_path, {1000.0: [1, 3]})
    summary = summarise(results.points, MNIST)
    document = compose(results, summary, [])
    (table,) = [block for section in document.sections for block in section.blocks if "means over" in str(block)]
    (line,) = [line for line in table.rows if line[0] == "1000"]  # type: ignore[union-attr]
    cells = dict(zip(table.head, line, strict=True))  # type: ignore[union-attr]
    assert [cells[name] for name in ("n", "test accuracy", "sd", "verdict")] == [
        "1",
        "2 of 3 diverged",
        "–",
        "diverged",
    ]
    assert {cells[name] for name in cells if "interval" in name or "difference" in name or "p," in name} == {"–"}
    said = f"2 of 12 points diverged: lr 1000 (seed 1) and 1000 (seed 3): {ERROR}."
    assert [one for one in weaknesses(results, summary) if one.startswith(said)]
    assert not [one for one in weaknesses(results, summary) if "not done" in one]


# Comparing two folders


def test_a_point_that_diverged_in_one_folder_is_compared_by_no_mean() -> None:
    other = complete(seeded_sweep("lr", LRS | {1000.0: [0.2, 0.2, 0.2]}, dropout=0.1))
    table = compare_points(ended(LR, {1000.0: [1, 3]}), other, MNIST).set_index("value")
    row = table.loc["1000"]
    assert (row["test"], row["n_a"], row["n_b"], row["diverged_a"], row["resolved"]) == ("diverged", 1, 3, 2, "-")
    assert np.isnan(row["mean_a"])
    assert row["mean_b"] == pytest.approx(0.2)
    assert np.isnan(row["difference"])
    assert table.loc["0.05", "test"] == "paired"


def test_the_comparison_says_how_many_diverged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, at in (("a", {1000.0: [1, 3]}), ("b", {})):
        folder = write_folder(tmp_path / name, LR)
        ended(read_folder(folder).points, at).to_csv(folder / "mnist_results.csv", index=False)
    said = told_by(monkeypatch, capsys, "compare", tmp_path / "a", tmp_path / "b")
    (line,) = [line for line in said.splitlines() if " 1000 " in line]
    assert "2 of 3 diverged" in line
    assert "10.00 % (n=3)" in line


# Pictures


def entries(figure: Any) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def marks(axes: Any, look: str) -> list[tuple[Any, ...]]:
    """Where marks of this look stand alone: x and, as a share of the height, y."""
    found = [np.column_stack(line.get_data()) for line in axes.lines if line.get_marker() == look]
    return [tuple(places[0].tolist()) for places in found if len(places) == 1]


def words(figure: Any) -> str:
    return " ".join(text.get_text() for text in figure.texts).replace("\n", " ")


def test_a_value_that_diverged_has_no_point_but_a_mark_at_the_edge() -> None:
    points = ended(LR, {1000.0: [1, 3]})
    assert 1000 not in curve(points, MNIST.judged, MNIST)["value"].tolist()
    assert endings(points).to_dict("records") == [{"value": 1000.0, "diverged": 2, "seeds": 3}]
    figure = draw(points, MNIST.judged, MNIST)
    assert marks(figure.axes[0], "v") == [(1000, 0.03)]
    assert "diverged (2 of 3)" in entries(figure)
    assert "Where trainings diverged no mean is shown (1000)." in words(figure)


def test_of_a_loss_the_mark_is_at_the_upper_edge() -> None:
    points = ended(curve_sweep("rate", {0.1: [0.5, 0.6], 1.0: [0.4, 0.5], 9.0: [0.4, 0.5]}), {9.0: [1, 2]}, "rate")
    assert marks(draw(points, CURVE.judged, CURVE).axes[0], "^") == [(9, 0.97)]


def test_times_are_without_it_and_say_so() -> None:
    points = ended(LR, {1000.0: [1, 3]})
    assert "Where trainings diverged no time is shown (1000)." in words(draw(points, TIME, MNIST))
    assert "1000" not in " ".join(tradeoff(points, MNIST)["label"])
    assert "Where trainings diverged there is no point (lr 1000)." in words(draw_tradeoff(points, MNIST))


def test_learning_curves_end_with_a_mark_at_its_epoch() -> None:
    points = ended(LR, {1000.0: [1, 3]})
    history = epochs_of(LR)
    over = points.loc[points["status"] == "diverged", "run"]
    history = history[~history["run"].isin(over) | (history["epoch"] < 3)]
    curves = learning_curves(points, history, MNIST)
    mine = curves[curves["values"] == "1000"]
    assert mine["epoch"].tolist() == [1, 2, 3]
    assert mine["n"].tolist() == [3, 3, 2]
    assert mine["diverged"].tolist() == [False, False, True]
    assert np.isnan(mine["test_accuracy"].iloc[2])
    figure = draw_learning(points, history, MNIST)
    assert "diverged: 1000" in entries(figure)
    loss, accuracy = figure.axes
    assert (marks(loss, "^"), marks(accuracy, "v")) == ([(3, 0.97)], [(3, 0.03)])


def test_a_training_that_diverged_at_once_has_a_mark_alone() -> None:
    points = ended(LR, {1000.0: [1, 2, 3]}, epoch=1)
    history = epochs_of(LR[LR["lr"] < 1000])
    curves = learning_curves(points, history, MNIST)
    assert curves.loc[curves["values"] == "1000", ["epoch", "diverged"]].to_numpy().tolist() == [[1, True]]
    draw_learning(points, history, MNIST)


def test_a_cell_of_a_heat_map_says_it() -> None:
    cross = complete(several_sweeps()[-1])
    points = cross.copy()
    is_over = (points["lr"] == 0.05) & (points["dropout"] == 0.0) & (points["seed"] < 3)
    points.loc[is_over, "status"], points.loc[is_over, "test_accuracy"] = "diverged", math.nan
    (cells,) = cross_cells(points, MNIST).values()
    assert cells.said(MNIST.judged)[1][0] == "∞\n2 of 3"
    assert cells.means.isna().iloc[1, 0]
    assert "Hatched: ∞, diverged (1)." in words(draw_cross(points, MNIST))


def test_the_pages_views_mark_it_and_say_why() -> None:
    points = ended(LR, {1000.0: [1, 3]})
    made = draw_views(points, MNIST)
    assert "diverged" in made.script
    assert f"diverged: {ERROR}" in made.script
    assert draw_views(points, MNIST) == made


def test_a_sweep_of_which_nothing_is_left_draws_no_picture(tmp_path: Path) -> None:
    results = told(tmp_path, {lr: [1, 2, 3] for lr in LR["lr"]})
    assert [one.stem for one in save_figures(results)] == ["learning_lr"]
    with pytest.raises(UserError, match="no finished point to draw"):
        draw(results.points, MNIST.judged, MNIST)


# The real command

WILD = """
def train(config, state=None):
    epoch = state["epoch"] if state else 0
    while True:
        epoch += 1
        wild = config["rate"] == 5 or config["rate"] == 2 and config["seed"] == 2 and epoch == 3
        loss = float("inf") if wild else 1 / (epoch * config["rate"]) + config["seed"] / 50
        yield {"val_score": 1 - min(loss, 0.9), "train_loss": loss}, {"epoch": epoch}
"""


def wild(folder: Path, *more: str) -> Finished:
    task = ("--task", "wild.py", "--vary", "rate=1,2,5", "--set", "rate=1", "--set", "epochs=4", "--seeds", "2")
    return run(*task, "--maximize", "val_score", "--trust", *more, folder=folder)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "results" / "wild").glob("*.*") if path.suffix != ".log"}


@pytest.mark.timeout(600)
@pytest.mark.long
def test_a_loop_of_ones_own_diverges_and_the_same_command_trains_nothing_again(tmp_path: Path) -> None:
    (tmp_path / "wild.py").write_text(WILD)
    done = wild(tmp_path)
    assert done.code == 0, done.out + done.err
    points: Rows = rows(tmp_path / "results" / "wild" / "wild_results.csv")
    found = {(float(row["rate"]), row["seed"]): (row["status"], row["error"]) for row in points}
    assert found[2.0, "1"] == ("done", "")
    assert found[2.0, "2"] == ("diverged", "train_loss is inf at epoch 3")
    assert found[5.0, "1"] == found[5.0, "2"] == ("diverged", "train_loss is inf at epoch 1")
    warned = "3 of 6 points diverged: rate=2 (1 of 2 seeds); rate=5 (2 of 2 seeds)"
    assert warned in done.err
    assert "rate=2, seed=2: diverged: train_loss is inf at epoch 3" in done.err
    left = files(tmp_path)
    again = wild(tmp_path)
    assert again.code == 0, again.out + again.err
    assert "0 to train, 3 runs diverged and are not trained again" in again.out
    assert warned in again.err
    assert files(tmp_path) == left
    fresh = wild(tmp_path, "--fresh", "--dry-run")
    assert "24 to train" in fresh.out


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_training_on_digits_diverges_at_its_first_epoch_and_another_later(tmp_path: Path) -> None:
    """A weight decay above 2 / lr makes the weights grow by a factor at each step, until they are no numbers."""
    held = ("--set", "model=linear", "optimizer=sgd", "weight_decay=0.3", "epochs=4", "lr=0.01")
    done = run(*DIGITS, *held, "--vary", "lr=0.01,20,1e30", folder=tmp_path)
    assert done.code == 0, done.out + done.err
    found = {row["lr"]: row for row in done.points()}
    assert [found[lr]["status"] for lr in ("0.01", "20.0", "1e+30")] == ["done", "diverged", "diverged"]
    assert found["1e+30"]["error"] == "train_loss is nan at epoch 1"
    assert "Traceback" not in done.out + done.err
    assert {path.name for path in done.results.glob("*.png")} >= {"accuracy_vs_lr.png", "time_vs_lr.png"}
    at = int(found["20.0"]["error"].rpartition(" ")[2])
    assert at > 1
    assert [row["epoch"] for row in done.epochs() if row["lr"] == "20.0"] == [str(one) for one in range(1, at)]
    verified = run("verify", str(done.results), "--run", found["20.0"]["run"], folder=tmp_path, module="tune_mnist")
    assert verified.code == 0, verified.out + verified.err
    assert f"epoch {at}: {found['20.0']['error'].partition(' at ')[0]}, equal" in verified.out
