"""Words from outside in every form of a report, read back by real parsers: none becomes markup, none breaks a file."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from tables import CURVE, ENVIRONMENT, curve_sweep, epochs_of

from tune_mnist.errors import UserError
from tune_mnist.files import shortened
from tune_mnist.report.document import Bullets, Code, Document, Grid, Section, Text, markdown
from tune_mnist.report.write import write_report
from tune_mnist.results.folder import REPORTS, log_file
from tune_mnist.results.read import Results
from tune_mnist.task import Task
from tune_mnist.words import legible

HOSTILE = {
    "a link": "[x](javascript:alert(1))",
    "an image": "![x](http://evil.test/x.png)",
    "an element": "<img src=x onerror=alert(1)>",
    "the end of a script": "</script><script>alert(1)</script>",
    "a fence": "```\n# heading\n~~~",
    "the end of a cell": "a | b | c",
    "a heading": "x\n# heading\n\n---\n",
    "an entity": "&lt;b&gt; &copy;",
    "marks": "*a* _b_ `c` ~~d~~ \\*e\\*",
    "a list": "1. one\n- two\n+ three",
    "an address": "<https://evil.test> https://evil.test",
    "a formula": "$\\frac$ $x_{",
    "control letters": "a\x00b\x07c\x1b[31md\x7fe\x9b\ufffef",
    "half a letter": "a\ud800b",
    "other scripts": "学習率 \U0001f600 \u202eabc",
}
TOGETHER = [" ".join([*HOSTILE.values()][start::3]) for start in range(3)]  # a report of each would take a minute
MARKUP = ("link", "image", "html", "em", "strong", "s_", "code_inline", "hr")


def results(words: str, folder: Path) -> Results:
    """A folder's results in which all that may come from outside says these words."""
    task = replace(CURVE, name=words, examples=words, remark=words)
    labelled = tuple(replace(one, label=words) for one in CURVE.measures)
    task = replace(task, measures=labelled, parameters=tuple(replace(one, label=words) for one in CURVE.parameters))
    words_of_tables = words.encode("utf-8", "replace").decode()  # which are read as UTF-8
    sweeps = [
        curve_sweep("rate", {0.01: [0.5, 0.52], 0.1: [0.2, 0.22], 1.0: [0.3, -1]}, sweep=words_of_tables),
        curve_sweep("width", {8: [0.2, 0.22], 16: [0.21, 0.2]}, sweep="cross").assign(variable="width*rate"),
    ]
    points = pd.concat(sweeps, ignore_index=True).assign(hostname=words_of_tables)
    points.loc[points["status"] == "failed", "error"] = words_of_tables
    said = dict.fromkeys(("command", "platform", "hostname", "python"), words)
    environment = ENVIRONMENT | said | {"cpu": {"model": words}, "packages": {words: words}, "git": {"commit": words}}
    return Results(folder, task, points, epochs_of(points, task), environment)


class Elements(HTMLParser):
    """The elements of a page, and what their attributes point at."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def parsed(report: str) -> list[Token]:
    """Markdown as GitHub reads it."""
    return MarkdownIt("gfm-like", {"linkify": False}).parse(report)


def kinds(report: str) -> list[str]:
    """The kinds of all parts of a Markdown text."""
    parts = parsed(report)
    return [one.type for part in parts for one in (part, *(part.children or []))]


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the forms have in them where the words are plain."""
    folder = tmp_path_factory.mktemp("plain")
    write_report(results("plain", folder))
    page = Elements((folder / "report.html").read_text("utf-8"))
    return {"tags": page.tags, "kinds": kinds((folder / "report.md").read_text("utf-8"))}


@pytest.mark.filterwarnings("ignore:Glyph")  # DejaVu has no Japanese: boxes are drawn
@pytest.mark.parametrize("words", TOGETHER, ids=range(3))
def test_words_from_outside_stay_words(words: str, tmp_path: Path, harmless: dict[str, Any]) -> None:
    written = write_report(results(words, tmp_path))
    for drawing in (path for path in written if path.suffix == ".svg"):
        for one in ET.parse(drawing).iter():  # which raises for a letter that XML may not have
            assert one.tag.rpartition("}")[2] not in ("script", "a", "foreignObject")
            assert not [name for name in one.attrib if name.startswith("on")]
    page = Elements((tmp_path / "report.html").read_text("utf-8"))
    assert page.tags == harmless["tags"]
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert {value for name, value in page.attributes if name == "href" and not str(value).startswith("#s")} == {
        "data:,"
    }
    report = (tmp_path / "report.md").read_text("utf-8")
    assert kinds(report) == harmless["kinds"]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", report)
    assert (tmp_path / REPORTS[2]).read_bytes().startswith(b"%PDF-")


@pytest.mark.parametrize("words", HOSTILE.values(), ids=list(HOSTILE))
def test_markdown_gives_the_words_back(words: str) -> None:
    blocks = (Text(words), Bullets((words, words)), Grid(words, (words, "n"), ((words, "1"),)), Code(words))
    report = markdown(Document(words, (Section(words, blocks),), ()))
    parts = parsed(report)
    found = [part.content for part in parts if part.type == "fence"]
    assert found == [f"{legible(words)}\n"]
    shown = " ".join(legible(words).split())
    inline = [part for part in parts if part.type == "inline"]
    texts = ["".join(child.content for child in part.children or []) for part in inline]
    assert [" ".join(text.split()) for text in texts if text not in ("n", "1")] == [shown] * 8
    assert not [child.type for part in inline for child in part.children or [] if child.type.startswith(MARKUP)]


def test_every_letter_of_a_legible_text_may_stand_in_xml() -> None:
    every = "".join(map(chr, range(0x11000)))
    read = ET.fromstring(f"<a>{legible(every).replace('&', '').replace('<', '')}</a>").text
    assert read
    assert len(legible(every)) == len(every)
    assert legible("tab\tand\nline, é, 学, \U0001f600") == "tab\tand\nline, é, 学, \U0001f600"


@pytest.mark.parametrize("name", ["a" * 201, "試" * 70])
def test_a_task_whose_name_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="at most 200 bytes"):
        Task(name)


def test_files_of_long_names_can_be_written(tmp_path: Path) -> None:
    for name in (f"{shortened('試' * 300)}.svg", log_file("試" * 300, "0123456789abcdef").rpartition("/")[2]):
        (tmp_path / name).touch()
        assert (tmp_path / name).is_file()
