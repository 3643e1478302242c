"""An action that is done again and again in a thread of its own, for the length of a `with` block."""

from __future__ import annotations

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
