"""What is said and done when something that a sweep runs on is lost, without a start of Ray; with one: test_crash."""

from __future__ import annotations

import errno
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import ROOT, command, surroundings, wait_for
from ray.exceptions import RayTaskError

from tune_mnist.display.listener import Listener
from tune_mnist.display.log import ConsoleLines, Printed, console, listening, log
from tune_mnist.display.waiting import Waiting
from tune_mnist.errors import ClusterError, UserError
from tune_mnist.machine import scratch
from tune_mnist.machine.processes import Processes, end_of
from tune_mnist.plan.plan import Run, run_names
from tune_mnist.store.regular import unwritable
from tune_mnist.store.store import Held, Store
from tune_mnist.task import Config
from tune_mnist.trials import overdue
from tune_mnist.trials.overdue import Overdue
from tune_mnist.trials.trial import Unreachable
from tune_mnist.tuning.delivery import Delivery
from tune_mnist.tuning.tuner import _told
from tune_mnist.tuning.workers import OutOfMemory

# Memory

NEW_RAY = """1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 127.0.0.1, ID: 58) \
was 22.80GB used / 24.00GB limit (0.950000)
OOM kill reason: Memory usage 2248048640B exceeded threshold of 1263825536B
Selected to kill: (Task: job ID=01000000, lease ID=0000, task name=ImplicitFunc.train, required resources={CPU: 1}, \
pid=10716, actual memory used=1.90GB, worker ID=140b)
]
Top 10 memory users: PID\tMEM(GB)\tCOMMAND
10251\t19.16\t/usr/bin/stress --vm 1
10716\t1.90\tray::ImplicitFunc.train
"""
OLD_RAY = """Task was killed due to the node running low on memory.
Memory on the node (IP: 10.0.0.1, ID: e5) where the task (actor ID: 52, name=ImplicitFunc.train, pid=7, memory used=\
0.50GB) was running was 7.60GB / 8.00GB (0.95), which exceeds the memory usage threshold of 0.95."""


@pytest.mark.parametrize(
    ("said", "cause", "pid", "node"),
    [
        pytest.param(
            NEW_RAY,
            "it held 1.9 GB; process stress held 19.2 GB; 22.8 of the machine's 24.0 GB were used",
            10716,
            "58",
            id="new",
        ),
        pytest.param(OLD_RAY, "it held 0.5 GB; 7.6 of the machine's 8.0 GB were used", 7, "e5", id="old"),
    ],
)
def test_memory_that_ran_out_is_a_cause_in_one_line(said: str, cause: str, pid: int, node: str) -> None:
    found = OutOfMemory.told(said)
    assert found.cause(pid) == f"its worker ran out of memory ({cause})"
    assert list(found.held) == [pid]
    assert found.node == node


def test_an_error_of_tunes_is_one_line_and_ours_a_bug() -> None:
    told = _told(raised(lambda: subprocess.run([""], check=True)))
    assert isinstance(told, ClusterError)
    assert re.fullmatch(r"the sweep cannot go on: \[Errno \d+\] [^\n]*; every finished epoch [^\n]*", str(told))
    assert isinstance(_told(raised(lambda: run_names(None, None, None))), AttributeError)  # type: ignore[arg-type]


def test_what_broke_the_delivery_wins_over_what_tune_makes_of_it() -> None:
    def wrapped() -> None:
        try:
            raise ClusterError("the store is full")
        except ClusterError:
            raise RuntimeError("Traceback (most recent call last):\n…") from None

    assert str(_told(raised(wrapped))) == "the store is full"


def test_a_driver_that_no_worker_reaches_is_the_cause_in_words(tmp_path: Path) -> None:
    found: Any = Silent()
    delivery = Delivery(None, "here", Store(tmp_path), found, Overdue(None, {}))
    cause = Unreachable("its worker could not reach it")
    delivery.give_up("a", RayTaskError("train", "Traceback (most recent call last):\n…", cause))  # type: ignore[no-untyped-call]
    assert delivery.receiver.errors == {"a": "its worker could not reach it"}


def raised(action: Any) -> Exception:
    try:
        action()
    except Exception as error:
        return error
    raise AssertionError("it raised nothing")


# A store that cannot be written


def test_a_full_store_names_its_folder_and_what_is_missing(tmp_path: Path) -> None:
    said = str(unwritable(tmp_path, OSError(errno.ENOSPC, "No space left on device"), 14_400_000))
    assert str(tmp_path) in said
    assert re.search(r"[\d.]+ MB are free there, and an epoch needs 14\.4 MB; make room", said)
    assert "every finished epoch before is kept" in said
    assert "\n" not in said


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fails_as_runs_are_opened_is_no_mistake_of_who_asked(fault: int, tmp_path: Path) -> None:
    """Exit code 1, with tables; what is wrong with the folder itself is 2, and another one is named as the way out."""
    for folder in (tmp_path, tmp_path / "not" / "made"):
        with pytest.raises(ClusterError, match=r"the same command goes on from there"), Store(folder).writing():
            raise OSError(fault, os.strerror(fault))
    with pytest.raises(UserError, match=r"choose another with --store"), Store(tmp_path).writing():
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))


