"""What becomes of what trials send: each epoch is stored, and who listens is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from tune_mnist.store.history import is_end
from tune_mnist.store.regular import unwritable
from tune_mnist.store.store import Row, Store
from tune_mnist.trials.overdue import Overdue

LOST = "its worker was lost"
RETRIES = 5  # of a trial whose worker was lost, or could not reach the driver; an error in training itself is final


class Listener(Protocol):
    """Hears what happens to the runs, by key; from two threads."""

    def started(self, key: str, trained: int, hostname: str) -> None: ...
    def epoch(self, key: str, row: Row) -> None: ...
    def diverged(self, key: str, row: Row) -> None: ...
    def lost(self, key: str, cause: str) -> None: ...
    def failed(self, key: str, error: str, trace: str) -> None: ...
    def said(self, key: str, text: str) -> None: ...
    def printed(self, key: str, text: str) -> None: ...


class Receiver:
    """Stores what arrives, and tells the listener; `errors`: run key -> why it failed for good.

    `beside` says, once for each epoch, how many other trials ran beside a run's since it was last asked.
    """

    def __init__(self, store: Store, listener: Listener, overdue: Overdue, beside: Callable[[str], int]) -> None:
        self.store, self.listener, self.overdue, self.beside = store, listener, overdue, beside
        self.errors: dict[str, str] = {}

    def handle(self, key: str, kind: str, **content: Any) -> None:
        """One message of `trial.Outbox`. Raises ClusterError if the store cannot be written."""
        if kind == "epoch":
            self._store(key, **content)
        elif kind == "failed":
            self.failed(key, **content)
        elif kind == "said":
            self.listener.said(key, **content)
        elif kind == "printed":
            self.listener.printed(key, **content)
        else:
            self.overdue.started(key)
            self.listener.started(key, **content)

    def failed(self, key: str, error: str, trace: str = "") -> None:
        """A run failed for good."""
        self.errors[key] = error
        self.listener.failed(key, error, trace)

    def _store(self, key: str, row: Row, checkpoint: bytes | None) -> None:
        self.overdue.epoch(key)
        row = {**row, "concurrent": self.beside(key)}
        try:
            self.store.append(key, row)
            if checkpoint is not None and self.store.newest_checkpoint(key) < row["epoch"]:
                self.store.save_checkpoint(key, row["epoch"], checkpoint)
        except (OSError, ValueError) as error:  # a full disk, say; or what it appends to is no longer there
            raise unwritable(self.store.folder, error, len(checkpoint or b"")) from error
        (self.listener.diverged if is_end(row) else self.listener.epoch)(key, row)


def longest_epochs(store: Store, keys: list[str]) -> dict[str, float]:
    """Run key -> the seconds of the longest epoch that is stored of it, of those that have one."""
    rows = {key: store.held(key).rows for key in keys}
    return {
        key: max(row.get("train_time_s", 0.0) + row.get("eval_time_s", 0.0) for row in of)
        for key, of in rows.items()
        if of
    }
