"""What docker/ray-node does of itself, without an engine: stand-ins for `ray` and `nvidia-smi` are on its path."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import wait_for
from engine import ROOT

pytestmark = pytest.mark.skipif(shutil.which("flock") is None, reason="there is no flock command, as in the image")

# Writes down what it was told, and ends with 1 on SIGTERM, as `ray start --block` does.
RAY = """#!/bin/sh
trap 'exit 1' TERM
echo "gpu '${CUDA_VISIBLE_DEVICES-not told}' drain $RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S $*" >"$SAID"
until [ -e "$SAID.end" ]; do sleep 0.05; done
exit 7
"""
NVIDIA_SMI = """#!/bin/sh
echo 'GPU 0: NVIDIA H100 (UUID: GPU-1)'
echo '  MIG 1g.10gb     Device  0: (UUID: MIG-1)'
echo 'GPU 1: NVIDIA H100 (UUID: GPU-2)'
"""


@dataclass
class Nodes:
    """Nodes on one machine; they share the folder of the token."""

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

    def worker(self, cpus: int = 1, gb: int = 0) -> tuple[subprocess.Popen[str], str]:
        return self.start("worker", WORKER_CPUS=str(cpus), WORKER_GB=str(gb))


def stand_in(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(0o755)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """With a head, whose token is there, and which has made the locks."""
    stand_in(tmp_path / "bin" / "ray", RAY)
    (tmp_path / "token").write_text("a token")
    nodes = Nodes(tmp_path)
    nodes.start("head")
    yield nodes
    for number, process in enumerate(nodes.started):
        (tmp_path / f"said-{number}.end").touch()
        process.communicate(timeout=10)


def gpu(told: str) -> str:
    (found,) = re.findall(r"gpu '(.*?)'", told)
    return str(found)


def test_each_gpu_belongs_to_one_worker(nodes: Nodes) -> None:
    stand_in(nodes.folder / "bin" / "nvidia-smi", NVIDIA_SMI)
    (first, one), (_, two), (third, none) = nodes.worker(), nodes.worker(), nodes.worker()
    assert [gpu(told) for told in (one, two, none)] == ["0", "1", ""]
    third.terminate()
    assert third.communicate(timeout=10)[1] == (
        "each GPU of this machine (2) has a worker already; this one has none: start 2 workers\n"
    )
    first.terminate()
    first.wait(10)
    assert gpu(nodes.worker()[1]) == "0"  # it was freed


def test_without_gpus_a_worker_is_not_told_of_any(nodes: Nodes) -> None:
    stand_in(nodes.folder / "bin" / "nvidia-smi", "#!/bin/sh\necho 'NVIDIA-SMI has failed' >&2; exit 9\n")
    process, told = nodes.worker()
    process.terminate()
    assert (gpu(told), process.communicate(timeout=10)[1]) == ("not told", "")


@pytest.mark.parametrize(("cpus", "gb", "counted"), [(1, 0, 2), (4, 0, 5), (4, 12, 12)])
def test_memory_follows_the_cpus_unless_it_is_given(cpus: int, gb: int, counted: int, nodes: Nodes) -> None:
    told = nodes.worker(cpus, gb)[1]
    objects = 512 << 20
    assert f" --num-cpus={cpus} --memory={(counted << 30) - objects} --object-store-memory={objects}\n" in told


@pytest.mark.parametrize("role", ["head", "worker"])
def test_a_node_that_is_stopped_has_not_failed(role: str, nodes: Nodes) -> None:
    process, told = nodes.start(role, WORKER_CPUS="1", WORKER_GB="0")
    assert " drain 0 " in told
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_a_node_whose_ray_ends_by_itself_ends_as_it(nodes: Nodes) -> None:
    process, _ = nodes.worker()
    (nodes.folder / f"said-{len(nodes.started) - 1}.end").touch()
    assert process.wait(10) == 7
