"""Sweeps: what to ask. A sweep varies one hyper-parameter (or crosses several) and holds the rest at a baseline.

for point in sweep.points(seeds=[1]): print(point.sweep, point.config)
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tune_mnist.errors import UserError
from tune_mnist.mnist.config import TrainConfig, parse, variable

# Files keep the names of the original experiment: accuracy_vs_batch.png, not accuracy_vs_batch_size.png.
SHORT_NAMES = {"batch_size": "batch"}


@dataclass(frozen=True)
class Point:
    """One question: the accuracy and the time of `config`, asked by `sweep` at the given values of its variables."""

    sweep: str
    values: tuple[tuple[str, Any], ...]
    config: TrainConfig

    @property
    def variable(self) -> str:
        return "*".join(name for name, _ in self.values)

    @property
    def value(self) -> Any:
        """The value itself, or for a cross the values joined by `*` as text."""
        values = ["all" if value is None else value for _, value in self.values]
        return values[0] if len(values) == 1 else "*".join(str(value) for value in values)


@dataclass(frozen=True)
class Sweep:
    """Every combination of `space`'s values, all else as in `baseline`. A grid of one variable is the usual case.

    Values may be text. Raises UserError for an unknown variable, an empty or repeated list, and a bad value.
    """

    name: str
    space: Mapping[str, Sequence[Any]]
    baseline: TrainConfig

    def __post_init__(self) -> None:
        checked = {}
        for name, values in self.space.items():
            checked[variable(name)] = _checked_values(variable(name), values)
        object.__setattr__(self, "space", checked)
        self.points([self.baseline.seed])  # a value that does not go with the baseline is refused now

    def points(self, seeds: Sequence[int]) -> list[Point]:
        """A point for each combination and seed."""
        grid = itertools.product(*self.space.values())
        return [
            Point(self.name, named, self.baseline.but(**dict(named), seed=seed))
            for values in grid
            for named in [tuple(zip(self.space, values, strict=True))]
            for seed in seeds
        ]


def _checked_values(name: str, values: Sequence[Any]) -> tuple[Any, ...]:
    read = tuple(parse(name, value) for value in values)
    if not read:
        raise UserError(f"{name} has no values to vary; give some, as in --vary {name}=A,B")
    for value in read:
        if read.count(value) > 1:
            shown = "all" if value is None else value
            raise UserError(f"{name}={shown} stands twice in its list of values; give each once")
    return read


def one_variable(name: str, values: Sequence[Any], baseline: TrainConfig) -> Sweep:
    """The sweep of one hyper-parameter, named after it."""
    plain = variable(name)
    return Sweep(SHORT_NAMES.get(plain, plain), {plain: values}, baseline)


def parse_assignment(text: str, option: str) -> tuple[str, str]:
    """("lr", "0.1") of `lr=0.1`; UserError if there is no `=`."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UserError(f"{option} takes NAME=VALUE, not '{text}'")
    return variable(name), value.strip()


def parse_values(text: str) -> list[str]:
    """The values of `0.01, 0.05`; none of an empty text."""
    return [value.strip() for value in text.split(",")] if text else []
