"""What may be wrong with an output folder: files of other kinds, a full disk, records and cells that do harm.

Each is one line with the way out, and nothing is lost. Disks are really full (a limit on the size of files) and files
really are pipes, links and other users'.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import rows
from tables import LRS, read_folder, seeded_sweep, write_folder
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_keeping import LR, trained

from tune_mnist.__main__ import main
from tune_mnist.display.log import LogFile, Printed, listening, log
from tune_mnist.display.tensorboard import TensorBoard
from tune_mnist.errors import ClusterError, UserError
from tune_mnist.experiment import Experiment
from tune_mnist.files import write_whole
from tune_mnist.mnist.task import MNIST
from tune_mnist.report.write import write_report
from tune_mnist.results.folder import check_place, prepare_folder, write_csv
from tune_mnist.results.read import read_points
from tune_mnist.results.summary import summarise
from tune_mnist.store.store import Store

TABLE, HISTORY, ENVIRONMENT, LOG = "mnist_results.csv", "history.csv", "environment.json", "mnist_experiments.log"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Results written by hand, without figures."""
    return write_folder(tmp_path / "results", seeded_sweep("lr", LRS))


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What is logged as a warning or worse."""
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    with listening(Lines(logging.WARNING)):
        yield lines


@contextmanager
def full_disk(size: int = 0) -> Iterator[None]:
    """No file may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def as_another_user() -> Iterator[None]:
    """The superuser may do anything; nobody may not."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a wrong command says."""
    monkeypatch.setattr(sys, "argv", ["tune-mnist", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    err = capsys.readouterr().err
    assert (ended.value.code, err.count("\n")) == (2, 1), err
    return err


# Other kinds of file


def loop(path: Path) -> None:
    path.symlink_to(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


KINDS: dict[str, Callable[[Path], Any]] = {"folder": Path.mkdir, "pipe": os.mkfifo, "loop": loop, "device": device}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [TABLE, HISTORY, ENVIRONMENT])
def test_report_and_compare_read_plain_files_only(
    folder: Path, name: str, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).unlink()
    KINDS[kind](folder / name)
    assert f"{name} cannot be read" in refused(monkeypatch, capsys, "report", folder)
    if name != HISTORY:
        assert f"{name} cannot be read" in refused(monkeypatch, capsys, "compare", folder, folder)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [TABLE, HISTORY, ENVIRONMENT, LOG, "report.html", "summary.csv"])
def test_a_command_refuses_what_it_could_not_write_over(tmp_path: Path, name: str, kind: str) -> None:
    KINDS[kind](tmp_path / name)
    with pytest.raises(UserError, match=rf"{name}' is no plain file"):
        check_place(tmp_path, "mnist")


def test_a_table_that_is_a_link_elsewhere_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "theirs.log").write_text("theirs")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / LOG).symlink_to(tmp_path / "theirs.log")
    with pytest.raises(UserError, match="is no plain file"):
        check_place(tmp_path / "results", "mnist")


