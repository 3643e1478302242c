"""What a command asks for: its sweeps, baseline and seeds, from a sweep file and the options that override it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tune_mnist.errors import UserError, unknown
from tune_mnist.plan import sweepfile
from tune_mnist.plan.sweeps import Point, Sweep, one_variable, parse_assignment, parse_values
from tune_mnist.task import Config, Task


@dataclass(frozen=True)
class Request:
    """The questions of one command, every value checked."""

    name: str
    sweeps: tuple[Sweep, ...]
    baseline: Config
    seeds: tuple[int, ...]

    @property
    def points(self) -> list[Point]:
        return [point for sweep in self.sweeps for point in sweep.points(self.seeds)]


@dataclass(frozen=True)
class Options:
    """What a command line says of its request: a sweep file, and what overrides it."""

    config: Path | None = None
    sweep: Sequence[str] = ()
    vary: Sequence[str] = ()
    settings: Sequence[str] = ()
    seed: int | str = 1
    seeds: int | None = None


def build(task: Task, options: Options) -> Request:
    """The request of the options `--config`, `--sweep`, `--vary NAME=V1,V2`, `--set NAME=VALUE`, `--seed`, `--seeds`.

    Without `--sweep` and `--vary` it is every sweep of the file, or of the task's own; with them only those asked for.
    Raises UserError.
    """
    file = _file(task, options)
    changes = {name: task.parameter(name).read(value) for name, value in _named_once(options.settings, "--set", task)}
    first = task.parameter("seed").read(options.seed)
    baseline = task.config({**file.baseline, **changes, "seed": first})
    chosen = _chosen(file.sweeps(**changes), options.sweep) if options.sweep or not options.vary else []
    for name, values in _named_once(options.vary, "--vary", task):
        chosen.append(one_variable(name, parse_values(values), baseline, task))
    _refuse_twice(chosen)
    count = file.seeds if options.seeds is None else options.seeds
    task.check_seeds(count)
    return Request(file.name, tuple(chosen), baseline, tuple(range(first, first + count)))


def _file(task: Task, options: Options) -> sweepfile.SweepFile:
    if path := options.config or task.sweeps:
        return sweepfile.read(path, task)
    if not options.vary:
        raise UserError(f"task {task.name} has no sweeps of its own; give --vary NAME=V1,V2 or --config FILE.yaml")
    return sweepfile.empty(task)


def _refuse_twice(sweeps: Sequence[Sweep]) -> None:
    names = [one.name for one in sweeps]
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"sweep '{name}' is asked for twice; give its values in one --vary, or leave out --sweep {name}"
            )


def _named_once(texts: Sequence[str], option: str, task: Task) -> list[tuple[str, str]]:
    pairs = [parse_assignment(text, option, task) for text in texts]
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{option} {name} is given twice; give it once")
    return pairs


def _chosen(sweeps: Sequence[Sweep], names: Sequence[str]) -> list[Sweep]:
    """The sweeps of these names, each a name or several as in `epochs,lr`, in small letters or large."""
    by_name = {sweep.name: sweep for sweep in sweeps}
    small = {name.lower(): sweep for name, sweep in by_name.items()}
    found = {}
    for name in (part.strip() for text in names for part in text.split(",")):
        sweep = by_name.get(name) or small.get(name.lower())
        if sweep is None:
            raise unknown("sweep", name, by_name)
        found[sweep.name] = sweep
    return list(found.values()) if names else list(sweeps)
