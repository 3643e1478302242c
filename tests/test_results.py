"""The tables: each column of a point and of an epoch, worked out by hand from the stored rows; CSV to the last bit."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tasks import asked, config, mnist

from tune_mnist.plan.plan import Plan, make_plan
from tune_mnist.results.columns import epoch_columns, point_columns
from tune_mnist.results.folder import write_csv
from tune_mnist.results.tables import Outcome, history_frame, points_frame
from tune_mnist.store.store import Row, Store

IMAGES = 1437
_MADE_UP = mnist(device="cuda NVIDIA H200", threads=2)
TASK = replace(
    _MADE_UP, parameters=tuple(replace(one, none_is=IMAGES if one.none else None) for one in _MADE_UP.parameters)
)
EPOCHS: dict[str, Any] = {"vary": ["epochs=1,3,15"], "settings": ["lr=0.5"]}
# The columns that the issue asks for at least.
ASKED = {"sweep", "variable", "value", "dataset", "model", "optimizer", "epochs", "batch_size", "lr", "gamma", "seed"}
ASKED |= {"test_accuracy", "test_loss", "train_time_s", "eval_time_s", "cpu_time_s", "threads", "concurrent", "device"}
ASKED |= {"hostname", "precision", "trial_id", "status"}


def row(epoch: int, **more: Any) -> Row:
    """An epoch's row as a trial sends it; every number says which epoch it is of."""
    measured: Row = {
        "epoch": epoch,
        "lr": 0.5 * 0.7 ** (epoch - 1),
        "train_loss": 3.0 / epoch,
        "train_accuracy": epoch / 200,
        "test_loss": 2.0 / epoch,
        "test_accuracy": epoch / 100,
        "train_time_s": 10.0 + epoch,
        "eval_time_s": 1.0,
        "cpu_time_s": 20.0,
        "concurrent": 1,
        "hostname": "here",
        "trial_id": "t_1",
        "finished": f"2026-01-01T00:00:{epoch:02d}+00:00",
    }
    return measured | more


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def planned(store: Store, rows: list[Row], share: bool = True, **options: Any) -> Plan:
    """The plan of a command's options, over a store that has these rows of each of its runs."""
    points = asked(**options).points
    for key in make_plan(points, TASK, store.held, share).keys:
        with store.claim([key]):
            store.open(key, {})
            for one in rows:
                store.append(key, one)
    return make_plan(points, TASK, store.held, share)


def points_of(store: Store, rows: list[Row], errors: dict[str, str] | None = None, **options: Any) -> pd.DataFrame:
    return points_frame(planned(store, rows, **options), TASK, Outcome(errors or {}), config())


def rows_up_to(epochs: int) -> list[Row]:
    return [row(epoch) for epoch in range(1, epochs + 1)]


# A row a point


def test_every_column_that_was_asked_for_is_there() -> None:
    assert set(point_columns(TASK)) >= ASKED


def test_a_point_is_read_off_its_own_epoch_of_a_longer_run(store: Store) -> None:
    frame = points_of(store, rows_up_to(15), **EPOCHS)
    assert frame.test_accuracy.tolist() == [0.01, 0.03, 0.15]


def test_losses_are_those_of_the_points_last_epoch(store: Store) -> None:
    frame = points_of(store, rows_up_to(15), **EPOCHS)
    assert (frame.test_loss.tolist(), frame.train_loss.tolist()) == ([2.0, 2 / 3, 2 / 15], [3.0, 1.0, 0.2])


def test_times_are_summed_over_the_points_epochs(store: Store) -> None:
    frame = points_of(store, rows_up_to(15), **EPOCHS)
    assert frame.train_time_s.tolist() == [11.0, 11.0 + 12.0 + 13.0, 15 * 10.0 + 120.0]
    assert (frame.eval_time_s.tolist(), frame.cpu_time_s.tolist()) == ([1.0, 3.0, 15.0], [20.0, 60.0, 300.0])


def test_points_stand_in_the_order_asked(store: Store) -> None:
    frame = points_of(store, rows_up_to(5))
    assert frame.sweep.tolist() == ["epochs"] * 5 + ["batch"] * 4 + ["lr"] * 4


def test_a_points_values_are_its_configs(store: Store) -> None:
    options: dict[str, Any] = {
        "vary": ["dropout=0.1"],
        "settings": ["model=mlp", "optimizer=sgd", "momentum=0.9", "shuffle=false"],
    }
    one = points_of(store, rows_up_to(5), **options).loc[0].to_dict()
    assert (
        one.items()
        >= {
            "sweep": "dropout",
            "variable": "dropout",
            "value": 0.1,
            "dataset": "digits",
            "model": "mlp",
            "optimizer": "sgd",
            "schedule": "step",
            "epochs": 5,
            "batch_size": 64,
            "lr": 0.01,
            "gamma": 0.7,
            "momentum": 0.9,
            "weight_decay": 0.0,
            "dropout": 0.1,
            "shuffle": False,
            "seed": 1,
        }.items()
    )


