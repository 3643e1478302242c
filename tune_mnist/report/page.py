"""The report as one HTML file: no network, readable without scripts, on a phone and on paper.

Scripts add what answers to a pointer: sorting, a filter by sweep, and the views of interactive.py.
"""

from __future__ import annotations

import base64

import jinja2

from tune_mnist import __version__
from tune_mnist.report import interactive
from tune_mnist.report.document import Bullets, Code, Document, Grid, Picture, Text, Views, size_of
from tune_mnist.words import legible, several

BLOCKS = {"text": Text, "code": Code, "bullets": Bullets, "grid": Grid, "picture": Picture, "views": Views}


def html(document: Document) -> str:
    """The page, with the views of the points that its `Views` holds, if it has one."""
    views = [block for section in document.sections for block in section.blocks if isinstance(block, Views)]
    drawn = interactive.draw_views(views[0].points, views[0].task) if views else interactive.NOTHING
    environment = jinja2.Environment(loader=jinja2.PackageLoader("tune_mnist.report", "."), autoescape=True)
    for name, block in BLOCKS.items():
        environment.tests[name] = block.__instancecheck__
    environment.filters |= {"data_uri": _data_uri, "size": size_of}
    page = environment.get_template("page.html.jinja").render(
        document=document,
        version=__version__,
        made_from=several(document.made_from),
        views=drawn,
        sweeps=list(dict.fromkeys(views[0].points["sweep"])) if views else [],
        script=interactive.script() if drawn.places else "",
    )
    return legible(page)


def _data_uri(picture: Picture) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(picture.svg.read_bytes()).decode()
