"""Sweep files: sweeps, baseline and seeds in YAML, checked strictly; what is wrong is named with file and line.

A task's standard sweeps are such a file: `tune-mnist run --print-config` prints it. docs/spaces.md has every form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tune_mnist.errors import UserError, unknown
from tune_mnist.files import read_written
from tune_mnist.names import plain, said_of
from tune_mnist.parameter import conditions_of
from tune_mnist.plan import wandb
from tune_mnist.plan.sweeps import Sweep, one_variable, refuse_unused
from tune_mnist.plan.values import entries, margin_of, seeds_of, title_of
from tune_mnist.plan.yaml12 import Refused, line_of, refuse_repeated_keys
from tune_mnist.plan.yaml12 import read as read_yaml
from tune_mnist.task import At, Config, Task

WAYS = {"minimize": "lower", "maximize": "higher"}  # how a judge is written -> which way is better
SWEEPS = ("vary", "cross", "zip")  # the sections that hold lists of values
Values = dict[str, list[Any]]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    baseline: dict[str, Any] = {}
    vary: dict[str, Any] = {}
    cross: dict[str, Any] = {}
    zip: dict[str, Any] = {}
    exclude: list[dict[str, Any]] = []
    when: dict[str, dict[str, Any]] = {}
    seeds: Any = 1
    title: Any = None
    task: str | None = None
    judge: dict[str, str] = {}
    at: At = "last"
    validation: int = Field(0, ge=0)
    val_fraction: float = Field(0.0, ge=0, lt=1)
    margin: Any = None


@dataclass(frozen=True)
class SweepFile:
    """What a sweep file says, every value checked. `sweeps(changes)` gives its sweeps, some baseline values changed."""

    path: Path
    name: str
    task: Task
    baseline: dict[str, Any] = field(default_factory=dict)
    vary: Values = field(default_factory=dict)
    cross: Values = field(default_factory=dict)
    zip: Values = field(default_factory=dict)
    exclude: tuple[Values, ...] = ()
    first_seed: int = 1
    seeds: Any = 1  # how many, or which
    at: At = "last"
    validation: int = 0  # how many examples are held out to choose by, or
    val_fraction: float = 0.0  # which share of them
    title: str = ""  # of the report, if not the usual one
    said: tuple[str, ...] = ()  # what there is to tell of how it was read
    margin: float | None = None
    checked: tuple[Sweep, ...] = ()  # its sweeps without changes, as they were made to check them

    def sweeps(self, **changes: Any) -> list[Sweep]:
        if self.checked and not changes:
            return list(self.checked)
        baseline = self.task.config(self.baseline, **changes)
        found = [one_variable(*one, baseline, self.task, exclude=self.exclude) for one in self.vary.items()]
        for name, space in (("cross", self.cross), ("zip", self.zip)):
            if space:
                found.append(Sweep(name, space, baseline, self.task, together=name == "zip", exclude=self.exclude))
        return found


@dataclass(frozen=True)
class _Parsed:
    """A file's content in our form, and where the file has its parts."""

    path: Path
    root: yaml.Node
    content: dict[str, Any]
    places: Mapping[tuple[Any, ...], tuple[Any, ...]] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    is_foreign: bool = False

    def refuse(self, where: Sequence[Any], what: str) -> NoReturn:
        there = (*self.places.get(tuple(where[:2]), where[:2]), *where[2:])
        raise UserError(f"{self.path}:{line_of(self.root, there)}: {what}")


def read(path: Path, task: Task) -> SweepFile:
    """Read and check a sweep file. Raises UserError with the file and the line of what is wrong."""
    return _Checker(_parsed(path), task).check()


def held_out(path: Path, task: Task) -> tuple[int, float]:
    """How many examples a sweep file holds out, and which share of them. Raises UserError."""
    form = _Checker(_parsed(path), task).form()
    return form.validation, form.val_fraction


