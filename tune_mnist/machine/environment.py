"""Where and with what a command ran: versions, hardware, git commit and tree, data. Written as environment.json."""

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
CHANGED = "-dirty"  # behind a commit that is told, as git itself describes one that was changed since
NOT_RESULTS = ("--", ":/", ":(top,exclude)results")
PACKAGE = Path(__file__).parents[1]


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
        "git_tree": git_tree(PACKAGE),
        "data_sha256": checksums,
    }


def command_line() -> str:
    """The command that was given; a sweep on a cluster is told the one that was given at home."""
    command = os.environ.get(COMMAND_NAME) or shlex.join([*_program(Path(sys.argv[0])), *sys.argv[1:]])
    return command.encode("utf-8", "backslashreplace").decode()  # a file's name may have bytes that are no letters


def _program(path: Path) -> list[str]:
    """How a person starts it: the file that Python names, such as …/tune_mnist/run.py, is not that."""
    if path.parent == PACKAGE:
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
    """The commit of the code that runs and whether it was changed since; None where neither a checkout nor anybody
    tells it.

    What commands leave in results/ is no change of the code.
    """
    # Without the first, it would be the commit of whatever repository lies around an installed package.
    tracked = _git("ls-files", "--error-unmatch", Path(__file__).name)
    commit = _git("rev-parse", "HEAD") if tracked else None
    if commit is not None:
        return {"commit": commit, "dirty": bool(_git("status", "--porcelain", *NOT_RESULTS))}
    told = os.environ.get(COMMIT_NAME, "")  # the image, and a cluster, are told theirs
    commit = told.removesuffix(CHANGED)
    return {"commit": commit, "dirty": told != commit} if commit else None


def told_commit() -> str:
    """`git_state` as COMMIT_NAME tells it; nothing where there is none."""
    state = git_state()
    return f"{state['commit']}{CHANGED if state['dirty'] else ''}" if state else ""


def git_tree(folder: Path) -> str | None:
    """What git would call the folder's content, in hex: `git rev-parse COMMIT:tune_mnist` prints the same if the files
    are those of that commit. It needs no git and no checkout, and so is known in every image. None where a file cannot
    be read.
    """
    with contextlib.suppress(OSError):
        return _object(b"tree", _entries(folder)).hex()
    return None


def _entries(folder: Path) -> bytes:
    """A tree as git writes it: each file and folder with its object's sum. Empty folders are not in it."""
    found = {}
    for path in folder.iterdir():
        name = path.name.encode()
        if not path.is_dir():
            found[name] = b"100644 %b\0%b" % (name, _object(b"blob", path.read_bytes()))
        elif path.name != "__pycache__" and (inside := _entries(path)):
            found[name + b"/"] = b"40000 %b\0%b" % (name, _object(b"tree", inside))  # sorted with its slash
    return b"".join(entry for _, entry in sorted(found.items()))


def _object(kind: bytes, content: bytes) -> bytes:
    """The sum by which git knows it."""
    return hashlib.sha1(b"%b %d\0%b" % (kind, len(content), content), usedforsecurity=False).digest()


def _git(*arguments: str) -> str | None:
    with contextlib.suppress(OSError):
        here = Path(__file__).parent
        done = subprocess.run(["git", "-C", here, *arguments], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
    return None