# Trials that hang


@dataclass
class Clock:
    """Stands in for the machine's clock."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(overdue, "time", found)
    return found


def passed(trials: Overdue, clock: Clock, seconds: float) -> dict[str, str]:
    """What is overdue after so many looks, a second each."""
    found: dict[str, str] = {}
    for _ in range(int(seconds)):
        clock.now += 1
        found |= trials.look()
    return found


def test_a_trial_is_hung_after_ten_times_its_own_longest_epoch(clock: Clock) -> None:
    trials = Overdue(None, {"slow": 60.0})
    trials.started("slow")
    assert passed(trials, clock, 599) == {}
    trials.epoch("slow")  # which took ten minutes: so may the next ones
    assert passed(trials, clock, 5980) == {}
    assert passed(trials, clock, 20) == {"slow": "no epoch came for 1 h 39 min, and its longest took 9 min 59 s"}
    assert passed(trials, clock, 10_000) == {}


def test_a_trial_of_short_epochs_has_two_minutes(clock: Clock) -> None:
    trials = Overdue(None, {})
    trials.started("quick")
    passed(trials, clock, 1)
    trials.epoch("quick")
    assert passed(trials, clock, 119) == {}
    assert list(passed(trials, clock, 3)) == ["quick"]


def test_a_first_epoch_may_take_an_hour_unless_a_limit_is_given(clock: Clock) -> None:
    free, limited = Overdue(None, {}), Overdue(30.0, {})
    free.started("a")
    limited.started("a")
    assert passed(free, clock, 3600) == {}
    assert passed(limited, clock, 40) == {"a": "no epoch came for 31 s (--epoch-timeout)"}


def test_nobody_is_overdue_because_the_driver_stood_still(clock: Clock) -> None:
    trials = Overdue(60.0, {})
    trials.started("a")
    clock.now += 3600
    assert trials.look() == {}


# Processes


@pytest.fixture
def asleep() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "/tmp/tm-of-a-test/1"])
    yield process
    process.kill()
    process.wait()


def test_a_process_that_is_killed_is_missing_at_once(asleep: subprocess.Popen[bytes]) -> None:
    parts = Processes({"the raylet": asleep.pid}, [], 3)
    assert parts.missing() is None
    psutil.Process(asleep.pid).kill()
    wait_for(lambda: parts.missing() == "the raylet", "a dead process", 10)


def test_a_process_that_is_stopped_is_missing_after_some_looks(asleep: subprocess.Popen[bytes]) -> None:
    parts = Processes({"the raylet": asleep.pid}, [], 3)
    psutil.Process(asleep.pid).suspend()
    wait_for(lambda: psutil.Process(asleep.pid).status() == psutil.STATUS_STOPPED, "a stopped process", 10)
    assert [parts.missing() for _ in range(4)] == [None] * 3 + ["the raylet"]
    parts.end()
    assert not psutil.pid_exists(asleep.pid)


def test_two_threads_may_look_at_once(asleep: subprocess.Popen[bytes]) -> None:
    """As the watch does, and who asks what an error comes of."""
    parts = Processes({"this one": os.getpid()}, [], 3)
    others = iter(parts.started)
    next(others)
    assert parts.missing() is None  # and it has seen the one that sleeps
    assert list(others) == []
    assert asleep.pid in {process.pid for process in parts.started}


def test_an_attempt_that_failed_is_ended_by_its_folder(asleep: subprocess.Popen[bytes]) -> None:
    end_of(Path("/tmp/tm-of-a-test/2"))
    assert asleep.poll() is None
    end_of(Path("/tmp/tm-of-a-test/1"))
    assert not psutil.pid_exists(asleep.pid)


# Folders in /tmp

OWNS = """
import sys, time
from pathlib import Path
from tune_mnist.machine import scratch
scratch.place = lambda: Path(sys.argv[1])
with scratch.scratch_folder() as folder:
    print(folder, flush=True)
    time.sleep(600)
