"""The runs of a plan while they train: which are under way, how far they are, and how long it will take."""

from __future__ import annotations

from collections.abc import Mapping

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tune_mnist.display.live import Display
from tune_mnist.display.log import log, stage
from tune_mnist.learned import learned
from tune_mnist.plan.plan import Plan
from tune_mnist.plan.timeleft import TimeLeft
from tune_mnist.store.history import DIVERGED
from tune_mnist.store.store import Row
from tune_mnist.task import Task
from tune_mnist.words import duration, plural

MOST_SHOWN = 12  # runs under way, of which a big cluster has more than anybody reads
OTHER_LINES = 5  # of a terminal: the stage, the sweeps, what is left, how many more runs, and the cursor's
BAR, NARROW = 20, 90  # columns: of a bar, and of a terminal that has room for one measure alone


class Progress:
    """Follows the runs of a plan as they are trained. Its methods may be called from any thread.

    `of`: the stage in words, where more runs may follow once these have ended.
    """

    def __init__(
        self, plan: Plan, names: Mapping[str, str], task: Task, display: Display, time_left: TimeLeft, of: str = ""
    ) -> None:
        self.of = of
        self.plan, self.names, self.task, self.display, self.time_left = plan, names, task, display, time_left
        asked = {run.key: run.config.epochs for run in plan.runs}
        self.reached = {run.key: run.held.epochs if run.to_train else asked[run.key] for run in plan.runs}
        self.left = {run.key: run.to_train for run in plan.runs}
        self.epochs = asked
        self.running: dict[str, Row | None] = {}
        self._is_shown = False

    def started(self, key: str, trained: int, hostname: str) -> None:
        """A trial began, or began again, after `trained` epochs."""
        self.running[key] = None
        self.left[key] = self.epochs[key] - trained
        self.time_left.started(key)
        if not self._is_shown:
            self.display.follow(self)
            self._is_shown = True
        after = f" after {self.task.unit} {trained}" if trained else ""
        log.debug(f"{self.names[key]}: training on {hostname}{after}, to {self.task.unit} {self.epochs[key]}")

    def epoch(self, key: str, row: Row) -> None:
        """A trial finished an epoch; its row is in the store."""
        self.running[key] = row
        self.reached[key] = max(self.reached[key], row["epoch"])
        self.left[key] = self.epochs[key] - row["epoch"]
        seconds = row["train_time_s"] + row["eval_time_s"]
        self.time_left.epoch(key, seconds)
        said = f"{self.names[key]}: {self.task.unit} {row['epoch']}/{self.epochs[key]}, {self._measured(row)}"
        log.debug(f"{said}, {duration(seconds)}")
        if not self.left[key]:
            self._ended(key)
            log.info(f"{self.names[key]}: done, {plural(self.epochs[key], self.task.unit)}, {self._measured(row)}")
            self._stop_at_end()

    def diverged(self, key: str, row: Row) -> None:
        """A trial's training diverged: that is its result, and answers all of its points."""
        self._ended(key)
        self.reached[key], self.left[key] = self.epochs[key], 0
        log.warning(f"{self.names[key]}: diverged: {row[DIVERGED]} at {self.task.unit} {row['epoch']}")
        self._stop_at_end()

    def lost(self, key: str, cause: str) -> None:
        """A trial's worker or machine went away; Ray will start it again."""
        self._ended(key)
        log.warning(f"{self.names[key]}: {cause}; it goes on after {self.task.unit} {self.reached[key]}")

    def failed(self, key: str, error: str, trace: str) -> None:
        """A trial failed for good; `trace`, of a bug, is for the log."""
        self._ended(key)
        self.left[key] = 0
        log.error(f"{self.names[key]}: failed: {error}")
        if trace:
            log.debug(trace)
        self._stop_at_end()

    def said(self, key: str, text: str) -> None:
        """A trial has something to say of where it runs."""
        log.warning(f"{self.names[key]}: {text}")

    def _ended(self, key: str) -> None:
        self.running.pop(key, None)
        self.time_left.ended(key)

    def _stop_at_end(self) -> None:
        if not any(self.left.values()):
            stage("looking at what is resolved" if self.of else "all is trained")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As many lines as the terminal has, none longer than it is wide: a display that wraps or scrolls jumps."""
        left = self.time_left.seconds(self.left)
        todo = f"{plural(sum(self.left.values()), self.task.unit)} to train, "
        running = list(self.running.items())
        room = max(1, min(MOST_SHOWN, console.height - OTHER_LINES))
        yield _line(self._sweeps_line(), "bold")
        if self.of:
            yield _line(self.of)
        yield self._running_table(running[:room], options.max_width)
        if len(running) > room:
            yield _line(f"and {plural(len(running) - room, 'more run')}")
        yield _line(todo + ("time left: measuring" if left is None else f"about {duration(left)} left"), "dim")

    def _sweeps_line(self) -> str:
        counts: dict[str, list[int]] = {}
        for point, key in zip(self.plan.points, self.plan.keys, strict=True):
            count = counts.setdefault(point.sweep, [0, 0])
            count[0] += self.reached[key] >= point.config.epochs
            count[1] += 1
        return "   ".join(f"{sweep} {done}/{total} points" for sweep, (done, total) in counts.items())

    def _running_table(self, running: list[tuple[str, Row | None]], width: int) -> Table:
        """A row for each run; its name gives way where the terminal is narrow, and before it the second measure."""
        most = 1 if width < NARROW else None
        cells = [(*self._cells(key, row, most), key) for key, row in running]
        taken = max((cell_len(reached) + cell_len(seen) for reached, seen, _ in cells), default=0)
        bar = BAR if width >= NARROW else BAR // 2
        table = Table.grid(padding=(0, 2))
        for _ in range(4):
            table.add_column(no_wrap=True, overflow="ellipsis")
        for reached, seen, key in cells:
            name = Text(self.names[key])
            name.truncate(max(8, width - taken - bar - 7), overflow="ellipsis")
            done = self.epochs[key] - self.left[key]
            table.add_row(name, ProgressBar(total=self.epochs[key], completed=done, width=bar), reached, seen)
        return table

    def _cells(self, key: str, row: Row | None, most: int | None) -> tuple[str, str]:
        epochs, done = self.epochs[key], self.epochs[key] - self.left[key]
        seen = self._measured(row, most) if row else "starting" if not done else f"from {self.task.unit} {done}"
        return f"{self.task.unit} {min(done + 1, epochs)}/{epochs}", seen

    def _measured(self, row: Row, most: int | None = None) -> str:
        task = learned(self.task, [row])
        return ", ".join(f"{one.words} {one.text(row[one.name])}" for one in task.headline[:most] if one.name in row)


def _line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")
