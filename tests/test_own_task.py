"""A user's own training loop, swept by the real command and from Python: shared, extended, keyed by its code, told."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Cluster, Finished, Rows, rows, run, succeeded, surroundings, under_way, wait_for

pytestmark = pytest.mark.timeout(600)
SPIRAL = '''
from dataclasses import dataclass
from helper import SCALE

@dataclass(frozen=True)
class Config:
    lr: float = 0.1
    width: int = 64
    seed: int = 1

def train(config: Config, state=None):
    """A walk downhill."""
    place = state["place"] if state else 1.0 + config.seed / 10
    while True:
        place -= place * config.lr * SCALE
        print("at", place)
        yield {"train_loss": place * 2, "val_loss": place, "val_accuracy": 1 / (1 + place)}, {"place": place}
'''
HELPER = "SCALE = 0.5\n"
MEASURES = 'MEASURES = {"val_accuracy": "%"}\n'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with the loop and its helper."""
    (tmp_path / "spiral.py").write_text(MEASURES + SPIRAL)
    (tmp_path / "helper.py").write_text(HELPER)
    return tmp_path


def sweep(folder: Path, *arguments: str, ray: Cluster | None = None) -> Finished:
    """On a Ray of its own unless one is given."""
    return (ray.run if ray else run)("--task", "spiral.py", *arguments, folder=folder)


def points(done: Finished) -> Rows:
    return rows(done.folder / "results" / "spiral" / "spiral_results.csv")


def losses(folder: Path) -> list[tuple[str, ...]]:
    """Every epoch's numbers, by config."""
    history = rows(folder / "results" / "spiral" / "history.csv")
    return sorted((row["lr"], row["seed"], row["epoch"], row["val_loss"]) for row in history)


def to_train(done: Finished) -> int:
    found = re.search(r"in the store, (\d+) to train", done.out)
    assert found, done.out + done.err
    return int(found[1])


def test_a_store_that_cannot_keep_the_code_is_refused_in_a_line(home: Path, ray: Cluster) -> None:
    code = home / "results" / "store" / ".code"
    code.parent.mkdir(parents=True)
    code.touch()
    done = sweep(home, "--vary", "lr=0.01,0.1", "--set", "epochs=1", ray=ray)
    said = "error: store 'results/store' cannot be written: File exists; choose another with --store"
    assert (done.code, done.err.splitlines()[-1]) == (2, said)
    assert "Traceback" not in done.err


