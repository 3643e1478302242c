"""What docker/ray-node does of itself, without an engine: a stand-in for `ray` is on its path."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import wait_for
from engine import ROOT

# Writes down what it was told, and ends with 1 on SIGTERM, as `ray start --block` does.
RAY = r"""#!/bin/sh
trap 'exit 1' TERM
echo "drain $RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S $*" >"$SAID"
until [ -e "$SAID.end" ]; do sleep 0.05; done
exit 7
"""


@dataclass
class Nodes:
    """Nodes on one machine."""

    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, role: str, **more: str) -> tuple[subprocess.Popen[str], str]:
        """A node, and what its Ray was told."""
        said = self.folder / f"said-{len(self.started)}"
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        around = {"PATH": path, "SAID": str(said), "RAY_AUTH_TOKEN_PATH": str(self.folder / "token"), **more}
        script = ROOT / "docker" / "ray-node"
        process = subprocess.Popen(["sh", script, role], env=around, stderr=subprocess.PIPE, text=True)
        self.started.append(process)
        wait_for(lambda: said.exists() and said.read_text().endswith("\n"), "Ray's start", 10)
        return process, said.read_text()


def stand_in(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(0o755)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    stand_in(tmp_path / "bin" / "ray", RAY)
    (tmp_path / "token").write_text("a token")
    nodes = Nodes(tmp_path)
    yield nodes
    for number, process in enumerate(nodes.started):
        (tmp_path / f"said-{number}.end").touch()
        process.communicate(timeout=10)


@pytest.mark.parametrize("role", ["head", "worker"])
def test_a_node_that_is_stopped_has_not_failed(role: str, nodes: Nodes) -> None:
    process, told = nodes.start(role, WORKER_CPUS="1", WORKER_GB="4")
    assert told.startswith("drain 0 ")
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_a_node_whose_ray_ends_by_itself_ends_as_it(nodes: Nodes) -> None:
    process, _ = nodes.start("worker", WORKER_CPUS="1", WORKER_GB="4")
    (nodes.folder / f"said-{len(nodes.started) - 1}.end").touch()
    assert process.wait(10) == 7
