"""What a report is called and how it is cited: its title, its day, its key, and the code that made it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from tables import read_folder, seeded_sweep, write_folder

from tune_mnist.errors import UserError
from tune_mnist.mnist.task import MNIST
from tune_mnist.plan.request import Options, build
from tune_mnist.plan.written import written
from tune_mnist.report.write import write_report

LRS: dict[Any, list[float]] = {0.01: [0.951, 0.949], 0.05: [0.981, 0.982]}
FORMS = ("report.md", "report.html", "report.pdf")


def results(folder: Path, **facts: Any) -> Path:
    """A folder with its report; `facts` are told by its environment.json."""
    write_folder(folder, seeded_sweep("lr", LRS))
    path = folder / "environment.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | facts), "utf-8")
    write_report(read_folder(folder))
    return folder


def said(folder: Path) -> str:
    return (folder / "report.md").read_text("utf-8").replace("\\", "")


def file_of(tmp_path: Path, **more: Any) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps({"name": "mine", "vary": {"lr": [0.01, 0.1]}, **more}), "utf-8")
    return path


def test_a_report_is_cited_by_title_day_key_and_code(tmp_path: Path) -> None:
    folder = results(tmp_path)
    tables = (folder / "mnist_results.csv").read_bytes() + (folder / "history.csv").read_bytes()
    key = hashlib.sha256(tables).hexdigest()[:12]
    cite = said(folder).partition("## Cite this\n\n")[2]
    assert cite.splitlines()[0] == (
        f"“What learning rate does on MNIST”, results of 2025-01-02, key {key}. Made by tune_mnist 0.1.0, commit "
        "0123456789ab."
    )
    assert "cat mnist_results.csv history.csv | sha256sum" in cite
    assert f"key {key}." in (folder / "report.html").read_text("utf-8")


def test_code_that_was_changed_is_cited_so(tmp_path: Path) -> None:
    folder = results(tmp_path, git={"commit": "0123456789abcdef", "dirty": True})
    assert "commit 0123456789ab with changes." in said(folder)


def test_where_nothing_is_recorded_the_key_is_left(tmp_path: Path) -> None:
    folder = results(tmp_path)
    (folder / "environment.json").unlink()
    write_report(read_folder(folder))
    assert re.search(
        r"^“What learning rate does on MNIST”, key [0-9a-f]{12}\. Made by tune_mnist\.$", said(folder), re.M
    )


def test_a_report_made_again_elsewhere_has_the_same_bytes(tmp_path: Path) -> None:
    folder = results(tmp_path / "one", title="Mine")
    before = {name: (folder / name).read_bytes() for name in FORMS}
    other = shutil.copytree(folder, tmp_path / "two")
    write_report(read_folder(other))
    assert {name: (other / name).read_bytes() for name in FORMS} == before


def test_another_number_in_a_table_is_another_key(tmp_path: Path) -> None:
    folder = results(tmp_path)
    (key,) = re.findall(r"key ([0-9a-f]{12})\.", said(folder))
    path = folder / "mnist_results.csv"
    path.write_text(path.read_text("utf-8").replace("0.981", "0.982", 1), "utf-8")
    write_report(read_folder(folder))
    assert key not in said(folder)


def test_a_title_of_ones_own_stands_above_the_usual_one(tmp_path: Path) -> None:
    folder = results(tmp_path, title="How fast? A <b>first</b> look")
    assert said(folder).startswith(
        "# How fast? A <b>first</b> look\n\nWhat learning rate does on MNIST. Results of 2025-01-02.\n"
    )
    page = (folder / "report.html").read_text("utf-8")
    assert "<h1>How fast? A &lt;b&gt;first&lt;/b&gt; look</h1>" in page
    assert "<p>What learning rate does on MNIST.</p>" in page


def test_a_title_is_given_in_a_sweep_file_and_an_option_overrides_it(tmp_path: Path) -> None:
    file = file_of(tmp_path, title="From  the\nfile")
    assert build(MNIST, Options(config=file)).title == "From the file"
    request = build(MNIST, Options(config=file, title="Given"))
    assert request.title == "Given"
    again = tmp_path / "again.yaml"
    again.write_text(written(request, MNIST, {}), "utf-8")
    assert build(MNIST, Options(config=again)).title == "Given"


@pytest.mark.parametrize("title", ["", "  ", "x" * 201, 2026, ["a"], True])
def test_what_is_no_title_is_refused_with_its_place(tmp_path: Path, title: object) -> None:
    with pytest.raises(UserError, match=r"mine\.yaml:1: title must be a text of 1 to 200 letters, not "):
        build(MNIST, Options(config=file_of(tmp_path, title=title)))
