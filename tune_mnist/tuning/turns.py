"""Whose turn it is: the longest run first, and near a sweep's end one that cannot wait takes the place of one that can.

A run can be stopped after any epoch and gone on with elsewhere, bit for bit, so no slot needs to stand idle while there
is work: with pauses, the longest run and the mean load of a slot are all that bounds a sweep from below (McNaughton
1959, Management Science 6, 1-12). `bench/turns.py` simulates it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from tune_mnist.plan.plan import Run
from tune_mnist.store.history import DIVERGED
from tune_mnist.task import Task
from tune_mnist.tuning.delivery import Delivery, key_of

WAITING = (Trial.PENDING, Trial.PAUSED)


def gives_way(left: float, epoch: float, waiting: Sequence[float], running: Sequence[float]) -> bool:
    """Whether a run that has just ended an epoch gives its slot to the longest of those that wait.

    It does where that one has clearly more left, and would end after all others if it waited for an epoch more.
    Seconds: of what is left of it, of its epochs, and of what is left of the others.
    """
    longest = max(waiting, default=0.0)
    mean = (left + sum(waiting) + sum(running)) / (len(running) + 1)  # of a slot's load: nothing can end before
    return longest > left + epoch / 2 and longest + epoch > mean


class Turns(FIFOScheduler):
    """Tune's scheduler for these runs: what each has left decides, by the seconds of its epochs or by the task's costs.

    A trial gives its place to one that waits when that one would end last even if it began now. Only trials whose
    state is stored are paused.
    """

    def __init__(self, runs: Sequence[Run], task: Task, delivery: Delivery) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.delivery = delivery
        self.epochs = {run.key: run.config.epochs for run in runs}
        self.left = {run.key: run.to_train for run in runs}
        self.cost = {run.key: task.cost(run.config) for run in runs}
        self.seconds: dict[str, float] = {}  # of an epoch, where one was seen
        self.reached: dict[str, int] = {}  # of those that are paused: the epoch to go on from

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The longest of those that wait, and whose last epoch has come home."""
        ready = [one for one in tune_controller.get_trials() if one.status in WAITING and self._is_home(key_of(one))]
        return max(ready, key=lambda one: self._remaining(key_of(one)), default=None)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Go on, or make room."""
        if "epoch" not in result:
            return str(self.CONTINUE)
        key = key_of(trial)
        self.left[key] = 0 if DIVERGED in result else self.epochs[key] - result["epoch"]
        self.seconds[key] = result["train_time_s"] + result["eval_time_s"]
        if not self.left[key] or not gives_way(
            self._remaining(key), self._epoch(key), *self._others(tune_controller, key)
        ):
            return str(self.CONTINUE)
        if self.delivery.store.newest_checkpoint(key) < result["epoch"] - 1:
            return str(self.CONTINUE)  # a loop without a state would begin again
        self.reached[key] = result["epoch"]
        self.delivery.leave(key)
        return str(self.PAUSE)

    def _others(self, tune_controller: Any, key: str) -> tuple[list[float], list[float]]:
        """What is left of the other trials: of those that wait, and of those that run."""
        trials = [one for one in tune_controller.get_trials() if key_of(one) != key]
        states = (WAITING, (Trial.RUNNING,))
        waiting, running = ([self._remaining(key_of(one)) for one in trials if one.status in those] for those in states)
        return waiting, running

    def _is_home(self, key: str) -> bool:
        return self.delivery.store.newest_checkpoint(key) >= self.reached.get(key, 0)

    def _remaining(self, key: str) -> float:
        return self.left[key] * self._epoch(key)

    def _epoch(self, key: str) -> float:
        """About the seconds of an epoch: as the last one took, or by the costs of those that were seen."""
        if key in self.seconds:
            return self.seconds[key]
        seen = sum(self.cost[one] for one in self.seconds)
        return self.cost[key] * (sum(self.seconds.values()) / seen if seen else 1.0)