def named_task(path: Path) -> tuple[str | None, tuple[str, str] | None]:
    """The task that a sweep file names, if it does, and (the judged measure, which way is better). Raises UserError."""
    parsed = _parsed(path)
    task, judge = parsed.content.get("task"), parsed.content.get("judge")
    if task is not None and not isinstance(task, str):
        parsed.refuse(("task",), f"task names FILE.py or PACKAGE.MODULE:FUNCTION, not {task!r}")
    if isinstance(task, str) and task.partition(":")[0].endswith(".py"):
        task = str(path.parent / task)
    if judge is None:
        return task, None
    if not isinstance(judge, dict) or len(judge) != 1 or not set(judge) <= set(WAYS):
        parsed.refuse(("judge",), "judge takes minimize: NAME or maximize: NAME")
    ((way, name),) = judge.items()
    return task, (str(name), WAYS[way])


def is_foreign(path: Path) -> bool:
    """Whether another program's sweep file is read, which knows nothing of our tasks."""
    return _parsed(path).is_foreign


def written_values(path: Path) -> Values:
    """Name -> every value that a sweep file gives it, unchecked. Raises UserError."""
    parsed = _parsed(path)
    found: Values = {}
    for section in ("baseline", *SWEEPS):
        named = parsed.content.get(section)
        for name, said in named.items() if isinstance(named, dict) else ():
            entry = _without_when(said)
            try:
                values = [entry] if section == "baseline" and not isinstance(entry, dict) else entries(entry)
                found.setdefault(plain(name), []).extend([entry] if values is None else values)
            except UserError as error:
                parsed.refuse((section, name), str(error))
    return found


def written_conditions(path: Path) -> dict[str, dict[str, Any]]:
    """Name -> when it has an effect, as a sweep file says it under `when` or beside the values; unchecked."""
    parsed = _parsed(path)
    top = parsed.content.get("when")
    found = {plain(name): said for name, said in top.items()} if isinstance(top, dict) else {}
    for section in ("baseline", *SWEEPS):
        named = parsed.content.get(section)
        for name, said in named.items() if isinstance(named, dict) else ():
            if isinstance(said, dict) and "when" in said:
                found[plain(name)] = said["when"]
    for name, said in found.items():
        if not isinstance(said, dict):
            parsed.refuse(("when", name), f"when takes NAME: VALUE, as in momentum: {{optimizer: sgd}}, not {said!r}")
    return {name: said.get("when", said) for name, said in found.items()}


def _without_when(said: object) -> object:
    return {key: value for key, value in said.items() if key != "when"} if isinstance(said, dict) else said