def test_conditions_stand_in_every_row(store: Store) -> None:
    frame = points_of(store, rows_up_to(15), **EPOCHS)
    held = {(r.dataset, r.threads, r.device, r.precision) for r in frame.itertuples()}
    assert held == {("digits", 2, "cuda", "fp32")}


@pytest.mark.parametrize(("asked", "size"), [("all", IMAGES), ("100", 100)])
def test_the_train_size_is_the_number_of_images(store: Store, asked: str, size: int) -> None:
    frame = points_of(store, rows_up_to(5), vary=["lr=0.1"], settings=[f"train_size={asked}"])
    assert frame.train_size.tolist() == [size]


def test_concurrent_is_the_most_beside_any_of_the_points_epochs(store: Store) -> None:
    rows = [row(1, concurrent=2), row(2, concurrent=5), row(3, concurrent=0)]
    frame = points_of(store, rows, vary=["epochs=1,2,3"])
    assert frame.concurrent.tolist() == [2, 5, 5]


def test_hosts_that_trained_a_point_are_joined_in_order(store: Store) -> None:
    rows = [row(1, hostname="b"), row(2, hostname="a"), row(3, hostname="b")]
    frame = points_of(store, rows, vary=["epochs=1,3"])
    assert frame.hostname.tolist() == ["b", "b+a"]


def test_the_trial_is_that_of_the_points_last_epoch(store: Store) -> None:
    frame = points_of(store, [row(1), row(2, trial_id="t_2")], vary=["epochs=1,2"])
    assert frame.trial_id.tolist() == ["t_1", "t_2"]


def test_points_read_off_one_run_name_it(store: Store) -> None:
    plan = planned(store, rows_up_to(15), **EPOCHS)
    assert points_frame(plan, TASK, Outcome(), config()).run.tolist() == [plan.runs[0].key] * 3


def test_each_seed_has_its_row(store: Store) -> None:
    frame = points_of(store, rows_up_to(5), vary=["lr=0.1,0.2"], seeds=2)
    assert list(zip(frame.value, frame.seed, strict=True)) == [(0.1, 1), (0.1, 2), (0.2, 1), (0.2, 2)]


def test_a_whole_value_stays_whole_beside_a_broken_one(store: Store, tmp_path: Path) -> None:
    frame = points_of(store, rows_up_to(15), sweep=["epochs", "lr"])
    written = write_csv(frame, tmp_path / "points.csv").read_text().splitlines()
    assert [line.split(",")[2] for line in written[1:]] == ["1", "3", "5", "10", "15", "0.001", "0.005", "0.01", "0.05"]


def test_the_size_of_all_images_is_a_value_in_the_table(store: Store) -> None:
    frame = points_of(store, rows_up_to(5), vary=["train_size=100,all"])
    assert frame["value"].notna().all()


# What was not trained to its end


def test_a_point_with_all_of_its_epochs_is_done(store: Store) -> None:
    assert points_of(store, rows_up_to(15), **EPOCHS).status.tolist() == ["done"] * 3


def test_a_point_without_all_of_its_epochs_is_missing_and_has_no_numbers(store: Store) -> None:
    frame = points_of(store, rows_up_to(2), **EPOCHS)
    assert frame.status.tolist() == ["done", "missing", "missing"]
    assert frame.test_accuracy.isna().tolist() == frame.train_time_s.isna().tolist() == [False, True, True]


def test_a_failed_run_fails_only_the_points_that_it_did_not_reach(store: Store) -> None:
    plan = planned(store, rows_up_to(3), **EPOCHS)
    frame = points_frame(plan, TASK, Outcome({plan.runs[0].key: "TrainingFailed: no number"}), config())
    assert frame.status.tolist() == ["done", "done", "failed"]
    assert frame.error.tolist() == ["", "", "TrainingFailed: no number"]


def test_a_point_that_is_not_done_still_says_what_was_asked(store: Store) -> None:
    last = points_of(store, [], **EPOCHS).iloc[-1]
    assert (last.sweep, last["value"], last.epochs, last.lr, last.train_size) == ("epochs", 15, 15, 0.5, IMAGES)


