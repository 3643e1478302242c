"""What happens, said once: here it is said, and whoever opens a handler below decides where it is heard."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import MemoryHandler
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tune_mnist.display.screen import is_asked_for

log = logging.getLogger("tune_mnist")
log.setLevel(logging.DEBUG)
log.propagate = False


@contextmanager
def listening(handler: logging.Handler) -> Iterator[None]:
    """Let `handler` hear what is said, for the length of the `with` block."""
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()


class ConsoleLines(logging.Handler):
    """What is said, as lines on the console; warnings and errors on stderr, unless both are one screen."""

    def __init__(self, console: Console) -> None:
        # A live display shows each epoch by itself; without one a long training must still be seen to move.
        super().__init__(logging.INFO if is_live(console) else logging.DEBUG)
        self.console = self.errors = console
        if not console.is_jupyter and not (console.is_terminal and sys.stderr.isatty()):
            # Its file is the stderr of now: a live display puts another in its place.
            self.errors = Console(file=sys.stderr, highlight=False, width=console.width)

    def emit(self, record: logging.LogRecord) -> None:
        style = "yellow" if record.levelno == logging.WARNING else "red" if record.levelno > logging.WARNING else None
        console = self.errors if style else self.console
        console.print(Text(record.getMessage(), style=style or ""), soft_wrap=not console.is_terminal)


class LogFile(MemoryHandler):
    """What is said, with date and time, added to a log; kept in memory until its place is known."""

    def __init__(self) -> None:
        super().__init__(capacity=1000, flushLevel=logging.CRITICAL + 1)

    def open(self, path: Path) -> None:
        """Write what was said so far, and from now on each line at once."""
        file = logging.FileHandler(path, encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s  %(levelname)-7s  %(message)s", "%Y-%m-%d %H:%M:%S"))
        self.setTarget(file)
        self.flushLevel = logging.DEBUG
        self.flush()

    def close(self) -> None:
        target = self.target
        super().close()
        if target is not None:
            target.close()


def is_live(console: Console) -> bool:
    """Whether a live display shows there what goes on."""
    return console.is_terminal or console.is_jupyter or is_asked_for()


def console() -> Console:
    """The console of this program; lines are never cut to a width when nobody looks at a terminal."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 500)
