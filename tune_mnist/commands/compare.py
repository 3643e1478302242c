"""`tune-mnist compare A B`: the points that two results folders share, B against A, paired where seeds match."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from tune_mnist.commands import options as cli
from tune_mnist.display.progress import console
from tune_mnist.errors import UserError
from tune_mnist.results.values import combined, rows_of

if TYPE_CHECKING:
    import pandas as pd


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A results folder.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
) -> int:
    """Compare the points that two results folders share: means, the difference B - A, and whether it is resolved."""
    for folder in (first, second):
        cli.check_folder(folder)
    from tune_mnist.results.compare import alone, compare_points, differing
    from tune_mnist.results.read import read_points

    a, b = read_points(first), read_points(second)
    table = compare_points(a, b)
    if table.empty:
        raise UserError(f"{first} and {second} have no finished point in common: no sweep and value is in both")
    screen = console()
    for line in differing(a, b):
        screen.print(line)
    screen.print(_shown(table))
    for line in alone(a, b):
        screen.print(line)
    screen.print(
        "difference: B - A in percentage points, with its 95 % interval; p is corrected within each sweep (Holm)"
    )
    return 0


def _shown(table: pd.DataFrame) -> Table:
    head = ("sweep", "value", "A", "B", "difference", "95 % interval", "test", "p", "resolved")
    shown = Table(*head, box=None, pad_edge=False)
    for row in rows_of(table):
        ends = "-" if math.isnan(row.low) else f"{100 * row.low:+.2f} to {100 * row.high:+.2f}"
        p = "-" if math.isnan(row.p_holm) else f"{row.p_holm:.4f}"
        means = f"{row.mean_a:.2%} (n={row.n_a})", f"{row.mean_b:.2%} (n={row.n_b})"
        shown.add_row(
            row.sweep, combined(row.value), *means, f"{100 * row.difference:+.2f}", ends, row.test, p, row.resolved
        )
    return shown
