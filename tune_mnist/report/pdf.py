"""The report as a PDF file, for print and mail."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import matplotlib
from fpdf import FPDF, FontFace

from tune_mnist import __version__
from tune_mnist.report.document import Block, Bullets, Code, Document, Grid, Picture, Text

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"  # DejaVu: it comes with matplotlib and has every letter used
FACES = {"": "DejaVuSans.ttf", "B": "DejaVuSans-Bold.ttf"}
SAME_DATE = datetime(2000, 1, 1, tzinfo=timezone.utc)  # equal tables give equal bytes; environment.json has the date


def pdf(document: Document) -> bytes:
    """The whole document, A4."""
    paper = FPDF(format="A4")
    for style, file in FACES.items():
        paper.add_font("DejaVu", style, FONTS / file)
    paper.set_title(document.title)
    paper.set_creator(f"tune_mnist {__version__}")
    paper.set_creation_date(SAME_DATE)
    paper.set_auto_page_break(True, margin=15)
    paper.add_page()
    _write(paper, document.title, 16, "B")
    for section in document.sections:
        if paper.will_page_break(105 if isinstance(section.blocks[0], Picture) else 40):  # mm: no heading stands alone
            paper.add_page()
        paper.ln(3)
        paper.start_section(section.title)
        _write(paper, section.title, 12, "B")
        for block in section.blocks:
            _block(paper, block)
    return bytes(paper.output())


def _write(paper: FPDF, text: str, size: float, style: str = "") -> None:
    paper.set_font("DejaVu", style, size)
    paper.multi_cell(0, size * 0.5, text, new_x="LMARGIN", new_y="NEXT", align="L")
    paper.ln(1.5)


def _block(paper: FPDF, block: Block) -> None:
    if isinstance(block, Text):
        _write(paper, block.text, 9.5)
    elif isinstance(block, Code):
        _write(paper, block.text, 8.5)
    elif isinstance(block, Bullets):
        for item in block.items:
            _write(paper, f"• {item}", 9.5)
    elif isinstance(block, Picture):
        paper.image(block.png, w=130, alt_text=block.alt)
        paper.ln(2)
    elif isinstance(block, Grid):
        _grid(paper, block)


def _grid(paper: FPDF, block: Grid) -> None:
    if paper.will_page_break(35):  # mm: the caption and some rows
        paper.add_page()
    _write(paper, block.caption, 8.5)
    paper.set_font("DejaVu", "", 6)
    lengths = [max(map(len, column)) for column in zip(block.head, *block.rows, strict=True)]
    widths = tuple(max(5, min(length, 16)) for length in lengths)
    head = FontFace(emphasis="BOLD", fill_color=(238, 238, 238))
    with paper.table(col_widths=widths, headings_style=head, text_align="LEFT", line_height=3.4, padding=0.6) as table:
        for cells in (block.head, *block.rows):
            row = table.row()
            for cell in cells:
                row.cell(cell)
    paper.ln(3)
