"""`tune-mnist report DIR...`: summary, figures and report of results folders again, from their tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tune_mnist.commands.options import check_folder
from tune_mnist.errors import UserError


def report(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR", help="Folders that sweeps left, with their tables.")],
) -> int:
    """Make figures and reports of results folders again.

    Summary, figures and report come from the tables that are there; nothing is trained.
    """
    for folder in folders:
        check_folder(folder)
    from tune_mnist.mnist.task import MNIST
    from tune_mnist.report.write import write_report
    from tune_mnist.results.read import read_results

    for folder in folders:
        try:
            for path in write_report(read_results(folder, MNIST)):
                print(path)
        except OSError as error:
            raise UserError(f"'{folder}' cannot be written: {error.strerror}; copy it to where it can") from None
    return 0
