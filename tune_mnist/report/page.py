"""The report as one HTML file: no network, readable without scripts, on a phone and on paper.

Scripts add what answers to a pointer: sorting, a filter by sweep, and the views of interactive.py.
"""

from __future__ import annotations

import base64

import jinja2
import pandas as pd

from tune_mnist import __version__
from tune_mnist.report import interactive
from tune_mnist.report.document import Bullets, Code, Document, Grid, Picture, Text


def html(document: Document, points: pd.DataFrame) -> str:
    """The page; `points` feeds the interactive views."""
    code, places = interactive.views(points)
    environment = jinja2.Environment(loader=jinja2.PackageLoader("tune_mnist.report", "."), autoescape=True)
    environment.tests["text"] = lambda block: isinstance(block, Text)
    environment.tests["code"] = lambda block: isinstance(block, Code)
    environment.tests["bullets"] = lambda block: isinstance(block, Bullets)
    environment.tests["grid"] = lambda block: isinstance(block, Grid)
    environment.tests["picture"] = lambda block: isinstance(block, Picture)
    environment.filters["data_uri"] = _data_uri
    return environment.get_template("page.html.jinja").render(
        document=document,
        version=__version__,
        sweeps=list(dict.fromkeys(points["sweep"])),
        marks={sweep: interactive.mark_names(sweep) for sweep in dict.fromkeys(interactive.shown(points)["sweep"])},
        script=interactive.script() if places else "",
        views=places,
        views_script=code,
    )


def _data_uri(picture: Picture) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(picture.svg.read_bytes()).decode()
