"""`make cluster` beside another project's container: a taken port is said, and its end removes nothing of others."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine import built, checkout, compose_command, docker, inspected, need_engine

pytestmark = [pytest.mark.alone, pytest.mark.timeout(2400)]


@pytest.fixture
def neighbour() -> Iterator[str]:
    """A container of another project, one of those that compose calls `docker` after their folder."""
    need_engine()
    compose_command()
    name = f"tune-mnist-{uuid.uuid4().hex[:8]}"
    labels = {"project": "docker", "service": "db", "oneoff": "False", "container-number": "1"}
    told = [word for key, value in labels.items() for word in ("--label", f"com.docker.compose.{key}={value}")]
    port = "--publish", "127.0.0.1:8265:8265"
    docker("run", "--detach", "--name", name, *told, *port, "--entrypoint", "sleep", built(), "600")
    yield name
    docker("rm", "--force", name)


def test_a_taken_port_is_said_and_the_others_are_left(neighbour: str, tmp_path: Path) -> None:
    folder = shutil.copytree(checkout(), tmp_path / "clone")

    def make(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["make", *words], cwd=folder, capture_output=True, text=True, timeout=1500, check=False)

    try:
        started = make("cluster", "N=1")
        said = [line for line in started.stderr.splitlines() if line.startswith("error: ")]
        assert started.returncode != 0
        assert len(said) == 1, started.stderr
        assert said[0].endswith("choose others: make cluster DASHBOARD_PORT=8266 TENSORBOARD_PORT=6007")
    finally:
        ended = make("cluster-down")
    assert ended.returncode == 0, ended.stderr
    assert inspected(neighbour)["State"]["Running"]
