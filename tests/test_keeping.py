"""A results folder keeps sweeps side by side, and removes and overwrites nothing that is not its own.

The commands here find all that they ask for in the store, so that no Ray starts; folders, files and figures are real.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import rows
from tasks import asked, mnist
from test_results import row

from tune_mnist.api import Swept
from tune_mnist.errors import UserError
from tune_mnist.experiment import Experiment
from tune_mnist.keeping import take_in
from tune_mnist.plan.plan import make_plan
from tune_mnist.results.folder import write_environment
from tune_mnist.results.read import read_environment, read_points
from tune_mnist.store.store import Store
from tune_mnist.task import Task

TABLE, HISTORY = "mnist_results.csv", "history.csv"
LR: dict[str, Any] = {"vary": ["lr=0.01,0.05"]}
BATCH: dict[str, Any] = {"vary": ["batch_size=32,64"]}


def trained(folder: Path, task: Task | None = None, **options: Any) -> Experiment:
    """What a command asks, all of it in a store beside the folder."""
    task, store = task or mnist(), Store(folder.parent / "store")
    settings = [*options.pop("settings", ()), "epochs=2", "train_size=64"]
    request = asked(task, settings=settings, **options)
    for run in make_plan(request.points, task, store.held).runs:
        with store.claim([run.key]):
            store.open(run.key, {})
            for epoch in range(run.held.epochs + 1, run.config.epochs + 1):
                store.append(run.key, row(epoch, test_accuracy=int(run.key[:4], 16) / 2**17 + epoch / 100))
    return Experiment(request, task, store)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def sweeps(folder: Path) -> list[str]:
    return list(dict.fromkeys(one["sweep"] for one in rows(folder / TABLE)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "results"
    made.mkdir()
    return made


# Side by side


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that two commands have written to, with all that they draw; look, and change nothing."""
    folder = tmp_path_factory.mktemp("both") / "results"
    folder.mkdir()
    trained(folder, **LR).write(folder)
    shutil.copytree(folder, folder.parent / "first")
    trained(folder, **BATCH, seeds=2).write(folder)
    return folder


def test_the_tables_and_the_report_have_the_sweeps_of_both_commands(both: Path) -> None:
    first = (both.parent / "first" / TABLE).read_text().splitlines()
    assert (both / TABLE).read_text().splitlines()[: len(first)] == first
    assert sweeps(both) == ["lr", "batch"]
    assert {one["run"] for one in rows(both / HISTORY)} == {one["run"] for one in rows(both / TABLE)}
    assert [one["sweep"] for one in rows(both / "summary.csv")] == ["lr", "lr", "batch", "batch"]
    for sweep in ("lr", "batch"):
        assert {f"accuracy_vs_{sweep}.png", f"time_vs_{sweep}.svg", f"learning_{sweep}.png"} <= set(contents(both))
        assert f"## Sweep {sweep}" in (both / "report.md").read_text("utf-8")


def test_the_record_tells_which_command_made_which_sweep(both: Path) -> None:
    facts = read_environment(both)
    assert (list(facts["sweeps"]), facts["seeds"], facts["points"]) == (["batch"], [1, 2], {"batch": 4})
    (earlier,) = facts["earlier"]
    assert (list(earlier["sweeps"]), earlier["seeds"], earlier["points"]) == (["lr"], [1], {"lr": 2})
    assert {"command", "started", "ended", "git", "packages"} <= earlier.keys()
    assert facts["files"]["report.md"] == hashlib.sha256((both / "report.md").read_bytes()).hexdigest()


def test_sentences_about_both_are_true(both: Path) -> None:
    said = (both / "report.md").read_text("utf-8")
    for line in (
        "seeds 1 (lr) or 1, 2 (batch)",
        "One seed per point in sweep lr: nothing is known of how seeds spread.",
        "2 seeds per point in sweep batch: intervals are wide",
        "The command of sweep lr ran on ",
        "The command of sweep batch ran on ",
    ):
        assert line in said
    assert "environment.json tells of" not in said  # fewer points than planned


