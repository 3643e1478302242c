"""What a command asks for: its sweeps, baseline and seeds, from a sweep file and the options that override it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from tune_mnist.errors import UserError, unknown
from tune_mnist.measure import without_part
from tune_mnist.names import said_of
from tune_mnist.plan import sweepfile
from tune_mnist.plan.sweeps import Point, Sweep, check_count, notes, one_variable, refuse_unused, split_assignment
from tune_mnist.plan.values import least_and_most, listed, margin_of, seeds_of, title_of
from tune_mnist.task import At, Config, Task

SEED = "seed"


@dataclass(frozen=True)
class Request:
    """The questions of one command, every value checked. `said`: how it was read, a line each; `margin`: the least
    difference that matters, as the judged measure is shown, if one is named; `title`: the report's, if one is given;
    `sequential`: at least and at most how many of the seeds are asked, until differences are resolved (`stopping`).
    """

    name: str
    sweeps: tuple[Sweep, ...]
    baseline: Config
    seeds: tuple[int, ...]
    said: tuple[str, ...] = ()
    at: At = "last"
    margin: float | None = None
    title: str = ""
    sequential: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        check_count(sum(len(sweep.grid) for sweep in self.sweeps) * len(self.seeds))

    @cached_property
    def points(self) -> list[Point]:
        return [point for sweep in self.sweeps for point in sweep.points(self.seeds)]

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to tell of it before it costs: other names, what was left out, what is inactive."""
        idle = any(one.exclude for one in self.sweeps) and not any(one.excluded for one in self.sweeps)
        return (*self.said, *notes(self.sweeps), *(["exclude names no combination that is asked for"] if idle else []))


@dataclass(frozen=True)
class Options:
    """What a command line says of its request: a sweep file, and what overrides it.

    `words` are Hydra's, after the command: `lr=0.1` sets, and those with several values are crossed.
    """

    config: Path | None = None
    sweep: Sequence[str] = ()
    vary: Sequence[str] = ()
    settings: Sequence[str] = ()
    seed: int | str | None = None
    seeds: int | str | Sequence[int] | None = None
    words: Sequence[str] = ()
    at: str | None = None
    margin: str | None = None
    title: str | None = None