"""


def owner(place: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that has a scratch folder in this place."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNS, str(place)], env=surroundings(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def test_a_folder_is_swept_once_its_command_is_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "place", lambda: tmp_path)
    (living, kept), (dying, left) = owner(tmp_path), owner(tmp_path)
    of_nobody = tmp_path / "tm-notes"
    of_nobody.mkdir()
    try:
        dying.kill()
        dying.wait()
        assert left.is_dir()
        with scratch.scratch_folder() as mine:
            assert sorted(tmp_path.iterdir()) == sorted([kept, mine, of_nobody])
        assert sorted(tmp_path.iterdir()) == sorted([kept, of_nobody])
    finally:
        living.kill()
        for process in (living, dying):
            process.communicate()


def test_what_a_dead_commands_ray_still_writes_is_removed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "place", lambda: tmp_path)
    dying, left = owner(tmp_path)
    dying.kill()
    dying.communicate()
    logs, ended = left / "1" / "logs", threading.Event()
    logs.mkdir(parents=True)

    def write() -> None:
        while not ended.is_set():
            with suppress(OSError):
                (logs / f"{time.monotonic_ns()}").touch()

    with ThreadPoolExecutor(1) as writer:
        writer.submit(write)
        wait_for(lambda: len(list(logs.iterdir())) > 100, "some logs")
        scratch.sweep()
        ended.set()
    assert list(tmp_path.iterdir()) == []


STARTS = """
import os, sys, time
print(flush=True)
while True:
    os.makedirs(sys.argv[1].partition("=")[2], exist_ok=True)
    time.sleep(0.01)
"""


def test_a_dead_commands_ray_that_is_just_starting_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would make its folder once more, without an owner: nobody would remove that. Who reads there is left alone."""
    monkeypatch.setattr(scratch, "place", lambda: tmp_path)
    dying, left = owner(tmp_path)
    dying.kill()
    dying.communicate()
    (left / "log").touch()
    option = f"--log-dir={left}/1/logs"
    with (
        subprocess.Popen([sys.executable, "-c", STARTS, option], stdout=subprocess.PIPE) as starting,
        subprocess.Popen(
            [sys.executable, "-c", "import sys; open(sys.argv[1]).read(); input()", left / "log"], stdin=-1
        ) as reader,
    ):
        try:
            assert starting.stdout
            starting.stdout.readline()
            scratch.sweep()
            assert not psutil.pid_exists(starting.pid)
            assert reader.poll() is None
            assert list(tmp_path.iterdir()) == []
        finally:
            for process in (starting, reader):
                process.kill()


def test_a_folder_without_room_is_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "place", lambda: tmp_path)
    monkeypatch.setattr(scratch, "LEAST", 1 << 60)
    with pytest.raises(
        ClusterError, match=rf"{tmp_path}, and \d+ of the \d+ kB that it needs are free there; make room"
    ):
        scratch.scratch_folder().__enter__()


# A second command that waits


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def test_who_waits_says_for_whom_and_that_he_is_silent(tmp_path: Path) -> None:
    store, kept = Store(tmp_path), Kept()
    row = {"epoch": 1, "train_time_s": 1.0, "eval_time_s": 0.0}
    runs = [Run(key, Config({"epochs": 3}), Held((row,))) for key in ("a", "b")]
    waiting = Waiting(store, None)
    with store.claim(["a", "b"]), listening(kept):
        waiting.say(runs)
        waiting.say(runs)
        for key in ("a", "b"):
            os.utime(tmp_path / key / "holder", (time.time() - 600,) * 2)
        waiting.say(runs)
        waiting.say(runs)
    first, second = kept.said
    who = rf"waiting for 2 runs that another command is training \(pid {os.getpid()} on host \S+ since \S+\)"
    assert re.fullmatch(who, first)
    assert re.fullmatch(
        who + r": no epoch came of them for 10 min 00 s; once it is ended, this command goes on", second
    )
    assert not list(tmp_path.glob("*/holder"))


# What a cluster is asked for


@dataclass
class Silent:
    """Stands for the display, TensorBoard and the room that are told."""

    left: int = 3
    names: dict[str, str] = field(default_factory=dict)

    def one_less(self) -> None:
        self.left -= 1

    def epoch(self, key: str, row: Any) -> None: ...
    def failed(self, key: str, error: str, trace: str) -> None: ...


def test_a_trial_that_is_lost_after_its_last_row_frees_one_machine(tmp_path: Path) -> None:
    room: Any = Silent()
    listener = Listener(Printed(tmp_path), room, room, (room.one_less,), {"a": 2})
    for epoch in (1, 2, 2):
        listener.epoch("a", {"epoch": epoch})
    listener.failed("a", "its worker was lost 6 times", "")
    assert room.left == 2


# Where lines go


def test_errors_and_warnings_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with listening(ConsoleLines(console())):
        log.info("one")
        log.warning("two")
        log.error("three")
    found = capsys.readouterr()
    assert (found.out, found.err) == ("one\n", "two\nthree\n")


def test_a_pipe_that_is_closed_is_no_failure() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        words = command("run", "--help", module="tune_mnist")
        done = subprocess.run(words, cwd=ROOT, env=surroundings(), stdout=writer, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        words = command("--help", module="tune_mnist")
        done = subprocess.run(words, cwd=ROOT, env=surroundings(), stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr == b"error: standard output cannot be written: No space left on device\n"
