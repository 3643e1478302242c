"""What trials ask for, and how many there is memory for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tune_mnist.machine import environment
from tune_mnist.tuning.resources import Resources, fit

ONE_CPU = Resources(cpus=1, gpus=0.0, device="cpu", max_concurrent=None, precision="fp32")
GB = 1 << 30


@pytest.mark.parametrize(
    ("cpus", "memory", "side_by_side"),
    [(8, 16 * GB, None), (8, 9 * GB, None), (8, 4 * GB, 3), (8, 2 * GB, 1), (8, GB, 1), (1, GB, None)],
)
def test_no_more_trials_run_side_by_side_than_there_is_memory_for(
    cpus: int, memory: int, side_by_side: int | None
) -> None:
    fitting, said = fit(ONE_CPU, cpus, memory)
    assert fitting.max_concurrent == side_by_side
    assert (said is None) == (side_by_side is None)


def test_the_line_says_how_many_and_why() -> None:
    assert fit(ONE_CPU, 8, 2 * GB)[1] == "2.0 GB of memory: 1 trial side by side, not 8"


def test_fewer_that_are_asked_for_stay_fewer() -> None:
    assert fit(replace(ONE_CPU, max_concurrent=2), 8, 4 * GB) == (replace(ONE_CPU, max_concurrent=2), None)
    assert fit(replace(ONE_CPU, cpus=8), 8, 2 * GB)[1] is None


def test_the_memory_is_at_most_the_machines() -> None:
    assert 1 << 28 < environment.memory() < 1 << 50