@pytest.mark.long
def test_killed_resumed_extended_and_reseeded_is_as_undisturbed(
    home: Path, ray: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """And what is asked again trains nothing, in a few seconds."""
    slow = (
        (home / "spiral.py")
        .read_text()
        .replace("        print(", "        import time; time.sleep(0.5)\n        print(")
    )
    (home / "spiral.py").write_text(slow)
    asked = ("--task", "spiral.py", "--vary", "lr=0.01,0.1")
    with under_way(*asked, "--set", "epochs=4", folder=home) as command:
        wait_for(lambda: "epoch 2/4" in command.log(), "two epochs")
        command.process.kill()
        command.process.wait()
    resumed = succeeded(sweep(home, "--vary", "lr=0.01,0.1", "--set", "epochs=4"))
    assert "goes on exactly from its state" in resumed.err  # checked once, before a stored run goes on
    assert to_train(resumed) <= 6
    extended = succeeded(sweep(home, "--vary", "lr=0.01,0.1", "--set", "epochs=6", "--seeds", "2", ray=ray))
    assert to_train(extended) == 2 * 2 + 2 * 6
    assert "goes on exactly" not in extended.err
    other = tmp_path_factory.mktemp("undisturbed")
    for name in ("spiral.py", "helper.py"):
        (other / name).write_text((home / name).read_text())
    succeeded(sweep(other, "--vary", "lr=0.01,0.1", "--set", "epochs=6", "--seeds", "2", ray=ray))
    assert losses(home) == losses(other)
    start = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    again = succeeded(sweep(home, "--vary", "lr=0.01,0.1", "--set", "epochs=6", "--seeds", "2"))
    assert to_train(again) == 0
    # Of the processor, because the machine may be busy with something else.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - start < 5


def test_a_first_sweep_has_tables_figures_a_report_and_what_was_printed(home: Path) -> None:
    done = succeeded(sweep(home, "--vary", "lr=0.01,0.1,1", "--seeds", "2", "--set", "epochs=3"))
    head = list(points(done)[0])
    assert head[:11] == [
        *("sweep", "variable", "value", "baseline", "epochs", "lr", "width", "seed"),
        *("val_loss", "train_loss", "val_accuracy"),
    ]
    folder = done.folder / "results" / "spiral"
    assert {path.name for path in folder.glob("*.png")} == {
        *("val_loss_vs_lr.png", "time_vs_lr.png", "learning_lr.png", "val_loss_vs_time.png")
    }
    assert "Best by val loss: lr 1, " in (folder / "report.md").read_text("utf-8")
    assert re.search(r"val loss 0\.\d+, train loss", done.out)
    printed = [path.read_text("utf-8") for path in (folder / "logs").iterdir()]
    assert len(printed) == 6
    assert all(text.count("at ") == 3 for text in printed)
    assert not re.search(r"^at ", done.out, re.MULTILINE)


@pytest.mark.long
def test_the_measure_that_is_judged_can_be_chosen(home: Path, ray: Cluster) -> None:
    done = succeeded(sweep(home, "--vary", "lr=0.01,1", "--set", "epochs=2", "--maximize", "val_accuracy", ray=ray))
    assert "best of lr by val accuracy: lr=1" in done.out
    assert re.search(r"val accuracy \d+\.\d+ %", done.out)
    wrong = sweep(home, "--vary", "lr=0.01,1", "--set", "epochs=2", "--minimize", "loss")
    assert (wrong.code, wrong.err.splitlines()) == (
        2,
        ["error: unknown measure 'loss' (did you mean 'val_loss'?); choose from: train_loss, val_loss, val_accuracy"],
    )


# What is changed in the code -> whether stored runs are used, and what is said.
CHANGES = [
    ("spiral.py", "    while True:", "    while True:  # for ever", True, ""),
    ("spiral.py", '"""A walk downhill."""', '"""A walk."""', True, ""),
    ("spiral.py", "place * config.lr * SCALE", "place * config.lr * SCALE * 1", False, "spiral.py (train: 1 line)"),
    ("spiral.py", "width: int = 64", "width: int = 32", False, "spiral.py (Config: 1 line)"),
    ("helper.py", "SCALE = 0.5", "SCALE = 0.25", False, "helper.py (SCALE: 1 line)"),
]


@pytest.mark.long
def test_stored_runs_are_used_only_for_the_code_that_gave_them(home: Path, ray: Cluster) -> None:
    asked = ("--vary", "lr=0.01,0.1", "--set", "epochs=2", "--set", "width=8")
    succeeded(sweep(home, *asked, ray=ray))
    for file, old, new, is_used, said in CHANGES:
        before = (home / file).read_text()
        assert old in before
        (home / file).write_text(before.replace(old, new))
        done = succeeded(sweep(home, *asked, "--dry-run"))
        assert to_train(done) == (0 if is_used else 4), new
        assert ("changed since 2 stored runs" in done.err) == (not is_used)
        assert said in done.err
        assert to_train(succeeded(sweep(home, *asked, "--dry-run", "--same-code"))) == 0
        (home / file).write_text(before)


@pytest.mark.long
def test_an_edit_while_it_runs_changes_nothing_in_it(home: Path) -> None:
    asked = ("--task", "spiral.py", "--vary", "lr=0.01,0.1", "--set", "epochs=2")
    with under_way(*asked, folder=home) as command:
        wait_for(lambda: "sweeps on spiral" in command.log(), "the plan")
        (home / "helper.py").write_text("SCALE = 5000\n")
        (home / "spiral.py").write_text("raise RuntimeError\n")
        succeeded(command.finished())
    assert all(float(row["val_loss"]) < 2 for row in rows(home / "results" / "spiral" / "spiral_results.csv"))


@pytest.mark.long
def test_an_error_in_a_loop_is_told_with_its_own_lines_and_the_others_finish(home: Path) -> None:
    raising = SPIRAL.replace(
        "        print(", "        if config.lr == 0.2:\n            raise KeyError('oh')\n        print("
    )
    raising = raising.replace("    while True:", "    for _ in range(2 if config.lr == 0.3 else 9):")
    (home / "spiral.py").write_text(raising)
    done = sweep(home, "--vary", "lr=0.1,0.2,0.3", "--set", "epochs=3")
    assert done.code == 1
    assert [row["status"] for row in points(done)] == ["done", "failed", "failed"]
    assert [row["error"] for row in points(done)] == ["", "KeyError: 'oh'", "ended after 2 of 3 epochs"]
    log = (done.folder / "results" / "spiral" / "spiral_experiments.log").read_text("utf-8")
    assert log.count("Traceback") == 1
    trace = log.partition("Traceback")[2].partition("KeyError")[0]
    assert trace.count("File ") == 1
    assert f'File "{home / "spiral.py"}"' in trace


REFUSED = [
    ("def train(config:\n", r"error: task spiral.py cannot be imported: .*spiral.py:1: "),
    ("import nothing_like_it\n", r"error: task spiral.py cannot be imported: .*spiral.py:1: ModuleNotFoundError"),
    ("def learn(config): ...\n", r"error: task spiral.py: there is no function 'train' in spiral.py; it has learn"),
    ("def train(): ...\n", r"error: spiral.train takes no config"),
    ("def train(config, size): ...\n", r"error: spiral.train: nothing is known for its argument 'size'"),
    ("def train(config, data): ...\n", r"error: spiral.train asks for data, and there is no function `data\(\)`"),
]


@pytest.mark.parametrize(("code", "line"), REFUSED, ids=[code.strip() for code, _ in REFUSED])
def test_what_cannot_be_a_task_gets_one_line(tmp_path: Path, code: str, line: str) -> None:
    (tmp_path / "spiral.py").write_text(code)
    done = sweep(tmp_path, "--vary", "lr=0.1")
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert re.match(line, done.err)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--vary", "lr=0.1", "--dataset", "digits"), "--dataset is for MNIST"),
        (("--vary", "speed=1"), "unknown hyper-parameter 'speed'"),
        (("--vary", "lr=fast"), "lr must be a number"),
        ((), "task spiral has no sweeps of its own; give --vary"),
        (("--vary", "lr=1", "--minimize", "a", "--maximize", "b"), "choose one measure"),
    ],
)
def test_what_does_not_go_with_it_is_refused(home: Path, options: tuple[str, ...], said: str) -> None:
    done = sweep(home, *options)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert said in done.err


