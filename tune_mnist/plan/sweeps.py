"""Sweeps: what to ask. A sweep varies one hyper-parameter (or crosses several) and holds the rest at a baseline.

for point in sweep.points(seeds=[1]): print(point.sweep, point.config)
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tune_mnist.errors import UserError
from tune_mnist.task import Config, Task

CROSS = "*"  # between the variables of a sweep over several, and between their values, where they are one text


@dataclass(frozen=True)
class Point:
    """One question: what does `config` give, and how long does it take? `sweep` asks it at values of its variables.

    `values`: (variable, value as a person writes it).
    """

    sweep: str
    values: tuple[tuple[str, Any], ...]
    config: Config

    @property
    def variables(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.values)

    @property
    def variable(self) -> str:
        """The variables as one text."""
        return CROSS.join(self.variables)

    @property
    def value(self) -> Any:
        """The value itself, or those of a cross as one text."""
        values = [value for _, value in self.values]
        return values[0] if len(values) == 1 else CROSS.join(str(value) for value in values)


@dataclass(frozen=True)
class Sweep:
    """Every combination of `space`'s values, all else as in `baseline`. A grid of one variable is the usual case.

    Values may be text. Raises UserError for an unknown variable, an empty or repeated list, and a bad value.
    """

    name: str
    space: Mapping[str, Sequence[Any]]
    baseline: Config
    task: Task

    def __post_init__(self) -> None:
        checked = {}
        for name, values in self.space.items():
            variable = self.task.variable(name)
            checked[variable.name] = _checked_values(self.task, variable.name, values)
        object.__setattr__(self, "space", checked)
        self.points([self.baseline["seed"]])  # a value that does not go with the baseline is refused now

    def points(self, seeds: Sequence[int]) -> list[Point]:
        """A point for each combination and seed."""
        grid = [dict(zip(self.space, values, strict=True)) for values in itertools.product(*self.space.values())]
        return [
            Point(self.name, self._written(named), self.task.config(self.baseline, **named, seed=seed))
            for named in grid
            for seed in seeds
        ]

    def _written(self, named: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
        return tuple((name, self.task.written(name, value)) for name, value in named.items())


def _checked_values(task: Task, name: str, values: Sequence[Any]) -> tuple[Any, ...]:
    read = tuple(task.parameter(name).read(value) for value in values)
    if not read:
        raise UserError(f"{name} has no values to vary; give some, as in --vary {name}=A,B")
    for value in read:
        if read.count(value) > 1:
            raise UserError(f"{name}={task.written(name, value)} stands twice in its list of values; give each once")
    return read


def one_variable(name: str, values: Sequence[Any], baseline: Config, task: Task) -> Sweep:
    """The sweep of one hyper-parameter, named after it."""
    variable = task.variable(name)
    return Sweep(variable.short or variable.name, {variable.name: values}, baseline, task)


def parse_assignment(text: str, option: str, task: Task) -> tuple[str, str]:
    """("lr", "0.1") of `lr=0.1`, where `lr` may be varied; UserError if there is no `=`."""
    name, value = split_assignment(text, option)
    return task.variable(name).name, value


def split_assignment(text: str, option: str) -> tuple[str, str]:
    """("lr", "0.1") of `lr=0.1`; UserError if there is no `=`."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UserError(f"{option} takes NAME=VALUE, not '{text}'")
    return name, value.strip()


def parse_values(text: str) -> list[str]:
    """The values of `0.01, 0.05`; none of an empty text."""
    return [value.strip() for value in text.split(",")] if text else []
