"""What is lost when something dies or a file is damaged: at most the epoch under way, and never a number's last bit."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
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
    left: list[Path]

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
        second = run(*SLOW, folder=folder)
        return Killed(log, second, [kept.parent for kept in ray_folders(started) if kept.parent.exists()])
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


@pytest.mark.long
def test_after_a_kill_the_same_command_finishes(killed: Killed) -> None:
    assert killed.second.code == 0
    assert {row["status"] for row in killed.second.points()} == {"done"}


@pytest.mark.long
def test_after_a_kill_all_numbers_are_those_of_an_uninterrupted_run(killed: Killed, uninterrupted: Finished) -> None:
    assert numbers(killed.second.epochs()) == numbers(uninterrupted.epochs())
    for mine, its in zip(killed.second.points(), uninterrupted.points(), strict=True):
        assert mine["test_accuracy"] == its["test_accuracy"]


@pytest.mark.long
def test_after_a_kill_at_most_one_epoch_a_running_trial_is_trained_again(killed: Killed) -> None:
    before, after = trained(killed.log), trained(killed.second_log)
    names = {name for name, _ in before}
    assert 2 <= before.total() < 20
    again = {name: sum(epochs for (its, _), epochs in (before + after).items() if its == name) - 5 for name in names}
    assert set(again.values()) <= {0, 1}
    assert sum(epochs for (name, _), epochs in after.items() if name not in names) == 5 * (4 - len(names))


@pytest.mark.long
def test_after_a_kill_the_log_says_where_it_goes_on(killed: Killed) -> None:
    went_on = going_on(killed.second_log)
    reached = dict(sorted(trained(killed.log)))  # the last of a name is its largest
    assert set(went_on.values()) != {0}
    for name, epoch in reached.items():
        assert went_on.get(name, 5) >= epoch - 1


@pytest.mark.long
def test_after_a_kill_the_next_command_removes_what_it_left_in_tmp(killed: Killed) -> None:
    assert killed.left == []


# A worker that is killed, and one that hangs


@pytest.fixture(scope="module")
def bereft(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The slow sweep, one of its trials' processes killed in mid-run, and another one stopped."""
    with under_way(*SLOW, "--epoch-timeout", "20", folder=tmp_path_factory.mktemp("bereft")) as slow:
        wait_for(lambda: ": epoch 2/5" in slow.log(), "a second epoch")
        started = descendants(slow.process.pid)
        trials = [pid for pid, line in started.items() if re.search(r"ray::\S*(Implicit|train)", line)]
        assert len(trials) > 1, f"no two trials among {sorted(started.values())}"
        os.kill(trials[0], signal.SIGKILL)
        os.kill(trials[1], signal.SIGSTOP)
        return slow.finished()


@pytest.mark.long
def test_a_lost_worker_does_not_stop_the_sweep(bereft: Finished, uninterrupted: Finished) -> None:
    assert bereft.code == 0
    assert numbers(bereft.epochs()) == numbers(uninterrupted.epochs())


@pytest.mark.long
def test_a_lost_worker_is_said_once_on_stderr(bereft: Finished) -> None:
    lost = re.findall(r"(\S+): its worker was lost; it goes on after epoch (\d)", bereft.log())
    assert len(lost) == 1
    assert going_on(bereft.log())[lost[0][0]] >= int(lost[0][1]) - 1
    assert bereft.err.count(": its worker was lost; it goes on after epoch") == 1
    for noise in ("ray::", "raylet", "SIGKILL", "Traceback", "pid=", "was lost"):
        assert noise not in bereft.out


@pytest.mark.long
def test_a_hung_trial_is_said_once_and_goes_on(bereft: Finished) -> None:
    said = r"(\S+): no epoch came for \d+ s \(--epoch-timeout\): its worker was ended; it goes on after epoch (\d)"
    ((name, epoch),) = re.findall(said, bereft.err)
    assert going_on(bereft.log())[name] >= int(epoch) - 1


@pytest.mark.long
def test_a_lost_worker_costs_at_most_one_epoch(bereft: Finished) -> None:
    assert 20 <= trained(bereft.log()).total() <= 22


# What all trials need


def lost(part: str, folder: Path) -> tuple[Finished, float, dict[int, str]]:
    """The slow sweep whose Ray loses a process: how it ended, after how many seconds, and what it had started."""
    with under_way(*SLOW, folder=folder) as slow:
        wait_for(lambda: ": epoch 2/5" in slow.log(), "a second epoch")
        started = descendants(slow.process.pid)
        (pid,) = [pid for pid, line in started.items() if re.search(part, line)]
        os.kill(pid, signal.SIGKILL)
        begin = time.monotonic()
        done = slow.finished(120)
    return done, time.monotonic() - begin, started


