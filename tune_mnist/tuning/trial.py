"""One trial, in a worker: trains a run of any task, and sends each epoch's row and checkpoint to the driver.

torch is loaded only by tasks that use it: a worker without it takes a few hundred megabytes less.
"""

from __future__ import annotations

import io
import math
import platform
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import ray
from ray import tune

from tune_mnist.errors import TrainingFailed, UserError
from tune_mnist.files import now
from tune_mnist.learned import BOOKKEEPING, TAKEN, learned
from tune_mnist.machine.devices import device_kind
from tune_mnist.measure import divergence
from tune_mnist.store.checkpoint import packed, unpacked
from tune_mnist.store.history import DIVERGED
from tune_mnist.store.store import Row
from tune_mnist.task import Config, Epochs, Task
from tune_mnist.tuning.resources import Resources
from tune_mnist.tuning.workers import Worker
from tune_mnist.words import plural

PACKAGE = Path(__file__).parents[1]


def trainable(config: dict[str, Any], task: Task, mailbox: Any, resources: Resources) -> None:
    """One trial: train the run, report each epoch to Tune, and send its row and checkpoint on their way."""
    run = config["run"]
    outbox = _Outbox(mailbox, run["key"])
    try:
        _check_node(task, resources, outbox)
        _train(task, Config(run["config"], run["needs_total"]), resources.cpus, outbox)
    except Exception as error:
        # Not raised: Tune would train it again, and the same config would fail in the same way.
        outbox.send_printed()
        outbox.send(kind="failed", error=_last_line(error), trace=_trace(error))
        tune.report({"failed": True})
    finally:
        outbox.flush()


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


class _Outbox:
    """Sends while the next epoch trains, at most one message at a time: a crash finds at most one epoch not stored.

    What the loop prints is kept in `printed`, and sent beside its epoch.
    """

    def __init__(self, mailbox: Any, key: str) -> None:
        self.mailbox, self.key = mailbox, key
        self.sent: list[Any] = []
        self.printed = io.StringIO()

    def send_printed(self) -> None:
        if text := self.printed.getvalue():
            self.send(kind="printed", text=text)
            self.printed.seek(0)
            self.printed.truncate()

    def send(self, **message: Any) -> None:
        self.flush()
        self.sent.append(self.mailbox.put.remote({"key": self.key, **message}))

    def flush(self) -> None:
        while self.sent:
            ray.get(self.sent.pop())

    def load(self) -> tuple[int, bytes] | None:
        """The epoch and the checkpoint that the run can go on from."""
        found: tuple[int, bytes] | None = ray.get(self.mailbox.load.remote(self.key))
        return found


def _check_node(task: Task, resources: Resources, outbox: _Outbox) -> None:
    """Say where the numbers may differ: the driver could only ask its own machine for the kind of its device."""
    here, driver = device_kind(resources.device), task.conditions["device"]
    if here != driver:
        found = f"{platform.node()} has {here}, the driver {driver}"
        outbox.send(kind="said", text=f"{found}: the numbers may differ in their last bits")


def _train(task: Task, config: Config, threads: int, outbox: _Outbox) -> None:
    """Ask the task's loop for exactly the epochs that are left."""
    trained, saved = outbox.load() or (0, None)
    outbox.send(kind="started", trained=trained, hostname=platform.node(), worker=Worker.this())
    with redirect_stdout(outbox.printed), redirect_stderr(outbox.printed):
        loop = task.train(config, None if saved is None else unpacked(saved))
    for epoch in range(trained + 1, config.epochs + 1):
        with redirect_stdout(outbox.printed), redirect_stderr(outbox.printed):
            step = _step(loop, threads)
        if step is None:
            raise TrainingFailed(f"ended after {epoch - 1} of {plural(config.epochs, task.unit)}")
        metrics, state = step
        outbox.send_printed()
        where = {"trial_id": tune.get_context().get_trial_id(), "hostname": platform.node()}
        row = {"epoch": epoch, **_numbers(metrics, task, epoch), **where}
        is_over = DIVERGED in row  # there is nothing to go on from
        outbox.send(kind="epoch", row={**row, "finished": now()}, checkpoint=None if is_over else packed(state))
        tune.report(row)
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
