"""What a command asks for: its sweeps, baseline and seeds, from a sweep file and the options that override it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tune_mnist.errors import UserError, unknown
from tune_mnist.mnist.config import TrainConfig, parse
from tune_mnist.plan import sweepfile
from tune_mnist.plan.sweeps import Point, Sweep, one_variable, parse_assignment, parse_values


@dataclass(frozen=True)
class Request:
    """The questions of one command, every value checked."""

    name: str
    sweeps: tuple[Sweep, ...]
    baseline: TrainConfig
    seeds: tuple[int, ...]

    @property
    def points(self) -> list[Point]:
        return [point for sweep in self.sweeps for point in sweep.points(self.seeds)]


def build(
    config: Path | None = None,
    sweep: Sequence[str] = (),
    vary: Sequence[str] = (),
    settings: Sequence[str] = (),
    seed: int | str = 1,
    seeds: int | None = None,
) -> Request:
    """The request of the options `--config`, `--sweep`, `--vary NAME=V1,V2`, `--set NAME=VALUE`, `--seed`, `--seeds`.

    Without `sweep` and `vary` it is every sweep of the file; with them only those asked for. Raises UserError.
    """
    file = sweepfile.read(config or sweepfile.STANDARD)
    changes = _settings(settings)
    first = parse("seed", seed)
    baseline = TrainConfig(**{**file.baseline, **changes, "seed": first})
    chosen = _chosen(file.sweeps(**changes), sweep) if sweep or not vary else []
    chosen += [one_variable(name, parse_values(values), baseline) for name, values in _named_once(vary, "--vary")]
    names = [one.name for one in chosen]
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"sweep '{name}' is asked for twice; give its values in one --vary, or leave out --sweep {name}"
            )
    count = file.seeds if seeds is None else seeds
    if count < 1:
        raise UserError(f"seeds must be a whole number of at least 1, not {count}")
    return Request(file.name, tuple(chosen), baseline, tuple(range(first, first + count)))


def _settings(settings: Sequence[str]) -> dict[str, object]:
    return {name: parse(name, value) for name, value in _named_once(settings, "--set")}


def _named_once(options: Sequence[str], option: str) -> list[tuple[str, str]]:
    pairs = [parse_assignment(text, option) for text in options]
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{option} {name} is given twice; give it once")
    return pairs


def _chosen(sweeps: Sequence[Sweep], names: Sequence[str]) -> list[Sweep]:
    by_name = {sweep.name: sweep for sweep in sweeps}
    for name in names:
        if name not in by_name:
            raise unknown("sweep", name, by_name)
    return [by_name[name] for name in dict.fromkeys(names)] if names else list(sweeps)
