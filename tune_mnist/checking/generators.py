"""The global generators of random numbers, and the clock: read, set and replaced, to find out what a loop depends on.

seed({"random": 1, "numpy": 1, "torch": 1}); before = states(); ...; restore(before)
"""

from __future__ import annotations

import datetime
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

NAMES = ("random", "numpy", "torch")
WORDS = {
    "random": "Python's global generator (random)",
    "numpy": "NumPy's global generator (numpy.random)",
    "torch": "torch's global generator",
}
SEEDED_BY = {
    "random": "random.seed(config.seed)",
    "numpy": "numpy.random.seed(config.seed)",
    "torch": "torch.manual_seed(config.seed)",
}
SAVED_BY = {
    "random": "add random.getstate() to the state, and random.setstate(…) where it is loaded",
    "numpy": "draw from numpy.random.default_rng(config.seed), and add its bit_generator.state",
    "torch": "add torch.get_rng_state() to the state, and torch.set_rng_state(…) where it is loaded",
}


def states() -> dict[str, Any]:
    """The state of each global generator whose library is loaded; equal states compare equal, and can be pickled."""
    found: dict[str, Any] = {"random": random.getstate()}
    if "numpy" in sys.modules:
        import numpy as np

        whole: Any = np.random.get_state(legacy=True)
        found["numpy"] = (whole[0], whole[1].tolist(), *whole[2:])
    if "torch" in sys.modules:
        import torch

        used: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        cuda = torch.cuda.get_rng_state_all() if used else []
        found["torch"] = [one.numpy().tobytes() for one in (torch.get_rng_state(), *cuda)]
    return found


def restore(kept: Mapping[str, Any]) -> None:
    """Set the global generators to what `states` gave; those that are not in `kept` stay."""
    if "random" in kept:
        random.setstate(kept["random"])
    if "numpy" in kept:
        import numpy as np

        np.random.set_state(kept["numpy"])
    if "torch" in kept:
        import torch

        first, *cuda = [torch.frombuffer(bytearray(one), dtype=torch.uint8) for one in kept["torch"]]
        torch.set_rng_state(first)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)


def seed(seeds: Mapping[str, int]) -> None:
    """Seed the global generators whose libraries are loaded."""
    random.seed(seeds["random"])
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed(seeds["numpy"])
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(seeds["torch"])


def moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """The generators that were drawn from, or seeded, between the two `states`."""
    return tuple(name for name in NAMES if name in after and before.get(name) != after[name])


@contextmanager
def replaced(changes: Iterable[tuple[Any, str, Any]]) -> Iterator[None]:
    """Set attributes (owner, name, value) for the length of the `with` block."""
    with ExitStack() as stack:
        for owner, name, value in changes:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield


@contextmanager
def clock() -> Iterator[list[str]]:
    """Time goes on by a millisecond with each look at a clock, from the same instant: equal looks, equal times.

    Not frozen: a loop that waits for a time would wait for ever.
    """
    now = [1_700_000_000.0]

    def tick() -> float:
        now[0] += 0.001
        return now[0]

    def tick_ns() -> int:
        return round(tick() * 1e9)

    class Datetime(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Datetime:
            return cls.fromtimestamp(tick(), tz)

        @classmethod
        def utcnow(cls) -> Datetime:
            return cls.fromtimestamp(tick(), datetime.timezone.utc).replace(tzinfo=None)

    plain = ("time", "perf_counter", "monotonic", "process_time", "thread_time")
    clocks = [(time, name, tick) for name in plain] + [(time, f"{name}_ns", tick_ns) for name in plain]
    with replaced([*clocks, (datetime, "datetime", Datetime)]):
        yield []


@contextmanager
def entropy() -> Iterator[list[str]]:
    """What would be seeded by the operating system is seeded by 0; it yields the names of what was asked for so."""
    asked: list[str] = []

    def fixed(name: str, make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*given: Any, **named: Any) -> Any:
            if any(one is not None for one in (*given, *named.values())):
                return make(*given, **named)
            asked.append(f"{name}()")
            return make(0)

        return made

    class Random(random.Random):
        def seed(self, a: Any = None, version: int = 2) -> None:
            if a is None:
                asked.append("random.Random()")
            super().seed(0 if a is None else a, version)

    changes: list[tuple[Any, str, Any]] = [(random, "seed", fixed("random.seed", random.seed))]
    changes.append((random, "Random", Random))
    if "numpy" in sys.modules:
        import numpy as np

        for name in ("default_rng", "seed"):
            changes.append((np.random, name, fixed(f"numpy.random.{name}", getattr(np.random, name))))
    if "torch" in sys.modules:
        import torch

        changes.append((torch, "seed", fixed("torch.seed", torch.manual_seed)))
    with replaced(changes):
        yield asked


@contextmanager
def cudnn() -> Iterator[list[str]]:
    """cuDNN's deterministic kernels, chosen without a race of several; nothing where torch is not loaded."""
    if "torch" not in sys.modules:
        yield []
        return
    import torch

    was = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        yield []
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = was
