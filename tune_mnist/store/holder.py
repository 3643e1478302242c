"""Who is training a run: said in a file beside its lock, for whoever waits.

Not in the lock's own file, because who tries a lock may empty that.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from tune_mnist.files import now

HOLDER, GROWS = "holder", "history.jsonl"


@contextlib.contextmanager
def named_holder(folder: Path) -> Iterator[None]:
    """This process holds the run's lock for the length of the `with` block."""
    path = folder / HOLDER
    with contextlib.suppress(OSError):
        path.write_text(f"process {os.getpid()} on {platform.node()}, since {now()}", "utf-8")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def holder(folder: Path) -> tuple[str, float]:
    """Who is training the run, in words; and when anything last came of it, in seconds since 1970."""
    said, grown = "unknown", 0.0
    with contextlib.suppress(OSError, UnicodeDecodeError):
        said = (folder / HOLDER).read_text("utf-8")
    for name in (HOLDER, GROWS):
        with contextlib.suppress(OSError):
            grown = max(grown, (folder / name).stat().st_mtime)
    return said, grown
