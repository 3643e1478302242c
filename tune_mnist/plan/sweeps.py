"""Sweeps: what to ask. A sweep varies one hyper-parameter (or crosses several) and holds the rest at a baseline.

for point in sweep.points(seeds=[1]): print(point.sweep, point.config)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tune_mnist.errors import UserError
from tune_mnist.parameter import Parameter, cause, without_effect
from tune_mnist.task import Config, Task
from tune_mnist.words import plural, several, typed

CROSS = "*"  # between the variables of a sweep over several, and between their values, where they are one text
ZIP = "+"  # between the variables of a sweep over several that move together
INACTIVE = "–"  # stands for a value that nothing looks at beside the others
MOST_NAMED = 5  # combinations that are left out
MOST_POINTS = 100_000  # of one request; each is a row of a table that somebody is to read

Grid = Sequence[tuple[tuple[tuple[str, Any], ...], Config]]


@dataclass(frozen=True)
class Point:
    """One question: what does `config` give, and how long does it take? `sweep` asks it at values of its variables.

    `values`: (variable, value as a person writes it, or None where nothing looks at it).
    """

    sweep: str
    values: tuple[tuple[str, Any], ...]
    config: Config
    joined: str = CROSS

    @property
    def variables(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.values)

    @property
    def variable(self) -> str:
        """The variables as one text."""
        return self.joined.join(self.variables)

    @property
    def value(self) -> Any:
        """The value itself, or those of several variables as one text."""
        values = [INACTIVE if value is None else value for _, value in self.values]
        return values[0] if len(values) == 1 else CROSS.join(str(value) for value in values)


@dataclass(frozen=True)
class Sweep:
    """Every combination of `space`'s values, all else as in `baseline`. A grid of one variable is the usual case.

    With `together` the variables move together instead: the first value of each, then the second. `exclude`: values
    that are not asked for together. Combinations that are one training, because what differs is inactive, are one
    point. Values may be text. Raises UserError for an unknown variable, an empty or repeated list, a bad value, and a
    variable that nothing looks at.
    """

    name: str
    space: Mapping[str, Sequence[Any]]
    baseline: Config
    task: Task
    together: bool = False
    exclude: tuple[Mapping[str, Sequence[Any]], ...] = ()
    excluded: list[str] = field(default_factory=list, init=False, compare=False)

    def __post_init__(self) -> None:
        checked = {}
        for name, values in self.space.items():
            parameter = self.task.variable(name)
            if parameter.name in checked:
                raise UserError(f"{parameter.name} is given twice in one sweep, once as {name}; give it once")
            checked[parameter.name] = _checked_values(self.task, parameter.name, values, self.together)
        object.__setattr__(self, "space", checked)
        self._check_size()
        _refuse_inactive(self)  # a value that does not go with the baseline is refused now

    def _check_size(self) -> None:
        lengths = {name: len(values) for name, values in self.space.items()}
        if self.together and len(set(lengths.values())) > 1:
            told = several(f"{length} of {name}" for name, length in lengths.items())
            raise UserError(f"values that move together are as many of each; there are {told}")
        check_count(math.prod(lengths.values()) if not self.together else max(lengths.values()))

    @cached_property
    def grid(self) -> Grid:
        """(values as a person writes them, config) of each combination, each training once."""
        found: dict[Config, tuple[tuple[str, Any], ...]] = {}
        for named in self._combinations():
            config = self.task.config(self.baseline, **named)
            if any(_matches(config, one) for one in self.exclude):
                self.excluded.append(", ".join(f"{name}={self.task.written(name, named[name])}" for name in named))
                continue
            found.setdefault(config, tuple((name, self._written(config, name, value)) for name, value in named.items()))
        if not found:
            raise UserError(f"every combination of sweep {self.name} is excluded; take some out of exclude")
        return tuple((values, config) for config, values in found.items())

    @property
    def merged(self) -> int:
        """How many combinations are the training of another one."""
        return len(list(self._combinations())) - len(self.excluded) - len(self.grid)

    def points(self, seeds: Sequence[int]) -> list[Point]:
        """A point for each combination and seed."""
        joined = ZIP if self.together else CROSS
        return [
            Point(self.name, values, config if config["seed"] == seed else self.task.config(config, seed=seed), joined)
            for values, config in self.grid
            for seed in seeds
        ]

    def _combinations(self) -> Iterator[dict[str, Any]]:
        rows = zip(*self.space.values(), strict=True) if self.together else itertools.product(*self.space.values())
        return (dict(zip(self.space, values, strict=True)) for values in rows)

    def _written(self, config: Config, name: str, value: Any) -> Any:
        return None if name in config.inactive else self.task.written(name, value)


def check_count(points: int) -> None:
    """Raise UserError for more points than anybody can mean."""
    if points > MOST_POINTS:
        raise UserError(
            f"that is {points:,} points; at most {MOST_POINTS:,} in one command: give fewer values or seeds"
        )


def _matches(config: Config, excluded: Mapping[str, Sequence[Any]]) -> bool:
    """Whether the config was asked for with values that are not to go together."""
    return all(config.given[name] in values for name, values in excluded.items())


def _refuse_inactive(sweep: Sweep) -> None:
    """Raise UserError for a variable that nothing looks at in any combination: a sweep over nothing."""
    parameters = sweep.task.parameters
    for name, values in sweep.space.items():
        if all(name in config.inactive for _, config in sweep.grid):
            parameter = sweep.task.parameter(name)
            value = next((value for value in values if value != parameter.default), values[0])
            raise without_effect(parameter, value, parameters, sweep.grid[0][1])


def refuse_unused(names: Iterable[str], baseline: Config, sweeps: Sequence[Sweep]) -> None:
    """Raise UserError for one of the baseline's values that nothing looks at, neither there nor in any sweep."""
    configs = [config for sweep in sweeps for _, config in sweep.grid]
    for name in names:
        parameter = sweeps[0].task.parameter(name)
        unused = name in baseline.inactive and all(name in config.inactive for config in configs)
        if unused and baseline.given[name] != parameter.default:
            raise without_effect(parameter, baseline.given[name], sweeps[0].task.parameters, baseline)


