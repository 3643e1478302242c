"""A report as plain data, and as Markdown: sections of text, lists, tables and pictures. page.py and pdf.py draw it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from tune_mnist.task import Task
from tune_mnist.words import legible


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Code:
    """A command to type."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """A table of texts; `sweep` is the index of the column that names a row's sweep, if one does."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    sweep: int | None = None


@dataclass(frozen=True)
class Picture:
    """A figure in its files, and what it shows for those who do not see it."""

    alt: str
    png: Path
    svg: Path


def size_of(picture: Picture) -> tuple[int, int]:
    """The width and height of a figure, in pixels."""
    with Image.open(picture.png) as image:
        return image.size


@dataclass(frozen=True, eq=False)
class Views:
    """The points to be pointed at, which only the page can show; Markdown and paper leave it out."""

    points: pd.DataFrame
    task: Task


Block = Text | Code | Bullets | Grid | Picture | Views


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A title, its sections, of which the first is the first screen, the files that it was made from, and the day."""

    title: str
    sections: tuple[Section, ...]
    made_from: tuple[str, ...]
    date: str = ""
    subtitle: str = ""  # under a title of the user's own: the usual one


def markdown(document: Document) -> str:
    """The document in GitHub's Markdown; pictures by their files' names."""
    lead = [f"{document.subtitle}."] if document.subtitle else []
    lead += [f"Results of {document.date}."] if document.date else []
    parts = [f"# {_plain(document.title)}", *([_plain(" ".join(lead))] if lead else [])]
    for section in document.sections:
        blocks = [_block(block) for block in section.blocks if not isinstance(block, Views)]
        parts += [f"## {_plain(section.title)}", *blocks]
    return legible("\n\n".join(parts)) + "\n"


def _block(block: Text | Code | Bullets | Grid | Picture) -> str:
    if isinstance(block, Text):
        return _plain(block.text)
    if isinstance(block, Code):
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", block.text)), default=0))
        return f"{fence}sh\n{block.text}\n{fence}"
    if isinstance(block, Bullets):
        return "\n".join(f"- {_plain(item)}" for item in block.items)
    if isinstance(block, Picture):
        return f"![{_plain(block.alt)}]({block.png.name})"
    lines = _line(block.head), "|" + " --- |" * len(block.head), *map(_line, block.rows)
    return "\n".join((_plain(block.caption), "", *lines))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_plain(cell).replace("|", "\\|") for cell in cells) + " |"


def _plain(text: str) -> str:
    """Text as text: what Markdown would take for a mark or an address of its own is escaped."""
    one_line = " ".join(re.split(r"\s*[\r\n]\s*", text.strip()))
    escaped = re.sub(r"[\\`*_\[\]<>#~&]|:(?=//)", r"\\\g<0>", one_line)
    return re.sub(r"^(\d*)([-+](?=[-\s]|$)|[.)](?=\s|$))", r"\1\\\2", escaped)  # the beginnings of a list
