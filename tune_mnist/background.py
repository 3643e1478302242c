"""What is done in a thread of its own: an action again and again, for the length of a `with` block; an import ahead."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class Background:
    """Calls `action` after each `every` seconds, until it returns True or the `with` block ends.

    At the block's end `ending` is set and the thread is waited for, at most `patience` seconds if that is given.
    """

    def __init__(
        self, name: str, action: Callable[[], bool | None], every: float = 0.0, patience: float | None = None
    ) -> None:
        self.action, self.every, self.patience = action, every, patience
        self.ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        self._thread.join(self.patience)

    def _work(self) -> None:
        while not self.ending.wait(self.every):
            if self.action():
                return


class Ahead:
    """Imports a module as soon as fewer trials are left than run side by side: then a CPU is free, and what is needed
    after the last one is loaded beside it.

    At the `with` block's end the import is waited for. Whatever thread allocates may collect what is left of Ray's
    objects, and while Ray is shut down that ends the process.
    """

    def __init__(self, module: str, left: int, slots: int) -> None:
        self.left, self.slots = left, slots
        self._lock = threading.Lock()  # trials end in one thread, and are given up in another
        self._thread = threading.Thread(target=importlib.import_module, args=[module], daemon=True)

    def __enter__(self) -> Self:
        self._look()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.ident:
            self._thread.join()

    def one_less(self) -> None:
        """A trial has ended."""
        with self._lock:
            self.left -= 1
            self._look()

    def _look(self) -> None:
        if self.left < self.slots and not self._thread.ident:
            self._thread.start()
