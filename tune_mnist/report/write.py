"""The report's files, from the tables and environment.json of a results folder.

    write_report(read_results(folder, task))

It leaves summary.csv, of crosses interaction.csv, every figure, report.md, report.html and report.pdf in the folder.
"""

from __future__ import annotations

from pathlib import Path

import scipy.special  # noqa: F401 - not needed here, but by each report: it is loaded with this module, ahead of time

from tune_mnist.display.log import stage
from tune_mnist.figures.gallery import save_figures
from tune_mnist.files import write_whole
from tune_mnist.report.document import markdown
from tune_mnist.report.page import html
from tune_mnist.report.pdf import pdf
from tune_mnist.report.sections import compose
from tune_mnist.results.folder import (
    INTERACTION_CSV,
    REPORTS,
    SUMMARY_CSV,
    record_products,
    remove_products,
    write_csv,
)
from tune_mnist.results.interaction import interactions
from tune_mnist.results.read import Results
from tune_mnist.results.summary import summary_of


def write_report(results: Results) -> list[Path]:
    """Write the summary, the figures and the report into the folder of the results; returns the paths.

    What was made from other tables is removed, and environment.json, where there is one, tells what is made now.
    Raises UserError for tables from which no honest report can be made, before anything is written.
    """
    folder, summary = results.folder, summary_of(results)
    drawn = save_figures(results)
    stage("writing the report")
    document = compose(results, summary, drawn)
    contents = markdown(document).encode(), html(document).encode(), pdf(document)
    written = [write_csv(summary, folder / SUMMARY_CSV), *(path for one in drawn for path in one.paths)]
    together = interactions(results.points, results.task)
    written += [write_csv(together, folder / INTERACTION_CSV)] if len(together) else []
    for file, content in zip(REPORTS, contents, strict=True):
        write_whole(folder / file, content)
    written += [folder / file for file in REPORTS]
    names = [path.name for path in written]
    if results.environment:
        remove_products(folder, results.environment, but=names)
        record_products(folder, results.environment, names)
    return written
