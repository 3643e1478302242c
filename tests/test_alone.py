"""One or two short runs, trained without Ray: the same numbers, the same store, the same words, and what is lost."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Finished, run, succeeded, under_way, wait_for
from test_tuning import TIMES, Heard, counting
from test_tuning import run as asked

from tune_mnist.background import Ahead
from tune_mnist.measure import Measure
from tune_mnist.plan.forecast import START_S, is_short
from tune_mnist.plan.plan import Run
from tune_mnist.store.store import Held, Store
from tune_mnist.task import Config, Epochs, Task
from tune_mnist.trials.process import train_alone
from tune_mnist.trials.receiver import RETRIES

SHORT = ["--dataset", "digits", "--set", "epochs=2", "--set", "train_size=128"]
WITHOUT = "over before Ray would have started: trained without it"
pytestmark = pytest.mark.timeout(120)


def alone(
    runs: list[Run], task: Task, folder: Path, timeout: float | None = None
) -> tuple[dict[str, str], Heard, Store]:
    store, heard, keys = Store(folder), Heard(), [one.key for one in runs]
    with store.claim(keys):
        for key in keys:
            store.open(key, {})
        errors = train_alone(runs, task, 1, timeout, store, heard)
    return errors, heard, store


# The contract of a trial, as under Ray


def test_every_epoch_is_stored_and_told_in_its_order(tmp_path: Path) -> None:
    errors, heard, store = alone([asked("bytes"), asked("dict")], counting(), tmp_path)
    assert not errors
    assert [event[:3] for event in heard.events if event[0] != "printed"] == [
        (kind, way, number)
        for way in ("bytes", "dict")
        for kind, number in (("started", 0), ("epoch", 1), ("epoch", 2), ("epoch", 3))
    ]
    row = store.held("bytes").rows[0]
    assert list(row) == ["epoch", "score", "begin", "torch", *TIMES, "trial_id", "hostname", "finished", "concurrent"]
    assert store.load_checkpoint("bytes") == (3, b"3")


def test_a_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    alone([asked("dict")], counting(), tmp_path)
    errors, heard, store = alone([asked("dict", epochs=5)], counting(), tmp_path)
    assert not errors
    assert heard.events[0][:3] == ("started", "dict", 3)
    assert [row["begin"] for row in store.held("dict").rows] == [0, 0, 0, 3, 3]


def test_a_failure_is_one_line_and_the_next_run_is_trained(tmp_path: Path) -> None:
    errors, _heard, store = alone([asked("early", ends=2), asked("bytes")], counting(), tmp_path)
    assert errors == {"early": "ended after 2 of 3 epochs"}
    assert len(store.held("bytes").rows) == 3


# What a process may suffer


def dying(how: str) -> Task:
    """A loop that ends its process at its second epoch, as often as there is no file of its tries yet."""

    def train(config: Config, state: Any = None) -> Epochs:
        epoch = state["epoch"] if state else 0
        while True:
            epoch += 1
            tried = Path(config["way"]) / str(len(list(Path(config["way"]).iterdir())))
            if epoch == 2 and len(list(Path(config["way"]).iterdir())) < config["ends"]:
                tried.touch()
                if how == "hangs":
                    time.sleep(600)
                os.kill(os.getpid(), signal.SIGKILL) if how == "killed" else os._exit(3)
            yield {"score": epoch / 10}, {"epoch": epoch}

    return Task("dying", train, measures=(Measure("score"),), conditions={"device": "cpu"})


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("killed", "its worker was lost"),
        pytest.param("exits", r"its worker was lost \(exit code 3\)", marks=pytest.mark.long),
        pytest.param(
            "hangs",
            r"no epoch came for [\d.]+ s \(--epoch-timeout\): its worker was ended",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_lost_process_costs_the_epoch_under_way(how: str, said: str, tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    tries.mkdir()
    lost = Run("lost", Config({"way": str(tries), "ends": 1, "epochs": 3, "seed": 1}), Held())
    errors, heard, store = alone([lost], dying(how), tmp_path / "store", timeout=5.0)
    assert not errors
    told = [event for event in heard.events if event[0] != "epoch"]
    assert [event[0] for event in told] == ["started", "lost", "started"]
    assert re.fullmatch(said, told[1][2])
    assert told[2][2] == 1
    assert [row["score"] for row in store.held("lost").rows] == [0.1, 0.2, 0.3]


@pytest.mark.long
def test_a_process_that_is_lost_again_and_again_fails_its_run(tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    tries.mkdir()
    lost = Run("lost", Config({"way": str(tries), "ends": 100, "epochs": 3, "seed": 1}), Held())
    errors, heard, _ = alone([lost, asked("bytes")], dying("killed"), tmp_path / "store")
    assert errors["lost"] == f"its worker was lost, {RETRIES + 1} times"
    assert len(list(tries.iterdir())) == RETRIES + 1
    assert [event[0] for event in heard.events if event[1] == "lost"].count("failed") == 1


# Which runs are short


def test_what_is_not_known_to_be_short_is_left_to_ray(tmp_path: Path) -> None:
    unknown, store = counting(), Store(tmp_path)
    assert not is_short([asked("bytes")], unknown, store)
    told = Task("told", counting().train, cost=lambda _: 2.0, cost_s=1.0)
    assert is_short([asked("bytes", epochs=4)], told, store)
    assert not is_short([asked("bytes", epochs=int(START_S))], told, store)
    assert not is_short([asked(way, epochs=1) for way in ("bytes", "dict", "none")], told, store)


# As a command


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return succeeded(run(*SHORT, "--vary", "lr=0.01,0.05", folder=tmp_path_factory.mktemp("alone")))


def test_a_command_says_that_it_does_without_ray(short: Finished) -> None:
    assert f"2 runs, {WITHOUT}" in short.out
    assert "starting Ray" not in short.out


@pytest.mark.long
def test_the_numbers_are_those_of_a_trial_of_ray(short: Finished, tmp_path: Path) -> None:
    other = succeeded(run(*SHORT, "--vary", "lr=0.01,0.05", "--ray-logs", folder=tmp_path))
    measured = ("run", "test_accuracy", "test_loss", "train_accuracy", "train_loss", "threads")
    assert [[row[name] for name in measured] for row in short.points()] == [
        [row[name] for name in measured] for row in other.points()
    ]


@pytest.mark.long
def test_ctrl_c_keeps_what_is_finished_and_leaves_no_process(tmp_path: Path) -> None:
    with under_way(*SHORT[:2], "--set", "epochs=8", "--vary", "lr=0.01", folder=tmp_path) as begun:
        wait_for(lambda: ": epoch 2/8" in begun.log(), "a second epoch")
        begun.process.send_signal(signal.SIGINT)
        done = begun.finished(30)
    assert done.code == 130
    assert "stopping; finished epochs are kept" in done.out
    again = succeeded(run(*SHORT[:2], "--set", "epochs=8", "--vary", "lr=0.01", folder=tmp_path))
    assert re.search(r"after epoch [2-8], to epoch 8", again.log())


def test_what_is_needed_at_the_end_is_loaded_once_a_slot_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needed_at_the_end.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with Ahead("needed_at_the_end", left=3, slots=2) as ahead:
        ahead.one_less()
        assert "needed_at_the_end" not in sys.modules
        ahead.one_less()
    assert sys.modules.pop("needed_at_the_end")
