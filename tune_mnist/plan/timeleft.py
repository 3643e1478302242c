"""How long the rest of a plan takes, run by run: by what its epochs took so far, and what the store has of like runs.

time_left = TimeLeft(runs, task, known, slots=2)
time_left.started(key); time_left.epoch(key, 1.5); time_left.seconds({key: 4})
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from tune_mnist.plan.forecast import Pace
from tune_mnist.plan.plan import Run, makespan, pace
from tune_mnist.task import Task

RECENT = 3  # epochs of a run, whose median is what its next one takes: a busy neighbour comes, and goes
APART = 1.5  # times: what the cost does not tell of, where kinds of run are so far from it


class TimeLeft:
    """Follows the runs, which start in this order; `known`: kind of run -> the seconds that its epochs took before.

    An epoch takes what the run's own did; before its first, what those of its kind did in this command, or before it;
    else what those of the least unlike kinds lead to expect by the task's `cost`. `slots` is how many run side by side,
    as far as that is known.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        task: Task,
        known: Mapping[Pace, float],
        slots: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.task, self.known, self.slots, self.clock = task, known, slots, clock
        self._kinds = {run.key: pace(run.config, task) for run in runs}
        self._taken: dict[str, list[float]] = {key: [] for key in self._kinds}
        self._began: dict[str, float] = {}  # of a run under way: when its current epoch began
        self._ended: list[float] = []  # when runs did whose place no other has taken yet
        self._between: list[float] = []  # from a run's end to the next one's beginning

    def started(self, key: str) -> None:
        """A run began, or began again."""
        self._began[key] = self.clock()
        self.slots = max(self.slots, len(self._began))
        if self._ended:
            self._between.append(self.clock() - self._ended.pop(0))

    def epoch(self, key: str, seconds: float) -> None:
        """A run finished an epoch that took so long by itself: what lies between two of them takes time as well."""
        now = self.clock()
        taken = self._taken[key]
        taken.append(max(seconds, now - self._began.get(key, now)) if taken else seconds)
        self._began[key] = now

    def ended(self, key: str) -> None:
        """A run has ended, or was lost."""
        if self._began.pop(key, None) is not None:
            self._ended.append(self.clock())

    def seconds(self, left: Mapping[str, int]) -> float | None:
        """How long the epochs that are left take (run key -> how many); None where nothing tells yet."""
        measured = self._measured()
        known = measured or self.known
        if not known:
            return None
        drift = self._drift(measured)
        kinds = {kind: seconds * drift for kind, seconds in self.known.items()} | measured
        each = {key: self._epoch(key, kinds) for key, epochs in left.items() if epochs}
        under_way = [self._rest(left[key], each[key], began) for key, began in self._began.items() if key in each]
        between = statistics.median(self._between) if self._between else 0.0
        waiting = [left[key] * seconds + between for key, seconds in each.items() if key not in self._began]
        return makespan(waiting, self.slots, under_way)

    def _rest(self, epochs: int, seconds: float, began: float) -> float:
        """Of a run under way: less what has passed of its current epoch, which is not over yet."""
        return epochs * seconds - min(seconds, self.clock() - began)

    def _measured(self) -> dict[Pace, float]:
        """Kind of run -> the median seconds of its epochs, in this command."""
        found: dict[Pace, list[float]] = {}
        for key, taken in self._taken.items():
            if taken:
                found.setdefault(self._kinds[key], []).append(statistics.median(taken[-RECENT:]))
        return {kind: statistics.median(seconds) for kind, seconds in found.items()}

    def _drift(self, measured: Mapping[Pace, float]) -> float:
        """How much longer epochs take now than before: more may run side by side, or the machine be busy."""
        both = [measured[kind] / self.known[kind] for kind in measured if self.known.get(kind)]
        return statistics.median(both) if both else 1.0

    def _epoch(self, key: str, kinds: Mapping[Pace, float]) -> float:
        if taken := self._taken[key]:
            return statistics.median(taken[-RECENT:])
        kind = self._kinds[key]
        if kind in kinds:
            return kinds[kind]
        unlike = {other: sum(a != b for a, b in zip(kind, other, strict=True)) for other in kinds}
        nearest = [other for other in kinds if unlike[other] == min(unlike.values())]
        rates = {other: kinds[other] / self._cost(other) for other in nearest}
        is_plain = max(rates.values()) < APART * min(rates.values())  # the cost tells: a line would follow noise
        along = None if is_plain else _along(kind, rates)
        return self._cost(kind) * (along or statistics.median(rates.values()))

    def _cost(self, kind: Pace) -> float:
        named = (one.name for one in self.task.parameters if one.paces)
        return self.task.cost(dict(zip(named, kind, strict=True)))


def _along(kind: Pace, rates: Mapping[Pace, float]) -> float | None:
    """The rate of a kind by those of others that differ from it in one and the same number; None if there are not two.

    On a straight line over the number if the rate grows with it, as with a width; over its inverse if it falls, as with
    the size of a batch.
    """
    for place, value in enumerate(kind):
        line = {other[place]: rate for other, rate in rates.items() if other[place] != value}
        if isinstance(value, (int, float)) and len(line) == len(rates) > 1 and all(line):
            low, high = min(line), max(line)
            turned = line[high] < line[low]
            x, first, last = (1 / one if turned else one for one in (value or 1, low, high))
            found = line[low] + (x - first) * (line[high] - line[low]) / (last - first)
            return max(found, min(line.values()) / 4)
    return None
