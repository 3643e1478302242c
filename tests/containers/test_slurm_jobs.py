"""cluster/slurm.sbatch with a real Ray: on one node without Slurm, and as a job of a real Slurm on three nodes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import HISTORY, LOG, ROOT, Finished, Rows, numbers, rows, run, succeeded, trained, wait_for
from engine import IMAGE, USER, built, docker, need_engine, owned
from slurm import Slurm, slurm

pytestmark = [pytest.mark.alone, pytest.mark.timeout(1800)]

EPOCHS, LRS = 8, ("0.01", "0.02", "0.05")
SWEEP = ("--dataset", "digits", "--set", "model=mlp", "--set", "batch_size=2", "--set", f"epochs={EPOCHS}")
VARIED = (*SWEEP, "--vary", f"lr={','.join(LRS)}")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The same sweep on this machine."""
    return succeeded(run(*VARIED, folder=tmp_path_factory.mktemp("here")))


# One node, in a container that has nothing of Slurm: what the job calls of it is stood in for.


@dataclass(frozen=True)
class Alone:
    """A container that runs the batch script; `folder` is where it was submitted."""

    folder: Path
    name: str

    def log(self) -> str:
        return "".join(path.read_text("utf-8") for path in self.folder.glob(f"results/*/{LOG}"))

    def epochs(self) -> Rows:
        (table,) = self.folder.glob(f"results/*/{HISTORY}")
        return rows(table)

    def signal(self, number: str) -> None:
        docker("kill", "--signal", number, self.name)

    def ended(self) -> int:
        return int(docker("wait", self.name, seconds=400).stdout)

    def said(self) -> str:
        done = docker("logs", self.name)
        return done.stdout + done.stderr


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Alone]:
    need_engine()
    built()
    owned(tmp_path)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    once = 'while [ "${1#--}" != "$1" ]; do shift; done\nexport SLURM_NODEID=0\nexec "$@"'
    for name, text in {"srun": once, "scontrol": 'echo "$*" >>"$SLURM_SUBMIT_DIR/scontrol"'}.items():
        (programs / name).write_text(f"#!/bin/bash\n{text}\n", "utf-8")
        (programs / name).chmod(0o755)
    shutil.copy(ROOT / "cluster" / "slurm.sbatch", tmp_path / "slurm_script")
    name = f"tune-mnist-slurm-alone-{os.getpid()}"
    yield Alone(tmp_path, name)
    docker("rm", "-f", name, check=False)


def start(alone: Alone) -> None:
    docker("rm", "-f", alone.name, check=False)
    size = "--cpus", "2", "--memory", "5g", "--shm-size", "1100m"
    place = "-v", f"{alone.folder}:/shared", "-w", "/shared", "-e", "SLURM_SUBMIT_DIR=/shared", "-e", "SLURM_JOB_ID=7"
    run_ = "run", "-d", "--name", alone.name, "--user", USER, *size, *place, "--entrypoint", "tini", IMAGE
    docker(*run_, "--", "bash", "/shared/slurm_script", *VARIED)


def test_a_job_on_one_node_gives_the_numbers_of_this_machine(alone: Alone, here: Finished) -> None:
    start(alone)
    assert alone.ended() == 0, alone.said()
    assert numbers(alone.epochs()) == numbers(here.epochs())
    assert "Traceback" not in alone.said()
    assert not (alone.folder / "slurm-7").exists()


@pytest.mark.chaos
@pytest.mark.parametrize(("signal", "asked"), [("TERM", []), ("USR1", ["requeue 7"])])
def test_a_job_that_is_told_to_end_goes_on_when_it_starts_again(
    alone: Alone, here: Finished, signal: str, asked: list[str]
) -> None:
    start(alone)
    wait_for(lambda: ": epoch 3/" in alone.log(), "a third epoch")
    alone.signal(signal)
    assert alone.ended() == 130, alone.said()
    told = alone.folder / "scontrol"
    assert (told.read_text("utf-8").splitlines() if told.exists() else []) == asked
    assert "interrupted; " in alone.said()
    assert list(alone.folder.glob("results/*/mnist_results.csv"))  # 30 s after the signal Slurm kills what is left
    start(alone)
    assert alone.ended() == 0, alone.said()
    assert numbers(alone.epochs()) == numbers(here.epochs())
    assert EPOCHS * len(LRS) <= trained(alone.log()).total() <= EPOCHS * len(LRS) + 2


# Three nodes of a real Slurm


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with slurm(tmp_path_factory.mktemp("slurm")) as made:
        yield made


def swept(cluster: Slurm, name: str, *options: str, asked: str = "") -> str:
    """The number of a job that sweeps into folders of that name."""
    place = f"--output results/{name} --store {name}-store"
    return cluster.submit(f"--nodes=3 {asked} slurm.sbatch {' '.join(options)} {place}")


def log_of(cluster: Slurm, name: str) -> str:
    return "".join(path.read_text("utf-8") for path in (cluster.folder / "results" / name).glob("*_experiments.log"))


@pytest.mark.chaos
def test_a_job_trains_on_all_of_its_nodes_and_leaves_nothing_running(cluster: Slurm, here: Finished) -> None:
    job = swept(cluster, "three", *VARIED)
    assert cluster.ended(job, 600) == "COMPLETED", cluster.said(job)
    epochs = rows(cluster.folder / "results" / "three" / HISTORY)
    assert {row["hostname"] for row in epochs} == {"slurm-1", "slurm-2", "slurm-3"}
    assert numbers(epochs) == numbers(here.epochs())
    assert not (cluster.folder / f"slurm-{job}").exists()
    wait_for(lambda: not cluster.ray_processes(), "an end of Ray", 60)


@pytest.mark.chaos
def test_a_wrong_option_is_a_failed_job_with_its_line(cluster: Slurm) -> None:
    job = cluster.submit("--nodes=1 slurm.sbatch --vary lrr=1")
    assert cluster.ended(job, 300) == "FAILED"
    assert "error: " in cluster.said(job)
    assert "ExitCode=2:0" in cluster.on(1, f"scontrol show job {job}")


@pytest.mark.chaos
def test_a_preempted_job_goes_on_from_the_store(cluster: Slurm, here: Finished) -> None:
    job = swept(cluster, "preempted", *VARIED)
    wait_for(lambda: ": epoch 2/" in log_of(cluster, "preempted"), "a second epoch")
    other = cluster.submit("--partition=high --nodes=3 --exclusive --output=/dev/null --wrap 'sleep 5'")
    assert cluster.ended(other, 300) == "COMPLETED"
    assert cluster.ended(job, 1200) == "COMPLETED", cluster.said(job)
    assert cluster.restarts(job) == 1
    epochs = trained(log_of(cluster, "preempted"))
    assert EPOCHS * len(LRS) <= epochs.total() <= EPOCHS * len(LRS) + 3
    assert numbers(rows(cluster.folder / "results" / "preempted" / HISTORY)) == numbers(here.epochs())
