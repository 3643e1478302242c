"""One trial of Ray's, in a worker: trains a run (`trials.trial`), and reports each epoch to Tune."""

from __future__ import annotations

import platform
from typing import Any

import ray
from ray import tune

from tune_mnist.machine.devices import device_kind
from tune_mnist.store.store import Row
from tune_mnist.task import Config, Task
from tune_mnist.trials import trial
from tune_mnist.tuning.resources import Resources
from tune_mnist.tuning.workers import Worker


def trainable(config: dict[str, Any], task: Task, mailbox: Any, resources: Resources) -> None:
    """One trial: train the run, report each epoch to Tune, and send its row and checkpoint on their way."""
    run = config["run"]
    outbox = _Outbox(mailbox, run["key"], resources.device, str(task.conditions["device"]))
    try:
        if not trial.train(task, Config(run["config"], run["needs_total"]), resources.cpus, outbox):
            tune.report({"failed": True})
    finally:
        outbox.flush()


class _Outbox(trial.Outbox):
    """Sends while the next epoch trains, at most one message at a time: a crash finds at most one epoch not stored.

    `device` is that of the trial, and `drivers` the kind of the driver's.
    """

    def __init__(self, mailbox: Any, key: str, device: str, drivers: str) -> None:
        super().__init__(tune.get_context().get_trial_id())
        self.mailbox, self.key, self.device, self.drivers = mailbox, key, device, drivers
        self.sent: list[Any] = []

    def send(self, **message: Any) -> None:
        self.flush()
        self.sent.append(self.mailbox.put.remote({"key": self.key, **message}))

    def flush(self) -> None:
        while self.sent:
            _answer(self.sent.pop())

    def started(self, trained: int) -> None:
        """Also says where the numbers may differ: the driver could only ask its own machine for the kind of device."""
        if (here := device_kind(self.device)) != self.drivers:
            found = f"{platform.node()} has {here}, the driver {self.drivers}"
            self.send(kind="said", text=f"{found}: the numbers may differ in their last bits")
        self.send(kind="started", trained=trained, hostname=platform.node(), worker=Worker.this())

    def finished(self, row: Row) -> None:
        tune.report(row)

    def load(self) -> tuple[int, bytes] | None:
        found: tuple[int, bytes] | None = _answer(self.mailbox.load.remote(self.key))
        return found


def _answer(asked: Any) -> Any:
    """The mailbox's; a network that is cut, and mended again, leaves its process and the worker alive."""
    try:
        return ray.get(asked)
    except ray.exceptions.RayError as error:
        if isinstance(error, ray.exceptions.RayTaskError) and not isinstance(error.cause, ray.exceptions.RayError):
            raise  # what the mailbox itself raised
        raise trial.Unreachable("its worker could not reach the driver") from error
