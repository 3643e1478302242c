"""A container alone: without mounts, into a folder that Docker made, with nowhere to write, and on no terminal."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import HISTORY, rows, wait_for
from engine import HARDENED, USER, built, checkout, docker, need_engine, owned

pytestmark = [pytest.mark.alone, pytest.mark.timeout(2400)]

DIGITS = ("run", "--dataset", "digits", "--set", "model=mlp", "--set", "train_size=320")
QUICK = (*DIGITS, "--set", "epochs=1", "--vary", "lr=0.01,0.05")
# One CPU trains an epoch of this in about a second: there is a middle to be stopped in.
SLOW = ("run", "--dataset", "digits", "--set", "train_size=640", "--set", "epochs=6", "--vary", "lr=0.01,0.02")


@pytest.fixture(scope="module")
def image() -> str:
    need_engine()
    return built()


@contextmanager
def container(*words: str) -> Iterator[tuple[str, subprocess.CompletedProcess[str]]]:
    """`docker run` of a container that stays; its name, and what came of it."""
    name = f"tune-mnist-{uuid.uuid4().hex[:8]}"
    try:
        yield name, docker("run", "--name", name, "--cpus", "1", "--network", "none", *words, check=False)
    finally:
        docker("rm", "--force", name, check=False)


def test_results_that_no_mount_takes_are_copied_out_as_it_says(image: str, tmp_path: Path) -> None:
    """With `-t`, and its output in a file: plain lines."""
    with container("-t", image, *QUICK) as (_, done):
        assert done.returncode == 0, done.stdout
        assert "\x1b" not in done.stdout
        lines = done.stdout.splitlines()
        (at,) = (n for n, line in enumerate(lines) if line.startswith("all of it is in this container, and goes with"))
        subprocess.run(shlex.split(lines[at + 1]), cwd=tmp_path, capture_output=True, check=True)
    assert (tmp_path / "results" / "digits" / "report.html").is_file()
    assert len(list((tmp_path / "results" / "store").glob("*/history.jsonl"))) == 2
    if os.getuid() == 0:  # as who copies has them, and the container's user is somebody else
        subprocess.run(["chown", "-R", USER, tmp_path / "results"], check=True)
    mounted = "-v", f"{tmp_path / 'results'}:/results"
    with container("--user", USER, *mounted, image, *QUICK) as (_, again):
        assert again.returncode == 0, again.stderr
        assert "2 epochs in the store, 0 to train" in again.stdout
        assert "in this container" not in again.stdout


def test_what_was_stopped_goes_on_in_the_same_container(image: str) -> None:
    with container("--detach", image, *SLOW) as (name, _):
        wait_for(lambda: ": epoch 2/6" in docker("logs", name).stdout, "a second epoch")
        docker("stop", name)
        last = docker("logs", name).stderr.splitlines()[-1]
        command = re.search(r"; (docker start -ai [0-9a-f]{12}) trains the remaining (\d+)", last)
        assert command, last
        assert int(command[2]) < 12
        again = subprocess.run(shlex.split(command[1]), capture_output=True, text=True, timeout=300, check=False)
    assert again.returncode == 0, again.stderr
    assert f"{12 - int(command[2])} epochs in the store, {command[2]} to train" in again.stdout


def test_a_folder_that_docker_made_is_its_callers_after_what_it_says(image: str, tmp_path: Path) -> None:
    results = tmp_path / "results"
    mounted = "-v", f"{results}:/results"
    with container(*mounted, image, *QUICK) as (_, done):
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "'/results' may not be written by user 1000, because it is root's (docker makes it so" in done.stderr
        assert 'sudo chown "$(id -u):$(id -g)" it, and docker run --user "$(id -u):$(id -g)")' in done.stderr
        assert "0:0" not in done.stderr
    docker("run", "--rm", "--user", "0:0", *mounted, "--entrypoint", "chown", image, USER, "/results")
    with container("--user", USER, *mounted, image, *QUICK) as (_, again):
        assert again.returncode == 0, again.stderr
    assert len(rows(results / "digits" / HISTORY)) == 2


def test_without_a_place_to_write_it_is_refused_in_one_line(image: str, tmp_path: Path) -> None:
    """No `--tmpfs /tmp`: neither Ray nor matplotlib has where to write."""
    hardened = [word for word in HARDENED if word not in ("--tmpfs", "/tmp", "--network", "none")]
    mounted = "-v", f"{owned(tmp_path / 'results')}:/results"
    with container(*hardened, *mounted, image, *QUICK) as (_, done):
        assert (done.returncode, done.stderr) == (
            1,
            "error: Ray keeps its files in /tmp, and it cannot be written (Read-only file system); make room there; "
            "a container gets it with --tmpfs /tmp\n",
        )
        assert "atplotlib" not in done.stdout
    assert list((tmp_path / "results").iterdir()) == []
    with container("--user", USER, *mounted, image, *QUICK) as (_, made):
        assert made.returncode == 0, made.stderr
    with container(*hardened, *mounted, image, "report", "/results/digits") as (_, drawn):
        assert (drawn.returncode, drawn.stderr.count("\n")) == (1, 1)
        assert drawn.stderr.startswith("error: drawing needs temporary files, and /tmp cannot be written; make room")


def test_a_model_that_no_mount_takes_is_copied_out_as_it_says(image: str, tmp_path: Path) -> None:
    words = "train", "--dataset", "digits", "--model", "linear", "--epochs", "1", "--save-model", "/results/model.pt"
    with container(image, *words) as (_, done):
        assert done.returncode == 0, done.stderr
        wrote, _, copy = done.stdout.splitlines()[-3:]
        assert wrote == "wrote /results/model.pt"
        subprocess.run(shlex.split(copy), cwd=tmp_path, capture_output=True, check=True)
    assert (tmp_path / "model.pt").stat().st_size > 1000


def test_an_image_that_was_told_its_commit_tells_it(image: str) -> None:
    told = f"{image}-told"
    folder = checkout()
    revision = ("--build-arg", "REVISION=0123abc-dirty")
    docker("build", "--quiet", "--tag", told, *revision, "--file", f"{folder}/docker/Dockerfile", str(folder))
    program = "from tune_mnist.machine.environment import git_state; print(git_state())"
    try:
        said = docker("run", "--rm", "--entrypoint", "python", told, "-c", program).stdout
    finally:
        docker("rmi", told)
    assert said == "{'commit': '0123abc', 'dirty': True}\n"
