"""Task: what is swept. Its training loop, its parameters, what it measures, and what its numbers depend on.

A task is all that the rest of the program knows of what it trains. A results folder records the task that it is of, so
that reports and comparisons need none of its code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from tune_mnist.errors import UserError, unknown
from tune_mnist.files import shortened
from tune_mnist.measure import Measure, Reference, of_same, of_validation
from tune_mnist.names import canonical
from tune_mnist.parameter import Parameter, conditions_of, inactive

At = Literal["last", "best"]  # the epoch of a training at which a point's values are read
Epochs = Iterator[tuple[Mapping[str, Any], Any]]


class Config(Mapping[str, Any]):
    """All values of one training, checked, in the order of the task's parameters; `epochs` and `seed` among them.

    `Task.config` makes it. It never changes, and equal ones have equal hashes. What is `inactive` has the value that
    its task gives to it then, whatever was `given`; what is `unsaid` is left out of the identity.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        needs_total: bool = False,
        given: Mapping[str, Any] | None = None,
        inactive: frozenset[str] = frozenset(),
        unsaid: frozenset[str] = frozenset(),
    ) -> None:
        self._values, self.needs_total = dict(values), needs_total
        self.given, self.inactive, self.unsaid = dict(given or values), inactive, unsaid

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(tuple(self._values.items()))

    def __repr__(self) -> str:
        return f"Config({self._values})"

    @property
    def epochs(self) -> int:
        """How many epochs are asked for."""
        return int(self["epochs"])

    def identity(self) -> dict[str, Any]:
        """All that shapes the epochs: everything but how many there are, and that too if the training looks at it."""
        shaping = {name: value for name, value in self.items() if name != "epochs" or self.needs_total}
        return {name: value for name, value in shaping.items() if name not in self.unsaid}


