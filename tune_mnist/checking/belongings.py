"""What a suspended loop keeps between its epochs, and whether the state that it yielded holds it.

kept = belongings(epochs, module); ...another epoch...; lost = forgotten(kept, state)
"""

from __future__ import annotations

import gc
import hashlib
import random
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import FunctionType, GeneratorType, ModuleType
from typing import Any

MOST = 50_000  # objects that are looked at; what a loop keeps lies near its local variables
ATOMS = (str, bytes, int, float, complex, bool, type(None), type, ModuleType)


@dataclass
class Belonging:
    """A generator, optimizer, scheduler or module that a loop keeps, with its content's digests when it was found."""

    kind: str  # generator, optimizer, module, or other
    name: str
    thing: Any
    before: frozenset[str] = field(default=frozenset())

    @property
    def words(self) -> str:
        """The thing as its owner knows it: `shuffling (torch.Generator)`."""
        return f"{self.name} ({type(self.thing).__name__})"


@dataclass
class Content:
    """What a state holds: digests of its tensors and rows of numbers, its big integers, the keys of its dicts."""

    digests: set[str] = field(default_factory=set)
    weights: dict[str, str] = field(default_factory=dict)  # floating-point tensors: path -> digest
    keys: set[frozenset[Any]] = field(default_factory=set)
    kinds: dict[str, str] = field(default_factory=dict)  # what is neither tensor nor plain: path -> class


def content(state: Any) -> Content:
    """Walk through a state."""
    found = Content()
    for path, one in _leaves("state", state, found):
        digest = _digest(one)
        found.digests.add(digest)
        if _is_floating(one):
            found.weights[path] = digest
        elif not isinstance(one, (*ATOMS, list, tuple)) and not _is_tensor(one):
            found.kinds[path] = type(one).__name__
    return found


def belongings(epochs: Any, module: ModuleType) -> list[Belonging]:
    """All that the suspended iterator `epochs`, or the module's global variables, lead to and that changes."""
    found: list[Belonging] = []
    for name, one in _reached(epochs, module):
        kind = _kind(one)
        if kind:
            found.append(Belonging(kind, name, one, _contents(kind, one)))
    modules = [one.thing for one in found if one.kind == "module"]
    inner = {id(child) for one in modules for child in one.modules() if child is not one}
    return [one for one in found if id(one.thing) not in inner]


def forgotten(kept: list[Belonging], state: Any) -> list[Belonging]:
    """Those of the belongings that have changed since, and whose content then is not in the state of then."""
    has = content(state)
    lost = []
    for one in kept:
        now = _contents(one.kind, one.thing)
        if now != one.before and one.before and not _held(one, now, has):
            lost.append(one)
    return lost


def _held(one: Belonging, now: frozenset[str], has: Content) -> bool:
    if one.kind == "other":
        return frozenset(one.thing.state_dict()) in has.keys
    return one.before - now <= has.digests


def _kind(one: Any) -> str:
    """ "" of what is no generator, optimizer, scheduler or module."""
    if isinstance(one, random.Random):
        return "generator"
    if "numpy" in sys.modules:
        import numpy as np

        if isinstance(one, (np.random.Generator, np.random.RandomState)):
            return "" if one is np.random.mtrand._rand else "generator"
    if "torch" in sys.modules:
        import torch

        kinds = ((torch.Generator, "generator"), (torch.optim.Optimizer, "optimizer"), (torch.nn.Module, "module"))
        found = next((name for kind, name in kinds if isinstance(one, kind)), "")
        if found:
            return "" if one is torch.default_generator else found
    return "other" if callable(getattr(one, "state_dict", None)) and hasattr(one, "load_state_dict") else ""


def _contents(kind: str, thing: Any) -> frozenset[str]:
    """Digests of all that makes the thing what it is now."""
    if kind == "generator":
        return frozenset({_generator(thing)})
    if kind == "other":
        return frozenset({_digest(sorted(map(repr, thing.state_dict().items())))})
    held = Content()
    whole = thing.state_dict()
    tensors = _leaves("", whole["state"] if kind == "optimizer" else whole, held)
    return frozenset(_digest(one) for _, one in tensors if _is_tensor(one) and one.numel() > 1)


