"""The processes of a command, its Ray's too, and the folders in /tmp that they keep. Linux: all is read from /proc."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

# Words of a command line -> which part of a local Ray it is.
PARTS = {"raylet": "/raylet/raylet ", "gcs": "/gcs_server ", "mailbox": "ray::Mailbox", "worker": "ray::Implicit"}
MARK = "CHAOS_SANDBOX"  # in the environment of all that a sandbox starts
SCRATCH = re.compile(r"/tmp/tm-[^/\s]+")
PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A living process; `began` tells it from a later one with its number."""

    pid: int
    parent: int
    began: int
    line: str = field(compare=False)


def living() -> dict[int, Process]:
    """Every process but zombies, by number."""
    found = {}
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError, IndexError):
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace") + " "
            if stat[0] not in "ZX":
                pid = int(folder.name)
                found[pid] = Process(pid, int(stat[1]), int(stat[19]), line)
    return found


@dataclass
class Family:
    """All processes that a sandbox has started, gathered while they live: Ray's outlive their parents."""

    mark: str
    seen: dict[tuple[int, int], Process] = field(default_factory=dict)
    folders: set[Path] = field(default_factory=set)

    def look(self) -> list[Process]:
        """Those that live now."""
        alive = living()
        known = {pid for pid, one in alive.items() if (pid, one.began) in self.seen}
        known |= {pid for pid in alive.keys() - known if self._is_marked(pid)}
        while new := {pid for pid, one in alive.items() if one.parent in known and pid not in known}:
            known |= new
        for pid in known:
            self.seen[pid, alive[pid].began] = alive[pid]
            self.folders |= {Path(name) for name in SCRATCH.findall(alive[pid].line)}
        return [alive[pid] for pid in sorted(known)]

    def _is_marked(self, pid: int) -> bool:
        with suppress(OSError):
            return f"{MARK}={self.mark}".encode() in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
        return False

    def part(self, name: str) -> list[int]:
        """The numbers of the processes that are this part of Ray."""
        return [one.pid for one in self.look() if PARTS[name] in one.line]

    def variable(self, name: str) -> str:
        """What an environment variable of Ray's processes says."""
        (raylet, *_) = self.part("raylet")
        words = (PROC / str(raylet) / "environ").read_text().split("\0")
        return next(word.partition("=")[2] for word in words if word.startswith(f"{name}="))

    def left(self, patience: float) -> list[str]:
        """What is still there when so many seconds have passed: processes and folders."""
        end = time.monotonic() + patience
        while True:
            there = [one.line for one in self.look()] + [str(path) for path in self.folders if path.exists()]
            if not there or time.monotonic() > end:
                return there
            time.sleep(0.3)

    def bury(self) -> None:
        """End and remove whatever is left, so that nothing of one scenario is met by the next."""
        for one in self.look():
            with suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGKILL)
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)
