"""Parameter: how one hyper-parameter is read, checked and named. They are taken from a dataclass's annotations.

@dataclass
class Config:
    lr: Annotated[float, Field(gt=0), Parameter(label="learning rate", log=10)] = 0.01

parameters_of(Config)
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from tune_mnist.errors import UserError, unknown

NAMES = {"whole": "a whole number", "number": "a number", "flag": "true or false", "text": "a text"}
KINDS: dict[object, str] = {bool: "flag", int: "whole", float: "number", str: "text"}


@dataclass(frozen=True)
class Parameter:
    """One hyper-parameter, or a condition that tables name like one. In an annotation, only its words are given.

    `read` takes a value or text for it. Raises UserError, which says the rule.
    """

    name: str = ""
    kind: str = "text"  # whole, number, flag, choice or text
    default: Any = None
    choices: tuple[str, ...] = ()
    gt: int | float | None = None
    ge: int | float | None = None
    lt: int | float | None = None
    le: int | float | None = None
    remark: str = ""  # what a rule is followed by, in brackets
    none: str | None = None  # how None is written, where a value may be None
    none_is: Any = None  # what None amounts to with the data at hand
    label: str = ""  # in words, if not its name
    short: str = ""  # of a sweep over it, in file names, if not its name
    log: int | None = None  # the base of its axis, if that is logarithmic
    bare: bool = False  # its values speak for themselves: "sgd", not "optimizer sgd"
    silent: str | None = None  # the value that goes without saying
    paces: bool = True  # whether an epoch's time depends on it
    when: tuple[
        tuple[str, tuple[Any, ...]], ...
    ] = ()  # it has an effect only where each of these has one of the values
    assumed: bool = False  # its default is only the first value that was given for it
    later: bool = False  # stores and tables are older: at its default it is left out of a run's key
    values: tuple[tuple[str, str], ...] = ()  # (value, its words), where they are not the same
    tuned_with: str = ""  # another parameter, whose best value differs by the value of this one

    @property
    def words(self) -> str:
        """The parameter as a person calls it: "learning rate"."""
        return self.label or self.name.replace("_", " ")

    @property
    def rule(self) -> str:
        """What a value must be: "a number above 0 and at most 1"."""
        said = " ".join(filter(None, (NAMES[self.kind], self._range())))
        if self.none is not None:
            said += f", or '{self.none}'"
        return f"{said} ({self.remark})" if self.remark else said

    def _range(self) -> str:
        if self.kind == "whole" and self.ge is not None and self.le is not None:
            return f"from {_limit(self.ge)} to {_limit(self.le)}"
        limits = (("above", self.gt), ("of at least", self.ge), ("below", self.lt), ("at most", self.le))
        return " and ".join(f"{words} {_limit(limit)}" for words, limit in limits if limit is not None)

    def read(self, value: object) -> Any:
        """`value`, or text for it, as this parameter's type. Quotes and spaces around a text are none of it."""
        said = value if self.kind == "text" or not isinstance(value, str) else _bare(value)
        if self.none is not None and (said is None or (isinstance(said, str) and said.lower() == self.none)):
            return None
        if self.kind == "choice":
            return self._choice(said)
        try:
            found = READERS[self.kind](said)
            if not self._allows(found):
                raise ValueError
        except (ValueError, OverflowError):
            raise UserError(f"{self.name} must be {self.rule}, not {_shown(value)}") from None
        return found

    def _choice(self, value: object) -> Any:
        """The choice that is meant: in small letters or large, where that leaves one."""
        if value in self.choices:
            return value
        alike = [one for one in self.choices if str(one).lower() == str(value).lower()]
        if len(alike) != 1:
            raise unknown(self.name, str(value)[:60], self.choices)
        return alike[0]

    def _allows(self, value: Any) -> bool:
        return (
            (self.gt is None or value > self.gt)
            and (self.ge is None or value >= self.ge)
            and (self.lt is None or value < self.lt)
            and (self.le is None or value <= self.le)
        )

    def shown(self, value: Any) -> Any:
        """A value as tables and people have it: what stands for None is said."""
        if value is None:
            return self.none if self.none_is is None else self.none_is
        return value


class When:
    """In an annotation: the parameter has an effect only where others have one of these values.

    momentum: Annotated[float, When(optimizer=["sgd", "rmsprop"])] = 0.0
    """

    def __init__(self, **values: Any) -> None:
        self.values = values


def conditions_of(values: Mapping[str, Any]) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """`Parameter.when`, from names with a value each, or with several."""
    return tuple((by, tuple(one) if isinstance(one, (list, tuple)) else (one,)) for by, one in values.items())


def inactive(parameters: Sequence[Parameter], values: Mapping[str, Any]) -> frozenset[str]:
    """The parameters that nothing looks at beside these values; also those that depend on one of them."""
    conditional = [one for one in parameters if one.when]
    found: set[str] = set()
    while new := {one.name for one in conditional if one.name not in found and not _holds(one, values, found)}:
        found |= new
    return frozenset(found)


