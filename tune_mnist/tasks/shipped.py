"""A user's loop as it travels to the workers: the sources that its key names, and what is bound to it.

An edit of a file while a sweep runs changes nothing in it: workers import what was there when the command began.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType
from typing import Any

from tune_mnist.task import Config, Epochs
from tune_mnist.tasks.imports import Sources, imported
from tune_mnist.tasks.loop import Loop, loop_of


@dataclass(frozen=True)
class Carried:
    """The `train` of a loop that lies in no file: Ray carries the function itself."""

    loop: Loop
    device: str
    resumes: bool

    def __call__(self, config: Config, state: Any = None) -> Epochs:
        return _epochs(self.loop, config, state, self)

    def __getstate__(self) -> dict[str, Any]:
        # A notebook's module cannot travel, and nothing asks for it there.
        loop = replace(self.loop, module=ModuleType("notebook"))
        return {"loop": loop, "device": self.device, "resumes": self.resumes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Code:
    """A function in files. `files`: path as it is imported -> content; `places`: -> where it lay."""

    module: str
    function: str
    files: Mapping[str, bytes]
    places: Mapping[str, str]
    root: str
    fingerprint: str


@dataclass(frozen=True)
class Shipped:
    """The `train` of a loop in a file, with what is bound to it. `resumes`: whether its state is kept."""

    code: Code
    bound: Mapping[str, Any]
    device: str
    resumes: bool

    def __call__(self, config: Config, state: Any = None) -> Epochs:
        key = self.code.fingerprint, self.code.module
        if key not in _modules():
            sources = Sources(self.code.files, self.code.places)
            _modules()[key] = imported(self.code.module, sources, self.code.root)
        module = _modules()[key]
        loop = loop_of(getattr(module, self.code.function), module, load=False)
        return _epochs(replace(loop, bound={**loop.bound, **self.bound}), config, state, self)


@cache
def _modules() -> dict[tuple[str, str], ModuleType]:
    """Of this worker, which trains run after run: (fingerprint, name) -> the module, imported once."""
    return {}


def _epochs(loop: Loop, config: Config, state: Any, how: Carried | Shipped) -> Epochs:
    """The loop's epochs on the trial's device, whose state is left out where it cannot be gone on from."""
    if how.device != "cpu" and (torch := sys.modules.get("torch")):
        torch.set_default_device(how.device)
    steps = loop.steps(config, state, config.epochs)
    keeps = how.resumes and "state" in loop.wants  # who is not given it back begins at the start
    return ((metrics, after if keeps else None) for metrics, after in steps)
