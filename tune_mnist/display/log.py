"""What happens, said once: here it is said, and whoever opens a handler below decides where it is heard."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging.handlers import MemoryHandler
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tune_mnist.display.screen import is_asked_for
from tune_mnist.errors import UserError

log = logging.getLogger("tune_mnist")
PASSING = 5  # the level of a stage that is soon over: of interest to a live display alone
log.setLevel(PASSING)
log.propagate = False


def stage(words: str, long: bool = False) -> None:
    """Say what begins now: a live display shows it with its seconds; elsewhere it is a line if it takes `long`."""
    log.log(logging.INFO if long else PASSING, words, extra={"stage": True})


def is_stage(record: logging.LogRecord) -> bool:
    """Whether it is said by `stage`."""
    return getattr(record, "stage", False)


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
        self.addFilter(lambda record: not (is_live(console) and is_stage(record)))
        if not console.is_jupyter and not (console.is_terminal and sys.stderr.isatty()):
            # Its file is the stderr of now: a live display puts another in its place.
            plain = False if console.no_color else None  # on both, then
            self.errors = Console(file=sys.stderr, highlight=False, width=console.width, force_terminal=plain)

    def emit(self, record: logging.LogRecord) -> None:
        style = "yellow" if record.levelno == logging.WARNING else "red" if record.levelno > logging.WARNING else None
        console = self.errors if style else self.console
        console.print(Text(record.getMessage(), style=style or ""), soft_wrap=not console.is_terminal)


class ByProduct:
    """What a training leaves and does not need: that it cannot be written is said once, and training goes on."""

    def __init__(self, what: str) -> None:
        self.what, self.failed = what, False

    @contextmanager
    def written(self) -> Iterator[None]:
        """Whatever fails to be written within the block."""
        try:
            yield
        except OSError as error:
            if not self.failed:
                self.failed = True
                log.warning(f"{self.what} cannot be written: {error.strerror or error}; training goes on without")


class Printed:
    """What trainings print, a file for each in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.product = folder, ByProduct(f"what trainings print, {folder},")

    def add(self, name: str, text: str) -> None:
        """Add the text to the file of that name."""
        with self.product.written():
            self.folder.mkdir(exist_ok=True)
            with (self.folder / name).open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)


class _Lines(logging.FileHandler):
    """A log's lines: where they cannot be written, that is said once, on the screen."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self.product = ByProduct(f"the log, {path},")

    def handleError(self, _record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        error = sys.exc_info()[1]
        with self.product.written():
            if error is not None:
                raise error

    def close(self) -> None:
        with suppress(OSError):  # what could not be written before is tried once more
            super().close()


class LogFile(MemoryHandler):
    """What is said, with date and time, added to a log; kept in memory until its place is known."""

    def __init__(self) -> None:
        super().__init__(capacity=1000, flushLevel=logging.CRITICAL + 1)
        self.setLevel(logging.DEBUG)

    def open(self, path: Path) -> None:
        """Write what was said so far, and from now on each line at once. Raises UserError if it cannot be opened."""
        try:
            file = _Lines(path)
        except OSError as error:
            raise UserError(f"log '{path}' cannot be written: {error.strerror}; choose another --output") from None
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


def console(plain: bool = False) -> Console:
    """The console of this program; lines are never cut to a width when nobody looks at a terminal.

    `plain`, as for a terminal that can do no more or that nobody looks at, has no live display and no colours.
    """
    for name in ("COLUMNS", "LINES"):
        if len(os.environ.get(name, "")) > 9:
            del os.environ[name]  # no size: rich fails at thousands of digits
    plain = plain or os.environ.get("TERM", "") in ("dumb", "unknown") or (sys.stdout.isatty() and _is_recorded())
    lined = plain or not sys.stdout.isatty()
    width, forced = (500 if lined else None), (False if plain else None)
    return Console(file=sys.stdout, highlight=False, width=width, force_terminal=forced, no_color=plain or None)


def _is_recorded() -> bool:
    """Whether what a terminal gets is for a file: that of a CI service, or one without a size, as where
    `docker run -t … | tee out` makes one in the container and none is outside.
    """
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        return True
    with suppress(OSError, ValueError):
        return os.get_terminal_size(sys.stdout.fileno()).columns == 0 and "COLUMNS" not in os.environ
    return False
