"""A command's own folder in /tmp, for Ray; and those that killed commands left there, removed.

A folder is its command's as long as that holds the lock on the file `owner` in it; the kernel frees it at any death.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tune_mnist.errors import ClusterError

PREFIX, OWNER, DEAD = "tm-", "owner", ".dead"
LEAST = 16 << 20  # bytes: sockets, logs and session files of Ray's, measured: 3 MB for a sweep of 4 runs
WAY_OUT = "make room there; a container gets it with --tmpfs /tmp"


def place() -> Path:
    """In /tmp, because Ray's sockets lie in it and their paths may not be long."""
    return Path("/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir())  # noqa: PTH112


def check() -> None:
    """Make what room there is, and raise ClusterError where it is not enough for a folder of Ray's."""
    sweep()
    with _refusing():
        free = shutil.disk_usage(place()).free
        if free < LEAST:
            there = f"{free >> 10} of the {LEAST >> 10} kB that it needs are free there"
            raise ClusterError(f"Ray keeps its files in {place()}, and {there}; {WAY_OUT}")
        with tempfile.TemporaryFile(dir=place()):
            pass


def check_temporary() -> None:
    """Raise ClusterError where no temporary file can be made anywhere: matplotlib does not draw without."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        raise ClusterError(f"drawing needs temporary files, and {place()} cannot be written; {WAY_OUT}") from None


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Who fails to write in /tmp within the block gets a ClusterError."""
    try:
        yield
    except OSError as error:
        said = f"Ray keeps its files in {place()}, and it cannot be written ({error.strerror}); {WAY_OUT}"
        raise ClusterError(said) from None


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder within the `with` block. Raises ClusterError where there is no room for one."""
    check()
    with _refusing():
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place()))
        lock = _own(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _own(folder: Path) -> int:
    """Lock the folder; its file has its name only once it is locked, so that nobody finds it free before."""
    beside = folder / f"{OWNER}.new"
    lock = os.open(beside, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    beside.rename(folder / OWNER)
    return lock


def sweep() -> None:
    """Remove the folders whose commands are dead. Nobody else's are touched, nor one that has no `owner`."""
    for folder in place().glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder / OWNER, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _end(folder)
                _remove(folder)
            finally:
                os.close(lock)


def _end(folder: Path) -> None:
    """A dead command's Ray may live for a minute, and what of it is just starting makes the folder once more."""
    from tune_mnist.machine.processes import end_of_dead  # not above: most often there is none

    end_of_dead(folder.with_name(folder.name.removesuffix(DEAD)))


def _remove(folder: Path) -> None:
    """Under another name, so that a Ray that cannot be ended from here, a container's, no longer writes into it;
    `owner` last, so that the next sweep goes on where this one is killed. Raises OSError.
    """
    if not folder.name.endswith(DEAD):
        folder = folder.rename(folder.with_name(folder.name + DEAD))
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != OWNER:
            path.unlink()
    shutil.rmtree(folder)
