"""Sweep files: sweeps, baseline and seeds in YAML, checked strictly; what is wrong is named with file and line.

A task's standard sweeps are such a file: `tune-mnist run --print-config` prints it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tune_mnist.errors import UserError, unknown
from tune_mnist.files import read_written
from tune_mnist.plan.sweeps import Sweep, one_variable
from tune_mnist.task import Task


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    baseline: dict[str, Any] = {}
    vary: dict[str, list[Any]] = {}
    cross: dict[str, list[Any]] = {}
    seeds: int = Field(1, ge=1)
    task: str | None = None
    judge: dict[str, str] = {}


@dataclass(frozen=True)
class SweepFile:
    """What a sweep file says, every value checked. `sweeps(changes)` gives its sweeps, some baseline values changed."""

    path: Path
    name: str
    baseline: dict[str, Any]
    vary: dict[str, list[Any]]
    cross: dict[str, list[Any]]
    seeds: int
    task: Task

    def sweeps(self, **changes: Any) -> list[Sweep]:
        baseline = self.task.config(self.baseline, **changes)
        crossed = [Sweep("cross", self.cross, baseline, self.task)] if self.cross else []
        return [one_variable(name, values, baseline, self.task) for name, values in self.vary.items()] + crossed


def empty(task: Task) -> SweepFile:
    """What a task without sweeps of its own has instead of a file: its defaults, and nothing to vary."""
    return SweepFile(Path(), "standard", {}, {}, {}, 1, task)


def read(path: Path, task: Task) -> SweepFile:
    """Read and check a sweep file. Raises UserError with the file and the line of what is wrong."""
    root, content = _parsed(path)
    try:
        return _Checker(path, root, task).check(content)
    except RecursionError:
        raise UserError(f"{path}:1: a value contains itself") from None


def named_task(path: Path) -> tuple[str | None, tuple[str, str] | None]:
    """The task that a sweep file names, if it does, and (the judged measure, which way is better). Raises UserError."""
    root, content = _parsed(path)
    task, judge = content.get("task"), content.get("judge")
    if task is not None and not isinstance(task, str):
        raise UserError(f"{path}:{_line(root, ('task',))}: task names FILE.py or PACKAGE.MODULE:FUNCTION, not {task!r}")
    if isinstance(task, str) and task.partition(":")[0].endswith(".py"):
        task = str(path.parent / task)
    if judge is None:
        return task, None
    ways = {"minimize": "lower", "maximize": "higher"}
    if not isinstance(judge, dict) or len(judge) != 1 or not set(judge) <= set(ways):
        raise UserError(f"{path}:{_line(root, ('judge',))}: judge takes minimize: NAME or maximize: NAME")
    ((way, name),) = judge.items()
    return task, (str(name), ways[way])


def written_values(path: Path) -> dict[str, list[object]]:
    """Name -> every value that a sweep file gives it, unchecked. Raises UserError."""
    _, content = _parsed(path)
    found: dict[str, list[object]] = {}
    for section in ("baseline", "vary", "cross"):
        named = content.get(section)
        for name, values in named.items() if isinstance(named, dict) else ():
            found.setdefault(str(name), []).extend(values if isinstance(values, list) else [values])
    return found


def _parsed(path: Path) -> tuple[yaml.MappingNode, dict[str, Any]]:
    """A sweep file as YAML, with the places of its parts. Raises UserError."""
    try:
        text = read_written(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"sweep file '{path}' cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except RecursionError:
        raise UserError(f"{path}:1: a value contains itself") from None
    except (yaml.YAMLError, ValueError) as error:  # the latter of a date that does not exist
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{path}:{mark.line + 1 if mark else 1}: not YAML: {problem}") from None
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{path}:1: a sweep file holds name, baseline, vary, cross and seeds; this one does not")
    return root, content


class _Checker:
    """Turns what pydantic and the hyper-parameters' own rules refuse into a line of the file."""

    def __init__(self, path: Path, root: yaml.MappingNode, task: Task) -> None:
        self.path, self.root, self.task = path, root, task

    def check(self, content: Any) -> SweepFile:
        self._refuse_repeated_keys(self.root)
        try:
            form = _Form.model_validate(content)
        except ValidationError as error:
            self._refuse_form(error)
        self._values("baseline", {name: [value] for name, value in form.baseline.items()}, lambda name, _: (name,))
        for section in ("vary", "cross"):
            self._values(section, getattr(form, section), lambda name, index: (name, index))
        file = SweepFile(self.path, form.name, form.baseline, form.vary, form.cross, form.seeds, self.task)
        self._sweeps(file)
        return file

    def _values(self, section: str, values: dict[str, list[Any]], at: Callable[[str, int], tuple[Any, ...]]) -> None:
        for name, listed in values.items():
            if name not in self.task.variables:
                self._refuse((section, name), str(unknown("hyper-parameter", name, self.task.variables)))
            parameter = self.task.parameter(name)
            for index, value in enumerate(listed):
                where = (section, *at(name, index))
                # YAML reads 1e-3 as text, and a person means the number; a quoted whole number is a wrong type.
                if isinstance(value, str) and parameter.kind == "whole" and value != parameter.none:
                    self._refuse(where, f"{name} must be {parameter.rule}, not '{value}'")
                try:
                    parameter.read(value)
                except UserError as error:
                    self._refuse(where, str(error))

    def _sweeps(self, file: SweepFile) -> None:
        """What no single value is to blame for: values that do not go together, repeated or empty lists."""
        if not file.vary and not file.cross:
            self._refuse((), "nothing to sweep; give values under vary or cross")
        self._try(("baseline",), lambda: self.task.config(file.baseline))
        for name, values in file.vary.items():
            self._try(("vary", name), replace(file, vary={name: values}, cross={}).sweeps)
        self._try(("cross",), file.sweeps)

    def _try(self, where: tuple[Any, ...], make: Callable[[], object]) -> None:
        try:
            make()
        except UserError as error:
            self._refuse(where, str(error))

    def _refuse_form(self, error: ValidationError) -> NoReturn:
        first = error.errors()[0]
        where = first["loc"]
        if first["type"] == "extra_forbidden":
            self._refuse(where, str(unknown("key", where[-1], _Form.model_fields)))
        if first["type"] == "missing":
            self._refuse((), f"'{where[-1]}' is missing")
        name = ".".join(str(part) for part in where)
        self._refuse(where, f"{name}: {first['msg'][0].lower()}{first['msg'][1:]}, not {first['input']!r}")

    def _refuse_repeated_keys(self, node: yaml.Node) -> None:
        if isinstance(node, yaml.SequenceNode):
            for child in node.value:
                self._refuse_repeated_keys(child)
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, child in node.value:
                if key.value in seen:
                    raise UserError(f"{self.path}:{key.start_mark.line + 1}: '{key.value}' stands twice; give it once")
                seen.add(key.value)
                self._refuse_repeated_keys(child)

    def _refuse(self, where: Sequence[Any], what: str) -> NoReturn:
        raise UserError(f"{self.path}:{_line(self.root, where)}: {what}")


def _line(node: yaml.Node, where: Sequence[Any]) -> int:
    """The line of the key or item that `where` leads to, as far as the file has it."""
    line = node.start_mark.line
    for part in where:
        if isinstance(node, yaml.MappingNode):
            entry = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if entry is None:
                break
            line, node = entry[0].start_mark.line, entry[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line
    return line + 1
