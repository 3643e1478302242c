"""What a person sees while it runs: a live display on a terminal, plain lines elsewhere, the same lines in the log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from logging.handlers import MemoryHandler
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tune_mnist.display.screen import Screen, asked_for, is_asked_for
from tune_mnist.plan.plan import Plan, makespan
from tune_mnist.store.store import Row

LOG_NAME = "mnist_experiments.log"
MOST_SHOWN = 12  # runs under way, of which a big cluster has more than a terminal has lines
# Everything that happens is said once, here; where it is heard (screen, file) is decided by who opens them below.
log = logging.getLogger("tune_mnist")
log.setLevel(logging.DEBUG)
log.propagate = False


def duration(seconds: float) -> str:
    """`42 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def plural(number: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


class _ConsoleHandler(logging.Handler):
    def __init__(self, console: Console) -> None:
        # A live display shows each epoch by itself; without one a long training must still be seen to move.
        super().__init__(logging.INFO if console.is_terminal or is_asked_for() else logging.DEBUG)
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        style = "yellow" if record.levelno == logging.WARNING else "red" if record.levelno > logging.WARNING else None
        self.console.print(Text(record.getMessage(), style=style or ""), soft_wrap=not self.console.is_terminal)


@contextmanager
def heard_on(handler: logging.Handler) -> Iterator[None]:
    """Let `handler` hear what is said, for the length of the `with` block."""
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()


def on_console(console: Console) -> logging.Handler:
    """What is said, as lines on the console."""
    return _ConsoleHandler(console)


class LogFile(MemoryHandler):
    """What is said, with date and time, added to a folder's log; kept in memory until the folder is known."""

    def __init__(self) -> None:
        super().__init__(capacity=1000, flushLevel=logging.CRITICAL + 1)

    def open(self, folder: Path) -> None:
        """Write what was said so far, and from now on each line at once."""
        file = logging.FileHandler(folder / LOG_NAME, encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s  %(levelname)-7s  %(message)s", "%Y-%m-%d %H:%M:%S"))
        self.setTarget(file)
        self.flushLevel = logging.DEBUG
        self.flush()

    def close(self) -> None:
        target = self.target
        super().close()
        if target is not None:
            target.close()


class Progress:
    """Follows the runs of a plan as they are trained. Its methods may be called from any thread."""

    def __init__(self, plan: Plan, names: Mapping[str, str], console: Console) -> None:
        self.plan, self.names = plan, names
        self.reached = {run.key: min(run.held.epochs, run.config.epochs) for run in plan.runs}
        self.left = {run.key: run.to_train for run in plan.runs}
        self.epochs = {run.key: run.config.epochs for run in plan.runs}
        self.running: dict[str, Row | None] = {}
        self.seconds: list[float] = []
        self._live: Live | Screen | None = asked_for(self)
        if console.is_terminal:
            self._live = Live(self, console=console, refresh_per_second=2, transient=True)

    def __enter__(self) -> Progress:
        if self._live:
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.__exit__(kind, error, trace)

    def started(self, key: str, trained: int, hostname: str) -> None:
        """A trial began, or began again, after `trained` epochs."""
        self.running[key] = None
        self.left[key] = self.epochs[key] - trained
        after = f" after epoch {trained}" if trained else ""
        log.debug(f"{self.names[key]}: training on {hostname}{after}, to epoch {self.epochs[key]}")

    def epoch(self, key: str, row: Row) -> None:
        """A trial finished an epoch; its row is in the store."""
        self.running[key] = row
        self.reached[key] = max(self.reached[key], row["epoch"])
        self.left[key] = self.epochs[key] - row["epoch"]
        self.seconds.append(row["train_time_s"] + row["eval_time_s"])
        said = f"{self.names[key]}: epoch {row['epoch']}/{self.epochs[key]}, {_measured(row)}"
        log.debug(f"{said}, {duration(self.seconds[-1])}")
        if not self.left[key]:
            self.running.pop(key, None)
            log.info(f"{self.names[key]}: done, {plural(self.epochs[key], 'epoch')}, {_measured(row)}")

    def lost(self, key: str) -> None:
        """A trial's worker or machine went away; Ray will start it again."""
        self.running.pop(key, None)
        log.warning(f"{self.names[key]}: its worker was lost; it goes on after epoch {self.reached[key]}")

    def failed(self, key: str, error: str, trace: str) -> None:
        """A trial failed for good; `trace`, of a bug, is for the log."""
        self.running.pop(key, None)
        self.left[key] = 0
        log.error(f"{self.names[key]}: failed: {error}")
        if trace:
            log.debug(trace)

    def said(self, key: str, text: str) -> None:
        """A trial has something to say of where it runs."""
        log.warning(f"{self.names[key]}: {text}")

    def seconds_left(self) -> float | None:
        """From the epochs so far; None before the first."""
        if not self.seconds:
            return None
        mean = sum(self.seconds) / len(self.seconds)
        return makespan([mean * epochs for epochs in self.left.values()], max(1, len(self.running)))

    def __rich__(self) -> RenderableType:
        left = self.seconds_left()
        todo = sum(self.left.values())
        head = f"{plural(todo, 'epoch')} to train, " + (
            "time left: measuring" if left is None else f"about {duration(left)} left"
        )
        return Group(Text(self._sweeps_line(), style="bold"), self._running_table(), Text(head, style="dim"))

    def _sweeps_line(self) -> str:
        counts: dict[str, list[int]] = {}
        for point, key in zip(self.plan.points, self.plan.keys, strict=True):
            count = counts.setdefault(point.sweep, [0, 0])
            count[0] += self.reached[key] >= point.config.epochs
            count[1] += 1
        return "   ".join(f"{sweep} {done}/{total} points" for sweep, (done, total) in counts.items())

    def _running_table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        running = list(self.running.items())
        for key, row in running[:MOST_SHOWN]:
            epochs, done = self.epochs[key], self.epochs[key] - self.left[key]
            bar = ProgressBar(total=epochs, completed=done, width=20)
            seen = _measured(row) if row else "starting" if not done else f"from epoch {done}"
            table.add_row(escape(self.names[key]), bar, f"epoch {min(done + 1, epochs)}/{epochs}", seen)
        if len(running) > MOST_SHOWN:
            table.add_row(f"and {plural(len(running) - MOST_SHOWN, 'run')} more")
        if not running:
            table.add_row("starting Ray and its workers")
        return table


def _measured(row: Row) -> str:
    return f"test accuracy {row['test_accuracy']:.2%}, loss {row['test_loss']:.4f}"


def console() -> Console:
    """The console of this program; lines are never cut to a width when nobody looks at a terminal."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 500)
