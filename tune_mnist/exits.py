"""How a command ends when it is told to, or when Ray would not let it: signals, and leaving at once."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

ENDING = (signal.SIGINT, signal.SIGTERM)


class LeaveAtOnce(SystemExit):
    """The command is done, and Ray's own way out would wait a minute for a head that is lost."""


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    """What SIGINT and SIGTERM do: raise KeyboardInterrupt, once."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)  # a second one must not break what the first one puts in order
    raise KeyboardInterrupt


def stop(number: int, frame: FrameType | None) -> None:
    """What SIGINT and SIGTERM do while runs are trained: say so at once, because Ray takes seconds to end; then raise.

    Said in a thread, because the signal may have come in the middle of another line.
    """
    said, stage = "stopping; finished epochs are kept", {"extra": {"stage": True}}
    threading.Thread(target=logging.getLogger("tune_mnist").info, args=(said,), kwargs=stage, daemon=True).start()
    interrupt(number, frame)


def interruptible() -> contextlib.AbstractContextManager[None]:
    """SIGINT and SIGTERM raise KeyboardInterrupt within the `with` block, and say what that ends."""
    return _handling(stop)


def uninterrupted() -> contextlib.AbstractContextManager[None]:
    """SIGINT and SIGTERM do nothing within the `with` block."""
    return _handling(signal.SIG_IGN)


@contextlib.contextmanager
def _handling(handler: Any) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in ENDING}
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
