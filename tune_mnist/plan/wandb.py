"""Sweep files of Weights & Biases, read as they are: a grid is a cross of all parameters that have several values.

    definition = converted({"method": "grid", "parameters": {"lr": {"values": [0.1, 1]}, "epochs": {"value": 3}}}, "x")
    definition.content  # {"name": "x", "vary": {"lr": [0.1, 1]}, "baseline": {"epochs": 3}}

What its grid takes is taken here: `values`, `value`, whole numbers from `min` to `max`, and `q_uniform`, which leaves
`max` out. There is no search yet, so `random`, `bayes` and other distributions are refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tune_mnist.errors import UserError, unknown
from tune_mnist.plan.values import entries, number
from tune_mnist.words import several

Place = tuple[Any, ...]

USED = ("name", "method", "metric", "parameters")
# Where and how W&B runs it, and when it stops early. `settings` and below are of its launch queues.
UNUSED = {"program", "project", "entity", "command", "description", "early_terminate", "run_cap", "controller"}
UNUSED |= {"job", "image_uri", "settings", "launch", "template", "$schema"}
WHOLE = ("int_uniform", None)
WAY_OUT = "give its values, or min, max and q with distribution: q_uniform"


class Misread(UserError):
    """What is wrong with such a file, and where."""

    def __init__(self, where: Place, what: str) -> None:
        super().__init__(what)
        self.where = where


@dataclass(frozen=True)
class Definition:
    """The same in our form. `places`: (section, name) -> where the original has it; `said`: lines to tell."""

    content: dict[str, Any]
    places: dict[Place, Place]
    said: tuple[str, ...]


def is_one(content: object) -> bool:
    """Whether a file is for W&B: it has keys that ours do not know."""
    return isinstance(content, Mapping) and ("parameters" in content or "method" in content)


def converted(content: Mapping[str, Any], stem: str) -> Definition:
    """The file's definition; `stem` names one that has no name. Raises Misread."""
    _check(content)
    leaves = list(_leaves(content["parameters"], ("parameters",), ()))
    last = Counter(path[-1] for _, path, _ in leaves)
    sections: dict[str, dict[str, Any]] = {"baseline": {}, "cross": {}}
    places, said = {}, []
    for where, path, entry in leaves:
        name = path[-1] if last[path[-1]] == 1 else "_".join(path)
        if name != ".".join(path):
            said.append(f"{'.'.join(path)} is called {name} here")
        section, key, values = _values(where, ".".join(path), entry)
        sections[section][name] = values
        places[section, name] = (*where, key)
    if len(sections["cross"]) == 1:  # one variable is a sweep of its own, named after it
        sections["vary"] = sections.pop("cross")
        places |= {("vary", name): place for (_, name), place in places.items()}
    name = _name(content.get("name", stem))
    if "name" in content and name != content["name"]:
        said.append(f"the sweep is called {name} here")
    if unused := [str(key) for key in content if key in UNUSED]:
        said.append(f"{several(unused)} of the W&B file {'mean' if len(unused) > 1 else 'means'} nothing here")
    return Definition({"name": name, **sections, **_judge(content)}, places, tuple(said))


def _check(content: Mapping[str, Any]) -> None:
    for key in content:
        if key not in {*USED, *UNUSED}:
            raise Misread((key,), str(unknown("key", key, USED)))
    method = content.get("method")
    if method != "grid":
        if method is None:
            raise Misread((), "'method' is missing; this W&B file is read with method: grid")
        search = f"method: {str(method)[:40]} is a search, and there is none yet"
        raise Misread(("method",), f"{search}; method: grid asks for every combination of values")
    if not isinstance(content.get("parameters"), Mapping) or not content["parameters"]:
        raise Misread(("parameters",), "parameters holds a name for each hyper-parameter, with its values")


def _leaves(parameters: Mapping[Any, Any], where: Place, path: tuple[str, ...]) -> Iterator[tuple[Place, Any, Any]]:
    """(where it stands, its names from the outside in, its entry) of each parameter."""
    for name, entry in parameters.items():
        here, names = (*where, name), (*path, *str(name).split("."))  # a dot nests, too
        if not isinstance(entry, Mapping):
            raise Misread(here, f"{'.'.join(names)} has values: [...] or value: V, not {str(entry)[:40]}")
        if isinstance(entry.get("parameters"), Mapping):
            yield from _leaves(entry["parameters"], (*here, "parameters"), names)
        else:
            yield here, names, entry


def _values(where: Place, name: str, entry: Mapping[str, Any]) -> tuple[str, str, Any]:
    """(the section of ours, the key that has them, the values)."""
    distribution = entry.get("distribution")
    if "probabilities" in entry:
        raise Misread(where, f"{name}: probabilities are of a search, and there is none yet; leave them out")
    if "value" in entry:
        return "baseline", "value", entry["value"]
    if "values" in entry:
        if not isinstance(entry["values"], list):
            raise Misread(where, f"{name}: values is a list, not {str(entry['values'])[:40]}")
        return "cross", "values", entry["values"]
    low, high = entry.get("min"), entry.get("max")
    whole = all(isinstance(end, int) and not isinstance(end, bool) for end in (low, high))
    if distribution in WHOLE and whole and "q" not in entry:
        return "cross", "min", _range(where, {"from": low, "to": high})
    if distribution in ("q_uniform", None) and None not in (low, high) and (distribution or "q" in entry):
        found = _range(where, {"from": low, "to": high, "step": entry.get("q", 1)})
        inside = [value for value in found if number(value) < number(high)]
        return "cross", "min", inside
    kind = distribution or "uniform"
    raise Misread(where, f"{name}: a distribution ({kind}) has no list of values to sweep; {WAY_OUT}")


def _range(where: Place, said: dict[str, Any]) -> list[Any]:
    try:
        return entries(said) or []
    except UserError as error:
        raise Misread(where, str(error)) from None


def _name(said: object) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", str(said)).strip("-._")[:100] or "sweep"


def _judge(content: Mapping[str, Any]) -> dict[str, Any]:
    metric = content.get("metric")
    if metric is None:
        return {}
    goal = metric.get("goal", "minimize") if isinstance(metric, Mapping) else None
    if goal not in ("minimize", "maximize") or not isinstance(metric.get("name"), str):
        raise Misread(("metric",), "metric has a name, and goal: minimize or maximize")
    return {"judge": {goal: metric["name"]}}
