"""The time left that a mixed sweep is told: simulated with known epoch times, without a wait."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tasks import asked, mnist

from tune_mnist.plan.forecast import Pace
from tune_mnist.plan.plan import Plan, make_plan, pace
from tune_mnist.plan.timeleft import TimeLeft
from tune_mnist.store.store import Held
from tune_mnist.task import Task

TASK = mnist()
TARGET = 1.3  # times too long or too short, at most

Seconds = Callable[[Mapping[str, Any]], float]


@dataclass
class Simulation:
    """A plan's runs side by side on so many slots, their epochs as long as `seconds` says, give or take a tenth."""

    plan: Plan
    slots: int
    seconds: Seconds
    task: Task = TASK
    known: Mapping[Pace, float] = field(default_factory=dict)
    now: float = 0.0

    def told(self) -> list[tuple[float, float]]:
        """(time left as it was told, as it was) at the end of each epoch from the second one on."""
        time_left = TimeLeft(self.plan.runs, self.task, self.known, self.slots, lambda: self.now)
        said = [(self.now, seconds) for seconds in self._played(time_left) if seconds is not None]
        return [(seconds, self.now - when) for when, seconds in said[1:] if self.now - when > 0]

    def _played(self, time_left: TimeLeft) -> Iterator[float | None]:
        noise = random.Random(1)
        left = {run.key: run.to_train for run in self.plan.runs}
        waiting, lasting = list(self.plan.runs), dict.fromkeys(left, 0.0)
        ends: dict[str, float] = {}
        while waiting or ends:
            while waiting and len(ends) < self.slots:
                run = waiting.pop(0)
                time_left.started(run.key)
                lasting[run.key] = self.seconds(run.config) * noise.uniform(0.9, 1.1)
                ends[run.key] = self.now + lasting[run.key] + 0.1
            key = min(ends, key=lambda one: ends[one])
            self.now = ends[key]
            left[key] -= 1
            time_left.epoch(key, lasting[key])
            if left[key]:
                lasting[key] *= noise.uniform(0.95, 1.05)
                ends[key] = self.now + lasting[key]
            else:
                del ends[key]
                time_left.ended(key)
            yield time_left.seconds(left)


def plan_of(**options: Any) -> Plan:
    return make_plan(asked(**options).points, TASK, lambda _: Held())


def on_this_cpu(values: Mapping[str, Any]) -> float:
    """Seconds of an epoch as they were measured, of MNIST with one thread."""
    image, step = {"cnn": (0.63e-3, 4.5e-3), "mlp": (7e-6, 0.53e-3), "linear": (1.5e-6, 0.18e-3)}[values["model"]]
    size = values["train_size"] or 60_000
    return float(size * image + size / values["batch_size"] * step + 3300 * image)


def on_a_gpu(values: Mapping[str, Any]) -> float:
    """Steps alone take time."""
    size = values["train_size"] or 60_000
    return float(0.3 + size / values["batch_size"] * {"cnn": 6e-4, "mlp": 4e-4, "linear": 3e-4}[values["model"]])


def known(plan: Plan, seconds: Seconds, factor: float) -> dict[Pace, float]:
    """What a store tells of all kinds of run: what they took on another day."""
    return {pace(run.config, TASK): factor * seconds(run.config) for run in plan.runs}


STANDARD = plan_of(sweep=["epochs", "batch", "lr"])
MODELS = plan_of(vary=["model=cnn,mlp,linear", "lr=0.01,0.05,0.1"])
SIZES = plan_of(vary=["train_size=1000,5000,20000,all", "batch_size=16,64,256"])
SEEDS = plan_of(vary=["batch_size=4,16,64,256"], seeds=3, settings=["model=mlp"])
MIXED = {
    "standard sweeps": Simulation(STANDARD, 2, on_this_cpu),
    "standard sweeps, one at a time": Simulation(STANDARD, 1, on_this_cpu),
    "standard sweeps, on a GPU": Simulation(STANDARD, 5, on_a_gpu),
    "standard sweeps, twice as slow as in the store": Simulation(
        STANDARD, 2, on_this_cpu, TASK, known(STANDARD, on_this_cpu, 0.5)
    ),
    "networks": Simulation(MODELS, 2, on_this_cpu),
    "networks on a GPU, known": Simulation(MODELS, 2, on_a_gpu, TASK, known(MODELS, on_a_gpu, 1.2)),
    "sizes": Simulation(SIZES, 2, on_this_cpu),
    "sizes, four side by side": Simulation(SIZES, 4, on_this_cpu),
    "seeds of small and large batches": Simulation(SEEDS, 2, on_this_cpu),
    "seeds, known": Simulation(SEEDS, 3, on_a_gpu, TASK, known(SEEDS, on_a_gpu, 1.0)),
}


@pytest.mark.parametrize("name", MIXED)
def test_time_left_is_right_from_the_second_epoch_on(name: str) -> None:
    told = replace(MIXED[name]).told()
    assert len(told) >= 20
    off = [max(said / was, was / said) for said, was in told]
    assert max(off) < TARGET, [(round(said, 1), round(was, 1)) for said, was in told]


def test_a_loop_that_says_no_cost_is_followed_along_the_number_that_sets_its_pace() -> None:
    """Of four sizes the largest comes last: once three were seen, it is known to take four times the third."""
    plan = plan_of(vary=["train_size=500,1000,5000,20000"], settings=["model=mlp", "epochs=4"])
    runs = sorted(plan.runs, key=lambda run: run.config["train_size"])
    silent = replace(TASK, cost=lambda _: 1.0)
    told = Simulation(replace(plan, runs=tuple(runs)), 1, lambda values: 0.001 * values["train_size"], silent).told()
    assert all(was / TARGET < said < was * TARGET for said, was in told[4:]), told
    assert told[0][0] < told[0][1] / 3  # nobody could know


def test_before_the_first_epoch_the_store_tells_and_else_nothing() -> None:
    left = {run.key: run.to_train for run in SEEDS.runs}
    assert TimeLeft(SEEDS.runs, TASK, {}).seconds(left) is None
    told = TimeLeft(SEEDS.runs, TASK, known(SEEDS, on_a_gpu, 1.0), slots=1).seconds(left)
    assert told == pytest.approx(sum(5 * on_a_gpu(run.config) for run in SEEDS.runs))


def test_an_epoch_under_way_counts_down() -> None:
    now = [0.0]
    plan = plan_of(vary=["lr=0.01"], settings=["epochs=3"])
    (run,) = plan.runs
    time_left = TimeLeft(plan.runs, TASK, {}, clock=lambda: now[0])
    time_left.started(run.key)
    now[0] = 10.0
    time_left.epoch(run.key, 10.0)
    told = []
    for now[0] in (10.0, 14.0, 20.0, 25.0):
        told.append(time_left.seconds({run.key: 2}))
    assert told == [20.0, 16.0, 10.0, 10.0]  # no further: the next one has not even begun
