"""Trials from which no epoch comes: a deadlock in a loop, a stopped process. A slow machine is not taken for one."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from tune_mnist.words import duration

TIMES, LEAST_S = 10.0, 120.0  # of its own longest epoch, and never less, before a trial is taken for hung
LONGEST_LOOK_S = 5.0  # that one look may count: while the driver itself stands still (Ctrl-Z), nobody is overdue


class Overdue:
    """How long each trial has been silent. `limit`: seconds for any epoch, the first too; None: as its own epochs say.

    `longest`: run key -> the seconds of its longest epoch so far. Without one there is no limit: a first epoch may take
    an hour.
    """

    def __init__(self, limit: float | None, longest: Mapping[str, float]) -> None:
        self.limit, self.longest = limit, dict(longest)
        self._silent: dict[str, float] = {}
        self._lock = threading.Lock()  # epochs come in one thread, and are missed in another
        self._looked = time.monotonic()

    def started(self, key: str) -> None:
        with self._lock:
            self._silent[key] = 0.0

    def epoch(self, key: str) -> None:
        with self._lock:
            if key in self._silent:
                self.longest[key] = max(self.longest.get(key, 0.0), self._silent[key])
                self._silent[key] = 0.0

    def ended(self, key: str) -> None:
        with self._lock:
            self._silent.pop(key, None)

    def look(self) -> dict[str, str]:
        """Those that are overdue by now, each said once, and why."""
        now = time.monotonic()
        passed, self._looked = min(now - self._looked, LONGEST_LOOK_S), now
        with self._lock:
            for key in self._silent:
                self._silent[key] += passed
            found = {key: why for key in self._silent if (why := self._why(key))}
            for key in found:
                del self._silent[key]
        return found

    def _why(self, key: str) -> str | None:
        silent, longest = self._silent[key], self.longest.get(key)
        if self.limit is not None:
            return f"no epoch came for {duration(silent)} (--epoch-timeout)" if silent > self.limit else None
        if longest is None or silent <= max(LEAST_S, TIMES * longest):
            return None
        return f"no epoch came for {duration(silent)}, and its longest took {duration(longest)}"
