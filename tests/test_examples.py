"""The examples, each at its smallest: as loops in this process, and by the command that their page shows."""

from __future__ import annotations

import ast
import io
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT, Cluster, rows, succeeded

from tune_mnist.tasks.loop import Loop, find

FOLDER = ROOT / "examples"
FILES = sorted(FOLDER.glob("*.py"))
PAGE = (FOLDER / "README.md").read_text("utf-8")
NAMED = re.compile(r"tune-mnist run --task examples/(\S+)\.py --vary (\w+)=(\S+)(?: --seeds \d+)? --(\w+imize) (\w+)")


@dataclass(frozen=True)
class Small:
    """An example, what makes it small, and two values of the parameter that its command sweeps."""

    name: str
    sets: dict[str, Any]
    values: tuple[Any, Any]

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.name}.py"

    @property
    def command(self) -> re.Match[str]:
        """The command in its docstring: name, parameter, values, direction, measure."""
        found = NAMED.fullmatch((ast.get_docstring(ast.parse(self.file.read_text("utf-8"))) or "").splitlines()[2])
        assert found is not None, f"{self.file}: the third line of its docstring is no command"
        return found


EXAMPLES = (
    Small("boosting", {}, (1, 2)),
    Small("char_transformer", {"width": 8, "steps": 2}, (0.01, 0.1)),
    Small("lightning_module", {}, (4, 8)),
    Small("mnist_from_scratch", {"images": 64}, (0.0, 0.1)),
    Small("spiral", {"width": 8}, (0.01, 0.1)),
)
every = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
# Lightning uses what torch deprecates; Python 3.12 warns of the fork that a DataLoader's workers begin with.
of_others = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def loop(example: Small, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Loop]:
    """The example as the command finds it, without MNIST, which would be large."""
    if example.name == "lightning_module":
        pytest.importorskip("lightning", reason="lightning is not installed")
    monkeypatch.setenv("TUNE_MNIST_DATA", str(tmp_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield find(str(example.file))
    sys.modules.pop(example.name, None)


def trained(loop: Loop, values: dict[str, Any], epochs: int, state: Any = None) -> list[tuple[dict[str, float], bytes]]:
    """(measures, checkpoint) of so many epochs of 2, each saved before the next one begins."""
    found = []
    for measures, after in islice(loop.steps(values, state, total=2), epochs):
        file = io.BytesIO()
        torch.save(after, file)
        found.append((measures, file.getvalue()))
    return found


@every
@of_others
def test_an_example_keeps_its_promises(example: Small, loop: Loop) -> None:
    values = {"seed": 1, **example.sets, example.command[2]: example.values[1]}
    one, two = trained(loop, values, 2)
    measures = [one[0], two[0]]

    assert all(math.isfinite(number) for each in measures for number in each.values())
    assert example.command[5] in one[0]
    assert set(loop.declared("MEASURES", {})) <= set(one[0])
    assert [each for each, _ in trained(loop, values, 2)] == measures, "the same seed gives other numbers"
    assert trained(loop, values | {"seed": 2}, 1)[0][0] != one[0], "another seed gives the same numbers"
    state = torch.load(io.BytesIO(one[1]), weights_only=True)
    if state is None:
        assert example.name == "boosting"  # it says so
        return
    assert [each for each, _ in trained(loop, values, 1, state)] == [two[0]], "not as if it had gone through"


@pytest.mark.parametrize(
    "example",
    [pytest.param(one, id=one.name) for one in EXAMPLES],
)
@pytest.mark.timeout(180)
@pytest.mark.long
def test_the_command_sweeps_an_example(example: Small, ray: Cluster, tmp_path: Path) -> None:
    if example.name == "lightning_module":
        pytest.importorskip("lightning", reason="lightning is not installed")
    _, parameter, _, direction, measure = example.command.groups()
    swept = ",".join(str(value) for value in example.values)
    small = [part for name, value in example.sets.items() for part in ("--set", f"{name}={value}")]
    done = succeeded(
        ray.run(
            *("run", "--task", str(example.file), "--vary", f"{parameter}={swept}", "--set", "epochs=2", *small),
            *(f"--{direction}", measure, "--store", "store", "--output", "results"),
            folder=tmp_path,
            module="tune_mnist",
            TUNE_MNIST_DATA=str(tmp_path),
        )
    )
    (table,) = (done.folder / "results").glob("*_results.csv")
    points = rows(table)

    assert [float(point[parameter]) for point in points] == list(example.values)
    assert all(math.isfinite(float(point[measure])) for point in points)
    assert len({point[measure] for point in points}) == 2, "the parameter does nothing"


def test_every_file_is_an_example() -> None:
    assert [path.stem for path in FILES] == [example.name for example in EXAMPLES]


@every
def test_an_example_takes_sixty_lines(example: Small) -> None:
    assert len(example.file.read_text("utf-8").splitlines()) <= 60


@every
def test_the_page_shows_an_examples_command(example: Small) -> None:
    assert example.command[1] == example.name
    assert f"\n{example.command[0]}\n" in PAGE
    assert f"]({example.name}.py)" in PAGE
