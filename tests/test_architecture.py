"""The layers of docs/architecture.md: no import goes upward, Ray stays behind two doors, modules stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tune_mnist"
# From the top; a module imports only from lines below its own. The drawing in docs/architecture.md is this one.
LAYERS = """
__main__
run  train  runs  report  compare  verify
experiment  cli  launch
tuning  writing  launcher
resources  summary  gallery  page  findings  published  comparing  reading  job
request  forecast  progress  results  tensorboard  environment  plots  learning  tradeoff  heatmap  interactive  pdf
planning  sweepfile  mailbox  statistics  style  merging  screen  room
sweeps  devices  training  cluster
config  datasets  store  reach  values  document  machines
errors  downloads  model
"""
LEVELS = {name: level for level, line in enumerate(reversed(LAYERS.split("\n"))) for name in line.split()}
RAY_DOORS = {"cluster", "job", "room", "tuning"}
TRAINING = {"training", "model", "datasets", "downloads", "devices"}
SWEEPING = {"sweeps", "planning", "store", "forecast", "results", "plots", "tensorboard", "progress"}
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")
LONGEST_FILE, LONGEST_FUNCTION = 300, 45  # lines


def tree(module: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{module}.py").read_text("utf-8"))


def imported(module: str) -> Iterator[str]:
    """Full names of all that the module imports anywhere in it: at its top, in functions and for type checkers."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}.py has a relative import; name the package, as the others do"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def arrows(module: str) -> set[str]:
    """The package's modules among what it imports."""
    parts = [name.split(".") for name in imported(module)]
    return {part[1] for part in parts if part[0] == "tune_mnist" and len(part) > 1 and part[1] in MODULES}


@pytest.mark.parametrize("module", MODULES)
def test_no_import_goes_upward(module: str) -> None:
    assert module in LEVELS, f"{module} has no layer; give it one here and in docs/architecture.md"
    upward = sorted(other for other in arrows(module) if LEVELS[other] >= LEVELS[module])
    assert not upward, f"{module} imports {', '.join(upward)}, which is not below it"


def test_every_layer_is_of_modules_that_exist() -> None:
    assert sorted(LEVELS) == MODULES


def test_the_page_draws_the_same_layers() -> None:
    assert f"```{LAYERS}```" in (ROOT / "docs" / "architecture.md").read_text("utf-8")


def test_only_four_modules_import_ray() -> None:
    importers = {module for module in MODULES if any(name.split(".")[0] == "ray" for name in imported(module))}
    assert importers <= RAY_DOORS


def test_a_command_does_not_load_ray_when_it_starts() -> None:
    program = "import sys, tune_mnist.__main__; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("module", sorted(SWEEPING))
def test_the_machinery_of_sweeps_knows_no_data_set_and_no_network(module: str) -> None:
    assert not arrows(module) & TRAINING


@pytest.mark.parametrize("module", sorted(TRAINING))
def test_training_knows_nothing_of_sweeps_and_the_store(module: str) -> None:
    assert not arrows(module) & SWEEPING


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_short(module: str) -> None:
    lines = len((PACKAGE / f"{module}.py").read_text("utf-8").splitlines())
    assert lines <= LONGEST_FILE, f"{module}.py has {lines} lines; at most {LONGEST_FILE}"


@pytest.mark.parametrize("module", MODULES)
def test_a_function_is_short(module: str) -> None:
    """Counted from its first statement: the options of a command line are a table, and stand in its signature."""
    functions = [node for node in ast.walk(tree(module)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    lengths = {node.name: (node.end_lineno or 0) - node.body[0].lineno + 1 for node in functions}
    long = {name: lines for name, lines in lengths.items() if lines > LONGEST_FUNCTION}
    assert not long, f"in {module}.py, more than {LONGEST_FUNCTION} lines: {long}"
