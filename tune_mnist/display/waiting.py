"""What a command says while another one trains the runs that it needs."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field

from tune_mnist.display.log import log
from tune_mnist.plan.plan import Run
from tune_mnist.store.store import Store
from tune_mnist.trials.overdue import LEAST_S, TIMES
from tune_mnist.words import duration, plural


@dataclass
class Waiting:
    """Says for whom this command waits, and when none of their runs has had an epoch for long; each once."""

    store: Store
    limit: float | None
    said: set[str] = field(default_factory=set)

    def say(self, runs: list[Run]) -> None:
        holders: dict[str, list[Run]] = {}
        for run in runs:
            if who := self.store.holder(run.key):  # else it has just ended: the next look tells
                holders.setdefault(who, []).append(run)
        for who, its in holders.items():
            waited = f"waiting for {plural(len(its), 'run')} that another command is training ({who})"
            self._once(who, logging.INFO, waited)
            silent = time.time() - max(self.store.grown(run.key) for run in its)
            if silent > self._most(its):
                said = f"no epoch came of them for {duration(silent)}; once it is ended, this command goes on"
                self._once(f"{who}, silent", logging.WARNING, f"{waited}: {said}")

    def _most(self, runs: list[Run]) -> float:
        """Seconds; without an end while no epoch has told how long one takes."""
        epochs = [row["train_time_s"] + row["eval_time_s"] for run in runs for row in run.held.rows]
        return self.limit or (max(LEAST_S, TIMES * max(epochs)) if epochs else math.inf)

    def _once(self, what: str, level: int, text: str) -> None:
        if what not in self.said:
            log.log(level, text)
        self.said.add(what)