@pytest.mark.long
def test_a_loop_that_forgets_its_state_is_not_shared(home: Path, ray: Cluster) -> None:
    """Its place is in the state, and its speed is not."""
    (home / "spiral.py").write_text(
        "def train(config, state=None):\n"
        "    place, speed = (state['place'] if state else 1.0), 1.0\n"
        "    while True:\n"
        "        speed *= 0.5\n"
        "        place -= place * speed * config['lr']\n"
        "        yield {'val_loss': place}, {'place': place}\n"
    )
    done = succeeded(sweep(home, "--vary", "epochs=2,3", "--set", "lr=0.1", ray=ray))
    assert "its runs are not shared or extended" in done.err
    assert to_train(done) == 2 + 3
    trusted = succeeded(sweep(home, "--vary", "epochs=2,3", "--set", "lr=0.1", "--trust", "--dry-run"))
    assert to_train(trusted) == 3


@pytest.mark.long
def test_a_sweep_file_names_its_task_and_what_is_judged(home: Path, ray: Cluster) -> None:
    (home / "sweeps").mkdir()
    text = (
        "name: mine\ntask: ../spiral.py\njudge: {maximize: val_accuracy}\nbaseline: {epochs: 2}\nvary: {lr: [0.1, 1]}\n"
    )
    (home / "sweeps" / "mine.yaml").write_text(text)
    done = succeeded(ray.run("--config", "sweeps/mine.yaml", folder=home))
    assert "best of lr by val accuracy: lr=1" in done.out
    assert (home / "results" / "spiral-mine" / "report.html").is_file()
    (home / "sweeps" / "mine.yaml").write_text(text.replace("maximize: val_accuracy", "best: val_accuracy"))
    wrong = run("--config", "sweeps/mine.yaml", folder=home)
    assert (wrong.code, wrong.err) == (2, "error: sweeps/mine.yaml:3: judge takes minimize: NAME or maximize: NAME\n")


