"""docs/results.ipynb runs from its first cell to its last, and shows what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient
from tasks import write_own_loop

NOTEBOOK = ROOT / "docs" / "results.ipynb"


def outputs(notebook: Any) -> list[tuple[str, list[set[str]]]]:
    """(source, kinds of each output) of every code cell."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [(cell.source, [set(one.get("data", {one.output_type: ""})) for one in cell.outputs]) for cell in cells]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """As it lies there, executed anew."""
    found = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        NotebookClient(found, timeout=120, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    return found


def test_every_figure_is_shown(notebook: Any) -> None:
    drawing = [(source, kinds) for source, kinds in outputs(notebook) if "draw" in source.splitlines()[-1]]
    assert len(drawing) >= 4
    for source, kinds in drawing:
        assert any("image/png" in kind for kind in kinds), source


def test_nothing_complains(notebook: Any) -> None:
    assert not [source for source, kinds in outputs(notebook) if {"stream"} in kinds or {"error"} in kinds]


CELLS = (
    "from walk import train\nfrom tune_mnist import sweep\n"
    "results = sweep(train, vary={'rate': [0.1, 0.2]}, baseline={'rate': 0.1}, epochs=4, seeds=2, minimize='val_loss')",
    "results.summary[['value', 'val_loss_n']]",
    "results.figure('rate')",
    "results.report().name",
)


@pytest.mark.long
def test_a_sweep_in_a_notebook_shows_what_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And at its end only what came of it."""
    write_own_loop(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    made = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    made.cells = [nbformat.v4.new_code_cell(one) for one in CELLS]  # type: ignore[no-untyped-call]
    seen: list[str] = []
    client = NotebookClient(made, timeout=200, resources={"metadata": {"path": str(tmp_path)}})
    take = client.process_message

    def heard(message: Any, *others: Any) -> Any:
        if message["msg_type"] == "update_display_data":
            seen.append(message["content"]["data"]["text/html"])
        return take(message, *others)

    monkeypatch.setattr(client, "process_message", heard)
    client.execute()
    assert any("val loss" in html and "4 points" in html for html in seen)
    assert seen[-1] == ""
    first, table, figure, report = (cell.outputs for cell in made.cells)
    assert not [one for one in first if "error" in one.output_type]
    assert "val_loss_n" in table[0]["data"]["text/plain"]
    assert "image/png" in figure[0]["data"]
    assert report[-1]["data"]["text/plain"] == "'report.html'"


def test_what_lies_there_is_what_it_gives(notebook: Any) -> None:
    """Its words; a picture's bytes are of the version of matplotlib that drew it."""

    def said(one: Any) -> list[list[str]]:
        return [
            [output["data"]["text/plain"] for output in cell.outputs if "image/png" not in output.get("data", {})]
            for cell in one.cells
            if cell.cell_type == "code"
        ]

    lying = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    assert said(lying) == said(notebook)
