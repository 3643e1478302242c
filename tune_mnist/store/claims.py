"""Who trains a run: a lock per run, and beside it, for whoever waits, a note of who holds it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock

from tune_mnist.store.regular import Unfit, kind, opened, read, remove, set_aside

OTHER_FILES = 256  # that a process opens beside the locks: Ray's sockets, event files, the log
_MOST = 1000  # bytes of a note


@contextlib.contextmanager
def claimed(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of the run in `folder` for the length of the `with` block. Raises Timeout if another holds it.

    What is no folder, or no lock, is set aside, and `say` hears it.
    """
    if kind(folder) not in (None, "a folder") or kind(folder / "lock") not in (None, "a file"):
        _clear(folder, say)
    folder.mkdir(parents=True, exist_ok=True)
    # Any thread of this process may free it: the one that writes rows is not the one that took the lock.
    with FileLock(folder / "lock", timeout=0, thread_local=False):
        _note(folder)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # of a disk that has become read-only, which hides no other error
                remove(folder / "holder")


def _clear(folder: Path, say: Callable[[str], None]) -> None:
    """By one process at a time: what is there when the next one looks is good."""
    with FileLock(folder.parent / ".mending"):
        for path, good in ((folder, "a folder"), (folder / "lock", "a file")):
            if (found := kind(path)) not in (None, good):
                set_aside(path)
                say(f"{path} is {found}, not {good}; it is set aside")


def _note(folder: Path) -> None:
    """For a message alone, so what cannot be written is left."""
    remove(folder / "holder")  # of a command that was killed
    about = {"pid": os.getpid(), "host": platform.node(), "since": time.time()}
    with contextlib.suppress(Unfit, OSError), opened(folder / "holder", "xb") as file:
        file.write(json.dumps(about).encode())


def holder(folder: Path) -> str | None:
    """Who holds the run's lock, as "pid 123 on host x since 10:02"; None if nobody does."""
    if not _is_held(folder / "lock"):
        return None
    try:
        about = json.loads(read(folder / "holder", _MOST) or b"")
        host = "".join(filter(str.isprintable, str(about["host"])))
        return f"pid {int(about['pid'])} on host {host} since {_clock(float(about['since']))}"
    except (Unfit, ValueError, LookupError, TypeError, OverflowError, OSError, RecursionError):
        return "another command"  # that has written no note, or not yet


def _clock(moment: float) -> str:
    """10:02 of today; of another day, with its date."""
    then = time.localtime(moment)
    return time.strftime("%H:%M" if time.strftime("%F") == time.strftime("%F", then) else "%F %H:%M", then)


def _is_held(lock: Path) -> bool:
    """Asked by taking it: who wants it in that instant asks again a second later."""
    try:
        with opened(lock, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (Unfit, OSError):
        return False
    return False


def at_once(wanted: int) -> int:
    """How many locks this process may hold beside its other files, its limit raised where the system lets it."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit < wanted + OTHER_FILES:
        with contextlib.suppress(ValueError, OSError):
            high = wanted + OTHER_FILES
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (high if most == resource.RLIM_INFINITY else min(high, most), most)
            )
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, limit - OTHER_FILES)
