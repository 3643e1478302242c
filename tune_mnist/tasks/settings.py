"""The config of a user's loop: a dataclass, a pydantic model or a plain dict; its parameters, and its values as one."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from tune_mnist.errors import UserError
from tune_mnist.names import canonical
from tune_mnist.parameter import Parameter, annotated, conditions_of
from tune_mnist.words import several

EPOCHS = Parameter("epochs", "whole", default=10, ge=1, paces=False)
_ANNOTATED: Any = typing.Annotated  # given its parts as a tuple, as Python 3.10 can write it
SEED = Parameter("seed", "whole", default=1, ge=0, le=2**64 - 1, paces=False)


@dataclass(frozen=True)
class Settings:
    """How a loop takes its values: as an object of `kind`, or as a dict where `kind` is None.

    `parameters` are those that the class names; a dict takes any.
    """

    kind: type | None
    parameters: tuple[Parameter, ...]

    @property
    def takes_seed(self) -> bool:
        """Whether the loop is told the seed."""
        return self.kind is None or any(one.name == "seed" for one in self.parameters)

    def make(self, values: Mapping[str, Any]) -> Any:
        """The config as the loop wants it; raises UserError for what the class itself refuses."""
        if self.kind is None:  # how long it goes on is not the loop's to know, unless it asks
            return {name: value for name, value in values.items() if name != "epochs"}
        named = {one.name for one in self.parameters}
        try:
            return self.kind(**{name: value for name, value in values.items() if name in named})
        except (ValidationError, ValueError, TypeError) as error:
            said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise UserError(f"{self.kind.__name__} refuses its values: {said}") from None


def settings_of(function: Callable[..., Any], where: str) -> Settings:
    """What the annotation of the function's first parameter says. Raises UserError for a class of another kind."""
    first = next(iter(inspect.signature(function).parameters.values()), None)
    if first is None:
        raise UserError(f"{where} takes no config; write `def {function.__name__}(config, state=None)`")
    kind = _hint(function, first.name)
    if kind is None or kind is dict or typing.get_origin(kind) in (dict, Mapping) or kind is Mapping:
        return Settings(None, ())
    try:
        if isinstance(kind, type) and is_dataclass(kind):
            return Settings(kind, _dataclass_parameters(kind))
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return Settings(kind, _model_parameters(kind))
    except TypeError as error:
        raise UserError(f"{where}: {error}") from None
    raise UserError(f"{where}: its config is a {kind}; use a dataclass, a pydantic model, or a dict")


def _hint(function: Callable[..., Any], name: str) -> Any:
    try:
        return typing.get_type_hints(function).get(name)
    except NameError:  # an annotation that only a type checker can read
        return None


def _dataclass_parameters(kind: type) -> tuple[Parameter, ...]:
    """The fields that can be swept. One of another type keeps its default, which is part of the code."""
    found = []
    hints = typing.get_type_hints(kind, include_extras=True)
    for one in fields(kind):
        default = one.default_factory() if one.default_factory is not MISSING else one.default
        try:
            parameter = annotated(one.name, hints[one.name])
        except TypeError:
            if default is MISSING:
                raise
            continue
        found.append(replace(parameter, name=one.name, default=None if default is MISSING else default))
    return tuple(found)


def _model_parameters(kind: type[BaseModel]) -> tuple[Parameter, ...]:
    found = []
    for name, field in kind.model_fields.items():
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        hint = _ANNOTATED[(field.annotation, *field.metadata)] if field.metadata else field.annotation
        parameter = annotated(name, hint)
        if parameter.when and field.is_required():
            raise TypeError(f"parameter {name} has a condition; give it a default, to have where it does nothing")
        found.append(replace(parameter, name=name, default=default))
    return tuple(found)


def completed(own: Iterable[Parameter], epochs: int | None, unit: str) -> tuple[Parameter, ...]:
    """The parameters of a task: its own, with how long it goes on and the seed, which belong to the sweep."""
    named = {one.name: one for one in own}
    first = named.pop("epochs", EPOCHS)
    first = replace(first, ge=1, paces=False, label=f"{unit}s", default=epochs or first.default or EPOCHS.default)
    seed = replace(named.pop("seed", SEED), ge=0, paces=False)
    return (first, *named.values(), replace(seed, default=SEED.default if seed.default is None else seed.default))


def renamed(given: Mapping[str, Iterable[object]], parameters: tuple[Parameter, ...]) -> dict[str, Iterable[object]]:
    """What is given by the names that the parameters have; what is none of theirs is refused later, with its place."""
    names = [one.name for one in parameters]
    found: dict[str, Iterable[object]] = {}
    for name, values in given.items():
        with suppress(UserError):
            found[canonical(name, names, names)] = values
    return found


def filled(parameters: tuple[Parameter, ...], given: Mapping[str, Iterable[object]]) -> tuple[Parameter, ...]:
    """With the first value that is given, for each parameter that has no default of its own."""
    return tuple(
        replace(one, default=one.read(next(iter(given[one.name]))), assumed=True)
        if one.default is None and one.none is None and any(True for _ in given.get(one.name, ()))
        else one
        for one in parameters
    )


def opened(parameters: tuple[Parameter, ...], given: Mapping[str, Iterable[object]]) -> tuple[Parameter, ...]:
    """With a parameter for each name that a dict's loop is given, of the kind that all of its values are."""
    known = {one.name for one in parameters}
    new = [
        Parameter(name, _kind(list(values)), next(iter(values), None), assumed=True)
        for name, values in given.items()
        if name not in known
    ]
    new = [replace(one, default=one.read(one.default)) for one in new]
    return (parameters[0], *new, *parameters[1:])


def conditioned(parameters: tuple[Parameter, ...], when: Mapping[str, Mapping[str, Any]]) -> tuple[Parameter, ...]:
    """With the conditions that a sweep file gives beside those of the annotations. Raises UserError for one that names
    no parameter, for a value that its parameter cannot have, and for a `tuned_with` that is no other parameter.
    """
    names = [one.name for one in parameters]
    own = {canonical(name, names, names): conditions_of(said) for name, said in when.items()}
    found = [replace(one, when=own.get(one.name, one.when)) for one in parameters]
    found = [replace(one, when=tuple(_condition(one, by, values, found) for by, values in one.when)) for one in found]
    _refuse_circles(found)
    return tuple(_tuned(one, names) for one in found)


def _tuned(one: Parameter, names: list[str]) -> Parameter:
    others = [name for name in names if name not in (one.name, "seed")]
    return replace(one, tuned_with=canonical(one.tuned_with, others, others)) if one.tuned_with else one


def _refuse_circles(parameters: list[Parameter]) -> None:
    """Raise UserError for parameters of which each has an effect only if the others have."""
    left = {one.name: {by for by, _ in one.when} for one in parameters if one.when}
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    if left:
        raise UserError(f"when: {several(left)} depend on each other, so none of them could have an effect")


def _condition(
    one: Parameter, by: str, values: tuple[Any, ...], parameters: list[Parameter]
) -> tuple[str, tuple[Any, ...]]:
    names = [each.name for each in parameters if each.name != one.name]
    name = canonical(by, names, names)
    other = next(each for each in parameters if each.name == name)
    return name, tuple(other.read(value) for value in values)


def _kind(values: list[object]) -> str:
    """whole, number or flag if every value, or text for one, is that; otherwise text."""
    for kind in ("flag", "whole", "number"):
        try:
            for value in values:
                Parameter("x", kind).read(value)
        except UserError:
            continue
        return kind
    return "text"
