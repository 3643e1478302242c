"""The live display of a job whose own output is a file: its picture, kept in a file for whoever looks."""

from __future__ import annotations

import io
import os
from pathlib import Path

from rich.console import Console, RenderableType

from tune_mnist.background import Background
from tune_mnist.files import write_whole

SCREEN, SCREEN_WIDTH = "TUNE_MNIST_SCREEN", "TUNE_MNIST_SCREEN_WIDTH"  # a file; columns
EVERY_S = 0.5


class Screen(Background):
    """Writes what `shown` looks like to the file twice a second, within its `with` block."""

    def __init__(self, shown: RenderableType, path: Path, width: int) -> None:
        super().__init__("screen", self._paint, EVERY_S)
        self.shown, self.path, self.width = shown, path, width

    def __exit__(self, *ended: object) -> None:
        super().__exit__(*ended)
        self.path.unlink(missing_ok=True)

    def _paint(self) -> None:
        canvas = Console(file=io.StringIO(), force_terminal=True, width=self.width, highlight=False)
        with canvas.capture() as picture:
            canvas.print(self.shown)
        write_whole(self.path, picture.get().encode())


def is_asked_for() -> bool:
    """Whether somebody looks at a screen."""
    return bool(os.environ.get(SCREEN))


def asked_for(shown: RenderableType) -> Screen | None:
    """The screen that the environment asks for, if it does."""
    path = os.environ.get(SCREEN)
    return Screen(shown, Path(path), int(os.environ.get(SCREEN_WIDTH, "80"))) if path else None