PYTHON = """
import warnings
from functools import partial
from tune_mnist import sweep
from spiral import train

def loose(config, data):
    total = sum(data)
    while True:
        total *= config["factor"]
        yield {"sum": total}

if __name__ == "__main__":
    found = sweep(train, vary={"lr": [0.01, 0.1]}, epochs=3, seeds=2, minimize="val_loss", output="out")
    print("lowest:", found.summary.loc[found.summary["val_loss_mean"].idxmin(), "value"])
    print("rows:", len(found.points), len(found.history))
    found.figure("lr").savefig("lr.png")
    print("report:", found.report().is_file())
    for data in ([1, 2, 3], [1, 2, 3], [1, 2, 4]):
        found = sweep(partial(loose, data=data), vary={"factor": [0.5, 0.9]}, epochs=1, output="loose")
        print("first:", found.points["sum"].iloc[0], "planned:", found.experiment.plan.epochs_to_train)
    print("runs:", len(list(found.experiment.store.run_keys())))
"""


@pytest.mark.long
def test_the_same_from_python(home: Path) -> None:
    """A module's function, and one with bound data, which are part of the key."""
    (home / "script.py").write_text(PYTHON)
    done = subprocess.run(
        [sys.executable, "-W", "error", "script.py"],
        cwd=home,
        env=surroundings(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if re.match(r"(lowest|rows|report|first|runs): ", line)]
    assert lines == [
        *("lowest: 0.1", "rows: 4 12", "report: True"),
        *("first: 3.0 planned: 0", "first: 3.0 planned: 0", "first: 3.5 planned: 0", "runs: 8"),
    ]
    assert (home / "lr.png").is_file()


@pytest.mark.long
def test_a_function_of_a_notebook_needs_a_version(tmp_path: Path) -> None:
    program = (
        "def train(config):\n    while True:\n        yield {'loss': config['lr']}\nfrom tune_mnist import sweep\n"
    )
    call = "print(len(sweep(train, {'lr': [0.1, 0.2]}, epochs=2%s).points))"
    for more, said in (("", "in no file"), (", version='1'", "2\n")):
        text = program + call % more
        command = [sys.executable, "-W", "error", "-c", text]
        done = subprocess.run(command, cwd=tmp_path, env=surroundings(), capture_output=True, text=True, check=False)
        assert said in done.stdout + done.stderr
    assert done.returncode == 0, done.stderr


def test_examples_of_the_readme_are_in_the_repository() -> None:
    assert (ROOT / "examples" / "spiral.py").is_file()


KINDS = """
import math
import numpy as np

MEASURES = {"val_loss": "", "share": "%"}

def train(config, state=None):
    kinds = {
        "float32": {"val_loss": np.float32(0.5), "share": np.array([0.25]), "count": 3, "won": True},
        "sometimes": {"val_loss": 0.5, "other": math.nan, "last": None},
        "nan": {"val_loss": math.nan, "share": 0.5},
        "text": {"val_loss": "low", "share": 0.5},
        "named as a parameter": {"val_loss": 0.5, "kind": 1.0},
        "named as a column": {"val_loss": 0.5, "status": 1.0},
    }
    for _ in range(99):
        yield kinds[config["kind"]]
"""


@pytest.mark.long
def test_each_kind_of_metric_is_handled_as_one_would_expect(tmp_path: Path, ray: Cluster) -> None:
    (tmp_path / "spiral.py").write_text(KINDS)
    kinds = ("float32", "sometimes", "nan", "text", "named as a parameter", "named as a column")
    done = sweep(tmp_path, "--vary", f"kind={','.join(kinds)}", "--set", "epochs=2", "--minimize", "val_loss", ray=ray)
    assert done.code == 1  # for those that failed
    found = {row["kind"]: row for row in points(done)}
    first = found["float32"]
    assert (first["val_loss"], first["share"], first["count"], first["won"]) == ("0.5", "0.25", "3.0", "1.0")
    assert [found["sometimes"][name] for name in ("status", "val_loss", "share")] == ["done", "0.5", ""]
    assert [found[kind]["status"] for kind in kinds[2:]] == ["diverged", "failed", "failed", "failed"]
    errors = [found[kind]["error"] for kind in kinds[2:]]
    assert errors == [
        "val_loss is nan at epoch 1",
        "metric val_loss is a str, and no number",
        "a measure is called 'kind', as a parameter is; rename one of them",
        "a measure may not be called 'status', because a column is; rename it",
    ]
