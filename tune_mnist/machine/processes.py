"""Processes of a Ray that this one, or a dead command, has started: which is lost, and the end of all that are left."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil


def is_stopped(pid: int) -> bool:
    """Whether the process is there and stopped (SIGSTOP)."""
    return _status(pid) == "stopped"


def _status(pid: int) -> str:
    with suppress(psutil.Error):
        return str(psutil.Process(pid).status())
    return "dead"


class Processes:
    """`needed`: what each is in words -> its number. One that is stopped for more than `most_stopped` looks is lost."""

    def __init__(self, needed: Mapping[str, int], others: list[int], most_stopped: float) -> None:
        self.needed, self.most_stopped = needed, most_stopped
        self.started: set[psutil.Process] = set()
        for pid in [*needed.values(), *others]:
            with suppress(psutil.Error):
                self.started.add(psutil.Process(pid))
        self._stopped = dict.fromkeys(needed, 0)

    def missing(self) -> str | None:
        """The one that is gone, or that has been stopped for long."""
        self.started = self.started | _children(self.started)  # another thread may be looking through the one of before
        for words, pid in self.needed.items():
            status = _status(pid)
            self._stopped[words] = self._stopped[words] + 1 if status == "stopped" else 0
            if status in ("dead", "zombie") or self._stopped[words] > self.most_stopped:
                return words
        return None

    def end(self) -> None:
        """Kill them, and what they started."""
        _kill(self.started | _children(self.started))


def end_of(folder: Path) -> None:
    """Kill the processes of ours that keep their files in this folder, and what they started."""
    _end([one for one in psutil.Process().children(recursive=True) if str(folder) in " ".join(_words(one))])


def end_of_dead(folder: Path) -> None:
    """Kill what is left of the Ray that has this folder, and what it started. The command that started it is dead.

    It ends by itself, but later: what of it is just starting makes its folders once more, with what they lie in.
    """
    for _ in range(3):  # what a parent started just before it was killed
        _end([one for one in psutil.process_iter() if _is_rays(one, folder)])


def _is_rays(process: psutil.Process, folder: Path) -> bool:
    """Whether an option of this user's process names a file there, or, of a worker, whether its log lies there."""
    words = _words(process)
    with suppress(psutil.Error):
        if process.uids().real != os.getuid():
            return False
        if any(word.startswith("ray::") for word in words[:1]):
            return any(Path(file.path).is_relative_to(folder) for file in process.open_files())
        return any(f"={folder}/" in word for word in words)
    return False


def _words(process: psutil.Process) -> list[str]:
    """Its command line; a process that is over has none."""
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []


def _end(processes: list[psutil.Process]) -> None:
    _kill(set(processes) | _children(set(processes)))


def _children(processes: set[psutil.Process]) -> set[psutil.Process]:
    found = set()
    for process in processes:
        with suppress(psutil.Error):
            found |= set(process.children(recursive=True))
    return found


def _kill(processes: set[psutil.Process]) -> None:
    """Each is known by its number and its start: never another one that has the number by now."""
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=3)
