"""Regular files alone, and never through a link: how a store opens, reads, appends to and sets aside what is in it.

Whatever else lies there under a file's name (a folder, a pipe, a device, a link, what may not be read) is `Unfit`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from filelock import Timeout

from tune_mnist.errors import ClusterError, UserError

ANOTHER = "choose another with --store"
KEPT = "every finished epoch before is kept; the same command goes on from there"
# Not blocking: opening a pipe that nobody writes to would wait for ever.
_CAREFUL = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FULL = (errno.ENOSPC, errno.EDQUOT)
_MACHINES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # what says nothing of the file
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFREG: "a file",
}


class Unfit(OSError):
    """What is there cannot be used; the text says what it is, or why."""


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Say in an Unfit which file it is that is so."""
    try:
        yield
    except Unfit as why:
        raise Unfit(f"{path} is {why}") from None


def kind(path: Path) -> str | None:
    """What is there, links not followed: "a file", "a folder", "a link", …; None if nothing is."""
    try:
        return _KINDS.get(stat.S_IFMT(os.lstat(path).st_mode), "of no known kind")
    except (FileNotFoundError, NotADirectoryError):
        return None


def size(path: Path) -> int:
    """Bytes, links not followed; 0 if there is no such file."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return os.lstat(path).st_size
    return 0


def changed(path: Path) -> float:
    """When it was last written, in seconds since 1970, links not followed; 0 if there is no such file."""
    with contextlib.suppress(OSError):
        return os.lstat(path).st_mtime
    return 0.0


def folder_size(folder: Path) -> int:
    """Bytes of what is in the folder, but not in folders in it; links not followed."""
    total = 0
    with contextlib.suppress(OSError):
        for entry in () if kind(folder) == "a link" else os.scandir(folder):
            with contextlib.suppress(FileNotFoundError):  # replaced meanwhile, by whoever trains the run
                total += entry.stat(follow_symlinks=False).st_size
    return total


def names(folder: Path) -> list[str]:
    """The names of what is in the folder; none if it is not there, is a link, or may not be read."""
    with contextlib.suppress(OSError):
        return [] if kind(folder) == "a link" else [entry.name for entry in os.scandir(folder)]
    return []


def opened(path: Path, mode: str, most: int | None = None) -> BinaryIO:
    """The file, opened as bytes; neither it nor its folder may be a link. FileNotFoundError if there is none.

    Raises Unfit for what is no regular file, may not be opened, or has more than `most` bytes.
    """
    if kind(path.parent) == "a link":
        raise Unfit(f"{path.parent} is a link, not a folder")
    try:
        buffering = 0 if mode == "rb" else -1  # what is read is read at once: half the time of a small file
        file: BinaryIO = open(path, mode, buffering, opener=_careful)  # type: ignore[assignment]  # noqa: SIM115
    except NotADirectoryError:
        raise FileNotFoundError(path) from None
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in _MACHINES:
            raise
        raise Unfit(_refused(path, error)) from None
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode) and (most is None or status.st_size <= most):
        return file
    file.close()
    if stat.S_ISREG(status.st_mode):
        raise Unfit(f"{path} has {status.st_size} bytes, more than any that was written here")
    raise Unfit(_said(path, _KINDS.get(stat.S_IFMT(status.st_mode))))


def _careful(path: str, flags: int) -> int:
    return os.open(path, flags | _CAREFUL, 0o666)


def _refused(path: Path, error: OSError) -> str:
    with contextlib.suppress(PermissionError):  # of its folder
        if (found := kind(path)) not in (None, "a file"):
            return _said(path, found)
    return f"{path} cannot be used ({error.strerror})"


def _said(path: Path, found: str | None) -> str:
    return f"{path} is {found}, not a file"


def read(path: Path, most: int) -> bytes | None:
    """The content; None if there is no such file. Raises Unfit, as `opened` does."""
    try:
        with opened(path, "rb", most) as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        if isinstance(error, (Unfit, PermissionError)) or error.errno in _MACHINES:  # or of what its folder lies in
            raise
        raise Unfit(_refused(path, error)) from None  # in reading: a fault of its disk


def set_aside(path: Path) -> None:
    """Rename what is there, whatever it is: history.jsonl becomes history.old1.jsonl (2, …)."""
    number = 1
    while kind(aside := path.with_name(f"{path.stem}.old{number}{path.suffix}")):
        number += 1
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)


def remove(path: Path) -> int:
    """Remove a regular file, and nothing else; returns the bytes freed."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        status = os.lstat(path)
        if stat.S_ISREG(status.st_mode) and not path.parent.is_symlink():
            path.unlink()
            return status.st_size
    return 0


@contextlib.contextmanager
def writing(store: Path) -> Iterator[None]:
    """Turns what keeps a store from being written into a UserError; a disk that is full or fails, a ClusterError."""
    try:
        yield
    except Timeout:  # an OSError too, and no fault
        raise
    except OSError as error:
        if error.errno in (*_FULL, errno.EIO):
            raise unwritable(store, error) from error
        raise UserError(f"store '{store}' cannot be written: {error.strerror or error}; {ANOTHER}") from None


def unwritable(store: Path, error: Exception, needed: int = 0) -> ClusterError:
    """A store that could be written, and cannot any more: which, what is missing, what is kept.

    `needed`: bytes that an epoch takes, where they are known.
    """
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if getattr(error, "errno", None) in _FULL:
        there = next(one for one in (store.absolute(), *store.absolute().parents) if one.is_dir())
        takes = f", and an epoch needs {needed / 1e6:.1f} MB" if needed else ""
        why += f"; {shutil.disk_usage(there).free / 1e6:.1f} MB are free there{takes}; make room"
    return ClusterError(f"the store '{store}' cannot be written ({why}); {KEPT}")


@contextlib.contextmanager
def reading(store: Path) -> Iterator[None]:
    """What may not be read is the store's own folder: a file or folder in it would be Unfit."""
    try:
        yield
    except PermissionError as error:
        raise UserError(f"store '{store}' cannot be read: {error.strerror}; {ANOTHER}") from None