def _holds(one: Parameter, values: Mapping[str, Any], idle: set[str]) -> bool:
    return all(by not in idle and values.get(by) in choices for by, choices in one.when)


def cause(one: Parameter, parameters: Sequence[Parameter], values: Mapping[str, Any]) -> Parameter:
    """The parameter whose value leaves that inactive one without effect."""
    named, idle = {each.name: each for each in parameters}, inactive(parameters, values)
    by = next((by for by, choices in one.when if by not in idle and values.get(by) not in choices), one.when[0][0])
    return cause(named[by], parameters, values) if by in idle else named[by]


def without_effect(one: Parameter, value: Any, parameters: Sequence[Parameter], values: Mapping[str, Any]) -> UserError:
    """The error for a value that nothing looks at: a sweep over it would show a difference of nothing."""
    by = cause(one, parameters, values).name
    said, default = (f"{each:g}" if isinstance(each, float) else each for each in (value, one.default))
    rest = "out" if one.assumed else f"at {one.none if default is None else default}"
    return UserError(f"{one.name}={said} does nothing with {by}={values.get(by)}; leave it {rest} or change {by}")


def refuse_without_effect(parameters: Sequence[Parameter], values: Mapping[str, Any]) -> None:
    """Raise UserError for a value beside its default that nothing looks at."""
    idle = inactive(parameters, values)
    for one in parameters:
        if one.name in idle and values[one.name] != one.default:
            raise without_effect(one, values[one.name], parameters, values)


def _bare(text: str) -> str:
    """Without spaces and quotes around it, and with the minus of a keyboard."""
    stripped = text.strip()
    if len(stripped) > 1 and stripped[0] == stripped[-1] and stripped[0] in "'\"":
        stripped = stripped[1:-1].strip()
    return stripped.replace("−", "-")


def _shown(value: object) -> str:
    """A value in an error: its beginning, if it is long."""
    said = value if isinstance(value, str) else repr(value)
    short = said if len(said) <= 60 else f"{said[:60]}…"
    return f"'{short}'" if isinstance(value, str) else short


def _limit(limit: float) -> str:
    power = math.log2(limit + 1) if limit > 2**32 else 0.0
    return f"2**{power:g} - 1" if power and power == int(power) else f"{limit:g}"


def _whole(value: object) -> int:
    number = int(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int):
        raise ValueError
    return number


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError
    number = float(value) + 0.0  # -0 is 0
    if not math.isfinite(number):
        raise ValueError
    return number


def _flag(value: object) -> bool:
    """As YAML reads a flag in a sweep file: `yes` and `On` are true there."""
    named = {**dict.fromkeys(("true", "yes", "on"), True), **dict.fromkeys(("false", "no", "off"), False)}
    if not isinstance(value, (str, bool)) or str(value).lower() not in named:
        raise ValueError
    return named[str(value).lower()]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


READERS: dict[str, Callable[[object], Any]] = {"whole": _whole, "number": _number, "flag": _flag, "text": _text}


def parameters_of(config: type) -> tuple[Parameter, ...]:
    """The parameters of a dataclass, in its order: types, defaults, and what `Annotated` says of each.

    Ranges are pydantic's: `Field(gt=0)`; words are a `Parameter`'s. Raises TypeError for a type that has no rule.
    """
    hints = get_type_hints(config, include_extras=True)
    found = []
    for field in fields(config):
        default = None if field.default is MISSING else field.default
        found.append(replace(annotated(field.name, hints[field.name]), name=field.name, default=default))
    return tuple(found)


def annotated(name: str, hint: Any) -> Parameter:
    """The parameter that an annotation tells of, without its default. Raises TypeError for a type that has no rule."""
    base, *said = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    words = next((one for one in said if isinstance(one, Parameter)), Parameter())
    for one in said:
        if isinstance(one, When):
            words = replace(words, when=conditions_of(one.values))
    limits: dict[str, Any] = {
        key: value for one in said if not isinstance(one, Parameter) for key, value in _limits(one)
    }
    optional = get_origin(base) in (Union, types.UnionType)
    if optional:
        (base,) = (one for one in get_args(base) if one is not type(None))
    if get_origin(base) is Literal:
        return replace(words, kind="choice", choices=get_args(base))
    if base not in KINDS:
        raise TypeError(f"parameter {name} is of type {base}; use int, float, bool, str or Literal")
    none = (words.none or "none") if optional else None
    return replace(words, kind=KINDS[base], none=none, **limits)


def _limits(said: Any) -> Iterable[tuple[str, float]]:
    """The ends of a range: of pydantic's Field, or of one of the marks that it holds (`annotated_types.Ge`)."""
    for mark in (said, *getattr(said, "metadata", ())):
        yield from ((end, getattr(mark, end)) for end in ("gt", "ge", "lt", "le") if hasattr(mark, end))
