"""What is lost when something dies or a file is damaged: at most the epoch under way, and never a number's last bit."""

from __future__ import annotations

import os
import re
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import (
    DIGITS,
    HISTORY,
    RESULTS,
    SLOW,
    Finished,
    descendants,
    going_on,
    numbers,
    processes,
    ray_folders,
    rows,
    run,
    succeeded,
    trained,
    under_way,
    wait_for,
)

pytestmark = pytest.mark.timeout(1200)  # for the sweeps that a test finds first; a busy machine is slow

# A program that is killed


@dataclass(frozen=True)
class Killed:
    """The log of a command that was killed in mid-run, and the same command after it."""

    log: str
    second: Finished

    @property
    def second_log(self) -> str:
        return self.second.log().removeprefix(self.log)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    folder = tmp_path_factory.mktemp("killed")
    with under_way(*SLOW, folder=folder) as slow:
        wait_for(lambda: ": epoch 2/5" in slow.log(), "a second epoch")
        started = descendants(slow.process.pid)
        slow.process.send_signal(signal.SIGKILL)
        slow.process.wait(10)
        log = slow.log()
    try:
        return Killed(log, run(*SLOW, folder=folder))
    finally:
        bury(started)


def bury(orphans: dict[int, str]) -> None:
    """End what a killed program's Ray leaves for a minute, and clear its folder away."""
    for pid, (_, line) in processes().items():
        if orphans.get(pid) == line:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    for folder in ray_folders(orphans):
        shutil.rmtree(folder, ignore_errors=True)


def test_after_a_kill_the_same_command_finishes(killed: Killed) -> None:
    assert killed.second.code == 0
    assert {row["status"] for row in killed.second.points()} == {"done"}


def test_after_a_kill_all_numbers_are_those_of_an_uninterrupted_run(killed: Killed, uninterrupted: Finished) -> None:
    assert numbers(killed.second.epochs()) == numbers(uninterrupted.epochs())
    for mine, its in zip(killed.second.points(), uninterrupted.points(), strict=True):
        assert mine["test_accuracy"] == its["test_accuracy"]


def test_after_a_kill_at_most_one_epoch_a_running_trial_is_trained_again(killed: Killed) -> None:
    before, after = trained(killed.log), trained(killed.second_log)
    names = {name for name, _ in before}
    assert 2 <= before.total() < 20
    again = {name: sum(epochs for (its, _), epochs in (before + after).items() if its == name) - 5 for name in names}
    assert set(again.values()) <= {0, 1}
    assert sum(epochs for (name, _), epochs in after.items() if name not in names) == 5 * (4 - len(names))


def test_after_a_kill_the_log_says_where_it_goes_on(killed: Killed) -> None:
    went_on = going_on(killed.second_log)
    reached = dict(sorted(trained(killed.log)))  # the last of a name is its largest
    assert set(went_on.values()) != {0}
    for name, epoch in reached.items():
        assert went_on.get(name, 5) >= epoch - 1


# A worker that is killed


