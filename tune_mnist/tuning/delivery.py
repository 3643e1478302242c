"""From the trials to the store: takes their messages out of the mailbox, stores each epoch, and tells who listens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import ray
from ray import tune

from tune_mnist.background import Background
from tune_mnist.errors import ClusterError
from tune_mnist.machine.cpu import memory_kills
from tune_mnist.machine.processes import is_stopped
from tune_mnist.store.regular import KEPT
from tune_mnist.store.store import Store
from tune_mnist.trials.overdue import Overdue
from tune_mnist.trials.receiver import LOST, RETRIES, Listener, Receiver
from tune_mnist.trials.trial import Unreachable
from tune_mnist.tuning.workers import OutOfMemory, Worker

WAIT_S = 0.5  # for a message
ANSWER_S, STOPPED_S = 120, 5  # for an answer from the mailbox; from one that is stopped
CARRIER = "Ray's process that brings the epochs home"
KERNEL = ["the kernel killed it"]


class Delivery(Background):
    """Takes messages out of the mailbox in a thread of its own, stores them, and tells the listener.

    `node` is where the mailbox is, and `worker` its process. Where this breaks, the mailbox is ended: whoever waits for
    it hears at once.
    `before`: run key -> why its worker was gone the last time, as another delivery knew it.
    """

    def __init__(
        self,
        mailbox: Any,
        node: str,
        store: Store,
        listener: Listener,
        overdue: Overdue,
        before: Mapping[str, str] | None = None,
    ) -> None:
        # However long a write takes, the block's end waits for it: the runs' locks are freed after that.
        super().__init__("delivery", self._deliver)
        self.mailbox, self.node, self.listener, self.overdue = mailbox, node, listener, overdue
        self.receiver = Receiver(store, listener, overdue, self._beside)
        self.worker: Worker | None = None  # once it has started
        self._asked: Any = None
        self.workers: dict[str, Worker] = {}  # of the trials that run
        self.broken: BaseException | None = None
        self._kills, self._before = memory_kills(), before or {}
        self._why_lost: dict[str, str] = {}
        self._running: set[str] = set()
        self._most: dict[str, int] = {}
        self._lock = threading.Lock()

    def __exit__(self, *ended: object) -> None:
        super().__exit__(*ended)
        if self.broken is None and self.worker:
            with suppress(ray.exceptions.RayError):  # an interrupt, or a lost cluster: what is stored is safe
                while self._take(0):
                    pass

    def check(self) -> None:
        """Raise the error that ended the thread, if one did: nothing that is trained would be stored any more."""
        if self.broken is not None:
            raise self.broken

    def end_overdue(self) -> None:
        """End the workers that no epoch comes from; their trials are then lost ones."""
        for key, why in self.overdue.look().items():
            self._why_lost[key] = f"{why}: its worker was ended"
            if worker := self.workers.get(key):
                worker.end()

    def _deliver(self) -> bool:
        try:
            self.worker = self.worker or self._started()
            if self.worker:
                self._take(WAIT_S)
        except BaseException as error:
            self.broken = error
            if self.worker:
                self.worker.end()
        return self.broken is not None

    def _started(self) -> Worker | None:
        """The mailbox's process, if it is there by now: Tune, and the first trials, start beside it."""
        self._asked = self._asked or self.mailbox.worker.remote()
        there, _ = ray.wait([self._asked], timeout=WAIT_S)
        return self._answer(self._asked) if there else None

    def _take(self, wait: float) -> int:
        messages = self._answer(self.mailbox.take.remote(wait))
        for message in messages:
            self._handle(message)
        return len(messages)

    def _answer(self, asked: Any) -> Any:
        """The mailbox waits for nothing, so an answer comes at once; but a machine may be short of CPU."""
        end = time.monotonic() + ANSWER_S
        while True:
            try:
                return ray.get(asked, timeout=STOPPED_S)
            except ray.exceptions.RayActorError as error:
                raise ClusterError(f"{CARRIER} was lost; {KEPT}") from error
            except ray.exceptions.GetTimeoutError:
                if (self.worker and is_stopped(self.worker.pid)) or time.monotonic() > end:
                    raise ClusterError(f"{CARRIER} gives no answer; {KEPT}") from None

    def _handle(self, message: dict[str, Any]) -> None:
        if worker := message.pop("worker", None):
            self.workers[message["key"]] = worker
        self.receiver.handle(**message)

    def _beside(self, key: str) -> int:
        """The most other trials that ran beside this one since it was last asked."""
        with self._lock:
            most = self._most.get(key, 0)
            self._most[key] = len(self._running - {key})
            return most

    def enter(self, key: str) -> None:
        """A trial starts beside those that run."""
        with self._lock:
            self._running.add(key)
            for other in self._running:
                self._most[other] = max(self._most.get(other, 0), len(self._running) - 1)

    def leave(self, key: str) -> None:
        """A trial ended; its last message may still be on its way."""
        self.overdue.ended(key)
        with self._lock:
            self._running.discard(key)

    def running(self) -> set[str]:
        """The trials that run, by key."""
        with self._lock:
            return set(self._running)

    def lost(self, key: str, error: Exception | None) -> None:
        """A trial's worker is gone, and Tune starts another. Raises OutOfMemory if the kernel killed it for that."""
        worker = self.workers.get(key)
        if self._has_killed(key) and worker and worker.node == self.node:
            raise OutOfMemory(worker.node, {worker.pid: None}, KERNEL)
        self.listener.lost(key, self._cause(key, error) or LOST)

    def give_up(self, key: str, error: Exception | None) -> None:
        """A trial failed outside of its training once too often: its worker was lost, or could not start."""
        self._has_killed(key)
        cause = self._cause(key, error)
        if cause is None and not (error is None or isinstance(error, ray.exceptions.RayActorError)):
            cause = str(error).strip().splitlines()[-1]
        often = f"{LOST} {RETRIES + 1} times{'' if error is None else _why(str(error))}"
        often += f"; the last cause known: {self._before[key]}" if key in self._before else ""
        self.receiver.failed(key, cause or often, "" if error is None else str(error))

    def _has_killed(self, key: str) -> bool:
        """Whether the kernel has killed since the last look because memory ran out; said of a worker that had not come
        so far as to tell its number, as of one that had.
        """
        before, self._kills = self._kills, memory_kills()
        if self._kills > before and key not in self.workers:
            self._why_lost.setdefault(key, OutOfMemory(self.node, {}, KERNEL).cause())
        return self._kills > before

    def _cause(self, key: str, error: Exception | None) -> str | None:
        """Why the worker is gone, if that is known."""
        short = None if error is None else OutOfMemory.among(error)
        why = self._why_lost.pop(key, None)
        if isinstance(error, ray.exceptions.RayTaskError) and isinstance(error.cause, Unreachable):
            return str(error.cause)
        return short.cause(next(iter(short.held), None)) if short else why


