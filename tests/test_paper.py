"""The report on paper: every page is looked at as poppler reads and draws it (Debian's package `poppler-utils`)."""

from __future__ import annotations

import itertools
import json
import math
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from tables import read_folder, several_sweeps, write_folder

from tune_mnist.report.write import write_report

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("pdftotext", "pdftoppm"))),
    reason="no pdftotext and pdftoppm here: Debian's package is `poppler-utils`",
)
A4 = (595.3, 841.9)  # points
SECTIONS = ["The answer", "Sweep epochs", "Interaction in sweep cross", "How it was done", "Cite this"]


@dataclass(frozen=True)
class Word:
    """A word on a page, and the ends of its box from the upper left corner, in points."""

    text: str
    left: float
    top: float
    right: float
    bottom: float


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The PDF of five sweeps, with a long title."""
    folder = write_folder(tmp_path_factory.mktemp("paper") / "results", *several_sweeps())
    facts = json.loads((folder / "environment.json").read_text("utf-8"))
    (folder / "environment.json").write_text(json.dumps(facts | {"title": "A study of " + "long " * 35 + "titles"}))
    write_report(read_folder(folder))
    return folder / "report.pdf"


@pytest.fixture(scope="module")
def pages(paper: Path) -> list[list[Word]]:
    """The words of each page."""
    done = subprocess.run(["pdftotext", "-bbox", paper, "-"], capture_output=True, check=True)
    found = []
    for page in ElementTree.fromstring(done.stdout).iter("{http://www.w3.org/1999/xhtml}page"):
        assert (float(page.attrib["width"]), float(page.attrib["height"])) == pytest.approx(A4, abs=1)
        ends = ("xMin", "yMin", "xMax", "yMax")
        found.append([Word(one.text or "", *(float(one.attrib[end]) for end in ends)) for one in page])
    return found


def lines(page: list[Word]) -> dict[str, float]:
    """The page's lines of text, from its top -> where each ends."""
    rows = itertools.groupby(sorted(page, key=lambda one: (round(one.top), one.left)), key=lambda one: round(one.top))
    listed = [list(row) for _, row in rows]
    return {" ".join(word.text for word in row): row[0].bottom for row in listed}


def test_every_page_has_its_number_and_all_words_lie_within_it(pages: list[list[Word]]) -> None:
    assert 4 <= len(pages) <= 14
    for number, page in enumerate(pages, start=1):
        assert list(lines(page))[-1] == f"page {number} of {len(pages)}"
        for word in page:
            assert 20 < word.left < word.right < A4[0] - 20, word
            assert 20 < word.top < word.bottom < A4[1] - 10, word


def test_no_word_covers_another(pages: list[list[Word]]) -> None:
    for page in pages:
        for one, other in itertools.combinations(page, 2):
            across = min(one.right, other.right) - max(one.left, other.left)
            down = min(one.bottom, other.bottom) - max(one.top, other.top)
            height = min(one.bottom - one.top, other.bottom - other.top)
            assert across < 1 or down < height / 2, (one, other)


def test_no_heading_stands_alone_at_the_end_of_a_page(pages: list[list[Word]]) -> None:
    """There is room for some lines of a table below each, or for a figure."""
    found = {heading: ends[heading] for ends in map(lines, pages) for heading in SECTIONS if heading in ends}
    assert list(found) == SECTIONS
    assert max(found.values()) < A4[1] - 80


def test_nothing_that_is_drawn_reaches_the_edge_of_a_page(paper: Path, tmp_path: Path) -> None:
    """A figure that is too wide, or too high, would."""
    subprocess.run(["pdftoppm", "-r", "40", "-gray", paper, tmp_path / "page"], check=True)
    edge = math.ceil(5 / 25.4 * 40)  # 5 mm
    drawn = sorted(tmp_path.glob("*.pgm"))
    assert drawn
    for path in drawn:
        with Image.open(path) as image:
            shades = np.asarray(image)
        assert shades[edge:-edge, edge:-edge].min() < 200
        for side in (shades[:edge], shades[-edge:], shades[:, :edge], shades[:, -edge:]):
            assert side.min() > 250, path.name
