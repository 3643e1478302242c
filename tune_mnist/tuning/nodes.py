"""Is there room on a cluster for a trial, and for all that a plan needs? Ray is connected when these are asked."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping

from tune_mnist.errors import UserError

NODES_S = 60.0  # for the first worker to join a cluster that has none yet
NODES_S_NAME = "TUNE_MNIST_NODES_S"  # for a node of an autoscaler, which starts machines; `launch` sets it


def check_room(asked: Mapping[str, float], say: Callable[[str], None]) -> None:
    """Raise UserError if no node could ever run one trial: Tune would wait for it without an end.

    A cluster without any CPU is one whose workers are still on their way, and one that was launched from a file brings
    them when they are asked for: `say` hears that they are waited for.
    """
    patience = float(os.environ.get(NODES_S_NAME, "0"))
    nodes, begin = _nodes(), time.monotonic()
    if not _fits(asked, nodes) and (patience or not _has_cpus(nodes)):
        say(f"waiting up to {patience or NODES_S:g} s for a node with {_wanted(asked)} to join the cluster")
    while not _fits(asked, nodes):
        limit = patience or (0 if _has_cpus(nodes) else NODES_S)
        if time.monotonic() - begin >= limit:
            there = "; ".join(f"{node.get('CPU', 0):g} CPU, {node.get('GPU', 0):g} GPU" for node in nodes)
            raise UserError(f"no node has the {_wanted(asked)} that a trial asks for; the nodes have: {there}")
        time.sleep(0.5)
        nodes = _nodes()


def _fits(asked: Mapping[str, float], nodes: list[dict[str, float]]) -> bool:
    return any(all(node.get(name.upper(), 0) >= amount for name, amount in asked.items()) for node in nodes)


def _wanted(asked: Mapping[str, float]) -> str:
    return ", ".join(f"{amount:g} {name.upper()}" for name, amount in asked.items() if amount)


class Room:
    """Asks the cluster's autoscaler, if it has one, for the room of all trials that are left, within the `with` block.

    Left to itself it would see only the few trials that Tune keeps pending, and start one machine after another. `left`
    and `at_once` count trials; `asked` is what each asks for; of a cluster whose head `is_lost` nothing is asked.
    """

    def __init__(self, left: int, at_once: int, asked: Mapping[str, float], is_lost: Callable[[], bool]) -> None:
        self.left, self.at_once, self.is_lost = left, at_once, is_lost
        self._bundle = {name.upper(): amount for name, amount in asked.items() if amount}
        self._lock = threading.Lock()  # trials end in one thread, and are given up in another

    def __enter__(self) -> Room:
        self._ask(min(self.left, self.at_once))
        return self

    def __exit__(self, *_: object) -> None:
        if not self.is_lost():
            self._ask(0)

    def one_less(self) -> None:
        """A trial has ended: a machine that no trial is left for may go."""
        with self._lock:
            self.left -= 1
            if self.left < self.at_once:
                self._ask(self.left)

    def _ask(self, trials: int) -> None:
        from ray.autoscaler.sdk import request_resources

        request_resources(bundles=[self._bundle] * trials)


def _nodes() -> list[dict[str, float]]:
    """What each living node has."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _has_cpus(nodes: list[dict[str, float]]) -> bool:
    return any(node.get("CPU", 0) for node in nodes)
