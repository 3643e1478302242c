"""The event files read back by TensorBoard's own readers: what its curves and its HParams table will show."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SMALL, Finished, run, succeeded
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

SCALARS = {"test_accuracy", "test_loss", "train_accuracy", "train_loss", "lr", "train_time_s"}
TOTAL = "train_time_total_s"
COLUMNS = {"lr": "epoch_lr"}  # the others are called in history.csv as they are here


@pytest.fixture(scope="module")
def removed(standard: Finished, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The same command again, after somebody has removed one run's file, and another's folder."""
    folder = tmp_path_factory.mktemp("removed")
    shutil.copytree(standard.folder, folder, dirs_exist_ok=True)
    one, other, *_ = sorted(folder.rglob("events.*"))
    one.unlink()
    shutil.rmtree(other.parent)
    return succeeded(run(*SMALL, folder=folder))


@pytest.fixture(params=["standard", "removed"])
def done(request: pytest.FixtureRequest) -> Finished:
    """The sweeps as they were trained, and as they were read from the store."""
    finished = request.getfixturevalue(request.param)
    assert isinstance(finished, Finished)
    return finished


def folders(done: Finished) -> dict[str, Path]:
    """Run key -> its folder, which is named after what a person calls the run, and the key's start."""
    keys = {row["run"] for row in done.epochs()}
    found = {
        key: folder for folder in (done.results / "tensorboard").iterdir() for key in keys if key[:6] in folder.name
    }
    assert set(found) == keys
    return found


def read(folder: Path) -> EventAccumulator:
    (_,) = folder.iterdir()  # one event file a run
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_a_folder_a_run_named_as_a_person_calls_it(done: Finished) -> None:
    names = {folder.name.rpartition("-")[0] for folder in (done.results / "tensorboard").iterdir()}
    assert names == {
        "baseline",
        *(f"batch_size={n}" for n in (32, 128, 256)),
        *(f"lr={x}" for x in (0.001, 0.005, 0.05)),
    }
    assert len(folders(done)) == 7


def test_the_same_command_again_leaves_the_files_as_they_are(standard: Finished, repeated: Finished) -> None:
    """`repeated` is a copy with the times of its files."""
    before, after = (
        {path.name: path.stat().st_mtime_ns for path in one.results.rglob("events.*")} for one in (standard, repeated)
    )
    assert len(before) == 7
    assert before == after


def test_what_was_removed_is_written_again(standard: Finished, removed: Finished) -> None:
    before, after = (
        {path.relative_to(one.results): path.stat().st_size for path in one.results.rglob("events.*")}
        for one in (standard, removed)
    )
    assert len(before) == 7
    assert before == after


def test_a_file_whose_last_epochs_could_not_be_written_is_written_anew(standard: Finished, tmp_path: Path) -> None:
    shutil.copytree(standard.folder, tmp_path, dirs_exist_ok=True)
    events = next(tmp_path.rglob("events.*"))
    whole = events.stat().st_size
    os.truncate(events, whole // 2)
    history = tmp_path / "results" / "store" / events.name.rpartition(".")[2] / "history.jsonl"
    before = history.stat().st_mtime - 1  # that is when it was written last
    os.utime(events, (before, before))
    succeeded(run(*SMALL, folder=tmp_path))
    assert events.stat().st_size == whole


def test_scalars_have_plain_tags(done: Finished) -> None:
    for folder in folders(done).values():
        assert set(read(folder).Tags()["scalars"]) == SCALARS | {TOTAL}


def test_every_epoch_is_a_step_with_the_historys_values(done: Finished) -> None:
    for key, folder in folders(done).items():
        events, epochs = read(folder), [row for row in done.epochs() if row["run"] == key]
        for tag in SCALARS:
            curve = [(event.step, np.float32(event.value)) for event in events.Scalars(tag)]
            assert curve == [(int(row["epoch"]), np.float32(row[COLUMNS.get(tag, tag)])) for row in epochs]


def test_the_training_time_adds_up(done: Finished) -> None:
    for key, folder in folders(done).items():
        seconds = [float(row["train_time_s"]) for row in done.epochs() if row["run"] == key]
        shown = [event.value for event in read(folder).Scalars(TOTAL)]
        assert shown == pytest.approx(np.cumsum(seconds).tolist())


def test_a_curves_times_are_those_of_training(standard: Finished, repeated: Finished) -> None:
    times = [
        [event.wall_time for folder in sorted(folders(done).values()) for event in read(folder).Scalars("lr")]
        for done in (standard, repeated)
    ]
    assert times[0] == times[1]


def test_the_hparams_table_has_every_run_with_its_values(done: Finished) -> None:
    for key, folder in folders(done).items():
        row = next(row for row in done.epochs() if row["run"] == key)
        content = read(folder).SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
        values = metadata.parse_session_start_info_plugin_data(content).hparams
        shown = {name: plain(value) for name, value in values.items()}
        numbers = {name: float(row[name]) for name in ("batch_size", "lr", "gamma", "dropout", "train_size", "seed")}
        texts = {name: row[name] for name in ("model", "optimizer", "schedule")}
        trained = len([row for row in done.epochs() if row["run"] == key])
        expected = {**numbers, **texts, "shuffle": row["shuffle"] == "True", "epochs": trained}
        assert {name: shown[name] for name in expected} == expected


def plain(value: Any) -> object:
    """What a protobuf Value holds."""
    return getattr(value, str(value.WhichOneof("kind")))


def test_the_hparams_table_shows_accuracy_and_loss(done: Finished) -> None:
    for folder in folders(done).values():
        content = read(folder).SummaryMetadata(metadata.EXPERIMENT_TAG).plugin_data.content
        experiment = metadata.parse_experiment_plugin_data(content)
        assert {"test_accuracy", "test_loss", TOTAL} <= {info.name.tag for info in experiment.metric_infos}
        assert {"lr", "batch_size", "model", "epochs"} <= {info.name for info in experiment.hparam_infos}