@pytest.mark.parametrize("options", [LR, {**BATCH, "seeds": 2}], ids=["the first", "the second"])
def test_a_command_again_changes_nothing(both: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    folder = tmp_path / "results"
    shutil.copytree(both, folder)
    before = contents(folder)
    _, written = trained(folder, **options).write(folder)
    assert written == []
    assert contents(folder) == before


def test_a_sweep_that_is_asked_again_replaces_its_rows_where_they_were(folder: Path) -> None:
    trained(folder, **LR).write(folder, report=False)
    trained(folder, **BATCH).write(folder, report=False)
    trained(folder, vary=["lr=0.1,0.2,0.3"]).write(folder, report=False)
    found = [(one["sweep"], one["value"]) for one in rows(folder / TABLE)]
    assert found == [("lr", "0.1"), ("lr", "0.2"), ("lr", "0.3"), ("batch", "32"), ("batch", "64")]
    facts = read_environment(folder)
    assert [list(one["sweeps"]) for one in (*facts["earlier"], facts)] == [["batch"], ["lr"]]
    assert {one["run"] for one in rows(folder / HISTORY)} == {one["run"] for one in rows(folder / TABLE)}


def test_a_run_that_two_sweeps_share_has_the_epochs_of_the_longer(folder: Path) -> None:
    """The baseline, for two epochs and for five, whichever is asked last."""
    trained(folder, vary=["epochs=2,5"]).write(folder, report=False)
    before = (folder / HISTORY).read_bytes()
    trained(folder, vary=["lr=0.01"]).write(folder, report=False)
    assert (folder / HISTORY).read_bytes() == before
    trained(folder, vary=["epochs=2,3"]).write(folder, report=False)
    assert [one["epoch"] for one in rows(folder / HISTORY)] == ["1", "2", "3"]


def test_two_commands_at_once_lose_nothing(folder: Path) -> None:
    names = ("lr=0.01,0.05", "batch_size=32,64", "epochs=1,2", "dropout=0.1,0.2", "gamma=0.5,0.6", "model=mlp,linear")
    commands = [trained(folder, vary=[one]) for one in names]
    with ThreadPoolExecutor(len(commands)) as at_once:
        list(at_once.map(lambda one: one.write(folder, report=False), commands))
    assert sorted(sweeps(folder)) == sorted(["lr", "batch", "epochs", "dropout", "gamma", "model"])


def test_what_a_cluster_made_is_joined_with_what_is_here(folder: Path) -> None:
    arrived = folder.parent / "arrived"
    arrived.mkdir()
    trained(arrived, mnist(device="cpu arm64"), **BATCH).write(arrived, report=False)
    trained(folder, mnist(device="cpu arm64"), **LR).write(folder, report=False)
    take_in(arrived, folder, trained(folder, mnist(device="cuda NVIDIA H200"), **BATCH).asked)
    assert sweeps(folder) == ["lr", "batch"]


# What would contradict it


REFUSED: dict[str, tuple[Task, dict[str, Any], str]] = {
    "another precision": (mnist(precision="bf16"), BATCH, "precision was fp32, is bf16"),
    "another device": (mnist(device="cuda NVIDIA H200"), BATCH, "device was cpu x86_64 AVX2, is cuda NVIDIA H200"),
    "other code": (mnist(training_version=2), BATCH, "training_version was 1, is 2"),
    "another baseline": (mnist(), {**BATCH, "settings": ["lr=0.05"]}, "lr was 0.01, is 0.05"),
    "other data, and the same sweep": (mnist(dataset="kmnist"), LR, "holds sweeps on digits, and this command's are"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_contradict_it_is_refused_before_anything_is_written(folder: Path, name: str) -> None:
    trained(folder, **LR).write(folder, report=False)
    before = contents(folder)
    task, options, said = REFUSED[name]
    command = trained(folder, task, **options)
    for refuse in (lambda: command.check(folder), lambda: command.write(folder, report=False)):
        with pytest.raises(UserError) as error:
            refuse()
        assert said in str(error.value)
        assert str(error.value).endswith("give another --output")
    assert contents(folder) == before


def test_the_same_sweeps_under_other_conditions_replace_them(folder: Path) -> None:
    """Nothing is kept that they could contradict: so it is when a user's code has changed."""
    trained(folder, **LR).write(folder, report=False)
    trained(folder, mnist(training_version=2), **LR).write(folder, report=False)
    assert sweeps(folder) == ["lr"]


def test_a_folder_of_another_task_is_refused(folder: Path) -> None:
    (folder / "spiral_results.csv").write_text("sweep\n")
    with pytest.raises(UserError, match=r"holds spiral_results.csv, of another task than mnist; give another --output"):
        trained(folder, **LR).check(folder)


def test_sweeps_of_unknown_origin_are_not_joined(folder: Path) -> None:
    trained(folder, **LR).write(folder, report=False)
    (folder / "environment.json").unlink()
    with pytest.raises(UserError, match=r"no environment.json that tells how they were trained"):
        trained(folder, **BATCH).check(folder)
    trained(folder, **LR).check(folder)


def test_a_table_that_cannot_be_read_is_refused_and_not_replaced(folder: Path) -> None:
    trained(folder, **LR).write(folder, report=False)
    table = (folder / TABLE).read_text()
    (folder / TABLE).write_text(table.replace(",digits,", ",digits", 1))
    with pytest.raises(UserError, match=rf"{TABLE}:2: "):
        trained(folder, **BATCH).check(folder)


def test_folders_written_before_are_still_read(folder: Path) -> None:
    """Their record is of one command, tells no points of a sweep, and lists files without their hashes."""
    trained(folder, **LR).write(folder, report=False)
    facts = read_environment(folder)
    del facts["points"]
    (folder / "report.md").write_text("an earlier report")
    write_environment(folder, facts | {"files": [TABLE, HISTORY, "environment.json", "report.md", "summary.csv"]})
    trained(folder, **BATCH).write(folder, report=False)
    assert sweeps(folder) == ["lr", "batch"]
    assert (folder / "report.md").is_file()  # nothing is removed by its name alone
    trained(folder, **BATCH).write(folder)
    assert "## Sweep batch" in (folder / "report.md").read_text("utf-8")
    assert not (folder / "report.old1.md").exists()


# Only what is ours


def test_an_interrupted_command_removes_what_its_rows_were_drawn_in_and_nothing_else(
    both: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    shutil.copytree(both, folder)
    (folder / "report.html").write_text("edited by a person")
    trained(folder, vary=["batch_size=16"]).write(folder, report=False)
    left = set(contents(folder))
    assert {"accuracy_vs_lr.png", "time_vs_lr.svg", "learning_lr.png", "report.html"} <= left
    assert (
        not {"accuracy_vs_batch.png", "learning_batch.svg", "accuracy_vs_time.png", "report.md", "summary.csv"} & left
    )
    assert sweeps(folder) == ["lr", "batch"]


@pytest.mark.parametrize("as_hashes", [True, False], ids=["with hashes", "names alone"])
def test_a_record_that_somebody_else_wrote_removes_nothing_of_theirs(folder: Path, as_hashes: bool) -> None:
    trained(folder, **LR).write(folder, report=False)
    outside = folder.parent / "learning_lr.png"
    theirs = [folder / "notes.txt", folder / "photo.png", folder / "summary.csv", outside]
    for path in theirs:
        path.write_text("mine")
    names = ["notes.txt", "..", "photo.png", "../learning_lr.png", ".", str(outside), "\u0000"]
    sums = dict.fromkeys(names, hashlib.sha256(b"mine").hexdigest()) | {"summary.csv": "0" * 64}
    write_environment(folder, read_environment(folder) | {"files": sums if as_hashes else [*names, "summary.csv"]})
    trained(folder, **BATCH).write(folder, report=False)
    assert [path.read_text() for path in theirs] == ["mine"] * 4


def test_a_file_that_is_not_as_it_was_left_gets_another_name(folder: Path) -> None:
    (folder / "report.md").write_text("my own report")
    trained(folder, **LR).write(folder)
    assert (folder / "report.old1.md").read_text() == "my own report"
    with (folder / "report.md").open("a") as file:
        file.write("\nI conclude")
    trained(folder, **BATCH).write(folder)
    assert (folder / "report.old2.md").read_text("utf-8").endswith("\nI conclude")
    assert sorted(path.name for path in folder.glob("*.old*")) == ["report.old1.md", "report.old2.md"]


def test_everything_drawn_is_called_as_ours(both: Path) -> None:
    drawn = {path.name for path in both.iterdir() if path.suffix in (".png", ".svg", ".html", ".pdf")}
    assert drawn <= set(json.loads((both / "environment.json").read_text())["files"])
    assert len(drawn) == 2 * 7 + 2


# Where commands look back


def test_reading_finds_both_and_a_sweep_from_python_its_own(both: Path) -> None:
    assert read_points(both, mnist()).groupby("sweep", sort=False).size().to_dict() == {"lr": 2, "batch": 4}
    found = Swept(trained(both, **LR), both)
    assert found.points["sweep"].tolist() == ["lr", "lr"]
    assert set(found.history["run"]) == set(found.points["run"])
    assert found.summary["value"].tolist() == ["0.01", "0.05"]
    assert found.figure("lr").get_suptitle().startswith("Test accuracy by learning rate")


def test_another_margin_makes_the_report_anew_from_the_same_tables(folder: Path) -> None:
    trained(folder, **LR, seeds=2).write(folder)
    before = contents(folder)
    assert trained(folder, **LR, seeds=2, margin="0.5").write(folder)[1]
    assert [one["to_margin"] for one in rows(folder / "summary.csv")] == ["", "not known"]
    assert contents(folder)[TABLE] == before[TABLE]
    assert trained(folder, **LR, seeds=2, margin="0.5").write(folder)[1] == []
    trained(folder, **BATCH, seeds=2).write(folder)  # which names none
    assert [one["to_margin"] for one in rows(folder / "summary.csv")] == ["", "not known", "", ""]
