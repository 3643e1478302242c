"""From the tables of results folders: `tune-mnist report DIR...`, and `tune-mnist compare A B`, paired by seeds."""

from __future__ import annotations

import errno
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from tune_mnist.commands.options import check_folder
from tune_mnist.display.log import console
from tune_mnist.errors import ClusterError, UserError
from tune_mnist.files import alone
from tune_mnist.machine.scratch import check_temporary
from tune_mnist.measure import Measure
from tune_mnist.plan.values import margin_of

if TYPE_CHECKING:
    import pandas as pd

    from tune_mnist.task import Task


def report(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR", help="Folders that sweeps left, with their tables.")],
    margin: Annotated[
        str | None,
        typer.Option(metavar="X", help="The least difference that matters, as 0.2 (points, of a share)."),
    ] = None,
) -> int:
    """Make figures and reports of results folders again.

    Summary, figures and report come from the tables that are there; nothing is trained.
    """
    least = None if margin is None else margin_of(margin)
    for folder in folders:
        check_folder(folder)
    check_temporary()
    from tune_mnist.mnist.task import MNIST
    from tune_mnist.report.write import write_report
    from tune_mnist.results.folder import recorded, set_aside, with_margin
    from tune_mnist.results.read import read_results

    for folder in folders:
        try:
            with alone(folder):
                results = read_results(folder, MNIST)
                if least is not None:
                    results = replace(results, environment=with_margin(results.environment, least))
                moved = set_aside(folder, results.environment, recorded(results.environment))
                written = write_report(results)
        except OSError as error:
            what = f"'{folder}' cannot be written: {error.strerror or error}"
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ClusterError(f"{what}; free some space, and give the same command again") from None
            raise UserError(f"{what}; copy it to where it can") from None
        for old, new in moved.items():
            print(f"{folder / old} is not as this program left it: it is called {new} from now on", file=sys.stderr)
        for path in written:
            print(path)
    return 0


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A results folder.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
) -> int:
    """Compare the points that two results folders share.

    Shows means, the difference B - A with its interval, and whether it is resolved.
    """
    for folder in (first, second):
        check_folder(folder)
    from tune_mnist.display.overview import best_lines
    from tune_mnist.mnist.task import MNIST
    from tune_mnist.results.read import read_points, read_task
    from tune_mnist.verdicts.compare import alike, compare_points, differing, uncompared

    task, other = read_task(first, MNIST), read_task(second, MNIST)
    if task.name != other.name:
        raise UserError(f"{first} is of task {task.name}, {second} of task {other.name}: they have no point in common")
    shared = alike(task, other)
    a, b = read_points(first, shared), read_points(second, shared)
    table = compare_points(a, b, task)
    if table.empty:
        raise UserError(f"{first} and {second} have no finished point in common: no sweep and value is in both")
    screen = console()
    for line in [*differing(a, b, shared), *_read_apart(task, other)]:
        screen.print(line)
    screen.print(_drawn(table, task.judged))
    for line in uncompared(a, b, task):
        screen.print(line)
    for name, folder, of in (("A", first, task), ("B", second, other)):
        for line in best_lines(read_points(folder, of), of) if of.chosen_by else ():
            screen.print(f"{name}: {line}")
    unit = " in percentage points" if task.judged.unit == "%" else ""
    read = "" if _read_apart(task, other) else f"values {task.reading}; "
    how = "p is corrected within each sweep (Holm), and the interval goes with it"
    screen.print(f"{read}difference: B - A{unit}; {how}")
    return 0


def _read_apart(a: Task, b: Task) -> list[str]:
    """Where the values of two folders are read at unlike epochs."""
    return [f"values: A {a.reading}, B {b.reading}"] if a.reading != b.reading else []


def _drawn(table: pd.DataFrame, judged: Measure) -> Table:
    head = ("sweep", "value", "A", "B", "difference", "95 % interval", "test", "p", "resolved")
    drawn = Table(*head, box=None, pad_edge=False)
    from tune_mnist.results.values import rows_of, said

    for row in rows_of(table):
        ends = "-" if math.isnan(row.low) else f"{_signed(judged, row.low)} to {_signed(judged, row.high)}"
        p = "-" if math.isnan(row.p_holm) else f"{row.p_holm:.4f}"
        means = _mean(judged, row.mean_a, row.n_a, row.diverged_a), _mean(judged, row.mean_b, row.n_b, row.diverged_b)
        apart = "-" if math.isnan(row.difference) else _signed(judged, row.difference)
        drawn.add_row(*(row.sweep, said(row.value), *means, apart), ends, row.test, p, row.resolved)
    return drawn


def _mean(judged: Measure, mean: float, n: int, diverged: int) -> str:
    return f"{diverged} of {n + diverged} diverged" if diverged else f"{judged.text(mean)} (n={n})"


def _signed(judged: Measure, difference: float) -> str:
    """With a plain hyphen, as terminals are searched for it."""
    return judged.change(difference).replace("−", "-")
