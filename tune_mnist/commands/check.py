"""`tune-mnist check TASK`: does a training loop of one's own keep the promises that its sweeps rest on?

Exit code 0 if nothing fails, 1 if something does, 2 for a task that cannot be loaded.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from tune_mnist.checking.check import FAILS, OK, Report, checked
from tune_mnist.checking.probe import Bench
from tune_mnist.display.log import console
from tune_mnist.errors import unknown
from tune_mnist.plan.sweeps import split_assignment
from tune_mnist.store.checkpoint import packed, unpacked
from tune_mnist.tasks.loop import Loop, find
from tune_mnist.tasks.settings import completed, opened

STYLES = {OK: "green", FAILS: "bold red"}


def check(
    task: Annotated[str, typer.Argument(metavar="TASK", help="FILE.py, FILE.py:FUNCTION or PACKAGE.MODULE:FUNCTION.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Another value than the default. Repeatable."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", min=2, help="How many epochs the loop is told of (two are trained).")
    ] = None,
) -> int:
    """Check a training loop of your own: may it be swept?

    Trains a few epochs, and says whether it is deterministic, goes on from its state, and what it costs.
    """
    loop = find(task)
    report = checked(Bench(loop, task, packed, unpacked), values_of(loop, settings or [], epochs))
    _show(report)
    return 1 if report.fails else 0


def values_of(loop: Loop, settings: list[str], epochs: int | None) -> dict[str, Any]:
    """All values of the loop's config: those of `--set`, and defaults for the others. Raises UserError."""
    unit, usual = str(loop.declared("UNIT", "epoch")), loop.declared("EPOCHS")
    parameters = completed(loop.settings.parameters, epochs or usual, unit)
    parted = (split_assignment(one, "--set") for one in settings)
    given = {name.strip().replace("-", "_"): value for name, value in parted}
    if loop.settings.kind is None:
        parameters = opened(parameters, {name: [value] for name, value in given.items()})
    names = [one.name for one in parameters]
    for name in given:
        if name not in names:
            raise unknown("hyper-parameter", name, names)
    return {one.name: one.read(given.get(one.name, one.default)) for one in parameters}


def _show(report: Report) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for line in report.lines:
        table.add_row(Text(line.mark, STYLES.get(line.mark, "yellow")), line.name, Text(line.said))
    for name, said in report.costs:
        table.add_row("", name, Text(said))
    console().print(table)
