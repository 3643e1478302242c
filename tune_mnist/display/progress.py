"""The live display on a terminal: which runs are under way, how far they are, and how long it will take."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tune_mnist.display.log import log
from tune_mnist.display.notebook import Cell
from tune_mnist.display.screen import Screen, asked_for
from tune_mnist.plan.plan import Plan, makespan
from tune_mnist.store.store import Row
from tune_mnist.task import Task, learned
from tune_mnist.words import duration, plural

MOST_SHOWN = 12  # runs under way, of which a big cluster has more than a terminal has lines


class Progress:
    """Follows the runs of a plan as they are trained. Its methods may be called from any thread."""

    def __init__(self, plan: Plan, names: Mapping[str, str], task: Task, console: Console) -> None:
        self.plan, self.names, self.task = plan, names, task
        self.reached = {run.key: min(run.held.epochs, run.config.epochs) for run in plan.runs}
        self.left = {run.key: run.to_train for run in plan.runs}
        self.epochs = {run.key: run.config.epochs for run in plan.runs}
        self.running: dict[str, Row | None] = {}
        self.seconds: list[float] = []
        self._live: Live | Screen | Cell | None = Cell(self) if console.is_jupyter else asked_for(self)
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
        after = f" after {self.task.unit} {trained}" if trained else ""
        log.debug(f"{self.names[key]}: training on {hostname}{after}, to {self.task.unit} {self.epochs[key]}")

    def epoch(self, key: str, row: Row) -> None:
        """A trial finished an epoch; its row is in the store."""
        self.running[key] = row
        self.reached[key] = max(self.reached[key], row["epoch"])
        self.left[key] = self.epochs[key] - row["epoch"]
        self.seconds.append(row["train_time_s"] + row["eval_time_s"])
        said = f"{self.names[key]}: {self.task.unit} {row['epoch']}/{self.epochs[key]}, {self._measured(row)}"
        log.debug(f"{said}, {duration(self.seconds[-1])}")
        if not self.left[key]:
            self.running.pop(key, None)
            log.info(f"{self.names[key]}: done, {plural(self.epochs[key], self.task.unit)}, {self._measured(row)}")

    def lost(self, key: str, cause: str) -> None:
        """A trial's worker or machine went away; Ray will start it again."""
        self.running.pop(key, None)
        log.warning(f"{self.names[key]}: {cause}; it goes on after {self.task.unit} {self.reached[key]}")

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
        head = f"{plural(todo, self.task.unit)} to train, " + (
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
            seen = self._measured(row) if row else "starting" if not done else f"from {self.task.unit} {done}"
            table.add_row(escape(self.names[key]), bar, f"{self.task.unit} {min(done + 1, epochs)}/{epochs}", seen)
        if len(running) > MOST_SHOWN:
            table.add_row(f"and {plural(len(running) - MOST_SHOWN, 'run')} more")
        if not running:
            table.add_row("starting Ray and its workers")
        return table

    def _measured(self, row: Row) -> str:
        task = learned(self.task, [row])
        return ", ".join(f"{one.words} {one.brief(row[one.name])}" for one in task.headline if one.name in row)