def test_a_failed_neighbour_leaves_a_whole_number_whole(store: Store, tmp_path: Path) -> None:
    """`concurrent` of the others is 1 in the file, not 1.0."""
    written = write_csv(points_of(store, rows_up_to(2), **EPOCHS), tmp_path / "points.csv")
    with written.open() as file:
        assert [line["concurrent"] for line in csv.DictReader(file)] == ["1", "", ""]


# A row an epoch


def test_the_history_has_a_row_an_epoch_of_each_run(store: Store) -> None:
    plan = planned(store, rows_up_to(5))
    frame = history_frame(plan, TASK)
    counted = frame.groupby("run").size().to_dict()
    assert counted == {run.key: 5 for run in plan.runs}


def test_the_historys_columns_are_these_in_this_order(store: Store) -> None:
    frame = history_frame(planned(store, rows_up_to(5)), TASK)
    assert frame.columns.tolist() == epoch_columns(TASK)
    assert {"epoch", "train_loss", "test_loss", "test_accuracy", "run", "trial_id"} <= set(epoch_columns(TASK))
    empty = {name for name in frame.columns if frame[name].isna().any()}
    assert empty == {"momentum"}  # which adadelta has not


def test_an_epochs_numbers_are_its_own(store: Store) -> None:
    frame = history_frame(planned(store, rows_up_to(15), **EPOCHS), TASK)
    third = frame[frame.epoch == 3].iloc[0].to_dict()
    same = {name: value for name, value in row(3).items() if name != "lr"}
    assert third.items() >= same.items()


def test_the_history_has_both_the_configs_learning_rate_and_the_epochs(store: Store) -> None:
    frame = history_frame(planned(store, rows_up_to(15), **EPOCHS), TASK)
    assert frame.lr.tolist() == [0.5] * 15
    assert frame.epoch_lr.tolist() == [0.5 * 0.7**epoch for epoch in range(15)]


def test_the_history_ends_at_the_epochs_asked_though_the_store_has_more(store: Store) -> None:
    frame = history_frame(planned(store, rows_up_to(15), vary=["epochs=1,3"]), TASK)
    assert frame.epoch.tolist() == [1, 2, 3]


def test_the_history_has_what_an_unfinished_run_reached(store: Store) -> None:
    frame = history_frame(planned(store, rows_up_to(2), **EPOCHS), TASK)
    assert frame.epoch.tolist() == [1, 2]


def test_the_history_of_nothing_has_its_columns(store: Store) -> None:
    assert history_frame(planned(store, []), TASK).columns.tolist() == epoch_columns(TASK)


def test_a_run_that_is_not_shared_has_a_history_of_its_own(store: Store) -> None:
    frame = history_frame(planned(store, rows_up_to(15), share=False, **EPOCHS), TASK)
    assert sorted(frame.groupby("run").size()) == [1, 3, 15]


# Files


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=20))
@settings(deadline=None, max_examples=50)
def test_floats_are_read_back_to_the_bit(tmp_path_factory: pytest.TempPathFactory, numbers: list[float]) -> None:
    path = write_csv(pd.DataFrame({"x": numbers}), tmp_path_factory.getbasetemp() / "floats.csv")
    read = [float(line) for line in path.read_text().splitlines()[1:]]
    assert [number.hex() for number in read] == [number.hex() for number in numbers]


def test_an_accuracy_in_the_file_is_the_stored_one_to_the_bit(store: Store, tmp_path: Path) -> None:
    frame = points_of(store, [row(1, test_accuracy=1 / 3, test_loss=math.pi * 1e-7)], vary=["epochs=1"])
    with write_csv(frame, tmp_path / "points.csv").open() as file:
        (line,) = csv.DictReader(file)
    assert (float(line["test_accuracy"]), float(line["test_loss"])) == (1 / 3, math.pi * 1e-7)


def test_the_same_table_is_the_same_bytes(store: Store, tmp_path: Path) -> None:
    one = write_csv(points_of(store, rows_up_to(15)), tmp_path / "one.csv").read_bytes()
    assert write_csv(points_of(store, rows_up_to(15)), tmp_path / "other.csv").read_bytes() == one


def test_a_table_leaves_no_other_file(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    write_csv(points_of(store, rows_up_to(15)), folder / "points.csv")
    assert [path.name for path in folder.iterdir()] == ["points.csv"]


def test_an_error_with_commas_and_quotes_stays_one_field(store: Store, tmp_path: Path) -> None:
    plan = planned(store, [], vary=["lr=0.1"])
    error = 'RuntimeError: "a", b'
    frame = points_frame(plan, TASK, Outcome({plan.runs[0].key: error}), config())
    with write_csv(frame, tmp_path / "points.csv").open() as file:
        assert [line["error"] for line in csv.DictReader(file)] == [error]
