"""Download archives through torchvision: one process at a time, with a progress bar, given up without a network."""

from __future__ import annotations

import contextlib
import http.client
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

Say = Callable[[str], None]
Sources = dict[str, tuple[list[str], str]]  # file -> the addresses of its archive, to be tried in turn, and its MD5
DEADLINE = 12.0  # seconds without a new byte until a download is given up; a whole command then ends within about 20
TRANSFER_ERRORS = (OSError, RuntimeError, http.client.HTTPException)


class UnavailableError(Exception):
    """What cannot be had, and why, in one line."""


def alone(data_dir: Path, say: Say) -> AbstractContextManager[object]:
    """Lets one process at a time download to `data_dir`; a process that dies has let go."""
    from filelock import FileLock, Timeout

    data_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(data_dir / ".download.lock")
    with contextlib.suppress(Timeout):
        return lock.acquire(timeout=0)
    say(f"waiting for another process that downloads to {data_dir}")
    return lock.acquire()


def fetch(sources: Sources, folder: Path) -> None:
    """Download and extract into `folder`, or raise UnavailableError once nothing has come for DEADLINE seconds.

    In a thread, because a name server that never answers cannot be interrupted. A thread given up is a daemon, starts
    no further transfer, and finds its folder gone.
    """
    errors: list[Exception] = []
    given_up = threading.Event()

    def work() -> None:
        try:
            for addresses, md5 in sources.values():
                _fetch_one(addresses, md5, folder, given_up)
        except Exception as error:
            errors.append(error)

    thread, before = threading.Thread(target=work, daemon=True), socket.getdefaulttimeout()
    socket.setdefaulttimeout(DEADLINE / 2)  # half, so that a silent first mirror leaves time for the second
    try:
        with contextlib.redirect_stdout(sys.stderr):  # older torchvisions print; stdout is for results
            thread.start()
            _wait(thread, folder)
    finally:
        given_up.set()
        socket.setdefaulttimeout(before)
    error = TimeoutError(f"nothing came for {DEADLINE:g} s") if thread.is_alive() else next(iter(errors), None)
    if isinstance(error, TRANSFER_ERRORS):
        (main_address, *_), _ = next(iter(sources.values()))
        raise UnavailableError(f"cannot be downloaded from {main_address.rpartition('/')[0]} ({cause(error)})")
    if error is not None:
        raise error


def _fetch_one(addresses: list[str], md5: str, folder: Path, given_up: threading.Event) -> None:
    """One archive from the first address that gives it; otherwise raises what the first, the main one, said."""
    from torchvision.datasets.utils import download_and_extract_archive

    errors: list[Exception] = []
    for address in addresses:
        if given_up.is_set():  # nobody waits for it any more
            return
        try:
            download_and_extract_archive(address, str(folder), md5=md5)
            return
        except TRANSFER_ERRORS as error:
            errors.append(error)
    raise errors[0]


def _wait(thread: threading.Thread, folder: Path) -> None:
    """Until the thread has ended, or nothing in `folder` has grown for DEADLINE seconds."""
    size, since = 0, time.monotonic()
    while thread.is_alive() and time.monotonic() - since < DEADLINE:
        thread.join(0.1)
        now = sum(file.stat().st_size for file in folder.iterdir())
        if now != size:
            size, since = now, time.monotonic()


def cause(error: Exception) -> str:
    """The last line of what an error says, without the wrapping that urllib puts around it."""
    text = (str(error).strip() or type(error).__name__).splitlines()[-1]
    return text.removeprefix("<urlopen error ").removesuffix(">")
