"""A request as a sweep file, which asks the same points again: `tune-mnist run --print-config --vary lr=0.01,0.1`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from tune_mnist.plan.request import Request
from tune_mnist.task import Task


def written(request: Request, task: Task, named: Mapping[str, Any]) -> str:
    """The request in YAML. `named`: how the file names its task and what is judged, if it is not the usual one."""
    sections: dict[str, Any] = {"baseline": _baseline(request, task), "vary": {}, "cross": {}, "zip": {}}
    for sweep in request.sweeps:
        section = sections["zip" if sweep.together else "cross" if sweep.name == "cross" else "vary"]
        section |= {name: _written(task, name, values) for name, values in sweep.space.items()}
    sections["exclude"] = _excluded(request, task)
    sections["when"] = {} if task.sweeps else _conditions(task)
    count = len(request.seeds)
    seeds: Any = count if request.seeds == tuple(range(1, count + 1)) else list(request.seeds)
    if request.sequential:
        sections["baseline"] |= {"seed": request.seeds[0]} if request.seeds[0] != 1 else {}
        seeds = "{}..{}".format(*request.sequential)
    named = {**({"title": request.title} if request.title else {}), **named}
    more: dict[str, Any] = {} if request.at == "last" else {"at": request.at}
    more |= {} if request.margin is None else {"margin": request.margin}
    asked = {name: one for name, one in sections.items() if one}
    content = {"name": request.name, **named, **asked, "seeds": seeds, **more}
    return yaml.dump(content, Dumper=_Plain, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)


def _baseline(request: Request, task: Task) -> dict[str, Any]:
    """What differs from the defaults, and what is varied: a reader wants to know from where."""
    varied = {name for sweep in request.sweeps for name in sweep.space}
    given = request.baseline.given  # also what is inactive there: it may be active in a sweep
    named = {one.name for one in task.parameters if one.name in varied or given.get(one.name) != one.default}
    return {name: task.written(name, value) for name, value in given.items() if name in named - {"seed"}}


def _written(task: Task, name: str, values: Iterable[Any]) -> list[Any]:
    return [task.written(name, one) for one in values]


def _excluded(request: Request, task: Task) -> list[dict[str, Any]]:
    """What is not asked for together, each once: it is the same for every sweep of a file."""
    found = [one for sweep in request.sweeps for one in sweep.exclude]
    written = [{name: _written(task, name, values) for name, values in one.items()} for one in found]
    return [one for place, one in enumerate(written) if one not in written[:place]]


def _conditions(task: Task) -> dict[str, Any]:
    """Where the parameters of a person's own loop have an effect."""
    return {one.name: {by: list(values) for by, values in one.when} for one in task.parameters if one.when}


class _Plain(yaml.SafeDumper):
    """Says a list again where it stands again, instead of a reference to the first."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True
