"""Runs that are over before Ray would have started: trained one after the other in a process of their own, without it.

The process is a trial's worker as any of Ray's: its threads and its memory are set alike, what its loop prints is kept,
and if it is lost or hangs, another goes on from the last epoch.
"""

from __future__ import annotations

import os
import platform
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

from tune_mnist.exits import delayed, interruptible
from tune_mnist.machine.cpu import WORKER_SETTINGS, memory_kills
from tune_mnist.plan.plan import Run
from tune_mnist.store.store import Row, Store
from tune_mnist.task import Config, Task
from tune_mnist.trials import trial
from tune_mnist.trials.overdue import Overdue
from tune_mnist.trials.receiver import LOST, RETRIES, Listener, Receiver, longest_epochs

# With the paths of this process: where it was started may be a file `random.py` that is not Python's.
BEGIN = "import sys; sys.path[:] = sys.argv[2:]; from tune_mnist.trials.process import main; main(int(sys.argv[1]))"
LOOK_S = 0.5  # between two looks whether the process is there, and in time
ENDS_S = 5.0  # for a process that has closed its end of the pipe


def train_alone(
    runs: Sequence[Run], task: Task, threads: int, epoch_timeout: float | None, store: Store, listener: Listener
) -> dict[str, str]:
    """Train `runs` of the task one after the other, on so many threads, storing every epoch.

    Returns run key -> error. The caller holds the runs' locks and has opened them in the store. The signals that ask
    for an end raise KeyboardInterrupt; all that arrived is stored. Raises ClusterError if the store cannot be written.
    """
    overdue = Overdue(epoch_timeout, longest_epochs(store, [run.key for run in runs]))
    receiver = Receiver(store, listener, overdue, lambda _: 0)
    worker = _Worker(task, threads)
    with interruptible():
        try:
            for run in runs:
                _train(run, worker, receiver)
        finally:
            worker.end()
    return receiver.errors


def _train(run: Run, worker: _Worker, receiver: Receiver) -> None:
    """One run, again after each loss of the process."""
    for attempt in range(RETRIES + 1):
        cause = worker.train(run, receiver)
        if cause is None:
            return
        if attempt < RETRIES:
            receiver.listener.lost(run.key, cause)
    receiver.failed(run.key, f"{cause}, {RETRIES + 1} times")


class _Worker:
    """The process, which is there from the first run on, and again after a loss."""

    def __init__(self, task: Task, threads: int) -> None:
        self.task, self.threads = cloudpickle.dumps(task), threads
        self.process: subprocess.Popen[bytes] | None = None
        self.connection: Connection[Any, Any] | None = None

    def train(self, run: Run, receiver: Receiver) -> str | None:
        """Until the run has ended; then None, or why the process has, before it."""
        kills, late = memory_kills(), ""
        saved = receiver.store.load_checkpoint(run.key)
        connection = self.connection or self._start()
        with suppress(OSError):  # its end is seen where it is listened to
            connection.send((dict(run.config), run.config.needs_total, saved))
        while True:
            try:
                message = connection.recv() if connection.poll(LOOK_S) else {}
            except (EOFError, OSError):
                break
            if message is None:
                receiver.overdue.ended(run.key)
                return None
            if message:
                with delayed():  # no row is stored in part
                    receiver.handle(run.key, **message)
            if late := receiver.overdue.look().get(run.key, ""):
                self.end()
        receiver.overdue.ended(run.key)
        said = self.end(ENDS_S)
        if late:
            return f"{late}: its worker was ended"
        return "its worker ran out of memory (the kernel killed it)" if memory_kills() > kills else LOST + said

    def _start(self) -> Connection[Any, Any]:
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.connection, theirs = Pipe()
        settings = {"OMP_NUM_THREADS": str(self.threads)} | dict(os.environ) | WORKER_SETTINGS
        self.process = subprocess.Popen(
            [sys.executable, "-c", BEGIN, str(theirs.fileno()), *sys.path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.errors,
            env=settings,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C is for this process: it puts things in order
        )
        theirs.close()
        with suppress(OSError):
            self.connection.send(self.threads)
            self.connection.send_bytes(self.task)
        return self.connection

    def end(self, patience: float = 0.0) -> str:
        """Kill it, if it is there after `patience` seconds; returns the last line of what it said if it had ended."""
        if self.connection is None or self.process is None:
            return ""
        self.connection.close()
        self.connection = None
        with suppress(subprocess.TimeoutExpired):  # one whose end is closed ends by itself, and says why
            self.process.wait(patience)
        self.process.kill()
        code = self.process.wait()
        with self.errors as errors:
            errors.seek(0)
            lines = errors.read().decode(errors="replace").strip().splitlines()
        return "" if code <= 0 else f" ({lines[-1].strip()})" if lines else f" (exit code {code})"


class _Outbox(trial.Outbox):
    """To the driver, through a pipe."""

    def __init__(self, connection: Connection[Any, Any], saved: tuple[int, bytes] | None) -> None:
        super().__init__(secrets.token_hex(4))
        self.connection, self.saved = connection, saved

    def load(self) -> tuple[int, bytes] | None:
        return self.saved

    def send(self, **message: Any) -> None:
        self.connection.send(message)

    def started(self, trained: int) -> None:
        self.send(kind="started", trained=trained, hostname=platform.node())

    def finished(self, row: Row) -> None:
        """The next epoch may be trained at once."""


def main(pipe: int) -> None:
    """The process: trains what it is asked for through the pipe of that number, until it is closed."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    connection: Connection[Any, Any] = Connection(pipe)
    threads = connection.recv()
    task = cloudpickle.loads(connection.recv_bytes())  # from the process that started this one
    with suppress(EOFError):
        while True:
            config, needs_total, saved = connection.recv()
            trial.train(task, Config(config, needs_total), threads, _Outbox(connection, saved))
            connection.send(None)


def _end_with(parent: int) -> None:
    """Nobody listens any more once the driver was killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