def _why(said: str) -> str:
    """What a worker that could not start died of; nothing for one that was killed."""
    return f" ({said.strip().splitlines()[-1].strip()})" if "creation task" in said else ""


class Watch(tune.Callback):
    """Tells the delivery which trials run side by side and which were lost, in the driver's main thread.

    `is_lost`: whether Ray itself is. Then so are all workers: that is said once, where Ray is watched.
    """

    def __init__(self, delivery: Delivery, is_lost: Callable[[], bool]) -> None:
        self.delivery, self.is_lost = delivery, is_lost

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks to restore them; a sweep of ours goes on from the store instead

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """At least ten times a second, also while no trial reports."""
        self.delivery.check()
        self.delivery.end_overdue()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.delivery.enter(_key(trial))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.delivery.leave(_key(trial))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.delivery.check()  # what broke the delivery breaks every trial
        if not self.is_lost():
            self.delivery.lost(_key(trial), _error(trial))
        self.delivery.leave(_key(trial))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.delivery.check()
        self.delivery.leave(_key(trial))
        self.delivery.give_up(_key(trial), _error(trial))


def _key(trial: Any) -> str:
    return str(trial.config["run"]["key"])


def _error(trial: Any) -> Exception | None:
    """What Tune knows of a trial's end: the error itself, or its text."""
    error: Exception | None = trial.get_pickled_error()
    if error is None and (text := trial.get_error()):
        return OutOfMemory.told(text) if "low on memory" in text else RuntimeError(text)
    return error
