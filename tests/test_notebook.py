"""docs/results.ipynb runs from its first cell to its last, and shows what it says."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient

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
