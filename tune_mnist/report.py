"""`tune-mnist report DIR`: summary, figures and report of a results folder again, from its tables; trains nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tune_mnist import cli


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that a sweep left, with mnist_results.csv.")],
) -> int:
    """Write the summary, every figure and the report of a results folder again; nothing is trained."""
    cli.check_folder(folder)
    from tune_mnist.writing import write_report

    for path in write_report(folder):
        print(path)
    return 0
