"""Files that appear whole or not at all, also after a crash; those that people wrote; and the time of writing."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

MOST_BYTES = 1_000_000  # of a file that a person wrote: the longest sweep file that we have seen has 4 kB


def read_written(path: Path) -> str:
    """The text of a file that a person wrote, in UTF-8. Raises OSError as `read_regular`, and for one too large."""
    content = read_regular(path, most=MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {MOST_BYTES // 1_000_000} MB; nobody wrote that", str(path))
    return content.decode("utf-8")


def write_whole(path: Path, content: bytes) -> None:
    """Write beside, sync, rename: whoever looks sees the old file or the new one, also after a crash.

    Where it fails, nothing is left beside. The name beside is random: two containers on one disk share process ids.
    """
    beside = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}")
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    sync_folder(path.parent)


def read_regular(path: Path, follow: bool = True, most: int = -1) -> bytes:
    """The content of a regular file. Raises OSError for any other kind: a pipe would wait, a device never ends.

    With `follow`, also through a symbolic link. No more than `most` bytes are read, if it is given: a file's size may
    not tell, as in /proc, where it is 0.
    """
    mode = path.stat(follow_symlinks=follow).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        what = "a link" if stat.S_ISLNK(mode) else "a device or a pipe"
        raise OSError(errno.EINVAL, f"it is {what}, not a file", str(path))
    with path.open("rb") as file:
        return file.read(most)


def shortened(name: str) -> str:
    """As much of it as a file may be called by: systems take names of 255 bytes."""
    encoded = name.encode(errors="surrogatepass")
    return name if len(encoded) <= 200 else encoded[:200].decode(errors="ignore")


def sha256(path: Path) -> str | None:
    """Of a regular file's content; None where there is none that can be read, or only a link."""
    try:
        return hashlib.sha256(read_regular(path, follow=False)).hexdigest()
    except OSError:
        return None


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One command at a time is in such a block of this folder; the others wait for its end."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # of a file system that knows no such locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


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
