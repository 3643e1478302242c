"""What a person sees while a command works, and what it says at its end: told without a start of Ray."""

from __future__ import annotations

import io
import logging
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import DIGITS, on_a_terminal, wait_for
from rich.console import Console
from tables import CURVE, complete, curve_sweep, seeded_sweep, several_sweeps
from tasks import asked, mnist

from tune_mnist.display.live import Display
from tune_mnist.display.log import ConsoleLines, LogFile, listening, log, stage
from tune_mnist.display.overview import best_lines, points_table
from tune_mnist.display.progress import Progress
from tune_mnist.exits import interruptible
from tune_mnist.machine import container
from tune_mnist.mnist.task import MNIST
from tune_mnist.plan.forecast import agreed
from tune_mnist.plan.plan import make_plan, run_names
from tune_mnist.plan.timeleft import TimeLeft
from tune_mnist.store.store import Held
from tune_mnist.words import typed

TASK = mnist()
DRY = (*DIGITS, "--set", "model=linear", "--vary", "lr=0.01", "--dry-run")


def terminal(width: int = 80, height: int = 24) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, highlight=False)


def picture(shown: Any, console: Console) -> list[str]:
    """The lines of what is shown, as that terminal has them, without colours."""
    with console.capture() as captured:
        console.print(shown)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", captured.get()).splitlines()


# Stages


def test_a_stage_is_shown_from_its_first_moment_with_a_clock_that_moves() -> None:
    screen = terminal()
    with Display(screen) as display:
        assert re.fullmatch(r". starting  0 s", picture(display, terminal())[0])
        stage("reading the data")
        assert re.fullmatch(r". reading the data  0 s", picture(display, terminal())[0])
        wait_for(lambda: picture(display, terminal())[0].endswith("reading the data  1 s"), "a second")
    assert picture_of(screen).count("\x1b[?25l") == picture_of(screen).count("\x1b[?25h")