@dataclass
class _Asked:
    """What the options say, by the task's own names: values as texts."""

    task: Task
    settings: dict[str, str] = field(default_factory=dict)
    vary: dict[str, list[str]] = field(default_factory=dict)
    cross: dict[str, list[str]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def add(self, options: Options) -> None:
        for text in options.settings:
            self._put(self.settings, text, "--set", lambda _, value: value)
        for text in options.vary:
            self._put(self.vary, text, "--vary", self._listed)
        for text in options.words:
            bare = text.lstrip("+")
            if len(self._listed(*_named(self.task, bare, "a word after the command"))) == 1:
                self._put(self.settings, bare, "--set", lambda name, value: self._listed(name, value)[0])
            else:
                self._put(self.cross, bare, "--vary", self._listed)
        if len(self.cross) == 1:  # one variable is a sweep of its own, named after it
            ((name, values),) = self.cross.items()
            _refuse_twice(name, self.vary, "--vary")
            self.vary[name] = values
            self.cross = {}

    def _put(self, section: dict[str, Any], text: str, option: str, read: Any) -> None:
        name, value = _named(self.task, text, option)
        _refuse_twice(name, section, option)
        self.said += said_of(text.partition("=")[0], name)
        section[name] = read(name, value)

    def _listed(self, name: str, value: str) -> list[str]:
        return listed(value, whole=self.task.parameter(name).kind == "whole")

    def seeds(self) -> list[str] | None:
        """The seeds that are listed as if they were a hyper-parameter's values."""
        found = [one.pop(SEED) for one in (self.vary, self.cross) if SEED in one]
        return found[0] if found else None


def build(task: Task, options: Options) -> Request:
    """The request of the options `--config`, `--sweep`, `--vary NAME=V1,V2`, `--set NAME=VALUE`, `--seed`, `--seeds`.

    Without `--sweep` and `--vary` it is every sweep of the file, or of the task's own; with them only those asked for.
    Raises UserError.
    """
    asked = _Asked(task)
    asked.add(options)
    listed_seeds, first_set = asked.seeds(), asked.settings.pop(SEED, None)
    own = bool(asked.vary or asked.cross)
    file = _file(task, options, own)
    changes = {name: _one(task, name, value) for name, value in asked.settings.items()}
    seeds, sequential = _seeds(task, file, options, listed_seeds, first_set)
    baseline = task.config({**file.baseline, **changes, SEED: seeds[0]})
    chosen = _chosen(file.sweeps(**changes), options.sweep) if options.sweep or not own else []
    chosen += [one_variable(*one, baseline, task, exclude=file.exclude) for one in asked.vary.items()]
    if asked.cross:
        chosen.append(Sweep("cross", asked.cross, baseline, task, exclude=file.exclude))
    _refuse_namesakes(chosen)
    refuse_unused(changes, baseline, chosen)
    said = tuple(dict.fromkeys([*file.said, *asked.said]))
    margin = file.margin if options.margin is None else margin_of(options.margin)
    at = reading(options.at or file.at, task)
    title = file.title if options.title is None else title_of(options.title)
    return Request(file.name, tuple(chosen), baseline, seeds, said, at, margin, title, sequential)


def reading(at: str, task: Task, is_known: bool = False) -> At:
    """At which epoch of a training a point's values are to be read. Raises UserError.

    So, too, where no validation data tell which epoch is the best; `is_known`: what a task measures that learns it.
    """
    found: At | None = next((one for one in get_args(At) if one == at), None)
    if found is None:
        raise unknown("--at", at, get_args(At))
    if found == "best" and task.chosen_by is None and (is_known or not task.learns):
        way = f"yield val_{without_part(task.judged.name)}, too" if task.learns else "hold some out with --validation N"
        said = f"--at=best needs validation data, and {task.name} has none"
        raise UserError(f"{said}; {way}, or leave it out")
    return found


def _named(task: Task, text: str, option: str) -> tuple[str, str]:
    name, value = split_assignment(text, option)
    return task.named(name), value


def _one(task: Task, name: str, value: str) -> Any:
    """A value that `--set` gives. Raises UserError."""
    try:
        return task.parameter(name).read(value)
    except UserError as error:
        if "," not in value:
            raise
        raise UserError(f"{error}; a sweep over several is --vary {name}={value}") from None


def _seeds(
    task: Task, file: sweepfile.SweepFile, options: Options, listed_seeds: list[str] | None, first: str | None
) -> tuple[tuple[int, ...], tuple[int, int] | None]:
    """The seeds, and how many of them are asked at least and at most, if that is not settled beforehand."""
    if listed_seeds is not None and options.seeds is not None:
        raise UserError("seeds are given twice, by --seeds and as the values of seed; give them once")
    if first is not None and options.seed is not None:
        raise UserError("the first seed is given twice, by --seed and as a value of seed; give it once")
    read = task.parameter(SEED).read
    begin = read(next((one for one in (options.seed, first) if one is not None), file.first_seed))
    said = next((one for one in (listed_seeds, options.seeds) if one is not None), None)
    if said is None:
        alone = options.seed is not None or first is not None
        said = 1 if alone and not isinstance(file.seeds, int) else file.seeds
    seeds = seeds_of(said, begin, read)
    task.check_seeds(len(seeds))
    return tuple(read(seed) for seed in seeds), least_and_most(said)


def _file(task: Task, options: Options, own: bool) -> sweepfile.SweepFile:
    if path := options.config or task.sweeps:
        return sweepfile.read(path, task)
    if not own:
        raise UserError(f"task {task.name} has no sweeps of its own; give --vary NAME=V1,V2 or --config FILE.yaml")
    return sweepfile.SweepFile(Path(), "standard", task)  # its defaults, and nothing to vary


def _refuse_namesakes(sweeps: Sequence[Sweep]) -> None:
    names = [one.name for one in sweeps]
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"sweep '{name}' is asked for twice; give its values in one --vary, or leave out --sweep {name}"
            )


def _refuse_twice(name: str, section: Mapping[str, Any], option: str) -> None:
    if name in section:
        raise UserError(f"{option} {name} is given twice; give it once")


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
