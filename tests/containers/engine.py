"""A Docker engine, the image built from a clean copy of the repository, and what is asked of both.

Where no engine answers, the tests that ask for one are skipped.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]
IMAGE = "mnist"
# The caller; for root, who could write anywhere, somebody whom the image does not know.
USER = f"{os.getuid()}:{os.getgid()}" if os.getuid() else "12345:54321"
HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--network", "none", "--user", USER)


def docker(*arguments: str, check: bool = True, seconds: float = 600) -> subprocess.CompletedProcess[str]:
    """A docker command; its output is captured."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=seconds, check=False)
    assert not check or done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout}\n{done.stderr}"
    return done


def need_engine() -> None:
    """Skip the test where no engine answers."""
    if shutil.which("docker") is None:
        pytest.skip("there is no docker command")
    if docker("info", check=False, seconds=30).returncode:
        pytest.skip("no Docker engine answers")


@cache
def compose_command() -> tuple[str, ...]:
    """Docker's plugin, or the older command; skip without either."""
    if docker("compose", "version", check=False).returncode == 0:
        return "docker", "compose"
    if shutil.which("docker-compose") is None:
        pytest.skip("there is neither docker compose nor docker-compose")
    return ("docker-compose",)


@cache
def checkout() -> Path:
    """What a clean clone has: the files that git tracks or would take, and nothing else."""
    folder = Path(tempfile.mkdtemp(prefix="tune-mnist-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@cache
def built() -> str:
    """The image, built as a user builds it; its layer of packages comes from the engine's cache where it has it."""
    command = ["docker", "build", "--tag", IMAGE, "--file", "docker/Dockerfile", "."]
    with FileLock(Path(tempfile.gettempdir(), "tune-mnist-image.lock")):  # two at once would both do all of it
        done = subprocess.run(command, cwd=checkout(), capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return IMAGE


def inspected(name: str) -> dict[str, Any]:
    """What the engine says of a container or an image."""
    (found,) = json.loads(docker("inspect", name).stdout)
    assert isinstance(found, dict)
    return found


def owned(folder: Path) -> Path:
    """The folder, made, and the caller's."""
    folder.mkdir(parents=True, exist_ok=True)
    user, group = (int(number) for number in USER.split(":"))
    os.chown(folder, user, group)
    return folder