@pytest.fixture(scope="module")
def bereft(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The slow sweep, one of its trials' processes killed in mid-run."""
    with under_way(*SLOW, folder=tmp_path_factory.mktemp("bereft")) as slow:
        wait_for(lambda: ": epoch 2/5" in slow.log(), "a second epoch")
        started = descendants(slow.process.pid)
        trials = [pid for pid, line in started.items() if re.search(r"ray::\S*(Implicit|train)", line)]
        assert trials, f"no trial among {sorted(started.values())}"
        os.kill(trials[0], signal.SIGKILL)
        return slow.finished()


def test_a_lost_worker_does_not_stop_the_sweep(bereft: Finished, uninterrupted: Finished) -> None:
    assert (bereft.code, bereft.err) == (0, "")
    assert numbers(bereft.epochs()) == numbers(uninterrupted.epochs())


def test_a_lost_worker_is_said_once(bereft: Finished) -> None:
    lost = re.findall(r"(\S+): its worker was lost; it goes on after epoch (\d)", bereft.log())
    assert len(lost) == 1
    assert going_on(bereft.log())[lost[0][0]] >= int(lost[0][1]) - 1
    for noise in ("ray::", "raylet", "SIGKILL", "Traceback", "pid="):
        assert noise not in bereft.out


def test_a_lost_worker_costs_at_most_one_epoch(bereft: Finished) -> None:
    assert 20 <= trained(bereft.log()).total() <= 21


# Files that are damaged between two commands, and checkpoints that were freed

QUICK = (*DIGITS, "--set", "model=mlp", "--set", "train_size=128", "--output", "results/mine")
GROWN = ("--vary", "lr=0.01,0.02,0.03,0.04,0.05", "--set", "epochs=5")
INTACT, TORN, UNREADABLE, ALTERED, PRUNED = 0, 1, 2, 3, 4  # what becomes of the run of each learning rate


@pytest.fixture(scope="module")
def in_one_go(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return succeeded(run(*QUICK, *GROWN, folder=tmp_path_factory.mktemp("one-go")))


@dataclass(frozen=True)
class Grown:
    """Five runs of 3 epochs, each met by another mishap, and the command that then made them 5 epochs long."""

    done: Finished
    before: str

    def log(self) -> str:
        return self.done.log().removeprefix(self.before)

    def epochs(self, mishap: int) -> list[int]:
        """The epochs that were trained for the run that had this mishap."""
        name = name_of(mishap)
        return sorted(epoch for its, epoch in trained(self.log()).elements() if its == name)

    def said(self, mishap: int) -> list[str]:
        """The warnings about it."""
        name = name_of(mishap)
        return [line for line in self.log().splitlines() if " WARNING " in line and f" {name}: " in line]


def name_of(mishap: int) -> str:
    # At its own baseline of lr=0.01 the first run is the baseline itself.
    return "baseline" if mishap == INTACT else f"lr=0.0{mishap + 1}"


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Grown:
    folder = tmp_path_factory.mktemp("grown")
    short = succeeded(run(*QUICK, *GROWN[:2], "--set", "epochs=3", folder=folder))
    before = short.log()
    store = folder / "results" / "store"
    stored = [store / row["run"] for row in short.points()]
    cut(stored[TORN] / "history.jsonl")
    flip(newest(stored[UNREADABLE]))
    flip(stored[ALTERED] / "history.jsonl")
    prune(stored[PRUNED], tmp_path_factory.mktemp("prune"))
    return Grown(run(*QUICK, *GROWN, folder=folder), before)


def cut(file: Path) -> None:
    """As a write that was not finished leaves it."""
    os.truncate(file, file.stat().st_size - 20)


def flip(file: Path) -> None:
    """Another byte in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def newest(stored: Path) -> Path:
    return max(stored.glob("*.pt"))


def prune(stored: Path, store: Path) -> None:
    """`runs --prune` over a store that holds this run alone."""
    shutil.move(stored, store)
    succeeded(run("runs", "--prune", "--store", str(store), folder=store, module="tune_mnist"))
    shutil.move(store / stored.name, stored)
    assert not list(stored.glob("*.pt"))


def test_every_number_is_that_of_a_run_without_mishap(grown: Grown, in_one_go: Finished) -> None:
    assert grown.done.code == 0
    assert len(grown.done.epochs()) == 25
    assert numbers(grown.done.epochs()) == numbers(in_one_go.epochs())


def test_an_extension_trains_what_is_missing(grown: Grown) -> None:
    assert grown.epochs(INTACT) == [4, 5]
    assert grown.said(INTACT) == []


def test_a_torn_line_costs_its_epoch(grown: Grown) -> None:
    assert grown.epochs(TORN) == [3, 4, 5]


def test_a_damaged_checkpoint_falls_back_to_the_one_before(grown: Grown) -> None:
    assert grown.epochs(UNREADABLE) == [3, 4, 5]
    (said,) = grown.said(UNREADABLE)
    assert re.search(r"checkpoint \S+epoch-00003\S+ is damaged; training goes on from epoch 2$", said)


def test_a_damaged_history_is_named_and_that_run_alone_trained_again(grown: Grown) -> None:
    assert grown.epochs(ALTERED) == [1, 2, 3, 4, 5]
    (said,) = grown.said(ALTERED)
    assert re.search(r"line 2 of \S+history\.jsonl is damaged; the run is trained again$", said)


def test_an_extension_without_checkpoints_starts_again(grown: Grown) -> None:
    assert grown.epochs(PRUNED) == [1, 2, 3, 4, 5]


# Two at once


def test_two_commands_on_one_store_share_the_work(uninterrupted: Finished, tmp_path: Path) -> None:
    first, second = (tmp_path / name for name in ("first", "second"))
    first.mkdir()
    second.mkdir()
    common = *SLOW, "--store", str(tmp_path / "store")
    with under_way(*common, folder=first) as one, under_way(*common, folder=second) as other:
        ended = [one.finished(), other.finished()]
    assert [(done.code, done.err) for done in ended] == [(0, ""), (0, "")]
    # Each log tells of the epochs that its own command trained.
    assert (trained(ended[0].log()) + trained(ended[1].log())).total() == 20
    for table in (RESULTS, HISTORY):
        assert rows(ended[0].results / table) == rows(ended[1].results / table)
    assert numbers(ended[0].epochs()) == numbers(uninterrupted.epochs())
