"""One trial: trains a run of any task, and sends each epoch's row and checkpoint to the driver, however they travel.

torch is loaded only by tasks that use it: a worker without it takes a few hundred megabytes less.
"""

from __future__ import annotations

import io
import math
import platform
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from tune_mnist.errors import TrainingFailed, UserError
from tune_mnist.files import now
from tune_mnist.learned import BOOKKEEPING, TAKEN, learned
from tune_mnist.measure import divergence
from tune_mnist.store.checkpoint import packed, unpacked
from tune_mnist.store.history import DIVERGED
from tune_mnist.store.store import Row
from tune_mnist.task import Config, Epochs, Task
from tune_mnist.words import plural

PACKAGE = Path(__file__).parents[1]


class Unreachable(Exception):
    """The driver is, for now: no fault of the training, which goes on from the store in another worker."""


class Outbox(ABC):
    """What a trial says, and how it travels. What the loop prints is kept in `printed`, and sent beside its epoch.

    Raises Unreachable where it does not travel.
    """

    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id
        self.printed = io.StringIO()

    @abstractmethod
    def load(self) -> tuple[int, bytes] | None:
        """The epoch and the checkpoint that the run can go on from."""

    @abstractmethod
    def send(self, **message: Any) -> None:
        """On its way to the driver, after all that was sent before."""

    @abstractmethod
    def started(self, trained: int) -> None:
        """The trial begins, or goes on after so many epochs."""

    @abstractmethod
    def finished(self, row: Row) -> None:
        """An epoch's row has been sent."""

    def send_printed(self) -> None:
        if text := self.printed.getvalue():
            self.send(kind="printed", text=text)
            self.printed.seek(0)
            self.printed.truncate()


def train(task: Task, config: Config, threads: int, outbox: Outbox) -> bool:
    """Train the run; False where it failed, which is told, and not raised: trained again it would fail again."""
    try:
        _train(task, config, threads, outbox)
    except Unreachable:
        raise
    except Exception as error:
        outbox.send_printed()
        outbox.send(kind="failed", error=_last_line(error), trace=_trace(error))
        return False
    return True


def _last_line(error: Exception) -> str:
    """What is wrong, as one line; an error that speaks for itself goes without its class."""
    said = traceback.format_exception_only(error)[-1].strip().splitlines()[-1]
    return str(error) if isinstance(error, (TrainingFailed, UserError)) and str(error) else said


def _trace(error: Exception) -> str:
    """A bug's traceback, from the first frame on that is the loop's own; nothing for what is no bug."""
    if isinstance(error, (TrainingFailed, UserError)):
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    own = next((place for place, one in enumerate(frames) if PACKAGE not in Path(one.filename).parents), 0)
    told = traceback.format_list(frames[own:]) + traceback.format_exception_only(error)
    return "Traceback (most recent call last):\n" + "".join(told)


def _train(task: Task, config: Config, threads: int, outbox: Outbox) -> None:
    """Ask the task's loop for exactly the epochs that are left."""
    trained, saved = outbox.load() or (0, None)
    outbox.started(trained)
    with redirect_stdout(outbox.printed), redirect_stderr(outbox.printed):
        loop = task.train(config, None if saved is None else unpacked(saved))
    for epoch in range(trained + 1, config.epochs + 1):
        with redirect_stdout(outbox.printed), redirect_stderr(outbox.printed):
            step = _step(loop, threads)
        if step is None:
            raise TrainingFailed(f"ended after {epoch - 1} of {plural(config.epochs, task.unit)}")
        metrics, state = step
        outbox.send_printed()
        where = {"trial_id": outbox.trial_id, "hostname": platform.node()}
        row = {"epoch": epoch, **_numbers(metrics, task, epoch), **where}
        is_over = DIVERGED in row  # there is nothing to go on from
        outbox.send(kind="epoch", row={**row, "finished": now()}, checkpoint=None if is_over else packed(state))
        outbox.finished(row)
        if is_over:
            return


def _step(loop: Epochs, threads: int) -> tuple[Row, Any] | None:
    """One epoch's metrics, with its times where the loop takes none itself, and its state; None if there is no more."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)  # per thread in OpenMP: set here, in the thread that trains
    cpu, start = time.process_time(), time.perf_counter()
    step = next(loop, None)
    if step is None:
        return None
    seconds = time.perf_counter() - start, 0.0, time.process_time() - cpu
    times = dict(zip(("train_time_s", "eval_time_s", "cpu_time_s"), seconds, strict=True))
    metrics, state = step
    return {**metrics} | {name: value for name, value in times.items() if name not in metrics}, state


def _numbers(metrics: Mapping[str, Any], task: Task, epoch: int) -> Row:
    """The metrics as numbers that JSON knows; one that is none for now is left out.

    Of an epoch at which the training diverged there are its times alone, and what shows it. Raises TrainingFailed where
    another measure of the task's own is missing or no finite number.
    """
    found = {name: value.item() if hasattr(value, "item") else value for name, value in metrics.items()}
    needed = [one.name for one in learned(task, [found]).measures if not one.may_miss]
    if missing := [name for name in needed if name not in found]:
        raise TrainingFailed(f"{task.unit} {epoch} has no {missing[0]}; a task yields each of its measures every time")
    if clashing := [one.name for one in task.parameters if task.learns and one.name in found]:
        raise TrainingFailed(f"a measure is called '{clashing[0]}', as a parameter is; rename one of them")
    if taken := [name for name in TAKEN if name in found]:
        raise TrainingFailed(f"a measure may not be called '{taken[0]}', because a column is; rename it")
    finite = {name for name, value in found.items() if isinstance(value, (int, float)) and math.isfinite(value)}
    if shown := divergence(found, learned(task, [found]).judged.name):
        return {name: found[name] for name in BOOKKEEPING if name in finite} | {DIVERGED: shown}
    for name in (name for name in found if name not in finite and (name in needed or not task.learns)):
        raise TrainingFailed(f"{name} is {found[name]!r} at {task.unit} {epoch}, and not a finite number")
    return {name: value for name, value in found.items() if name in finite}
