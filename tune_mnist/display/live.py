"""The live display of a command: the stage under way with a clock that moves, and below it the runs that train.

with Display(console()) as display:
    stage("reading the data")
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from tune_mnist.display.log import PASSING, console, is_stage, log
from tune_mnist.display.notebook import Cell
from tune_mnist.display.screen import Screen, asked_for
from tune_mnist.words import clock

A_SECOND = 4  # pictures on a terminal
PLAIN = "--plain"  # the option against it


class Display(logging.Handler):
    """Shows each stage that is said, from its first moment, on a terminal, in a notebook or on the screen asked for.

    Without any of these it shows nothing: what takes long is a line there.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(PASSING)
        self.addFilter(is_stage)
        self.console = console
        self._shown: tuple[str, float, RenderableType | None] = "starting", time.monotonic(), None
        self._live: Live | Screen | Cell | None = Cell(self) if console.is_jupyter else asked_for(self)
        if console.is_terminal:
            self._live = Live(self, console=console, refresh_per_second=A_SECOND, transient=True)

    def __enter__(self) -> Display:
        log.addHandler(self)
        if self._live:
            self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        log.removeHandler(self)
        self.end()

    def end(self) -> None:
        """Show no more, before the end of the `with` block."""
        if self._live:
            self._live.__exit__(None, None, None)
            self._live = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Show nothing within the `with` block, where a person is asked at the terminal."""
        if isinstance(self._live, Live):
            self._live.stop()
        yield
        if isinstance(self._live, Live):
            self._live.start()

    def emit(self, record: logging.LogRecord) -> None:
        self._begin(record.getMessage(), None)
        if isinstance(self._live, Live):
            self._live.refresh()  # it is named before it begins, however short it is

    def follow(self, runs: RenderableType) -> None:
        """Trials train: show `runs` until the next stage begins."""
        self._begin("training", runs)

    def _begin(self, stage: str, runs: RenderableType | None) -> None:
        is_same = stage == self._shown[0]
        self._shown = stage, self._shown[1] if is_same else time.monotonic(), runs

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        stage, since, runs = self._shown
        line = Text(f" {stage}  ", style="bold", no_wrap=True, overflow="ellipsis")
        line.append(clock(time.monotonic() - since), style="not bold dim")
        yield Text.assemble(Text(str(_SPINNER.render(time.monotonic()))), line, no_wrap=True, overflow="ellipsis")
        if runs is not None:
            yield runs


def shown(load: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    """The application that `load` imports once it is called: a second or more, in which a live display is there."""

    def application(**how: Any) -> Any:
        with Display(console(plain=PLAIN in sys.argv)):
            loaded = load()
        return loaded(**how)

    return application


_SPINNER = Spinner("dots")