def _as_given(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return values


def _unchecked(_: Mapping[str, Any]) -> None:
    return None


def _never(_: Mapping[str, Any]) -> bool:
    return False


def _nothing(_: Path) -> None:
    return None


def _alike(_: Mapping[str, Any]) -> float:
    return 1.0


def _untrained(_: Config, __: Any = None) -> Epochs:
    raise NotImplementedError("a task that was read from a record cannot train")


@dataclass(frozen=True)
class Task:
    """What is swept.

    `train(config, state)` yields (metrics, state) once per epoch, from the start or from another training's state, and
    its caller stops asking. Metrics are numbers by the names of `measures`; state is all that the next epoch depends
    on, or None where a training cannot be gone on with. `measures[0]` is the one that is judged. `conditions` are
    part of every run's key.
    """

    name: str
    train: Callable[[Config, Any], Epochs] = _untrained
    parameters: tuple[Parameter, ...] = ()
    measures: tuple[Measure, ...] = ()
    conditions: Mapping[str, Any] = field(default_factory=dict)
    data: Parameter | None = None  # the condition that names the data, where a task knows several sets
    context: tuple[Parameter, ...] = ()  # other conditions that tables and subtitles name
    examples: str = "data"  # what it trains on, in words
    remark: str = ""  # on the curves of its measures
    unit: str = "epoch"  # what a training yields after: an epoch, a round, some steps
    learns: bool = False  # whether its measures are those that it yields, beside the declared ones (`learned`)
    judge: tuple[str, str] | None = None  # of a task that learns: the judged measure, and which way is better
    at: At = "last"  # at which epoch of a training a point's values are read: at the one that validation is best at
    takes_seed: bool = True  # whether its trainings are told their seed
    about: Mapping[str, Any] = field(default_factory=dict)  # what else a run's record tells of it
    keep: Callable[[Path], None] = _nothing  # keeps what its key stands for in a store's folder
    sweeps: Path | None = None  # the sweep file of its standard sweeps
    reference: Reference | None = None
    data_sha256: Mapping[str, str] = field(default_factory=dict)
    canonical: Callable[[Mapping[str, Any]], Mapping[str, Any]] = _as_given  # values as they are of the same training
    check: Callable[[Mapping[str, Any]], None] = _unchecked  # raises UserError for what the data have no room for
    needs_total: Callable[[Mapping[str, Any]], bool] = _never  # whether epochs depend on how many there will be
    cost: Callable[[Mapping[str, Any]], float] = _alike  # of an epoch, against another's: for the order of starts
    cost_s: float | None = None  # about how many seconds a cost of 1 takes on a CPU, where more than ratios is known
    probe: Callable[[Config], float] | None = None  # measures about how many seconds an epoch takes

    @property
    def judged(self) -> Measure:
        """The measure that values are judged by; of a task that learns them, and has not yet, the one asked for."""
        if self.measures:
            return self.measures[0]
        name, better = self.judge or ("measure", "higher")
        return Measure(name, better=better)

    @property
    def subject(self) -> str:
        """What a folder of results is called after: the data, or the task where it knows only one set."""
        return str(self.conditions.get(self.data.name, self.name)) if self.data else self.name

    @property
    def headline(self) -> tuple[Measure, ...]:
        """The measures that are said where there is little room: the judged one, and what is chosen by, or the next."""
        by = self.chosen_by
        return (self.judged, by) if by and by.name != self.judged.name else self.measures[:2]

    def __post_init__(self) -> None:
        if shortened(self.name) != self.name:
            raise UserError(
                f"a task's name has at most 200 bytes, for files are called by it; '{self.name[:20]}…' has more"
            )

    @property
    def chosen_by(self) -> Measure | None:
        """The measure that the best point, and the best epoch, are chosen by; without one, none is called so.

        The judged one, if it is of validation data, else the one of validation data that measures the same.
        """
        judged, all_ = self.judged, self.measures
        if of_validation(judged.name):
            return judged
        found = next((one for one in all_ if of_validation(one.name) and of_same(one.name, judged.name)), None)
        return replace(found, better=judged.better) if found else None

    @property
    def reading(self) -> str:
        """Where in its training a point's values are read, in words: "at the last epoch"."""
        by = self.chosen_by if self.at == "best" else None
        return f"at the {self.unit} of the {by.best} {by.words}" if by else f"at the last {self.unit}"

    @property
    def variables(self) -> tuple[str, ...]:
        """What a sweep may vary and a baseline may set. The seed is an axis of its own: every point has each."""
        return tuple(one.name for one in self.parameters if one.name != "seed")

    @property
    def table_conditions(self) -> tuple[str, ...]:
        """The conditions that tables have: what times and numbers of two runs are alike in, or not."""
        return (*([self.data.name] if self.data else []), "device", "threads", *(one.name for one in self.context))

    def parameter(self, name: str) -> Parameter:
        """The parameter, or condition, of that name; KeyError if there is none."""
        return next(one for one in (*self.parameters, *self.context, *_some(self.data)) if one.name == name)

    def words(self, name: str) -> str:
        """What a person calls the parameter; its plain name where it is none of this task."""
        return next((one.words for one in self.parameters if one.name == name), name.replace("_", " "))

    def named(self, name: object) -> str:
        """The parameter that people call so; a UserError with the choices if there is none."""
        return canonical(name, [one.name for one in self.parameters], self.variables)

    def variable(self, name: object) -> Parameter:
        """The parameter that people call so; a UserError with the choices if no sweep may vary it."""
        if (found := self.named(name)) == "seed":
            raise unknown("hyper-parameter", found, self.variables)
        return self.parameter(found)

    def shown(self, name: str, value: Any) -> Any:
        """A parameter's value as tables have it: for None, what that amounts to with the data at hand."""
        return self.parameter(name).shown(value)

    def written(self, name: str, value: Any) -> Any:
        """A parameter's value as a person writes it: for None its word, such as "all"."""
        return self.parameter(name).none if value is None else value

    def config(self, values: Mapping[str, Any], **changes: Any) -> Config:
        """The config with these values, each a value or text for it, and defaults for the others. Raises UserError.

        Of a Config, the values that it was given: what is inactive in it may be active with the changes.
        """
        if isinstance(values, Config):  # whose own values are read already: a sweep has thousands of points
            read = values.given | {name: self.parameter(name).read(value) for name, value in changes.items()}
        else:
            read = self._read({**values, **changes})
        idle = inactive(self.parameters, read)
        unused = {one.name: None if one.assumed else one.default for one in self.parameters if one.name in idle}
        found = self.canonical({**read, **unused})
        unsaid = frozenset(one.name for one in self.parameters if one.later and found[one.name] == one.default)
        return Config(found, self.needs_total(found), read, idle, unsaid)

    def _read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        for one in self.parameters:
            if one.name not in given and one.default is None and one.none is None:
                raise UserError(f"{one.name} has no default; give it a value, as in --set {one.name}=VALUE")
        return {one.name: one.read(given.get(one.name, one.default)) for one in self.parameters}

    def check_seeds(self, count: int) -> None:
        """Raise UserError for a number of seeds that cannot be, or that would all give the same numbers."""
        if count < 1:
            raise UserError(f"seeds must be a whole number of at least 1, not {count}")
        if count > 1 and not self.takes_seed:
            raise UserError(
                f"task {self.name} takes no seed: all would give the same numbers; add `seed: int = 1` to its config"
            )

    def record(self) -> dict[str, Any]:
        """What reading, figures and reports need of the task, as values that JSON knows."""
        said: dict[str, Any] = {"name": self.name, "examples": self.examples, "remark": self.remark, "unit": self.unit}
        said |= {"learns": self.learns, "at": self.at}
        parts = {"parameters": self.parameters, "measures": self.measures, "context": self.context}
        one = {"data": self.data, "reference": self.reference}
        return (
            said
            | {key: [_brief(value) for value in values] for key, values in parts.items()}
            | {key: None if value is None else _brief(value) for key, value in one.items()}
        )


def recorded(record: Mapping[str, Any]) -> Task:
    """The task of a `Task.record`, which cannot train. Raises UserError if it is none."""
    try:
        renamed = {"at": "last", **record, "parameters": [_renamed(one) for one in record["parameters"]]}
        return Task(**{key: adapter.validate_python(renamed[key]) for key, adapter in _adapters().items()})
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"the record of its task is damaged ({str(error).splitlines()[0]})") from None


