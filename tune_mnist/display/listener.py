"""Passes on what happens to the trials: to the display, TensorBoard, the logs, and who asks for machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tune_mnist.display.log import Printed
from tune_mnist.display.progress import Progress
from tune_mnist.results.folder import log_file
from tune_mnist.store.store import Row

if TYPE_CHECKING:
    from tune_mnist.display.tensorboard import TensorBoard

Over = tuple[Callable[[], None], ...]  # each is called once for each run that has ended


@dataclass(frozen=True)
class Listener:
    """Passes what happens to the display, each epoch to TensorBoard, and each run's end to who waits for it.

    `epochs`: run key -> how many are asked for. `prints`: where what the loops print goes.
    """

    prints: Printed
    progress: Progress
    board: TensorBoard
    over: Over
    epochs: Mapping[str, int]
    ended: set[str] = field(default_factory=set)

    def started(self, key: str, trained: int, hostname: str) -> None:
        self.progress.started(key, trained, hostname)

    def epoch(self, key: str, row: Row) -> None:
        self.board.epoch(key, row)
        self.progress.epoch(key, row)
        if row["epoch"] == self.epochs[key]:
            self._end(key)

    def diverged(self, key: str, row: Row) -> None:
        self.board.epoch(key, row)
        self.progress.diverged(key, row)
        self._end(key)

    def lost(self, key: str, cause: str) -> None:
        self.progress.lost(key, cause)

    def failed(self, key: str, error: str, trace: str) -> None:
        self.progress.failed(key, error, trace)
        self._end(key)

    def _end(self, key: str) -> None:
        """Once: a trial that is lost after its last row has that row twice, or has failed beside it."""
        if key not in self.ended:
            self.ended.add(key)
            for tell in self.over:
                tell()

    def said(self, key: str, text: str) -> None:
        self.progress.said(key, text)

    def printed(self, key: str, text: str) -> None:
        self.prints.add(log_file(self.progress.names[key], key), text)