def _parsed(path: Path) -> _Parsed:
    """A sweep file in our form, with the places of its parts. Raises UserError."""
    try:
        text = read_written(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"sweep file '{path}' cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        root, content = read_yaml(text)
        if not isinstance(root, yaml.MappingNode):
            raise Refused(1, "a sweep file holds name, baseline, vary, cross and seeds; this one does not")
        refuse_repeated_keys(root)
    except Refused as refused:
        raise UserError(f"{path}:{refused.line}: {refused.what}") from None
    if not wandb.is_one(content):
        return _Parsed(path, root, content)
    try:
        found = wandb.converted(content, path.stem)
    except wandb.Misread as error:
        raise UserError(f"{path}:{line_of(root, error.where)}: {error}") from None
    return _Parsed(path, root, found.content, found.places, found.said, is_foreign=True)


class _Checker:
    """Turns what pydantic and the hyper-parameters' own rules refuse into a line of the file."""

    def __init__(self, parsed: _Parsed, task: Task) -> None:
        self.parsed, self.task, self.said = parsed, task, list(parsed.said)
        self.refuse = parsed.refuse

    def form(self) -> _Form:
        try:
            return _Form.model_validate(self.parsed.content)
        except ValidationError as error:
            self._refuse_form(error.errors()[0])

    def _refuse_form(self, first: Mapping[str, Any]) -> NoReturn:
        where, said = first["loc"], first["msg"]
        if first["type"] == "extra_forbidden":
            self.refuse(where, str(unknown("key", where[-1], _Form.model_fields)))
        if first["type"] == "missing":
            self.refuse((), f"'{where[-1]}' is missing")
        self.refuse(where, f"{'.'.join(map(str, where))}: {said[0].lower()}{said[1:]}, not {first['input']!r:.60}")

    def check(self) -> SweepFile:
        form = self.form()
        baseline = {name: values[0] for name, values in self._section("baseline", form.baseline).items()}
        vary, cross, together = (self._section(section, getattr(form, section)) for section in SWEEPS)
        asked, first = [one.pop("seed") for one in (vary, cross, together) if "seed" in one], baseline.pop("seed", 1)
        file = SweepFile(
            *(self.parsed.path, form.name, self.task, baseline, vary, cross, together),
            exclude=tuple(self._excluded(place, one) for place, one in enumerate(form.exclude)),
            first_seed=first,
            seeds=asked[0] if asked else form.seeds,
            **form.model_dump(include={"at", "validation", "val_fraction"}),
            margin=None if form.margin is None else self._try(("margin",), lambda: margin_of(form.margin)),
            title="" if form.title is None else self._try(("title",), lambda: title_of(form.title)),
        )
        self._held_out([key for key in ("validation", "val_fraction") if getattr(form, key)])
        self._conditions()
        self._try(("seeds",), lambda: seeds_of(file.seeds, first, self.task.parameter("seed").read))
        return replace(file, said=tuple(dict.fromkeys(self.said)), checked=self._sweeps(file))

    def _held_out(self, said: list[str]) -> None:
        if len(said) > 1:
            self.refuse((said[1],), f"{' and '.join(said)} say the same; give one of them")
        if said and self.task.learns:
            self.refuse((said[0],), f"a loop of your own holds data out itself and yields val_…; leave {said[0]} out")

    def _section(self, section: str, named: dict[str, Any]) -> Values:
        """Every name as the task has it, with its values, each of which the task's parameter takes."""
        found: Values = {}
        for written, said in named.items():
            name = self._name((section, written), written)
            if name in found:
                self.refuse((section, written), f"{name} is given twice, once as {written}; give it once")
            found[name] = self._values((section, written), name, _without_when(said))
        return found

    def _name(self, where: tuple[Any, ...], written: str) -> str:
        name: str = self._try(where, lambda: self.task.named(written))
        self.said += said_of(written, name)
        return name

    def _values(self, where: tuple[Any, ...], name: str, said: object) -> list[Any]:
        parameter = self.task.parameter(name)
        if where[0] == "baseline" and not isinstance(said, dict):
            return [self._try(where, lambda: parameter.read(said))]
        values: list[Any] | None = self._try(where, lambda: entries(said, parameter.kind == "whole"))
        if values is None:
            self.refuse(where, f"{'.'.join(where)}: input should be a valid list, not {said!r}")
        if where[0] == "baseline" and len(values) != 1:
            self.refuse(where, f"{name} has one value in the baseline; give a list of them under vary or cross")
        for place, value in enumerate(values):
            self._try((*where, place), partial(parameter.read, value))
        return values

    def _excluded(self, place: int, named: dict[str, Any]) -> Values:
        found = {}
        for written, said in named.items():
            where = ("exclude", place, written)
            name = self._name(where, written)
            values = self._values(where, name, said if isinstance(said, (list, dict)) else [said])
            found[name] = [self.task.parameter(name).read(value) for value in values]
        return found

    def _conditions(self) -> None:
        """A task knows its conditions by now; those that it did not take are of a task that has its own."""
        for written, said in written_conditions(self.parsed.path).items():
            name = self._name(("when", written), written)
            given = {self.task.named(by): value for by, value in said.items()}
            if dict(self.task.parameter(name).when) != dict(conditions_of(given)):
                self.refuse(("when",), "when is for a training loop of your own; this task knows its conditions")

    def _sweeps(self, file: SweepFile) -> tuple[Sweep, ...]:
        """The sweeps; refused is what no single value is to blame for: values that do not go together, or repeated."""
        if not file.vary and not file.cross and not file.zip:
            self.refuse((), "nothing to sweep; give values under vary, cross or zip")
        baseline: Config = self._try(("baseline",), lambda: self.task.config(file.baseline))
        alone = replace(file, vary={}, cross={}, zip={})
        parts: dict[tuple[str, ...], SweepFile]
        parts = {("vary", name): replace(alone, vary={name: values}) for name, values in file.vary.items()}
        parts |= {("cross",): replace(alone, cross=file.cross), ("zip",): replace(alone, zip=file.zip)}
        sweeps = [sweep for where, part in parts.items() for sweep in self._try(where, part.sweeps)]
        self._try(("baseline",), lambda: refuse_unused(file.baseline, baseline, sweeps))
        return tuple(sweeps)

    def _try(self, where: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        try:
            return make()
        except UserError as error:
            self.refuse(where, str(error))
