"""A request as a sweep file, which asks the same points again: `tune-mnist run --print-config --vary lr=0.01,0.1`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from tune_mnist.plan.request import Request
from tune_mnist.task import Task


def written(request: Request, task: Task, named: Mapping[str, Any]) -> str:
    """The request in YAML. `named`: how the file names its task and what is judged, if it is not the usual one."""
    sections: dict[str, dict[str, Any]] = {"baseline": _baseline(request, task), "vary": {}, "cross": {}}
    for sweep in request.sweeps:
        section = sections["cross" if sweep.name == "cross" else "vary"]
        section |= {name: [task.written(name, one) for one in values] for name, values in sweep.space.items()}
    seeds = list(request.seeds) if request.seeds[0] != 1 else len(request.seeds)
    content = {"name": request.name, **named, **{name: one for name, one in sections.items() if one}, "seeds": seeds}
    return yaml.dump(content, Dumper=_Plain, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)


def _baseline(request: Request, task: Task) -> dict[str, Any]:
    """What differs from the defaults, and what is varied: a reader wants to know from where."""
    varied = {name for sweep in request.sweeps for name in sweep.space}
    named = {one.name for one in task.parameters if one.name in varied or request.baseline[one.name] != one.default}
    return {name: task.written(name, value) for name, value in request.baseline.items() if name in named - {"seed"}}


class _Plain(yaml.SafeDumper):
    """Says a list again where it stands again, instead of a reference to the first."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True
