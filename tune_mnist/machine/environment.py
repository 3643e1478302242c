"""Where and with what a command ran: versions, hardware, git commit, data. Written as environment.json."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tune_mnist.machine.cpu import cpu_count, cpu_model
from tune_mnist.machine.devices import gpu_count

PACKAGES = ("tune-mnist", "torch", "torchvision", "ray", "numpy", "pandas", "matplotlib", "scikit-learn", "tensorboard")
COMMAND_NAME, COMMIT_NAME = "TUNE_MNIST_COMMAND", "TUNE_MNIST_COMMIT"  # a job on a cluster is told what home has
DIRTY = "-dirty"  # after a commit: with changes, as `git describe --dirty` writes it
NOT_RESULTS = ("--", ":/", ":(top,exclude)results")


def describe(started: str, ended: str, checksums: dict[str, str]) -> dict[str, Any]:
    """All of it, as values that JSON knows. `checksums`: data file -> SHA-256. Times are ISO 8601."""
    return {
        "command": command_line(),
        "started": started,
        "ended": ended,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "hostname": platform.node(),
        "packages": {name: package_version(name) for name in PACKAGES},
        "cpu": {"model": cpu_model(), "usable": cpu_count(), "in_machine": os.cpu_count()},
        "gpus": _gpu_names(),
        "git": git_state(),
        "code_sha256": _code(),
        "data_sha256": checksums,
    }


def command_line() -> str:
    """The command that was given; a sweep on a cluster is told the one that was given at home."""
    command = os.environ.get(COMMAND_NAME) or shlex.join([*_program(Path(sys.argv[0])), *sys.argv[1:]])
    return command.encode("utf-8", "backslashreplace").decode()  # a file's name may have bytes that are no letters


def _program(path: Path) -> list[str]:
    """How a person starts it: the file that Python names, such as …/tune_mnist/run.py, is not that."""
    if path.parent == Path(__file__).parents[1]:
        return ["tune-mnist", *([] if path.stem == "__main__" else [path.stem])]
    return ["python", path.name] if path.suffix == ".py" else [path.name]


def package_version(package: str) -> str | None:
    """The installed version of a package; None if it is not installed."""
    with contextlib.suppress(PackageNotFoundError):
        return version(package)
    return None


def _gpu_names() -> list[str]:
    if not gpu_count():
        return []
    import torch

    return [torch.cuda.get_device_name(i) for i in range(gpu_count())]


def git_state() -> dict[str, Any] | None:
    """The commit of the code that runs and whether it was changed since; None where it is not a git checkout.

    What commands leave in results/ is no change of the code.
    """
    # Without the first, it would be the commit of whatever repository lies around an installed package.
    tracked = _git("ls-files", "--error-unmatch", Path(__file__).name)
    commit = _git("rev-parse", "HEAD") if tracked else None
    if commit is None and (told := os.environ.get(COMMIT_NAME)):  # the image, and a cluster, are told theirs
        return {"commit": told.removesuffix(DIRTY), "dirty": told.endswith(DIRTY)}
    return None if commit is None else {"commit": commit, "dirty": bool(_git("status", "--porcelain", *NOT_RESULTS))}


def revision() -> str:
    """The commit as an image, and a cluster, are told it: with -dirty where the code was changed; empty without one."""
    state = git_state() or {"commit": "", "dirty": False}
    return f"{state['commit']}{DIRTY if state['dirty'] else ''}"


def _code() -> str:
    """SHA-256 of this package's code: what is known of it where git is not, as in an image that was built without."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _git(*arguments: str) -> str | None:
    with contextlib.suppress(OSError):
        here = Path(__file__).parent
        done = subprocess.run(["git", "-C", here, *arguments], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
    return None
