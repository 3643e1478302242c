"""How long a plan will take: from the store's epoch times of like runs, else from a short probe."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from tune_mnist.plan.plan import Plan, Run, makespan, pace
from tune_mnist.store.store import Store
from tune_mnist.task import Config, Task

Probe = Callable[[Config], float]
Pace = tuple[Any, ...]  # a kind of run: what sets the pace of its epochs (`plan.pace`)
ALIKE = 1.3  # times the lesser of two probes: they agree
PROBE_S = 5.0  # after which no more are made of one config
FEW, START_S = 2, 10.0  # runs; what Ray takes to start and to stop on a quiet machine


def forecast(plan: Plan, task: Task, store: Store, slots: int, probe: Probe | None) -> tuple[float, str] | None:
    """(seconds of training, what they come from). `probe` measures the seconds that an epoch of a config takes.

    None where neither the store nor a probe tells.
    """
    known = stored_epoch_times(store, task) if plan.todo else {}
    stored, probed = set(), {}
    lengths = []
    for run in plan.todo:
        alike = pace(run.config, task)
        if alike in known:
            stored.add(alike)
        elif probe is None:
            return None
        elif alike not in probed:
            probed[alike] = agreed(probe, run.config)
        lengths.append(run.to_train * (known[alike] if alike in known else probed[alike]))
    return makespan(lengths, slots), _source(len(stored), len(probed))


def is_short(runs: Sequence[Run], task: Task, store: Store) -> bool:
    """Whether one or two runs, one after the other, are over before Ray would have started, as far as that is known.

    A run of a kind that the store has nothing of takes as long as the slowest that it has.
    """
    if len(runs) > FEW:
        return False
    if task.cost_s is not None:
        return sum(run.to_train * task.cost(run.config) for run in runs) * task.cost_s < START_S
    known = stored_epoch_times(store, task)
    slowest = max(known.values(), default=math.inf)
    return sum(run.to_train * known.get(pace(run.config, task), slowest) for run in runs) < START_S


def agreed(probe: Probe, config: Config, clock: Callable[[], float] = time.monotonic) -> float:
    """The least of some probes, of which the last two agree: the first one warms up, and a busy machine delays one.

    Threads that wait for each other on a busy machine make a probe ten times too long, and never too short.
    """
    begin, found = clock(), [probe(config), probe(config)]
    while max(found[-2:]) > ALIKE * min(found[-2:]) and clock() - begin < PROBE_S:
        found.append(probe(config))
    return min(found)


def _source(stored: int, probed: int) -> str:
    if not probed:
        return "from stored epoch times" if stored else "nothing to train"
    return "from a short probe" if not stored else "from stored epoch times and, for other kinds of run, a short probe"


def stored_epoch_times(store: Store, task: Task) -> dict[Pace, float]:
    """What sets a run's pace -> the median seconds of its epochs, over all runs stored under the same conditions."""
    times: dict[Pace, list[float]] = {}
    for key in store.run_keys():
        record = store.record(key)
        if _is_alike(record, task):
            times.setdefault(pace(record["config"], task), []).extend(
                row["train_time_s"] + row["eval_time_s"] for row in store.rows(key)
            )
    return {alike: statistics.median(seconds) for alike, seconds in times.items() if seconds}


def _is_alike(record: dict[str, object], task: Task) -> bool:
    """Whether the record is of a run of this task, under the conditions that set an epoch's time."""
    config, conditions = record.get("config"), record.get("conditions")
    if not isinstance(config, dict) or not isinstance(conditions, dict):
        return False
    paced = all(one.name in config for one in task.parameters if one.paces)
    return paced and all(conditions.get(name) == task.conditions.get(name) for name in task.table_conditions)