def picture_of(console: Console) -> str:
    """All that the terminal got."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_runs_are_shown_until_the_next_stage() -> None:
    with Display(terminal()) as display:
        display.follow("lr=0.05   epoch 1/5")
        assert picture(display, terminal())[1] == "lr=0.05   epoch 1/5"
        stage("stopping Ray")
        (line,) = picture(display, terminal())
        assert "stopping Ray" in line


def test_without_a_terminal_a_stage_that_takes_long_is_a_line_and_the_others_are_none(tmp_path: Path) -> None:
    lines, log_file = Console(file=io.StringIO(), width=500), LogFile()
    with Display(lines), listening(ConsoleLines(lines)), listening(log_file):
        log_file.open(tmp_path / "log")
        stage("reading the data")
        stage("starting Ray, about 10 s", long=True)
    assert picture_of(lines) == "starting Ray, about 10 s\n"
    (kept,) = (tmp_path / "log").read_text("utf-8").splitlines()
    assert kept.endswith("INFO     starting Ray, about 10 s")


def test_on_a_terminal_a_stage_is_no_line_that_stays() -> None:
    screen = terminal()
    with Display(screen), listening(ConsoleLines(screen)):
        stage("starting Ray, about 10 s", long=True)
        log.info("a line")
    assert "Ray" not in picture_of(screen).rpartition("a line")[2].rpartition("\x1b[2K")[2]


def test_an_interrupt_says_at_once_what_is_kept() -> None:
    heard: list[str] = []

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    with listening(Heard()):
        with pytest.raises(KeyboardInterrupt), interruptible():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        wait_for(lambda: heard == ["stopping; finished epochs are kept"], "its line", 2)


# A terminal, and less than one


def test_something_is_seen_before_the_program_is_loaded(tmp_path: Path) -> None:
    """Its imports are named on the same terminal, in their order."""
    done = on_a_terminal(*DRY, folder=tmp_path, python=("-X", "importtime"))
    assert done.code == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", done.out)
    places = [re.search(sought, shown) for sought in (r". starting  0 s", r"\| +pandas\r\n", r". reading digits  ")]
    assert all(places)
    assert [place.start() for place in places if place] == sorted(place.start() for place in places if place)


@pytest.mark.parametrize(
    ("option", "term"),
    [(("--plain",), "xterm"), pytest.param((), "dumb", marks=pytest.mark.long)],
    ids=["--plain", "TERM=dumb"],
)
def test_a_terminal_gets_plain_lines_where_they_are_wanted(option: tuple[str, ...], term: str, tmp_path: Path) -> None:
    done = on_a_terminal(*DRY, *option, folder=tmp_path, term=term)
    assert done.code == 0
    assert "\x1b" not in done.out
    assert done.out.splitlines()[-3:-1] == [
        "1 point, 1 distinct, 1 run, 5 epochs asked for",
        "0 epochs in the store, 5 to train",
    ]


def test_no_color_has_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)  # else errors are not for the screen
    screen = terminal()
    with listening(ConsoleLines(screen)):
        log.error("it failed")
    assert picture_of(screen) == "it failed\n"


# The runs under way


def progress_of(runs: int) -> Progress:
    """So many runs side by side, with long names; each has trained an epoch."""
    lrs = ",".join(f"0.0{index:03d}" for index in range(1, runs + 1))
    fixed = ["weight_decay=0.00012", "batch_size=128", "train_size=50000", "optimizer=adamw", "epochs=12"]
    request = asked(vary=[f"lr={lrs}"], settings=["epochs=12"])
    plan = make_plan(asked(vary=[f"lr={lrs}"], settings=fixed).points, TASK, lambda _: Held())
    names = run_names(plan, request.baseline, TASK)
    made = Progress(plan, names, TASK, Display(Console(quiet=True)), TimeLeft(plan.runs, TASK, {}))
    for run in plan.runs:
        made.started(run.key, 0, "here")
    for run in plan.runs:
        measured = {"test_accuracy": 0.9509, "test_loss": 0.1532, "train_accuracy": 0.9, "train_loss": 0.2, "lr": 0.1}
        made.epoch(run.key, {"epoch": 1, **measured, "train_time_s": 1.5, "eval_time_s": 0.5})
    return made


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 24), (60, 10), (200, 50)])
def test_the_display_is_not_larger_than_the_terminal(width: int, height: int) -> None:
    screen = terminal(width, height)
    with Display(Console(quiet=True)) as display:
        display.follow(progress_of(40))
        lines = picture(display, screen)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    room = min(12, height - 5)
    runs = [line for line in lines if "epoch 2/12" in line]
    assert len(runs) == room
    assert lines[-2] == f"and {40 - room} more runs"
    assert all("test accuracy 95.09 %" in line for line in runs)
    assert all(("…" in line) == (width < 200) for line in runs)
    assert all(("test loss" in line) == (width >= 90) for line in runs)
    assert re.fullmatch(r"440 epochs to train, about .* left", lines[-1])


def test_two_runs_have_a_line_each_and_no_more() -> None:
    assert len(picture(progress_of(2), terminal())) == 4


# At the end


def table_of(points: pd.DataFrame, task: Any = MNIST) -> list[list[str]]:
    """The cells of the table, by its header; below it stands at which epoch values are read."""
    *lines, below = picture(points_table(points, task), Console(file=io.StringIO(), width=200))
    assert below.strip() == "values at the last epoch"
    return [re.split(r"\s{2,}", line.strip()) for line in lines]


def test_seeds_are_one_row_with_mean_and_interval() -> None:
    rows = complete(seeded_sweep("lr", {0.01: [0.95, 0.949, 0.952], 0.05: [0.98]}))
    head, first, second = table_of(rows)
    assert head == ["sweep", "value", "seeds", "test accuracy", "test loss", "train time", "status"]
    assert first[:4] == ["lr", "0.01", "3", "95.03 ± 0.38 %"]  # t(0.975, 2) = 4.303; sd 0.1528 points / √3
    assert first[-1] == "done"
    assert second[:4] == ["lr", "0.05", "1", "98.00 %"]


def test_one_seed_is_not_counted() -> None:
    head, first = table_of(complete(seeded_sweep("lr", {0.01: [0.95]})))
    assert head[:3] == ["sweep", "value", "test accuracy"]
    assert first[:3] == ["lr", "0.01", "95.00 %"]


def test_a_seed_that_failed_is_counted_beside_those_that_are_done() -> None:
    _, first, second = table_of(complete(seeded_sweep("lr", {0.01: [0.95, -1, 0.951], 1e6: [-1, -1, -1]})))
    assert (first[2], first[-1]) == ("2", "2 done, 1 failed")
    assert second == ["lr", "1e6", "0", "-", "-", "-", "failed"]


def test_a_cross_is_told_without_a_star() -> None:
    rows = pd.concat([complete(one) for one in several_sweeps()], ignore_index=True)
    lines = table_of(rows)
    assert ["cross", "0.05, 0.25"] in [line[:2] for line in lines]
    assert not [line for line in [*map(str, lines), *best_lines(rows, MNIST)] if "*" in line]
    (best,) = [line for line in best_lines(rows, MNIST) if "of cross" in line]
    assert best.startswith("highest test accuracy of cross: lr=0.05, dropout=0.25, 95.")
    assert best.endswith("(mean of 3 seeds)")


def test_values_that_tie_are_named_together_and_a_label_once() -> None:
    rows = complete(seeded_sweep("lr", {0.01: [0.95], 0.05: [0.981], 0.1: [0.981], 1e6: [-1]}))
    assert best_lines(rows, MNIST) == ["highest test accuracy of lr (learning rate): lr=0.05 and 0.1 tie, 98.10 %"]


def test_the_lowest_is_best_where_lower_is_better() -> None:
    rows = curve_sweep("rate", {0.1: [0.5], 0.2: [0.25]})
    assert best_lines(rows, CURVE) == ["best of rate (step size) by validation loss: rate=0.2, 0.2500"]


def test_the_seeds_of_a_mean_are_those_of_its_value() -> None:
    """Where seeds are added until a difference is resolved, values have unlike numbers of them."""
    rows = complete(seeded_sweep("lr", {0.01: [0.95, 0.95, 0.95], 0.05: [0.98, 0.98]}))
    assert best_lines(rows, MNIST) == [
        "highest test accuracy of lr (learning rate): lr=0.05, 98.00 % (mean of 2 seeds)"
    ]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        *((0.05, "0.05"), (1e6, "1e6"), (1e-5, "1e-5"), (2.5e6, "2.5e6"), (1234567.0, "1234567"), (1e38, "1e38")),
        *((False, "false"), (60000, "60000"), (10_000_000, "10000000"), (1.0, "1"), ("sgd", "sgd"), (0.1 + 0.2, "0.3")),
    ],
)
def test_a_value_is_written_as_people_type_it(value: Any, said: str) -> None:
    assert typed(value) == said


# In a container


def test_a_container_is_known_by_what_its_engine_leaves(tmp_path: Path) -> None:
    assert container.engine(tmp_path) is None
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".containerenv").touch()
    assert container.engine(tmp_path) == "podman"
    (tmp_path / ".dockerenv").touch()
    assert container.engine(tmp_path) == "docker"


@pytest.mark.skipif(not os.path.ismount("/proc"), reason="no mount that is always there")
def test_a_folder_on_a_mount_outlives_a_container() -> None:
    assert container.is_mounted(Path("/proc/self"))
    assert not container.is_mounted(Path("/"))


# Probes


class Probes:
    """Probes that take so long, one after another."""

    def __init__(self, *seconds: float) -> None:
        self.left, self.now = list(seconds), 0.0

    def __call__(self, _: Any) -> float:
        self.now += 1
        return self.left.pop(0)


@pytest.mark.parametrize(
    ("probes", "found", "left"),
    [
        ((30.0, 2.0, 2.2, 9.0), 2.0, 1),  # the first one warmed up
        ((2.0, 2.5, 9.0), 2.0, 1),
        ((9.0, 2.0, 40.0, 2.1, 2.0, 9.0), 2.0, 1),  # a busy machine
        ((9.0, 2.0, 9.0, 2.0, 9.0, 2.0), 2.0, 1),  # they never agree: 5 s at most
    ],
)
def test_a_probe_is_held_against_a_second_one(probes: tuple[float, ...], found: float, left: int) -> None:
    made = Probes(*probes)
    assert agreed(made, TASK.config({}), clock=lambda: made.now) == found
    assert len(made.left) == left


def test_an_interval_on_the_terminal_ends_where_shares_end() -> None:
    """By Student's t, 10 % and 90 % have an interval from −458 % to 558 %."""
    points = complete(seeded_sweep("lr", {0.01: [0.1, 0.9], 0.05: [0.95, 0.96]}))
    lines = picture(points_table(points, MNIST), terminal(120))
    assert any("50.00 % (0.00 % to 100.00 %)" in line for line in lines)