@pytest.mark.long
@pytest.mark.parametrize(
    ("part", "said"),
    [
        pytest.param(
            r"/raylet/raylet ", "the raylet, which starts the workers of this machine's Ray, was lost", id="raylet"
        ),
        pytest.param(
            r"/gcs_server ",
            "the GCS server, which keeps the state of this machine's Ray, was lost",
            id="gcs",
            marks=pytest.mark.long,
        ),
        pytest.param(
            r"ray::Mailbox",
            "Ray's process that brings the epochs home was lost",
            id="mailbox",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_lost_part_of_ray_is_one_line_and_nothing_is_left(part: str, said: str, tmp_path: Path) -> None:
    done, seconds, started = lost(part, tmp_path)
    assert done.code == 1
    assert re.fullmatch(rf"{said}; every finished epoch [^\n]*\n", done.err)
    assert said in done.log()
    assert {row["status"] for row in done.points()} <= {"done", "missing"}
    assert len(done.points()) == 4
    assert seconds < 45  # alone on its machine: 8 s, of which the report takes 3; Ray itself took 61 s for a lost GCS
    wait_for(lambda: not {pid for pid, (_, line) in processes().items() if started.get(pid) == line}, "all ended", 20)
    assert not [folder for folder in ray_folders(started) if folder.exists()]


@pytest.mark.long
def test_a_store_that_is_deleted_under_way_is_one_line(tmp_path: Path) -> None:
    with under_way(*SLOW, "--max-concurrent", "1", folder=tmp_path) as slow:
        wait_for(lambda: ": epoch 2/5" in slow.log(), "a second epoch")
        shutil.rmtree(tmp_path / "results" / "store", ignore_errors=True)
        done = slow.finished(120)
    assert done.code == 1
    assert re.fullmatch(r"the store 'results/store' cannot be written \([^\n]*\); every finished [^\n]*\n", done.err)
    assert len(done.points()) == 4


HOG = """import time

def train(config, state=None):
    place, kept = state["place"] if state else 1.0, []
    while True:
        time.sleep(max(0.5, 4.5 - 10 * config["rate"]))  # whoever takes memory is beside one that still trains
        place -= place * config["rate"]
        if config["rate"] > 0.5 and place < 0.3:
            kept.append(b"x" * (3 << 30))
        yield {"val_loss": place * place}, {"place": place}
"""


@pytest.mark.alone
def test_memory_that_runs_out_fails_the_run_that_takes_it(tmp_path: Path) -> None:
    """3 GB, where 2.5 GB are left of what Ray lets its workers have."""
    (tmp_path / "hog.py").write_text(HOG, "utf-8")
    machine = psutil.virtual_memory()
    if machine.available < 5e9:
        pytest.skip("takes 3 GB of memory")
    limit = (machine.total - machine.available + 2.5e9) / machine.total
    words = ("--task", "hog.py", "--minimize", "val_loss", "--vary", "rate=0.1,0.2,0.6", "--set", "epochs=4", "--trust")
    done = run(*words, folder=tmp_path, RAY_memory_usage_threshold=str(limit))
    assert done.code == 1
    assert "memory ran out: 1 trial side by side from now on" in done.err or psutil.cpu_count() == 1
    cause = r"its worker ran out of memory \(it held \d\.\d GB; [^\n]*\), 6 times with no other trial beside it"
    assert re.search(rf"^failed: rate=0.6: {cause}$", done.err, re.MULTILINE)
    assert "Traceback" not in done.err + done.out
    points = {row["value"]: row["status"] for row in rows(tmp_path / "results" / "hog" / "hog_results.csv")}
    assert points == {"0.1": "done", "0.2": "done", "0.6": "failed"}


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


@pytest.mark.long
def test_every_number_is_that_of_a_run_without_mishap(grown: Grown, in_one_go: Finished) -> None:
    assert grown.done.code == 0
    assert len(grown.done.epochs()) == 25
    assert numbers(grown.done.epochs()) == numbers(in_one_go.epochs())


@pytest.mark.long
def test_an_extension_trains_what_is_missing(grown: Grown) -> None:
    assert grown.epochs(INTACT) == [4, 5]
    assert grown.said(INTACT) == []


@pytest.mark.long
def test_a_torn_line_costs_its_epoch(grown: Grown) -> None:
    assert grown.epochs(TORN) == [3, 4, 5]


@pytest.mark.long
def test_a_damaged_checkpoint_falls_back_to_the_one_before(grown: Grown) -> None:
    assert grown.epochs(UNREADABLE) == [3, 4, 5]
    (said,) = grown.said(UNREADABLE)
    assert re.search(r"checkpoint \S+epoch-00003\S+ is damaged; training goes on from epoch 2$", said)


@pytest.mark.long
def test_a_damaged_history_is_named_and_that_run_alone_trained_again(grown: Grown) -> None:
    assert grown.epochs(ALTERED) == [1, 2, 3, 4, 5]
    (said,) = grown.said(ALTERED)
    assert re.search(r"line 2 of \S+history\.jsonl is damaged; the run is trained again$", said)


@pytest.mark.long
def test_an_extension_without_checkpoints_starts_again(grown: Grown) -> None:
    assert grown.epochs(PRUNED) == [1, 2, 3, 4, 5]


# Two at once


@pytest.mark.long
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
