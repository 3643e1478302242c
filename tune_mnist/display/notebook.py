"""The live display in a notebook: its picture in the cell's output, drawn anew every second and gone at the end."""

from __future__ import annotations

import io
from importlib import import_module
from typing import Any

from rich.console import Console, RenderableType

from tune_mnist.background import Background

EVERY_S = 1.0
WIDTH = 100
FRAME = "<pre style='line-height:1.3;font-family:monospace'><code>{code}</code></pre>"


class Cell(Background):
    """Shows what `shown` looks like in the output of the cell that runs, within its `with` block."""

    def __init__(self, shown: RenderableType) -> None:
        super().__init__("cell", self._paint, EVERY_S)
        self.shown = shown
        self._output: Any = None

    def __enter__(self) -> Cell:
        self._output = _ipython().display(_ipython().HTML(""), display_id=True)
        super().__enter__()
        return self

    def __exit__(self, *ended: object) -> None:
        super().__exit__(*ended)
        self._show("")

    def _paint(self) -> None:
        canvas = Console(file=io.StringIO(), record=True, width=WIDTH, highlight=False, force_jupyter=False)
        canvas.print(self.shown)
        self._show(canvas.export_html(inline_styles=True, code_format=FRAME))

    def _show(self, html: str) -> None:
        self._output.update(_ipython().HTML(html))


def _ipython() -> Any:
    """What a notebook runs in; nothing else has it."""
    return import_module("IPython.display")
