"""How a command ends when it is told to, or when Ray would not let it: signals, and leaving at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
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


def interruptible() -> contextlib.AbstractContextManager[None]:
    """SIGINT and SIGTERM raise KeyboardInterrupt within the `with` block."""
    return _handling(interrupt)


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