def _generator(thing: Any) -> str:
    if isinstance(thing, random.Random):
        return _digest(list(thing.getstate()[1]))
    if hasattr(thing, "bit_generator"):
        inner = thing.bit_generator.state["state"]
        return _digest(inner["state"] if "state" in inner else next(iter(inner.values())).tolist())
    return _digest(thing.get_state()[1].tolist() if hasattr(thing, "randn") else thing.get_state())


def _reached(epochs: Any, module: ModuleType) -> Iterator[tuple[str, Any]]:
    """(name, object) of what can be reached, each once, with the name of the variable that leads to it."""
    frame = epochs.gi_frame if isinstance(epochs, GeneratorType) else None
    inner = frame.f_locals.get("made", epochs) if frame else epochs  # of `Loop.steps`: what the user's function made
    own = [(name, one) for name, one in vars(module).items() if not name.startswith("__")]
    queue = deque([("", inner), *own])
    known = {id(sys.modules), id(queue)}
    while queue and len(known) < MOST:
        name, one = queue.popleft()
        if isinstance(one, ATOMS) or id(one) in known:
            continue
        known.add(id(one))
        yield name, one
        if not _is_tensor(one):
            queue += _parts(name, one)


def _parts(name: str, one: Any) -> list[tuple[str, Any]]:
    if isinstance(one, GeneratorType):
        return [*(one.gi_frame.f_locals.items() if one.gi_frame else ()), (name, one.gi_yieldfrom)]
    if isinstance(one, FunctionType):
        cells = zip(one.__code__.co_freevars, one.__closure__ or (), strict=True)
        return [(variable, value) for variable, cell in cells for value in gc.get_referents(cell)]
    if isinstance(one, dict):
        return [(f"{name}[{key!r}]", value) for key, value in one.items()]
    if isinstance(one, (list, tuple, set, frozenset)):
        return [(f"{name}[{at}]", value) for at, value in enumerate(one) if not isinstance(value, ATOMS)][:1000]
    if hasattr(one, "__dict__"):
        return [(f"{name}.{key}", value) for key, value in vars(one).items()]
    return [(name, value) for value in gc.get_referents(one) if gc.is_tracked(value)]


def _leaves(path: str, state: Any, found: Content) -> Iterator[tuple[str, Any]]:
    """(path, value) of a tree of dicts, lists and tuples; a long row of numbers is one leaf. Collects keys of dicts."""
    if isinstance(state, Mapping):
        found.keys.add(frozenset(state))
        for key, one in state.items():
            yield from _leaves(f"{path}[{key!r}]", one, found)
    elif isinstance(state, (list, tuple)):
        if state and all(isinstance(one, (int, float)) for one in state):
            yield path, list(state)
            return
        for at, one in enumerate(state):
            yield from _leaves(f"{path}[{at}]", one, found)
    else:
        yield path, state


def _is_tensor(one: Any) -> bool:
    return "torch" in sys.modules and isinstance(one, sys.modules["torch"].Tensor)


def _is_floating(one: Any) -> bool:
    if _is_tensor(one):
        return bool(one.is_floating_point() or one.is_complex())
    return getattr(getattr(one, "dtype", None), "kind", "") in ("f", "c") and hasattr(one, "tobytes")


def _digest(one: Any) -> str:
    """Equal for equal values: of a tensor, its type, shape and bytes."""
    if _is_tensor(one):
        import torch

        plain = one.detach().cpu().contiguous().reshape(-1)
        raw = plain.view(torch.uint8).numpy().tobytes()
        said = f"{one.dtype} {tuple(one.shape)}".encode()
    elif hasattr(one, "tobytes") and hasattr(one, "dtype"):
        raw, said = one.tobytes(), f"{one.dtype} {one.shape}".encode()
    else:
        raw, said = repr(one).encode(), b""
    return hashlib.sha1(said + raw, usedforsecurity=False).hexdigest()
