"""Files that appear whole or not at all, also after a crash; those that people wrote; and the time of writing."""

from __future__ import annotations

import errno
import os
import stat
from datetime import datetime, timezone
from pathlib import Path

MOST_BYTES = 1_000_000  # of a file that a person wrote: the longest sweep file that we have seen has 4 kB


def read_written(path: Path) -> str:
    """The text of a file that a person wrote, in UTF-8.

    Raises OSError, before it reads, also for what is no regular file (a device never ends) or too large to be one.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a device or a pipe, not a file", str(path))
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)  # whatever its size says: that of a file in /proc is 0
    if len(content) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {MOST_BYTES // 1_000_000} MB; nobody wrote that", str(path))
    return content.decode("utf-8")


def write_whole(path: Path, content: bytes) -> None:
    """Write beside, sync, rename: whoever looks sees the old file or the new one, also after a crash."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """A file's new name is safe from a power cut only once its folder is written too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
