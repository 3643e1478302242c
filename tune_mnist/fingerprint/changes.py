"""What changed between two states of a project's code, in words: `spiral.py (train: 3 lines)`."""

from __future__ import annotations

import ast
import difflib

from tune_mnist.fingerprint.source import Source
from tune_mnist.fingerprint.syntax import parse, targets
from tune_mnist.words import plural

MOST = 4  # definitions that are named in one file


def changes(old: Source, new: Source) -> list[str]:
    """One text for each file that is not the same: its definitions, with how many lines of code changed in each."""
    said = []
    for path in sorted({*old.files, *new.files}):
        if path not in old.files:
            said.append(f"new file {path}")
        elif path not in new.files:
            said.append(f"{path} is gone")
        elif old.hashes[path] != new.hashes[path]:
            said.append(f"{path} ({_difference(old.files[path], new.files[path], path)})")
    return said


def _difference(old: bytes, new: bytes, path: str) -> str:
    if not path.endswith(".py"):
        return "its content"
    before, after = _definitions(old, path), _definitions(new, path)
    counts = {name: _lines(before.get(name, []), after.get(name, [])) for name in {**after, **before}}
    said = [f"{name}: {plural(count, 'line')}" for name, count in counts.items() if count]
    if len(said) > MOST:
        said[MOST - 1 :] = [f"{len(said) - MOST + 1} others"]
    return ", ".join(said) or "the order of its definitions"


def _definitions(content: bytes, path: str) -> dict[str, list[str]]:
    """Name -> lines of code, without comments and in one format, of what the file has at its top."""
    found: dict[str, list[str]] = {}
    for statement in parse(content, path).body:
        found.setdefault(_name(statement), []).extend(ast.unparse(statement).splitlines())
    return found


def _name(statement: ast.stmt) -> str:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return statement.name
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return "imports"
    return ", ".join(targets(statement)) or "other code"


def _lines(old: list[str], new: list[str]) -> int:
    """How many lines differ; a line that was replaced counts once."""
    steps = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return sum(
        max(old_end - old_at, new_end - new_at) for kind, old_at, old_end, new_at, new_end in steps if kind != "equal"
    )
