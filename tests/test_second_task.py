"""A task that the program does not know goes the whole way: plan, store, tables, statistics, figures, report."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Rows, rows, run, succeeded, surroundings
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]


def sweep(folder: Path, *arguments: str) -> str:
    """Sweep the second task into the folder; what the command says."""
    command = [sys.executable, "-W", "error", str(ROOT / "tests" / "second_task.py"), str(folder), *arguments]
    done = subprocess.run(command, cwd=folder.parent, env=surroundings(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def points(folder: Path) -> Rows:
    return rows(folder / "results" / "hill_results.csv")


@pytest.fixture(scope="module")
def hill(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sweeps of three seeds; look, and change nothing."""
    folder = tmp_path_factory.mktemp("second") / "hill"
    folder.mkdir()
    sweep(folder, "rate=0.01,0.1,1", "epochs=1,3", "--seeds", "3")
    return folder


def test_the_tables_have_its_parameters_and_measures(hill: Path) -> None:
    head = list(points(hill)[0])
    assert head[:8] == ["sweep", "variable", "value", "baseline", "rate", "width", "epochs", "seed"]
    assert head[8:10] == ["val_loss", "val_score"]
    assert {row["status"] for row in points(hill)} == {"done"}
    assert len(rows(hill / "results" / "history.csv")) == 3 * 3 * 3


def test_points_that_differ_in_epochs_alone_are_read_off_one_run(hill: Path) -> None:
    assert len(list((hill / "store").glob("*/run.json"))) == 3 * 3


def test_the_lowest_loss_is_the_best(hill: Path) -> None:
    report = (hill / "results" / "report.md").read_text("utf-8")
    assert "Best by val loss: rate 1, " in report
    (best,) = [row for row in rows(hill / "results" / "summary.csv") if (row["sweep"], row["value"]) == ("rate", "1")]
    assert float(best["val_loss_mean"]) == min(
        float(row["val_loss_mean"]) for row in rows(hill / "results" / "summary.csv")
    )
    assert best["resolved"] == "yes"


def test_its_figures_are_named_after_its_measure(hill: Path) -> None:
    drawn = {path.stem for path in (hill / "results").glob("*.png")}
    assert drawn >= {"val_loss_vs_rate", "time_vs_rate", "learning_rate", "val_loss_vs_epochs", "val_loss_vs_time"}


def test_no_page_speaks_of_another_task(hill: Path) -> None:
    for name in ("report.md", "report.html", "environment.json", "hill_experiments.log"):
        text = re.sub(
            r"tune\\?[_-]mnist|<script.*?</script>", "", (hill / "results" / name).read_text("utf-8"), flags=re.S
        )
        assert not re.search(r"mnist|accuracy|images", text, flags=re.I)


def test_tensorboard_has_its_measures(hill: Path) -> None:
    folder = next((hill / "results" / "tensorboard").glob("baseline*"))
    events = EventAccumulator(str(folder))
    events.Reload()
    assert {"val_loss", "val_score"} <= set(events.Tags()["scalars"])


def test_the_same_again_trains_nothing(hill: Path) -> None:
    before = (hill / "results" / "report.html").read_bytes()
    assert "to train: 0\n" in sweep(hill, "rate=0.01,0.1,1", "epochs=1,3", "--seeds", "3")
    assert (hill / "results" / "report.html").read_bytes() == before


def test_a_run_that_is_extended_is_as_one_that_went_through(tmp_path: Path) -> None:
    """Nine epochs after three are six more, from the state that was stored."""
    (tmp_path / "twice").mkdir()
    (tmp_path / "once").mkdir()
    sweep(tmp_path / "twice", "rate=0.1", "--set", "epochs=3")
    assert "to train: 6\n" in sweep(tmp_path / "twice", "rate=0.1", "--set", "epochs=9")
    sweep(tmp_path / "once", "rate=0.1", "--set", "epochs=9")
    assert [row["val_loss"] for row in rows(tmp_path / "twice" / "results" / "history.csv")] == [
        row["val_loss"] for row in rows(tmp_path / "once" / "results" / "history.csv")
    ]


def test_report_and_compare_need_none_of_its_code(hill: Path, tmp_path: Path) -> None:
    before = (hill / "results" / "report.md").read_bytes()
    succeeded(run("report", str(hill / "results"), folder=tmp_path, module="tune_mnist"))
    assert (hill / "results" / "report.md").read_bytes() == before
    told = succeeded(run("compare", str(hill / "results"), str(hill / "results"), folder=tmp_path, module="tune_mnist"))
    assert "same runs" in told.out
    assert "percentage" not in told.out


def test_runs_lists_it_and_verify_says_that_its_code_is_not_there(hill: Path, tmp_path: Path) -> None:
    told = succeeded(run("runs", "--store", str(hill / "store"), folder=tmp_path, module="tune_mnist"))
    assert told.out.count("rate=0.01") == 3
    refused = run("verify", str(hill / "results"), folder=tmp_path, module="tune_mnist")
    assert (refused.code, len(refused.err.splitlines())) == (2, 1)


def test_another_tasks_folder_is_not_compared(hill: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for path in (hill / "results").glob("*.csv"):
        (tmp_path / "other" / path.name).write_bytes(path.read_bytes())
    facts = json.loads((hill / "results" / "environment.json").read_text("utf-8"))
    facts["task"]["name"] = "valley"
    (tmp_path / "other" / "environment.json").write_text(json.dumps(facts), "utf-8")
    refused = run("compare", str(hill / "results"), str(tmp_path / "other"), folder=tmp_path, module="tune_mnist")
    assert (refused.code, len(refused.err.splitlines())) == (2, 1)
    assert "task hill" in refused.err
