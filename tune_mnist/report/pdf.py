"""The report as a PDF file, for print and mail."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import matplotlib
from fpdf import FPDF, FontFace

from tune_mnist import __version__
from tune_mnist.report.document import Block, Bullets, Code, Document, Grid, Picture, Text, size_of
from tune_mnist.words import legible

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"  # DejaVu: it comes with matplotlib and has every letter used
FACES = {"": "DejaVuSans.ttf", "B": "DejaVuSans-Bold.ttf"}
SAME_DATE = datetime(2000, 1, 1, tzinfo=timezone.utc)  # of a folder without a date: equal tables give equal bytes
WIDEST, NARROWEST = 130.0, 95.0  # mm: a figure is made smaller rather than leave the rest of a page empty
FONT, PADDING = 6, 0.6  # points and mm, of tables


class Paper(FPDF):  # type: ignore[misc]  # it has no types
    """A4, with a number on every page."""

    def __init__(self) -> None:
        super().__init__(format="A4")
        for style, file in FACES.items():
            self.add_font("DejaVu", style, FONTS / file)
        self.set_auto_page_break(True, margin=15)

    def footer(self) -> None:
        self.set_y(-11)
        self.set_font("DejaVu", "", 7.5)
        self.cell(0, 5, f"page {self.page_no()} of {{nb}}", align="C")

    @property
    def left(self) -> float:
        """How much of the page is left, mm."""
        return float(self.page_break_trigger - self.y)


def pdf(document: Document) -> bytes:
    """The whole document."""
    paper = Paper()
    paper.set_title(legible(document.title))
    paper.set_creator(f"tune_mnist {__version__}")
    day = datetime.fromisoformat(document.date).replace(tzinfo=timezone.utc) if document.date else SAME_DATE
    paper.set_creation_date(day)
    paper.add_page()
    _write(paper, document.title, 16, "B")
    if document.subtitle:
        _write(paper, f"{document.subtitle}.", 9.5)
    if document.date:
        _write(paper, f"Results of {document.date}, by tune_mnist {__version__}.", 8.5)
    for section in document.sections:
        if paper.left < 13 + _needed(section.blocks[0]):  # no heading stands alone
            paper.add_page()
        paper.ln(3)
        paper.start_section(legible(section.title))
        _write(paper, section.title, 12, "B")
        for block in section.blocks:
            _block(paper, block)
    return bytes(paper.output())


def _needed(block: Block) -> float:
    """The height that a block, or its beginning, takes at least, mm."""
    if isinstance(block, Picture):
        width, height = size_of(block)
        return NARROWEST * height / width
    return 30 if isinstance(block, Grid) else 20


def _write(paper: Paper, text: str, size: float, style: str = "") -> None:
    paper.set_font("DejaVu", style, size)
    paper.multi_cell(0, size * 0.5, legible(text), new_x="LMARGIN", new_y="NEXT", align="L")
    paper.ln(1.5)


def _block(paper: Paper, block: Block) -> None:
    if isinstance(block, Text):
        _write(paper, block.text, 9.5)
    elif isinstance(block, Code):
        _write(paper, block.text, 8.5)
    elif isinstance(block, Bullets):
        for item in block.items:
            _write(paper, f"• {item}", 9.5)
    elif isinstance(block, Picture):
        _picture(paper, block)
    elif isinstance(block, Grid):
        _grid(paper, block)


def _picture(paper: Paper, block: Picture) -> None:
    """As wide as the rest of the page allows, or on the next one."""
    if paper.left < _needed(block):
        paper.add_page()
    width, height = size_of(block)
    paper.image(block.png, w=min(WIDEST, paper.left * width / height), alt_text=legible(block.alt))
    paper.ln(2)


def _grid(paper: Paper, block: Grid) -> None:
    if paper.left < _needed(block):
        paper.add_page()
    _write(paper, block.caption, 8.5)
    paper.set_font("DejaVu", "", FONT)
    head = FontFace(emphasis="BOLD", fill_color=(238, 238, 238))
    look: dict[str, Any] = {"text_align": "LEFT", "line_height": 3.4, "padding": PADDING}
    with paper.table(col_widths=_widths(paper, block), headings_style=head, **look) as table:
        for cells in (block.head, *block.rows):
            row = table.row()
            for cell in cells:
                row.cell(legible(cell))
    paper.ln(3)


def _widths(paper: Paper, block: Grid) -> tuple[float, ...]:
    """Of the columns: no word of a heading is cut, and the rest of the page's width goes to who asks for more."""
    columns = list(zip(block.head, *block.rows, strict=True))
    paper.set_font(style="B")
    least = [max(paper.get_string_width(legible(word)) for word in (head + " ").split(" ")) for head, *_ in columns]
    paper.set_font(style="")
    asked = [max(paper.get_string_width(legible(cell)) for cell in cells) for cells in columns]
    edge = 2 * PADDING + 0.6
    more = [max(0.0, min(wish, 40) - word) for wish, word in zip(asked, least, strict=True)]
    rest = paper.epw - sum(least) - edge * len(columns)
    share = rest / sum(more) if sum(more) else 0
    return tuple(word + edge + share * wish for word, wish in zip(least, more, strict=True))
