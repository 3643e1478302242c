"""A project of compose.yaml over a clean copy of the repository, and what its service `sweep` is asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from conftest import HISTORY, Rows, rows
from engine import USER, built, checkout, compose_command, docker, inspected, need_engine, owned


@dataclass(frozen=True)
class Compose:
    """A project of compose.yaml over a clean copy of the repository."""

    folder: Path
    project: str

    def __call__(self, *arguments: str, seconds: float = 300, **more: str) -> str:
        files = "-f", "docker/compose.yaml", "-f", "docker/asked.yaml"
        command = [*compose_command(), "-p", self.project, *files, *arguments]
        around = {"MNIST_USER": USER, "PATH": os.environ["PATH"], **more}
        done = subprocess.run(
            command, cwd=self.folder, env=around, capture_output=True, text=True, timeout=seconds, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def ask(self, name: str, *options: str) -> Sweep:
        """Let the service `sweep` run this, with a store of its own; it starts with the next `up`."""
        options = (*options, "--output", f"/results/{name}", "--store", f"/results/{name}-store")
        asked = {"services": {"sweep": {"command": list(options)}}}
        (self.folder / "docker" / "asked.yaml").write_text(yaml.safe_dump(asked), "utf-8")
        return Sweep(self, self.folder / "results" / name)

    def up(self, workers: int, *options: str) -> None:
        self("up", "--detach", "--scale", f"worker={workers}", *options)

    def containers(self, service: str) -> list[str]:
        return self("ps", "-q", service).split()

    def hostnames(self) -> list[str]:
        return [inspected(name)["Config"]["Hostname"] for name in self.containers("worker")]


@dataclass(frozen=True)
class Sweep:
    """What the service `sweep` was asked for, and what it leaves on the host."""

    compose: Compose
    results: Path

    def log(self) -> str:
        return "".join(path.read_text("utf-8") for path in self.results.glob("*_experiments.log"))

    def epochs(self) -> Rows:
        return rows(self.results / HISTORY)

    def ended(self) -> int:
        """Wait for the end; its exit code."""
        (name,) = self.compose.containers("sweep")
        return int(docker("wait", name, seconds=400).stdout)

    def said(self) -> str:
        (name,) = self.compose.containers("sweep")
        done = docker("logs", name)
        return done.stdout + done.stderr


@contextmanager
def project(folder: Path) -> Iterator[Compose]:
    """A project whose containers are removed at the end of the `with` block; skips without an engine."""
    need_engine()
    compose_command()
    built()
    shutil.copytree(checkout(), folder / "tune_mnist")
    for name in ("data", "results"):
        owned(folder / "tune_mnist" / name)
    compose = Compose(folder / "tune_mnist", "tune-mnist-test")
    compose.ask("nothing", "--help")
    try:
        yield compose
    finally:
        compose("down", "--volumes")
