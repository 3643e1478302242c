"""Processes that this one has started, and those that they started: which is lost, and the end of all that are left.

psutil comes with Ray, and is found once Ray is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil


def is_stopped(pid: int) -> bool:
    """Whether the process is there and stopped (SIGSTOP)."""
    return _status(pid) == "stopped"


def _status(pid: int) -> str:
    import psutil

    with suppress(psutil.Error):
        return str(psutil.Process(pid).status())
    return "dead"


class Processes:
    """`needed`: what each is in words -> its number. One that is stopped for more than `most_stopped` looks is lost."""

    def __init__(self, needed: Mapping[str, int], others: list[int], most_stopped: float) -> None:
        import psutil

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
    import psutil

    found = set()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if str(folder) in " ".join(process.cmdline()):
                found.add(process)
    _kill(found | _children(found))


def _children(processes: set[psutil.Process]) -> set[psutil.Process]:
    import psutil

    found = set()
    for process in processes:
        with suppress(psutil.Error):
            found |= set(process.children(recursive=True))
    return found


def _kill(processes: set[psutil.Process]) -> None:
    """Each is known by its number and its start: never another one that has the number by now."""
    import psutil

    for process in processes:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=3)
