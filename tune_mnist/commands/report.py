"""`tune-mnist report DIR...`: summary, figures and report of results folders again, from their tables."""

from __future__ import annotations

import errno
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tune_mnist.commands.options import check_folder
from tune_mnist.errors import ClusterError, UserError
from tune_mnist.files import alone
from tune_mnist.machine.scratch import check_temporary
from tune_mnist.plan.values import margin_of


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
            said = f"'{folder}' cannot be written: {error.strerror or error}"
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ClusterError(f"{said}; free some space, and give the same command again") from None
            raise UserError(f"{said}; copy it to where it can") from None
        for old, new in moved.items():
            print(f"{folder / old} is not as this program left it: it is called {new} from now on", file=sys.stderr)
        for path in written:
            print(path)
    return 0
