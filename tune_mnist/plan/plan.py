"""The plan: the fewest trainings that answer every point, less what the store holds, longest first.

Points that differ only in `epochs` are read off one run: exact, because a run's first epochs do not depend on how
long it goes on (unless its schedule looks at the total; then it is never shared) and evaluating draws no random number.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tune_mnist.plan.sweeps import Point
from tune_mnist.store.store import Held
from tune_mnist.task import Config, Task, run_key
from tune_mnist.words import plural, typed


@dataclass(frozen=True)
class Run:
    """One training: as long as the longest of its points; `held` is what the store has of it."""

    key: str
    config: Config
    held: Held
    apart: str = ""  # the one point that it is trained for, where points are not to share

    @property
    def to_train(self) -> int:
        """Epochs: none if the store answers for each, else from the last checkpoint on."""
        return 0 if self.held.answers(self.config.epochs) else self.config.epochs - self.held.resume


@dataclass(frozen=True)
class Plan:
    """The answer to a list of points: for each point the key of the run to read it off, and the runs, longest first."""

    points: tuple[Point, ...]
    keys: tuple[str, ...]
    runs: tuple[Run, ...]

    @property
    def distinct(self) -> int:
        return len({point.config for point in self.points})

    @property
    def epochs_asked(self) -> int:
        return sum(point.config.epochs for point in self.points)

    @property
    def epochs_to_train(self) -> int:
        return sum(run.to_train for run in self.runs)

    @property
    def epochs_stored(self) -> int:
        """Epochs of the plan's runs that the store answers for."""
        return sum(min(run.held.epochs, run.config.epochs) for run in self.runs)

    @property
    def epochs_again(self) -> int:
        """Epochs to train of which the store has the row: no checkpoint is left to go on from."""
        return sum(run.held.epochs - run.held.resume for run in self.todo)

    @property
    def diverged(self) -> int:
        """Runs that ended before they had the epochs asked for, because they diverged."""
        return sum(run.held.diverged is not None and run.held.epochs < run.config.epochs for run in self.runs)

    @property
    def shares(self) -> bool:
        """Whether a run answers points of several lengths, or one that is stored in part is to go on."""
        lengths = {(key, point.config.epochs) for key, point in zip(self.keys, self.points, strict=True)}
        return len(lengths) > len(self.runs) or any(run.held.epochs for run in self.todo)

    @property
    def todo(self) -> tuple[Run, ...]:
        return tuple(run for run in self.runs if run.to_train)


def make_plan(points: Sequence[Point], task: Task, held: Callable[[str], Held], share: bool = True) -> Plan:
    """Group the points into runs. Without `share` every point is a run of its own, even beside an identical one."""
    apart = ["" if share else _asked(point) for point in points]
    keys = tuple(run_key(point.config, task.conditions, one) for point, one in zip(points, apart, strict=True))
    apart_by_key = dict(zip(keys, apart, strict=True))
    longest: dict[str, Config] = {}
    for key, point in zip(keys, points, strict=True):
        if key not in longest or point.config.epochs > longest[key].epochs:
            longest[key] = point.config
    runs = [Run(key, config, held(key), apart_by_key[key]) for key, config in longest.items()]
    # Of equal lengths the slowest; the key makes the order the same whatever the order of the points.
    runs.sort(key=lambda run: (-run.to_train, -task.cost(run.config), run.key))
    return Plan(tuple(points), keys, tuple(runs))


def _asked(point: Point) -> str:
    return f"{point.sweep} {point.variable}={point.value} epochs={point.config.epochs}"


def pace(config: Mapping[str, Any], task: Task) -> tuple[Any, ...]:
    """What an epoch's time depends on, in a config or a stored record of one, beside the conditions."""
    return tuple(config[one.name] for one in task.parameters if one.paces)


def makespan(seconds: Iterable[float], slots: int, under_way: Sequence[float] = ()) -> float:
    """How long trainings of the given lengths take when the next one in the list starts as soon as a slot is free.

    `under_way`: what is left of those that have a slot.
    """
    free = [*under_way, *[0.0] * (slots - len(under_way))]
    heapq.heapify(free)
    for length in seconds:
        heapq.heappush(free, heapq.heappop(free) + length)
    return max(free)


def run_names(plan: Plan, baseline: Config, task: Task) -> dict[str, str]:
    """Run key -> how the run differs from the baseline, such as `lr=0.05`; namesakes get their epochs and key too.

    The baseline at another seed is `baseline, seed=2`.
    """
    base = baseline.identity()
    plain = {run.key: _difference(run.config, base, task) for run in plan.runs}
    counts = Counter(plain.values())
    return {
        run.key: plain[run.key]
        if counts[plain[run.key]] == 1
        else f"{plain[run.key]} ({plural(run.config.epochs, task.unit)}, {run.key[:6]})"
        for run in plan.runs
    }


def _difference(config: Config, base: Mapping[str, Any], task: Task) -> str:
    told = {name: value for name, value in config.identity().items() if name not in config.inactive}
    changed = {name: value for name, value in told.items() if value != base.get(name)}
    said = [f"{name}={typed(task.written(name, value))}" for name, value in changed.items()]
    return ", ".join([*(["baseline"] if changed.keys() <= {"seed"} else []), *said])
