"""How many trials may run side by side on a node whose memory ran out: the rest of its CPUs is held."""

from __future__ import annotations

from typing import Any

import ray
from ray.util.placement_group import placement_group, remove_placement_group

NODE_LABEL = "ray.io/node-id"  # every node has it
HELD_S = 10  # for the CPUs of trials that were just ended; where somebody else has them, they are held once free


class Limits:
    """At most so many trials on a node, each with `cpus` CPUs. What is held is a placement group: it has no process."""

    def __init__(self, cpus: int) -> None:
        self.cpus = cpus
        self._most: dict[str, int] = {}
        self._held: dict[str, Any] = {}

    def most(self, node: str) -> int | None:
        """How many trials may run side by side on the node; None where nothing limits them."""
        return self._most.get(node)

    def set(self, node: str, trials: int) -> None:
        """From now on no more trials than these run side by side on the node. Call it while none runs."""
        self._let_go(node)
        self._most[node] = trials
        if (spare := _cpus(node) - trials * self.cpus) > 0:
            self._held[node] = placement_group([{"CPU": spare}], bundle_label_selector=[{NODE_LABEL: node}])
            self._held[node].wait(HELD_S)

    def lift(self) -> None:
        """No limits any more."""
        for node in list(self._most):
            self._let_go(node)

    def _let_go(self, node: str) -> None:
        self._most.pop(node, None)
        if held := self._held.pop(node, None):
            remove_placement_group(held)


def place(node: str) -> str | None:
    """The node's hostname; None where it is the only one that trains."""
    training = [one for one in _living() if one["Resources"].get("CPU")]
    return next((one["NodeManagerHostname"] for one in training if one["NodeID"] == node and len(training) > 1), None)


def _cpus(node: str) -> float:
    """What it has; 0 where it is gone."""
    return float(sum(one["Resources"].get("CPU", 0) for one in _living() if one["NodeID"] == node))


def _living() -> list[dict[str, Any]]:
    return [one for one in ray.nodes() if one["Alive"]]  # type: ignore[no-untyped-call]