@cache
def _adapters() -> dict[str, TypeAdapter[Any]]:
    """What checks each part of a record; making them takes longer than reading a table."""
    kinds: dict[str, Any] = {"parameters": tuple[Parameter, ...], "measures": tuple[Measure, ...]}
    kinds |= {"context": tuple[Parameter, ...], "data": Parameter | None, "reference": Reference | None}
    kinds |= dict.fromkeys(("name", "examples", "remark", "unit"), str) | {"learns": bool, "at": At}
    return {key: TypeAdapter(kind) for key, kind in kinds.items()}


def run_key(config: Config, conditions: Mapping[str, Any], apart: str = "") -> str:
    """16 hexadecimal digits that name the training: equal when all that shapes its numbers is equal.

    `apart` is of a run that is to be trained for one point only, although another would give the same numbers.
    """
    record = json.dumps([config.identity(), dict(conditions), apart], sort_keys=True)
    return hashlib.sha256(record.encode()).hexdigest()[:16]


def _renamed(parameter: Any) -> Any:
    """A parameter as a record has it; an old one has its condition under another name."""
    if not isinstance(parameter, dict) or not parameter.get("only"):
        return parameter
    by, choices = parameter["only"]
    return parameter | {"when": conditions_of({by: choices})}


def _some(one: Parameter | None) -> tuple[Parameter, ...]:
    return () if one is None else (one,)


def _brief(value: Any) -> dict[str, Any]:
    """Only what differs from the class's defaults: a record is read by people, too."""
    defaults = {one.name: one.default for one in type(value).__dataclass_fields__.values()}
    return {name: found for name, found in asdict(value).items() if found != defaults[name]}