@pytest.mark.parametrize("name", ["x" * 300, "nowhere/" + "y" * 300, "file/results", "loop"])
def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    loop(tmp_path / "loop")
    with pytest.raises(UserError) as error:
        check_place(tmp_path / name, "mnist")
        prepare_folder(tmp_path / name)
    assert str(error.value).startswith("output folder '")
    assert str(error.value).endswith("choose another with --output")
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o555, 0o311])
def test_another_users_folder_is_one_line(
    folder: Path, mode: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not readable, not searchable, not writable, not listable."""
    write_report(read_folder(folder))  # loads all that is loaded late
    made = Path(tempfile.gettempdir()).resolve()
    for above in folder.resolve().parents:
        if made in above.parents:
            above.chmod(0o755)
    folder.chmod(mode)
    try:
        with as_another_user():
            with pytest.raises(UserError, match="cannot be written"):
                check_place(folder, "mnist")
            if mode == 0o555:
                assert "cannot be written: Permission denied; copy it" in refused(monkeypatch, capsys, "report", folder)
                return
            for command in (("report", folder), ("compare", folder, folder)):
                line = refused(monkeypatch, capsys, *command)
                assert "cannot be read: Permission denied" in line or "is not readable" in line
    finally:
        folder.chmod(0o755)


# A record that does harm


@pytest.mark.parametrize(
    "change",
    [
        {"packages": True},
        {"command": "\ud800"},
        {"gpus": 5},
        {"cpu": {"model": 5}},
        {"git": {"commit": ["x"]}},
        {"data_sha256": {"train": {}}},
        {"platform": 5},
        {"files": 5},
        {"files": {"report.md": []}},
        {"earlier": {}},
        {"earlier": [{"packages": True}]},
        {"sweeps": {"lr": 5}},
        {"task": MNIST.record() | {"measures": []}},
        {"task": MNIST.record() | {"reference": MNIST.record()["reference"] | {"apart": "nothing"}}},
        {"task": MNIST.record() | {"parameters": MNIST.record()["parameters"] * 2}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_record_of_other_kinds_is_one_line(
    folder: Path, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = json.loads((folder / ENVIRONMENT).read_text())
    (folder / ENVIRONMENT).write_text(json.dumps(facts | change))
    assert f"{ENVIRONMENT}" in refused(monkeypatch, capsys, "report", folder)


def test_a_record_without_end_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / ENVIRONMENT).write_text("[" * 100_000)
    assert f"{ENVIRONMENT} cannot be read" in refused(monkeypatch, capsys, "report", folder)


def test_a_report_removes_only_what_is_as_it_was_left(folder: Path) -> None:
    """A copy of a figure under another name, and one that was drawn over, are a person's."""
    write_report(read_folder(folder))
    shutil.copy(folder / "accuracy_vs_lr.png", folder / "the_best.png")
    (folder / "time_vs_lr.svg").write_text("mine")
    table = rows(folder / TABLE)
    write_csv(pd.DataFrame(table).assign(sweep="rate"), folder / TABLE)
    write_report(read_folder(folder))
    assert not (folder / "accuracy_vs_lr.png").exists()
    assert (folder / "accuracy_vs_rate.png").is_file()
    assert (folder / "the_best.png").is_file()
    assert (folder / "time_vs_lr.svg").read_text() == "mine"


def test_a_report_that_was_edited_gets_another_name_when_it_is_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_report(read_folder(folder))
    (folder / "report.md").write_text("edited")
    monkeypatch.setattr(sys, "argv", ["tune-mnist", "report", str(folder)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "report.md is not as this program left it: it is called report.old1.md" in capsys.readouterr().err
    assert [path.name for path in folder.glob("*.old*")] == ["report.old1.md"]
    assert (folder / "report.old1.md").read_text() == "edited"


def test_tensorboard_folders_of_somebody_else_stay(tmp_path: Path) -> None:
    theirs = tmp_path / "tensorboard" / "my-run-0abcde" / "events.out.tfevents.1.here.2.0"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    experiment = trained(tmp_path, **LR)
    beside = tmp_path / "tensorboard" / f"old-{experiment.plan.keys[0][:6]}"
    beside.mkdir()
    for name in ("events.out.tfevents.1.here.2.0", "notes.txt"):
        (beside / name).write_text("x")
    TensorBoard(tmp_path, experiment.plan, experiment.names, experiment.task, {})
    assert theirs.read_text() == "theirs"
    assert [path.name for path in beside.iterdir()] == ["notes.txt"]


def test_curves_of_another_sweep_stay_as_long_as_they_are(tmp_path: Path) -> None:
    longer, shorter = trained(tmp_path, vary=["epochs=2,5"]), trained(tmp_path, **LR)
    TensorBoard(tmp_path, longer.plan, longer.names, longer.task, {})
    (baseline,) = (tmp_path / "tensorboard").iterdir()
    TensorBoard(tmp_path, shorter.plan, shorter.names, shorter.task, {run.key: 5 for run in longer.plan.runs})
    events = EventAccumulator(str(baseline))
    events.Reload()
    assert [event.step for event in events.Scalars("test_accuracy")] == [1, 2, 3, 4, 5]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2


# Cells


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ('=HYPERLINK("http://x")', '\'=HYPERLINK("http://x")'),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("@SUM(1)", "'@SUM(1)"),
        ("-1*0.5", "'-1*0.5"),
        ("'=1", "''=1"),
        ("\t=1", "'\t=1"),
        ("-0.5", "-0.5"),
        ("+1e-3", "+1e-3"),
        ("'tis", "'tis"),
        ("sgd", "sgd"),
    ],
)
def test_a_formula_is_written_as_text_and_read_back_as_it_was(folder: Path, text: str, cell: str) -> None:
    points = read_points(folder, MNIST)
    points["error"] = text
    points["gamma"] = -0.25
    write_csv(points.assign(value=points["lr"]), folder / TABLE)
    written = rows(folder / TABLE)[0]
    assert (written["error"], written["gamma"]) == (cell, "-0.25")
    assert read_points(folder, MNIST)["error"].tolist() == [text] * len(points)


def test_a_name_that_is_a_formula_is_no_formula_in_the_first_line(tmp_path: Path) -> None:
    with write_csv(pd.DataFrame({"=1+1": [1.5]}), tmp_path / "table.csv").open() as file:
        assert list(csv.reader(file)) == [["'=1+1"], ["1.5"]]


def test_three_hundred_points_are_each_there_once(tmp_path: Path) -> None:
    accuracies = {(place + 1) / 1000: [0.5 + place / 1000] for place in range(300)}
    results = read_folder(write_folder(tmp_path / "results", seeded_sweep("lr", accuracies)))
    summary = summarise(results.points, results.task)
    assert len(results.points) == len(summary) == summary["value"].nunique() == 300
    assert summary["accuracy_mean"].tolist() == results.points["test_accuracy"].tolist()


# A full disk, and what is deleted under way


def test_a_file_that_cannot_be_written_leaves_nothing_beside(tmp_path: Path) -> None:
    write_whole(tmp_path / "table.csv", b"old")
    with full_disk(), pytest.raises(OSError, match="too large"):
        write_whole(tmp_path / "table.csv", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("table.csv", b"old")]


def test_a_folder_that_is_removed_under_way_is_made_again(tmp_path: Path) -> None:
    experiment = trained(tmp_path / "results", **LR)
    experiment.write(tmp_path / "results" / "gone", report=False)
    assert len(rows(tmp_path / "results" / "gone" / TABLE)) == 2


@pytest.mark.parametrize("size", [100, 20_000], ids=["tables", "figures"])
def test_a_full_disk_at_the_end_is_one_line_and_leaves_no_part(tmp_path: Path, size: int) -> None:
    """20 kB: the tables and their record have room, a figure has not."""
    folder = tmp_path / "results"
    folder.mkdir()
    experiment = trained(folder, **LR)
    with full_disk(size), pytest.raises(ClusterError) as error:
        experiment.write(folder)
    assert str(error.value).startswith(f"output folder '{folder}' cannot be written: File too large; what is trained")
    assert not list(folder.glob(".*"))
    assert (folder / TABLE).exists() == (size > 100)
    experiment.write(folder)
    assert (folder / "report.html").is_file()
    assert not list(folder.glob("*.old*"))


def test_the_log_warns_once_and_training_goes_on(tmp_path: Path, said: list[str]) -> None:
    log_file = LogFile()
    with listening(log_file), full_disk(40):
        log_file.open(tmp_path / "a.log")
        for count in range(5):
            log.info(f"epoch {count}")
    assert len(said) == 1
    assert said[0].startswith(f"the log, {tmp_path / 'a.log'}, cannot be written: File too large; training goes on")


def test_a_log_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written: Is a directory"):
        LogFile().open(tmp_path)


def test_what_trainings_print_warns_once_and_training_goes_on(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "logs").touch()
    prints = Printed(tmp_path / "logs")
    for _ in range(3):
        prints.add("one.txt", "printed")
    assert len(said) == 1
    assert "logs, cannot be written: File exists; training goes on without" in said[0]


def test_tensorboard_warns_once_and_is_whole_at_the_end(tmp_path: Path, said: list[str]) -> None:
    experiment = trained(tmp_path / "results", vary=["epochs=2,5"])
    (run,) = experiment.plan.runs
    before = Experiment(experiment.request, experiment.task, Store(tmp_path / "empty"))
    board = TensorBoard(tmp_path, before.plan, before.names, before.task, {})
    board.epoch(run.key, run.held.rows[0])
    shutil.rmtree(tmp_path / "tensorboard")
    for one in run.held.rows[1:4]:
        board.epoch(run.key, one)
    assert len(said) == 1
    assert f"what TensorBoard shows, {tmp_path / 'tensorboard'}, cannot be written: No such file" in said[0]
    board.catch_up(experiment.plan)
    (shown,) = (tmp_path / "tensorboard").iterdir()
    events = EventAccumulator(str(shown))
    events.Reload()
    assert [event.step for event in events.Scalars("test_accuracy")] == [1, 2, 3, 4, 5]
