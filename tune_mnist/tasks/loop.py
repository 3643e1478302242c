"""A user's training loop, found by its name, and called as it wants to be called.

loop = find("spiral.py")            # or "spiral.py:train", "package.module:train"
for metrics, state in loop.steps({"lr": 0.1, "seed": 1}, state=None, total=3): ...
"""

from __future__ import annotations

import importlib
import inspect
import numbers
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from tune_mnist.errors import TrainingFailed, UserError
from tune_mnist.tasks.settings import Settings, settings_of

MOST_NAMED = 10  # of a module's functions, in an error
GIVEN = ("state", "epochs", "data")  # what a loop may ask for, beside its config


@dataclass(frozen=True)
class Loop:
    """A training function of the user's, and what is bound to it.

    `bound`: the arguments of a partial, and what the module's `data()` gave. `wants`: which of GIVEN it asks for.
    `version`: what stands for its code, if its owner takes that on himself.
    """

    function: Callable[..., Any]
    module: ModuleType
    settings: Settings
    bound: Mapping[str, Any]
    wants: tuple[str, ...]
    version: str | None = None

    @property
    def called(self) -> str:
        """The function's name in its module."""
        return next((key for key, value in vars(self.module).items() if value is self.function), self.function.__name__)

    @property
    def name(self) -> str:
        """The task's name: that of the module that the function is in, without its packages; or the function's own."""
        file = getattr(self.module, "__file__", None)
        return Path(file).stem if file else self.function.__name__

    @property
    def needs_total(self) -> bool:
        """Whether it asks how many epochs there will be."""
        return "epochs" in self.wants

    def declared(self, name: str, default: Any = None) -> Any:
        """What the module says of itself beside the function: MEASURES, UNIT, EPOCHS."""
        return getattr(self.module, name, default)

    def steps(self, values: Mapping[str, Any], state: Any, total: int) -> Iterator[tuple[dict[str, float], Any]]:
        """The loop's epochs: numbers by name, and the state after them or None. Raises TrainingFailed, UserError."""
        given: dict[str, Any] = dict(self.bound)
        given |= {name: value for name, value in (("state", state), ("epochs", total)) if name in self.wants}
        config = self.settings.make(values)
        made = self.function(config, **given)
        if not isinstance(made, Iterator):
            raise UserError(
                f"{self.function.__name__} returned {_kind(made)}; it must yield its metrics after each epoch"
            )
        for given_back in made:
            yield _parted(given_back)


def find(spec: str, load: bool = True) -> Loop:
    """The loop that `spec` names: FILE.py, FILE.py:FUNCTION or PACKAGE.MODULE:FUNCTION; `train` without a name.

    Its data are loaded unless `load` is False: a worker is sent them. Raises UserError with file and line for what
    cannot be imported.
    """
    place, name = spec.rsplit(":", 1) if ":" in spec else (spec, "train")
    module = _imported(place, spec)
    function = getattr(module, name, None)
    if not callable(function):
        functions = [
            key for key, value in vars(module).items() if inspect.isfunction(value) and not key.startswith("_")
        ]
        listed = [*functions[:MOST_NAMED], *(["…"] if len(functions) > MOST_NAMED else [])]
        there = f"; it has {', '.join(listed)}" if functions else ""
        raise UserError(f"task {spec}: there is no function '{name}' in {place}{there}")
    return loop_of(function, module, load)


def loop_of(function: Callable[..., Any], module: ModuleType, load: bool = True, version: str | None = None) -> Loop:
    """The function as a loop. Raises UserError for a signature that cannot be called."""
    bound: dict[str, Any] = {}
    if isinstance(function, partial):
        if function.args:
            raise UserError("bind a loop's data by name: partial(train, data=…)")
        bound, function = dict(function.keywords), function.func
    where = f"{module.__name__}.{getattr(function, '__name__', 'train')}"
    settings = settings_of(function, where)
    _, *others = inspect.signature(function).parameters.values()
    wants = [one.name for one in others if one.name in GIVEN and one.name not in bound]
    if "data" in wants:
        wants.remove("data")
        bound["data"] = _data(module, where) if load else None
    for one in others:
        if (
            one.name not in (*bound, *wants)
            and one.default is one.empty
            and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        ):
            raise UserError(
                f"{where}: nothing is known for its argument '{one.name}'; bind it: partial(train, {one.name}=…)"
            )
    version = version or getattr(module, "VERSION", None)
    return Loop(function, module, settings, bound, tuple(wants), version)


def _data(module: ModuleType, where: str) -> Any:
    load = getattr(module, "data", None)
    if not callable(load):
        raise UserError(f"{where} asks for data, and there is no function `data()` beside it; write one, or bind data")
    return load()


def _imported(place: str, spec: str) -> ModuleType:
    """The module: of a file by its packages' names, which begin above the folders that have an __init__.py."""
    name = place
    if place.endswith(".py"):
        path = Path(place).resolve()
        if not path.is_file():
            raise UserError(f"task {spec}: there is no file '{place}'")
        parts, folder = [path.stem], path.parent
        while (folder / "__init__.py").is_file():
            parts.insert(0, folder.name)
            folder = folder.parent
        name = ".".join(parts)
        _put_first(folder)
    else:
        _put_first(Path.cwd())
    loaded = sys.modules.get(name)
    if place.endswith(".py") and loaded and Path(str(getattr(loaded, "__file__", ""))).resolve() != path:
        del sys.modules[name]  # another file of the same name, which was found before
    try:
        return importlib.import_module(name)
    except Exception as error:  # whatever the user's own code raises
        raise UserError(f"task {spec} cannot be imported: {_where(error)}") from None


def _put_first(folder: Path) -> None:
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))


def _where(error: Exception) -> str:
    """The error with the file and the line of the user's that it comes from."""
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: {error.msg}"
    frames = [one for one in traceback.extract_tb(error.__traceback__) if "importlib" not in one.filename]
    theirs = [one for one in frames if Path(one.filename) != Path(__file__)]
    return f"{theirs[-1].filename}:{theirs[-1].lineno}: {said}" if theirs else said


def _parted(given: Any) -> tuple[dict[str, float], Any]:
    """(metrics, state) of what a loop yields: a pair, or metrics alone. A metric that is None is a missing one."""
    metrics, state = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
    if not isinstance(metrics, Mapping):
        raise TrainingFailed(f"the loop yielded {_kind(metrics)}; yield a dict of metrics, or (metrics, state)")
    for name in map(str, metrics):
        if not name.isprintable() or not name.strip():
            raise TrainingFailed(
                f"a measure is called {name!r}; it is a column's name, and must be readable on one line"
            )
    return {str(name): _number(str(name), value) for name, value in metrics.items() if value is not None}, state


def _number(name: str, value: Any) -> float:
    """A float of a number, a tensor or an array that has one element."""
    if isinstance(value, numbers.Real):
        return float(value)
    if hasattr(value, "item"):
        try:
            return float(value.item())
        except (ValueError, RuntimeError, TypeError):
            pass
    raise TrainingFailed(f"metric {name} is {_kind(value)}, and no number")


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