def _checked_values(task: Task, name: str, values: Sequence[Any], repeated: bool) -> tuple[Any, ...]:
    read = tuple(task.parameter(name).read(value) for value in values)
    if not read:
        raise UserError(f"{name} has no values to vary; give some, as in --vary {name}=A,B")
    seen = set()
    for value in read:
        if value in seen and not repeated:
            raise UserError(f"{name}={task.written(name, value)} stands twice in its list of values; give each once")
        seen.add(value)
    return read


def one_variable(name: str, values: Sequence[Any], baseline: Config, task: Task, **more: Any) -> Sweep:
    """The sweep of one hyper-parameter, named after it."""
    parameter = task.variable(name)
    return Sweep(parameter.short or parameter.name, {parameter.name: values}, baseline, task, **more)


def split_assignment(text: str, option: str) -> tuple[str, str]:
    """("lr", "0.1") of `lr=0.1`; UserError if there is no `=`."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UserError(f"{option} takes NAME=VALUE, not '{text}'")
    return name, value.strip()


def notes(sweeps: Sequence[Sweep]) -> list[str]:
    """A line for each, in the order of the sweeps."""
    lines: dict[str, None] = {}
    for sweep in sweeps:
        lines |= dict.fromkeys(_inactive(sweep))
        if sweep.merged:
            verb = "is the training" if sweep.merged == 1 else "are trainings"
            told = plural(sweep.merged, "combination")
            lines[f"{told} of {sweep.name} {verb} of another one, and not asked twice"] = None
        if sweep.excluded:
            lines[_excluded(sweep)] = None
    return [*lines, *_untuned(sweeps)]


def untuned(sweeps: Mapping[str, Sequence[str]], task: Task) -> dict[str, tuple[Parameter, Parameter]]:
    """Sweep -> a variable that it compares although each value has its own best value of another parameter, and that
    parameter: for sweeps (name -> variables) over the one alone, where none crosses both.

    What is compared is scientific, and what has to be tuned for each value before they are compared is a nuisance, as
    the Deep Learning Tuning Playbook calls them (Godbole et al. 2023).
    """
    found = {}
    for sweep, variables in sweeps.items():
        for one in (task.parameter(name) for name in variables):
            pair = {one.name, one.tuned_with}
            if one.tuned_with and not any(pair <= set(others) for others in sweeps.values()):
                found[sweep] = one, task.parameter(one.tuned_with)
    return found


def untuned_line(sweep: str, one: Parameter, other: Parameter, value: str) -> str:
    """`each optimizer has its own best learning rate, and sweep optimizer compares all at lr 0.01`."""
    return f"each {one.words} has its own best {other.words}, and sweep {sweep} compares all at {other.name} {value}"


def crossing(one: Parameter, values: Iterable[str], other: Parameter, base: Any) -> str:
    """Both crossed, as the words of a command: `optimizer=adadelta,sgd lr=0.001,0.01,0.1`; "" where `other` has no
    values to either side of its `base`, or is no number.
    """
    step = other.log or 2
    tried = []
    for value in [base / step, base, base * step] if isinstance(base, float) and base > 0 else []:
        with suppress(UserError):  # beyond the parameter's range
            tried.append(typed(other.read(value)))
    return f"{one.name}={','.join(values)} {other.name}={','.join(tried)}" if len(tried) > 1 else ""


def _untuned(sweeps: Iterable[Sweep]) -> Iterator[str]:
    named = {sweep.name: sweep for sweep in sweeps}
    for name, sweep in named.items():
        found = untuned({other: tuple(one.space) for other, one in named.items()}, sweep.task)
        if name in found:
            one, other = found[name]
            values = [typed(sweep.task.written(one.name, value)) for value in sweep.space[one.name]]
            base = sweep.baseline[other.name]
            words = crossing(one, values, other, base)
            line = untuned_line(name, one, other, typed(sweep.task.written(other.name, base)))
            yield f"{line}; cross them{f': {words}' if words else ''}"


def _inactive(sweep: Sweep) -> list[str]:
    """A line for each parameter that was given a value and is inactive in a config of the sweep."""
    lines = []
    for one in sweep.task.parameters:
        rows = [config for _, config in sweep.grid if one.name in config.inactive]
        if rows and (one.name in sweep.space or sweep.baseline.given[one.name] != one.default):
            lines.append(inactive_line(one, rows, sweep.task))
    return lines


def inactive_line(one: Parameter, rows: Iterable[Mapping[str, Any]], task: Task) -> str:
    """`momentum is inactive with adam and nadam`: of rows where it is so."""
    found: dict[str, None] = {}
    for row in rows:
        by = cause(one, task.parameters, row)
        value = task.written(by.name, row[by.name])
        found[str(value) if by.bare else f"{by.words} {value}"] = None
    return f"{one.words} is inactive with {several(found)}"


def _excluded(sweep: Sweep) -> str:
    told = sweep.excluded[:MOST_NAMED]
    more = f" and {len(sweep.excluded) - MOST_NAMED} more" if len(sweep.excluded) > MOST_NAMED else ""
    return f"{plural(len(sweep.excluded), 'combination')} excluded from {sweep.name}: {'; '.join(told)}{more}"
