"""A user's loop as a task of the program: its words, and how it is keyed, shipped and trained.

loop = find("spiral.py")
task = described(loop, Judge("val_loss", "lower"))        # what options and sweep files are checked against
task = prepared(loop, task, Where(store, "cpu", 1))       # ready to be swept
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from tune_mnist.errors import UserError
from tune_mnist.files import write_whole
from tune_mnist.fingerprint.changes import changes
from tune_mnist.fingerprint.digest import digest
from tune_mnist.fingerprint.source import CODE, Source, keep, kept, read_source
from tune_mnist.learned import TAKEN
from tune_mnist.machine.devices import device_kind
from tune_mnist.measure import Measure
from tune_mnist.store.store import Store
from tune_mnist.task import Config, Epochs, Task
from tune_mnist.tasks.loop import Loop
from tune_mnist.tasks.settings import completed, conditioned, filled, opened, renamed
from tune_mnist.tasks.shipped import Carried, Code, Shipped


@dataclass(frozen=True)
class Where:
    """Where a sweep is kept and trained: the store, the kind of device, threads per trial."""

    store: Store
    device: str
    threads: int


def described(
    loop: Loop,
    judge: tuple[str, str] | None,
    given: Mapping[str, Iterable[object]],
    when: Mapping[str, Mapping[str, Any]] | None = None,
) -> Task:
    """The task without its conditions. `judge`: (measure, which way is better); `given`: name -> values of the options,
    which are a dict's parameters; `when`: name -> where it has an effect. Raises UserError.
    """
    unit = str(loop.declared("UNIT", "epoch"))
    own = completed(loop.settings.parameters, loop.declared("EPOCHS"), unit)
    parameters = opened(own, given) if loop.settings.kind is None else filled(own, renamed(given, own))
    parameters = conditioned(parameters, when or {})
    return Task(
        name=loop.name,
        parameters=parameters,
        measures=tuple(_measure(name, unit) for name, unit in dict(loop.declared("MEASURES", {})).items()),
        unit=unit,
        learns=True,
        judge=judge,
        takes_seed=loop.settings.takes_seed,
        needs_total=_always if loop.needs_total else _never,
    )


def _measure(name: str, said: Any) -> Measure:
    return replace(said, name=name) if isinstance(said, Measure) else Measure(name, unit=str(said), may_miss=True)


def _always(_: Mapping[str, Any]) -> bool:
    return True


def _never(_: Mapping[str, Any]) -> bool:
    return False


def prepared(loop: Loop, task: Task, where: Where, resumes: bool = True) -> Task:
    """The task ready to be swept; with `resumes` False its state is not kept, and no run is shared or extended.

    Raises UserError for code or data that no key can be made of.
    """
    conditions: dict[str, Any] = {
        "task": task.name,
        "function": loop.called,
        "device": device_kind(where.device),
        "threads": where.threads,
    }
    conditions["python"] = ".".join(platform.python_version_tuple()[:2])
    about: dict[str, Any] = {}
    kept_by = task.keep
    train: Callable[[Config, Any], Epochs]
    if loop.version and not getattr(loop.module, "__file__", None):
        conditions |= {"libraries": _loaded_libraries(), "version": loop.version}
        train = Carried(loop, where.device, resumes)
    else:
        source = _source(loop.module)
        key = {"version": loop.version} if loop.version else {"code": source.fingerprint}
        conditions |= {"libraries": dict(source.libraries), **key}
        about["files"], kept_by = dict(source.hashes), partial(keep, source)
        train = Shipped(_code(loop, source), dict(loop.bound), where.device, resumes)
    if loop.bound:
        conditions["data"] = {
            name: digest(value, name, where.store.folder) for name, value in sorted(loop.bound.items())
        }
    needs_total = task.needs_total if resumes else _always
    return replace(task, train=train, conditions=conditions, about=about, keep=kept_by, needs_total=needs_total)


def _loaded_libraries() -> dict[str, str]:
    """Of a function that lies in no file: the versions of what it may compute with."""
    names = {"torch": "torch", "numpy": "numpy", "sklearn": "scikit-learn", "jax": "jax"}
    return {name: version(name) for module, name in names.items() if module in sys.modules}


@cache
def _source(module: ModuleType) -> Source:
    """Read once per command: what is hashed, kept, shipped and compared is then one and the same."""
    return read_source(module)


def read_again() -> None:
    """Forget what was read: a notebook's next sweep may be of code that was edited since."""
    _source.cache_clear()


def _path(loop: Loop, source: Source) -> str:
    """The path of the function's file, as it is imported."""
    here = Path(str(loop.module.__file__)).resolve()
    return next(path for path, place in source.places.items() if place.resolve() == here)


def _code(loop: Loop, source: Source) -> Code:
    name = _path(loop, source).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    places = {path: str(place) for path, place in source.places.items()}
    return Code(name, loop.called, dict(source.files), places, str(source.root), source.fingerprint)


THERE = "task"  # where a cluster's head has the files of a task


def files(loop: Loop) -> dict[str, Path]:
    """What another machine needs to have the loop's code: the path there -> the file here."""
    return {f"{THERE}/{path}": place for path, place in _source(loop.module).places.items()}


def spec_there(loop: Loop) -> str:
    """How the loop is named on a machine that has its files."""
    return f"{THERE}/{_path(loop, _source(loop.module))}:{loop.called}"


@dataclass(frozen=True)
class Changed:
    """Stored runs of other code: how many there are, its fingerprint, and what has changed since, in words."""

    runs: int
    fingerprint: str
    said: tuple[str, ...]


def changed(loop: Loop, task: Task, where: Where) -> Changed | None:
    """What has changed in the code since the newest runs of this task that are alike in all else; None if nothing."""
    code = task.conditions.get("code")
    found: dict[str, list[str]] = {}
    alike = _but_code(task.conditions)
    for key in where.store.run_keys():
        record = where.store.record(key)
        conditions = record.get("conditions")
        if record.get("task") == task.name and isinstance(conditions, dict) and _but_code(conditions) == alike:
            found.setdefault(str(conditions.get("code")), []).append(str(record.get("created", "")))
    if code is None or code in found or not found:
        return None
    newest = max(found, key=lambda one: max(found[one]))
    old = kept(where.store.folder, newest)
    said = changes(old, _source(loop.module)) if old else ["its sources are not in the store any more"]
    return Changed(len(found[newest]), newest, tuple(said))


def _but_code(conditions: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in conditions.items() if name != "code"}


def as_stored(task: Task, fingerprint: str) -> Task:
    """The task under the key of other code, which its owner says gives the same numbers."""
    return replace(task, conditions={**task.conditions, "code": fingerprint})


def is_confirmed(task: Task, where: Where) -> bool:
    """Whether a check has found that this code goes on exactly from its state."""
    path = _confirmation(task, where)
    return path is not None and path.is_file()


def confirm(task: Task, where: Where) -> None:
    """Note that it does."""
    if path := _confirmation(task, where):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, b"")


def _confirmation(task: Task, where: Where) -> Path | None:
    code = task.conditions.get("code")
    return where.store.folder / CODE / f"{code}.{task.conditions['function']}.resumes" if code else None


def check_names(task: Task) -> None:
    """Raise UserError for a parameter that is called as something of the tables'."""
    for one in task.parameters:
        if one.name in TAKEN:
            raise UserError(
                f"task {task.name}: a parameter may not be called '{one.name}', because a column is; rename it"
            )
