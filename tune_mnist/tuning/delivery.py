"""From the trials to the store: takes their messages out of the mailbox, stores each epoch, and tells who listens."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any, Protocol

import ray
from ray import tune

from tune_mnist.background import Background
from tune_mnist.errors import ClusterError
from tune_mnist.store.store import Row, Store

ANSWER_S = 120  # for the mailbox, which waits for nothing; a machine may be short of CPU
RETRIES = 5  # of a trial whose worker was lost; an error in training itself is final


class Listener(Protocol):
    """Hears what happens to the runs, by key; from two threads."""

    def started(self, key: str, trained: int, hostname: str) -> None: ...
    def epoch(self, key: str, row: Row) -> None: ...
    def lost(self, key: str) -> None: ...
    def failed(self, key: str, error: str, trace: str) -> None: ...
    def said(self, key: str, text: str) -> None: ...
    def printed(self, key: str, text: str) -> None: ...


class Delivery(Background):
    """Takes messages out of the mailbox in a thread of its own, stores them, and tells the listener."""

    def __init__(self, mailbox: Any, store: Store, listener: Listener) -> None:
        # However long a write takes, the block's end waits for it: the runs' locks are freed after that.
        super().__init__("delivery", self._deliver)
        self.mailbox, self.store, self.listener = mailbox, store, listener
        self.errors: dict[str, str] = {}
        self.broken: BaseException | None = None
        self._running: set[str] = set()
        self._most: dict[str, int] = {}
        self._lock = threading.Lock()

    def __exit__(self, *ended: object) -> None:
        super().__exit__(*ended)
        if self.broken is None:
            with suppress(ray.exceptions.RayError):  # an interrupt, or a lost cluster: what is stored is safe
                while self._take(0):
                    pass

    def check(self) -> None:
        """Raise the error that ended the thread, if one did: nothing that is trained would be stored any more."""
        if isinstance(self.broken, OSError):
            raise ClusterError(f"the store {self.store.folder} cannot be written: {self.broken}")
        if self.broken is not None:
            raise self.broken

    def _deliver(self) -> bool:
        try:
            self._take(0.5)
        except BaseException as error:
            self.broken = error
        return self.broken is not None

    def _take(self, wait: float) -> int:
        messages = ray.get(self.mailbox.take.remote(wait), timeout=ANSWER_S)
        for message in messages:
            self._handle(**message)
        return len(messages)

    def _handle(self, key: str, kind: str, **content: Any) -> None:
        if kind == "epoch":
            self._store(key, **content)
        elif kind == "failed":
            self.errors[key] = content["error"]
            self.listener.failed(key, **content)
        elif kind == "said":
            self.listener.said(key, **content)
        elif kind == "printed":
            self.listener.printed(key, **content)
        else:
            self.listener.started(key, **content)

    def _store(self, key: str, row: Row, checkpoint: bytes | None) -> None:
        row = {**row, "concurrent": self._beside(key)}
        self.store.append(key, row)
        if checkpoint is not None and self.store.newest_checkpoint(key) < row["epoch"]:
            self.store.save_checkpoint(key, row["epoch"], checkpoint)
        self.listener.epoch(key, row)

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
        with self._lock:
            self._running.discard(key)

    def give_up(self, key: str, error: Exception | None) -> None:
        """A trial failed outside of its training once too often: its worker was lost, or could not start."""
        lost = error is None or isinstance(error, ray.exceptions.RayActorError)
        why = "" if error is None else _why(str(error))
        self.errors[key] = (
            f"its worker was lost {RETRIES + 1} times{why}" if lost else str(error).strip().splitlines()[-1]
        )
        self.listener.failed(key, self.errors[key], "" if error is None else str(error))


def _why(said: str) -> str:
    """What a worker that could not start died of; nothing for one that was killed."""
    return f" ({said.strip().splitlines()[-1].strip()})" if "creation task" in said else ""


class Watch(tune.Callback):
    """Tells the delivery which trials run side by side and which were lost, in the driver's main thread."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks to restore them; a sweep of ours goes on from the store instead

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.delivery.enter(_key(trial))

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any) -> None:
        self.delivery.check()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.delivery.leave(_key(trial))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.delivery.leave(_key(trial))
        self.delivery.listener.lost(_key(trial))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.delivery.leave(_key(trial))
        self.delivery.give_up(_key(trial), trial.get_error())


def _key(trial: Any) -> str:
    return str(trial.config["run"]["key"])
