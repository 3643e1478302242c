"""Whose turn it is: three runs on two slots end together, each epoch trained once, whoever had to give way."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from tune_mnist.measure import Measure
from tune_mnist.plan.plan import Run
from tune_mnist.store.store import Held, Row, Store
from tune_mnist.task import Config, Epochs, Task
from tune_mnist.tuning.cluster import Cluster
from tune_mnist.tuning.resources import Asked, choose

EPOCHS, RUNS = 6, 3
pytestmark = pytest.mark.timeout(600)


def sleeping(keeps: bool) -> Task:
    """A loop whose epochs take 0.3 s; it adds up what it had before, and keeps a state or none."""

    def train(config: Config, state: Any = None) -> Epochs:
        total, begin = state or (0, 0)
        for epoch in range(begin + 1, 100):
            time.sleep(0.3)
            total += epoch * config["lr"]
            yield {"score": total, "begin": begin}, (total, epoch) if keeps else None

    return Task("sleeping", train, measures=(Measure("score"),))


@dataclass
class Heard:
    """A listener that keeps who started, and after how many epochs."""

    started_after: list[tuple[str, int]] = field(default_factory=list)
    others: list[Any] = field(default_factory=list)

    def started(self, key: str, trained: int, hostname: str) -> None:  # noqa: ARG002
        self.started_after.append((key, trained))

    def epoch(self, key: str, row: Row) -> None:
        pass

    def lost(self, key: str, cause: str) -> None:
        self.others.append(("lost", key, cause))

    def diverged(self, key: str, row: Row) -> None:
        self.others.append(("diverged", key, row))

    def failed(self, key: str, error: str, trace: str) -> None:
        self.others.append(("failed", key, error, trace))

    def said(self, key: str, text: str) -> None:
        self.others.append(("said", key, text))

    def printed(self, key: str, text: str) -> None:
        self.others.append(("printed", key, text))


@dataclass(frozen=True)
class Trained:
    """Three equal runs on two slots."""

    rows: dict[str, tuple[Row, ...]]
    heard: Heard


def train_all(folder: Path) -> dict[bool, Trained]:
    """One Ray: a loop with a state, and then one without."""
    found = {}
    with Cluster(cpus=2).started() as connection:
        from tune_mnist.tuning.tuner import Trials, execute

        trials = Trials(choose(Asked("cpu"), local=True), connection)
        for keeps in (True, False):
            store, heard = Store(folder / str(keeps)), Heard()
            runs = [
                Run(f"run{lr}", Config({"lr": lr, "epochs": EPOCHS, "seed": 1}), Held()) for lr in range(1, RUNS + 1)
            ]
            with store.claim([run.key for run in runs]):
                for run in runs:
                    store.open(run.key, {})
                assert not execute(runs, sleeping(keeps), trials, store, heard)
            found[keeps] = Trained({run.key: store.held(run.key).rows for run in runs}, heard)
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Trained]:
    with ProcessPoolExecutor(1, get_context("spawn")) as process:  # Ray leaves this one as it was
        return process.submit(train_all, tmp_path_factory.mktemp("turns")).result()


@pytest.mark.parametrize("keeps", [True, False], ids=["a state", "no state"])
def test_each_epoch_is_trained_once_and_gives_what_an_undisturbed_run_gives(
    trained: dict[bool, Trained], keeps: bool
) -> None:
    for key, rows in trained[keeps].rows.items():
        lr = int(key.removeprefix("run"))
        assert [row["epoch"] for row in rows] == list(range(1, EPOCHS + 1))
        assert [row["score"] for row in rows] == [lr * epoch * (epoch + 1) // 2 for epoch in range(1, EPOCHS + 1)]
    assert not trained[keeps].heard.others


def test_a_run_gives_way_and_goes_on_where_it_was(trained: dict[bool, Trained]) -> None:
    starts = Counter(key for key, _ in trained[True].heard.started_after)
    again = [(key, after) for key, after in trained[True].heard.started_after if after]
    assert len(starts) == RUNS
    assert again  # two slots would stand idle for six epochs of one
    for key, after in again:
        assert trained[True].rows[key][after]["begin"] == after


def test_a_loop_without_a_state_keeps_its_slot(trained: dict[bool, Trained]) -> None:
    assert [after for _, after in trained[False].heard.started_after] == [0] * RUNS


@pytest.mark.parametrize(
    ("left", "waiting", "running", "gives"),
    [
        (5.0, [9.0], [5.0], True),  # with 19 on two slots nothing ends before 9.5: the 9 begin at 0.5 at the latest
        (5.0, [6.0], [20.0], False),  # there is time
        (5.0, [5.0], [5.0], False),  # no use: it would only be the other one that is late
        (5.0, [], [5.0], False),  # nobody waits
    ],
    ids=["cannot wait", "can wait", "no longer", "nobody"],
)
def test_who_gives_way(left: float, waiting: list[float], running: list[float], gives: bool) -> None:
    from tune_mnist.tuning.turns import gives_way  # imports Ray

    assert gives_way(left, 1.0, waiting, running) is gives
