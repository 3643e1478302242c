"""What trials ask for, and how many there is memory for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tune_mnist.errors import UserError
from tune_mnist.machine.cpu import cpu_count, memory
from tune_mnist.tuning.resources import Asked, Resources, choose, fit

ONE_CPU = Resources(cpus=1, gpus=0.0, device="cpu", max_concurrent=None)
GB = 1 << 30


@pytest.mark.parametrize(
    ("cpus", "there", "side_by_side"),
    [(8, 16 * GB, None), (8, 9 * GB, None), (8, 4 * GB, 3), (8, 2 * GB, 1), (8, GB, 1), (1, GB, None)],
)
def test_no_more_trials_run_side_by_side_than_there_is_memory_for(
    cpus: int, there: int, side_by_side: int | None
) -> None:
    fitting, said = fit(ONE_CPU, cpus, there)
    assert fitting.max_concurrent == side_by_side
    assert (said is None) == (side_by_side is None)


def test_the_line_says_how_many_and_why() -> None:
    assert fit(ONE_CPU, 8, 2 * GB)[1] == "2.0 GB of memory: 1 trial side by side, not 8"


def test_fewer_that_are_asked_for_stay_fewer() -> None:
    assert fit(replace(ONE_CPU, max_concurrent=2), 8, 4 * GB) == (replace(ONE_CPU, max_concurrent=2), None)
    assert fit(replace(ONE_CPU, cpus=8), 8, 2 * GB)[1] is None


def test_the_memory_is_at_most_the_machines() -> None:
    assert 1 << 28 < memory() < 1 << 50


def test_a_trial_has_one_cpu_if_nothing_is_asked_for() -> None:
    assert choose(Asked(device="cpu"), local=True) == ONE_CPU


def test_an_exclusive_trial_has_every_cpu_to_itself() -> None:
    assert choose(Asked("cpu", exclusive=True), local=True) == Resources(cpu_count(), 0.0, "cpu", 1)


def test_on_a_cluster_a_share_of_a_gpu_means_cuda() -> None:
    assert choose(Asked(gpus=0.5), local=False) == Resources(1, 0.5, "cuda", None)


def test_what_is_asked_for_is_refused_when_it_contradicts_itself() -> None:
    with pytest.raises(UserError, match="--exclusive is one trial at a time on every CPU"):
        Asked(cpus=1, exclusive=True)
