"""How a command ends when it is told to, or when Ray would not let it; and how it goes on when nobody listens."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

INTERRUPTED = 130  # the exit code then
told = threading.Event()  # that one of them has come; cleared where the next `interruptible` block begins


class LeaveAtOnce(SystemExit):
    """The command is done, and Ray's own way out would wait a minute for a head that is lost."""


class InterruptedAlone(KeyboardInterrupt):
    """An interrupt that ended Ray, too: the signal went to a whole process group. Ray's own way out would wait."""


def ending() -> list[int]:
    """The signals that ask for an end: Ctrl-C; `docker stop`, systemd, Slurm; a terminal that is closed, unless nohup
    started the command.
    """
    hang_up = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hang_up]


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    """What the `ending` signals do: raise KeyboardInterrupt, once."""
    told.set()
    for number in ending():
        signal.signal(number, signal.SIG_IGN)  # a second one must not break what the first one puts in order
    raise KeyboardInterrupt


def stop(number: int, frame: FrameType | None) -> None:
    """What the `ending` signals do while runs are trained: say so at once, as Ray takes seconds to end; then raise.

    Said in a thread, because the signal may have come in the middle of another line.
    """
    said, stage = "stopping; finished epochs are kept", {"extra": {"stage": True}}
    threading.Thread(target=logging.getLogger("tune_mnist").info, args=(said,), kwargs=stage, daemon=True).start()
    interrupt(number, frame)


def interruptible() -> contextlib.AbstractContextManager[None]:
    """The `ending` signals raise KeyboardInterrupt within the `with` block, and say what that ends."""
    told.clear()
    return _handling(stop)


def interrupting() -> contextlib.AbstractContextManager[None]:
    """The `ending` signals raise KeyboardInterrupt within the `with` block, which says itself what that ends."""
    told.clear()
    return _handling(interrupt)


def uninterrupted() -> contextlib.AbstractContextManager[None]:
    """The `ending` signals do nothing within the `with` block."""
    return _handling(signal.SIG_IGN)


@contextlib.contextmanager
def delayed() -> Iterator[None]:
    """The `ending` signals wait for the `with` block's end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ending())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _handling(handler: Any) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in ending()}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def leave_at_once(code: int) -> NoReturn:
    """End the process without what it would do at its end, but with all that it has said."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class Output(io.FileIO):
    """Standard output or error: what cannot be written is dropped, and `failure` says why; the command goes on."""

    failure: OSError | None = None

    def write(self, content: Any) -> int:
        if self.failure is None:
            try:
                return super().write(content)
            except OSError as error:  # a pipe that nobody reads any more, a full disk
                self.failure = error
        return len(memoryview(content).cast("B"))


def lasting_output() -> Output | None:
    """Make standard output and error last; returns standard output, unless somebody has put another in its place."""
    lasting = [_lasting(name) for name in ("stdout", "stderr")]
    return lasting[0]


def _lasting(name: str) -> Output | None:
    stream = getattr(sys, name)
    if stream is None:  # closed from the start: `>&-`
        setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        return None
    if stream is not getattr(sys, f"__{name}__"):
        return None
    stream.flush()
    raw = Output(stream.fileno(), "wb", closefd=False)
    buffered = io.BufferedWriter(raw)
    setattr(sys, name, io.TextIOWrapper(buffered, stream.encoding, stream.errors, line_buffering=stream.line_buffering))
    return raw
