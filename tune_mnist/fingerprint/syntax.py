"""Python files as syntax trees: a hash that comments, formatting and docstrings do not change, and what is imported.

Nothing is run. The hash is of what a person wrote, so a new Python gives the same one.
"""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from tune_mnist.errors import UserError

BODIES = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
UNCOUNTED = ("ctx", "kind", "type_comment", "type_ignores")  # said by the place in the tree, or a comment
IMPORTS_BY_NAME = ("import_module", "__import__")
RUNS_FILES = ("exec_module", "load_module", "run_module", "run_path")


@dataclass(frozen=True)
class Imported:
    """One import: `from ..name import members` has level 2; a plain `import name` has no members."""

    level: int
    name: str
    members: tuple[str, ...] = ()


def parse(content: bytes, place: str) -> ast.Module:
    """The file's tree without docstrings, and without strings that stand alone. Raises UserError with file and line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes and comparisons; whoever runs the file is told
            tree = ast.parse(content)
    except SyntaxError as error:
        raise UserError(f"{place}:{error.lineno or 1}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{place}:1: it cannot be read as Python: {error or type(error).__name__}") from None
    for node in ast.walk(tree):
        if isinstance(node, BODIES):
            body: list[Any] = [one for one in node.body if not _is_text(one)]
            node.body = body or ([] if isinstance(node, ast.Module) else [ast.Pass()])
    return tree


def _is_text(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def tree_hash(tree: ast.AST) -> str:
    """SHA-256, in hex, of the tree: each node with the names of the fields that it has, in the order of the text."""
    hashed = hashlib.sha256()
    waiting: list[Any] = [tree]  # a list, because an expression may be nested deeper than Python recurses
    while waiting:
        said, below = _told(waiting.pop())
        hashed.update(f"{said}\n".encode())
        waiting.extend(reversed(below))
    return hashed.hexdigest()


def _told(item: Any) -> tuple[str, list[Any]]:
    """A node in words, and what is below it."""
    if isinstance(item, ast.AST):
        # Empty fields are left out: later Pythons have fields that earlier ones do not know.
        found = {name: value for name, value in ast.iter_fields(item) if value is not None and value != []}
        found = {name: value for name, value in found.items() if name not in UNCOUNTED}
        return f"{type(item).__name__} {' '.join(found)}", list(found.values())
    if isinstance(item, list):
        return f"list {len(item)}", item
    # Hexadecimal, because Python refuses to write very long numbers in decimals.
    return f"{type(item).__name__} {hex(item) if isinstance(item, int) else repr(item)}", []


def imports(tree: ast.AST) -> Iterator[Imported]:
    """Every import in the tree, those in functions too, and those by a call that names its module in a literal."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Imported(0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield Imported(node.level, node.module or "", tuple(alias.name for alias in node.names))
        elif isinstance(node, ast.Call) and _called(node) in IMPORTS_BY_NAME and (name := _literal(node)):
            bare = name.lstrip(".")
            if all(part.isidentifier() for part in bare.split(".")):
                yield Imported(len(name) - len(bare), bare)


def is_dynamic(tree: ast.AST) -> bool:
    """Whether it imports modules, or runs files, whose names only a run of it can tell."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return any(
        _called(call) in RUNS_FILES or (_called(call) in IMPORTS_BY_NAME and _literal(call) is None) for call in calls
    )


def _called(call: ast.Call) -> str:
    """The last part of the called function's name."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _literal(call: ast.Call) -> str | None:
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def exported(tree: ast.Module) -> tuple[str, ...]:
    """The names in the module's `__all__`, which `import *` takes."""
    assigned = [one for one in tree.body if isinstance(one, (ast.Assign, ast.AnnAssign, ast.AugAssign)) and one.value]
    lists = [one.value for one in assigned if "__all__" in targets(one)]
    constants = [node for one in lists for node in ast.walk(cast(ast.expr, one)) if isinstance(node, ast.Constant)]
    return tuple(node.value for node in constants if isinstance(node.value, str))


def targets(statement: ast.stmt) -> tuple[str, ...]:
    """The names that an assignment gives a value to, as they are written."""
    found: Iterable[ast.expr] = ()
    if isinstance(statement, ast.Assign):
        found = statement.targets
    elif isinstance(statement, (ast.AnnAssign, ast.AugAssign)):
        found = (statement.target,)
    return tuple(ast.unparse(one) for one in found)
