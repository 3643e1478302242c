"""The processes that trials run in: which they are, how they are ended, and what it means that memory ran out."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


@dataclass(frozen=True)
class Worker:
    """A process on a node of Ray's."""

    node: str
    pid: int

    @classmethod
    def this(cls) -> Worker:
        """The process that asks."""
        return cls(ray.get_runtime_context().get_node_id(), os.getpid())

    def end(self) -> None:
        """Kill it. Ray's own way waits for its answer, and a stopped process gives none."""
        if self.node == ray.get_runtime_context().get_node_id():
            _kill(self.pid)
            return
        there = NodeAffinitySchedulingStrategy(self.node, soft=False)
        ray.remote(_kill).options(num_cpus=0, max_retries=0, scheduling_strategy=there).remote(self.pid)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@dataclass
class OutOfMemory(Exception):
    """A node's memory ran out, and workers were killed: `held` has what each held, in GB, by its number.

    Numbers are the node's own: in containers, processes of two nodes may have the same.
    """

    node: str
    held: dict[int, float | None]
    facts: list[str]

    @classmethod
    def told(cls, said: str) -> OutOfMemory:
        """As Ray tells it, in more than twenty lines: who was killed, who held most, how full the node was."""
        held: dict[int, float | None] = {
            int(pid): float(gb) for pid, gb in re.findall(r"pid=(\d+),(?: actual)? memory used=([\d.]+)GB", said)
        }
        node = re.search(r"\(IP: \S+, ID: (\w+)\)", said)
        full = re.search(r"was ([\d.]+)GB(?: used)? / ([\d.]+)GB", said)
        most = re.search(r"PID\s+MEM\(GB\)\s+COMMAND\n(\d+)\s+([\d.]+)\s+(\S+)", said)
        facts = []
        if most and int(most[1]) not in held:
            facts.append(f"process {PurePath(most[3]).name} held {float(most[2]):.1f} GB")
        if full:
            facts.append(f"{float(full[1]):.1f} of the machine's {float(full[2]):.1f} GB were used")
        return cls(node[1] if node else "", held, facts)

    def cause(self, pid: int | None = None) -> str:
        """Why this worker is gone, as one line."""
        held = None if pid is None else self.held.get(pid)
        known = [*([] if held is None else [f"it held {held:.1f} GB"]), *self.facts]
        return "its worker ran out of memory" + (f" ({'; '.join(known)})" if known else "")

    @classmethod
    def among(cls, error: BaseException) -> OutOfMemory | None:
        """The one that this error comes of, if it does: Tune takes it for unexpected, and wraps it."""
        for one in causes(error):
            if isinstance(one, cls):
                return one
            if isinstance(one, ray.exceptions.OutOfMemoryError):
                return cls.told(str(one))
        return None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it comes of, and so on down to the first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
