"""The house of docs/architecture.md: imports go down its list, Ray and MNIST stay behind their doors, all is small."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tune_mnist"
# From the top; a room imports only from lines below its own, and what stands alone is a module of the package itself.
# The drawing in docs/architecture.md is this one.
HOUSE = """
__main__  run  train
commands
api
experiment
stopping
launch
remote
keeping
report
verdicts
figures
display
results
tuning
trials
plan
checking
tasks
store
fingerprint
mnist
machine
learned
task
parameter  measure
names  statistics
errors  files  words  exits  background
"""
LEVELS = {name: level for level, line in enumerate(reversed(HOUSE.split("\n"))) for name in line.split()}
RAY, MNIST = {"tuning", "launch"}, {"mnist", "commands", "__main__", "run", "train"}
LONGEST_FILE, LONGEST_FUNCTION, MEDIAN_FUNCTION = 300, 45, 8  # lines
MOST_MODULES, MOST_PARAMETERS = 10, 7
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
# What only mnist/ knows. The package's own name is not meant, nor the files and settings that have it.
WORDS = re.compile(
    r"(?<!tune_)(?<!tune-)(?<!TUNE_)mnist(?!_results|_experiments)|test_accuracy|\bcnn\b|\bimages\b", re.I
)


def room(path: Path) -> str:
    """The room that a module is in, or its own name where it stands alone."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def named(path: Path) -> str:
    return ".".join(("tune_mnist", *path.relative_to(PACKAGE).with_suffix("").parts))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def imported(path: Path) -> frozenset[str]:
    """Full names of all that the module imports anywhere in it: at its top, in functions and for type checkers."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import; name the package, as the others do"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def rooms(path: Path) -> set[str]:
    """The rooms that a module imports from."""
    parts = [name.split(".") for name in imported(path)]
    return {part[1] for part in parts if part[0] == "tune_mnist" and len(part) > 1 and part[1] in LEVELS}


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree(path)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Counted from the first statement: the options of a command line are a table, and stand in its signature."""
    return (function.end_lineno or 0) - function.body[0].lineno + 1


def is_command(path: Path, name: str) -> bool:
    """Whether the function is a command, whose parameters are its options."""
    return (room(path) == "commands" and name == path.stem) or (room(path), name) == ("api", "sweep")


every_module = pytest.mark.parametrize("path", MODULES, ids=named)


@every_module
def test_no_import_goes_upward(path: Path) -> None:
    level = LEVELS[room(path)]
    upward = sorted(other for other in rooms(path) if other != room(path) and LEVELS[other] >= level)
    assert not upward, f"{named(path)} imports {', '.join(upward)}, which is not below {room(path)}"


def test_the_house_is_of_rooms_that_exist() -> None:
    there = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if not path.name.startswith(("__i", "__py"))}
    assert sorted(LEVELS) == sorted(there)


def test_the_page_draws_the_same_house() -> None:
    assert f"```{HOUSE}```" in (ROOT / "docs" / "architecture.md").read_text("utf-8")


def test_no_two_modules_import_each_other() -> None:
    """Also within a room."""
    names = {named(path): path for path in MODULES}
    arrows = {
        name: {other for other in names if any(f"{one}.".startswith(f"{other}.") for one in imported(path))} - {name}
        for name, path in names.items()
    }
    while leaves := {name for name, others in arrows.items() if not others & arrows.keys()}:
        arrows = {name: others for name, others in arrows.items() if name not in leaves}
    assert not arrows, f"a cycle of imports is among {', '.join(sorted(arrows))}"


@every_module
def test_only_two_rooms_import_ray(path: Path) -> None:
    assert room(path) in RAY or "ray" not in {name.split(".")[0] for name in imported(path)}


@every_module
def test_only_the_commands_import_mnist(path: Path) -> None:
    assert room(path) in MNIST or "mnist" not in rooms(path)


@pytest.mark.parametrize(
    "path",
    [path for path in [*MODULES, PACKAGE / "report" / "page.html.jinja"] if room(path) not in MNIST],
    ids=lambda path: path.name,
)
def test_nothing_else_knows_mnists_words(path: Path) -> None:
    found = [f"{number}: {line}" for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)]
    assert not [line for line in found if WORDS.search(re.sub(r"results/\S*mnist\S*", "", line))]


@every_module
def test_a_training_loop_knows_nothing_of_ray_files_or_terminals(path: Path) -> None:
    if path.name in ("training.py", "networks.py"):
        assert rooms(path) <= {"mnist", "task", "errors"}


def test_help_and_completion_load_neither_ray_nor_torch_nor_pandas() -> None:
    slow = {"ray", "torch", "pandas", "scipy", "matplotlib"}
    program = f"import sys, tune_mnist.__main__ as door; door.loaded(); sys.exit(str({slow} & {{*sys.modules}} or ''))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == "\n"


@every_module
def test_a_module_is_short(path: Path) -> None:
    count = len(path.read_text("utf-8").splitlines())
    assert count <= LONGEST_FILE, f"{named(path)} has {count} lines; at most {LONGEST_FILE}"


@every_module
def test_a_function_is_short(path: Path) -> None:
    long = {one.name: lines(one) for one in functions(path) if lines(one) > LONGEST_FUNCTION}
    assert not long, f"in {named(path)}, more than {LONGEST_FUNCTION} lines: {long}"


@every_module
def test_a_function_has_few_parameters(path: Path) -> None:
    many = {}
    for one in functions(path):
        given = [*one.args.posonlyargs, *one.args.args, *one.args.kwonlyargs]
        count = len([arg for arg in given if arg.arg not in ("self", "cls")])
        if count > MOST_PARAMETERS and not is_command(path, one.name):
            many[one.name] = count
    assert not many, f"in {named(path)}, more than {MOST_PARAMETERS} parameters: {many}"


def test_half_of_the_functions_are_very_short() -> None:
    assert statistics.median(lines(one) for path in MODULES for one in functions(path)) <= MEDIAN_FUNCTION


def test_no_room_is_crowded() -> None:
    counts = {folder.name: len([*folder.glob("[!_]*.py")]) for folder in PACKAGE.iterdir() if folder.is_dir()}
    assert not {name: count for name, count in counts.items() if count > MOST_MODULES}
