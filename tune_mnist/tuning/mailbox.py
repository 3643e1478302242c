"""The mailbox between trials and driver; `tuner` makes it an actor beside the driver."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

from tune_mnist.store.store import Store
from tune_mnist.tuning.workers import Worker

MOST = 8  # messages on their way at once: each has a checkpoint of up to 14 MB


class Mailbox:
    """Trials put messages in, the driver takes them out. It only reads the store."""

    def __init__(self, folder: str) -> None:
        self.store = Store(Path(folder))
        self.messages: asyncio.Queue[tuple[dict[str, Any], asyncio.Event]] = asyncio.Queue()
        self.taken: list[asyncio.Event] = []

    async def put(self, message: dict[str, Any]) -> None:
        """Returns when the driver has dealt with the message: an epoch is then in the store."""
        dealt_with = asyncio.Event()
        await self.messages.put((message, dealt_with))
        await dealt_with.wait()

    async def take(self, wait: float) -> list[dict[str, Any]]:
        """Up to MOST messages, waiting up to `wait` seconds for the first. Asking says that the last are stored."""
        for dealt_with in self.taken:
            dealt_with.set()
        found = []
        if wait and self.messages.empty():
            with suppress(asyncio.TimeoutError):
                found.append(await asyncio.wait_for(self.messages.get(), wait))
        while not self.messages.empty() and len(found) < MOST:
            found.append(self.messages.get_nowait())
        self.taken = [dealt_with for _, dealt_with in found]
        return [message for message, _ in found]

    async def load(self, key: str) -> tuple[int, bytes] | None:
        """The epoch and the checkpoint that the run can go on from."""
        return self.store.load_checkpoint(key)

    def worker(self) -> Worker:
        """The process that it lives in."""
        return Worker.this()
