"""`tune-mnist report DIR...`: summary, figures and report of results folders again, from their tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tune_mnist.commands import options as cli
from tune_mnist.errors import UserError


def report(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR", help="Folders that sweeps left, with mnist_results.csv.")
    ],
) -> int:
    """Write the summary, every figure and the report of results folders again; nothing is trained."""
    for folder in folders:
        cli.check_folder(folder)
    from tune_mnist.report.sections import write_report

    for folder in folders:
        try:
            for path in write_report(folder):
                print(path)
        except OSError as error:
            raise UserError(f"'{folder}' cannot be written: {error.strerror}; copy it to where it can") from None
    return 0
