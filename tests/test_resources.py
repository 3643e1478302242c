"""What trials ask for, and how many there is memory for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tune_mnist.errors import UserError
from tune_mnist.machine import cpu
from tune_mnist.machine.cpu import cpu_count, memory
from tune_mnist.tuning.cluster import Cluster
from tune_mnist.tuning.resources import TRIAL_BYTES, Asked, Resources, choose, fit, slots

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


@pytest.mark.parametrize(
    ("own", "limited"),
    [
        pytest.param("0::/system.slice/slurm/job_7/step_0/task_0", "system.slice/slurm/job_7/memory.max", id="v2"),
        pytest.param("4:memory:/slurm/job_7/step_0", "memory/slurm/job_7/memory.limit_in_bytes", id="v1"),
        pytest.param("0::/docker/seen/from/outside", "memory.max", id="a container's own"),
    ],
)
def test_a_limit_around_the_own_control_group_holds(
    own: str, limited: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm's is of the whole job, whose processes are in groups within."""
    groups = tmp_path / "groups"
    groups.write_text(f"1:cpu:/elsewhere\n{own}\n", "utf-8")
    (tmp_path / limited).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / limited).write_text(f"{GB}\n", "utf-8")
    within = (tmp_path / limited).parent / "step_0"
    within.mkdir()
    (within / Path(limited).name).write_text("max\n", "utf-8")
    monkeypatch.setattr(cpu, "CGROUP", tmp_path)
    monkeypatch.setattr(cpu, "OWN_GROUPS", groups)
    assert memory() == GB


def test_a_forecast_counts_the_memory_of_each_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune_mnist.tuning.resources.memory", lambda: 3 * GB)
    assert slots(ONE_CPU, Cluster(cpus=8)) == 2
    assert slots(ONE_CPU, Cluster(cpus=8), nodes=3) == 6
    assert slots(replace(ONE_CPU, max_concurrent=5), Cluster(cpus=8), nodes=3) == 5


def test_a_trial_has_one_cpu_if_nothing_is_asked_for() -> None:
    assert choose(Asked(device="cpu"), local=True) == ONE_CPU


def test_an_exclusive_trial_has_every_cpu_to_itself() -> None:
    assert choose(Asked("cpu", exclusive=True), local=True) == Resources(cpu_count(), 0.0, "cpu", 1)


def test_on_a_cluster_a_share_of_a_gpu_means_cuda() -> None:
    assert choose(Asked(gpus=0.5), local=False) == Resources(1, 0.5, "cuda", None, memory=TRIAL_BYTES)


def test_what_is_asked_for_is_refused_when_it_contradicts_itself() -> None:
    with pytest.raises(UserError, match="--exclusive is one trial at a time on every CPU"):
        Asked(cpus=1, exclusive=True)
