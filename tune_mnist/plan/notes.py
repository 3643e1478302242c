"""What a request tells of itself before it costs: combinations that are left out, and values that nothing looks at.

for line in notes(request.sweeps): print(line)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tune_mnist.parameter import Parameter, cause
from tune_mnist.plan.sweeps import Sweep
from tune_mnist.task import Task
from tune_mnist.words import plural, several

MOST = 5  # combinations that are named


def notes(sweeps: Iterable[Sweep]) -> list[str]:
    """A line for each, in the order of the sweeps."""
    lines: dict[str, None] = {}
    for sweep in sweeps:
        lines |= dict.fromkeys(_inactive(sweep))
        if sweep.merged:
            verb = "is the training" if sweep.merged == 1 else "are trainings"
            told = plural(sweep.merged, "combination")
            lines[f"{told} of {sweep.name} {verb} of another one, and not asked twice"] = None
        if sweep.exclude:
            lines[_excluded(sweep)] = None
    return list(lines)


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
    told = sweep.excluded[:MOST]
    more = f" and {len(sweep.excluded) - MOST} more" if len(sweep.excluded) > MOST else ""
    listed = f": {'; '.join(told)}{more}" if told else ""
    return f"{plural(len(sweep.excluded), 'combination')} excluded from {sweep.name}{listed}"
