"""What each trial asks Ray for: checked against this machine before Ray starts, and against those of a cluster."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from tune_mnist.errors import UserError
from tune_mnist.machine.cpu import cpu_count, memory
from tune_mnist.machine.devices import gpu_count, named, resolve
from tune_mnist.tuning.cluster import Cluster
from tune_mnist.words import plural

# Four trials on one GPU: the network fills a small part of any, and of its memory about 1 GB.
GPUS_A_TRIAL = 0.25
# Measured with the standard sweeps, rounded up: Ray and the driver; a trial's worker, while it evaluates.
RAY_BYTES = TRIAL_BYTES = 1 << 30
RAYS = {"cpu": "CPU", "gpu": "GPU", "memory": "memory"}  # Tune's word -> Ray's
NODES_S = 60.0  # for the first worker to join a cluster that has none yet
NODES_S_NAME = "TUNE_MNIST_NODES_S"  # for a node of an autoscaler, which starts machines; `launch` sets it


@dataclass(frozen=True)
class Asked:
    """What a person asks for each trial; None is left to the program. Raises UserError for what contradicts itself."""

    device: str = "auto"
    cpus: int | None = None
    gpus: float | None = None
    max_concurrent: int | None = None
    exclusive: bool = False
    epoch_timeout: float | None = None

    def __post_init__(self) -> None:
        for option, value in (("--cpus-per-trial", self.cpus), ("--max-concurrent", self.max_concurrent)):
            if value is not None and value < 1:
                raise UserError(f"{option} must be a whole number of at least 1, not {value}")
        if self.epoch_timeout is not None and not self.epoch_timeout > 0:
            raise UserError(f"--epoch-timeout must be more than 0 seconds, not {self.epoch_timeout:g}")
        if self.gpus is not None and not 0 <= self.gpus <= 1:
            rule = "a number from 0 to 1 (a training runs on one GPU)"
            raise UserError(f"--gpus-per-trial must be {rule}, not {self.gpus:g}")
        if self.exclusive and (self.cpus is not None or self.max_concurrent is not None):
            raise UserError(
                "--exclusive is one trial at a time on every CPU; leave out --cpus-per-trial and --max-concurrent"
            )
        object.__setattr__(self, "device", named(self.device))


@dataclass(frozen=True)
class Resources:
    """What each trial asks Ray for, on what device it trains, and after how many seconds without an epoch it hangs.

    `memory` is in bytes, on a cluster, where each node has its own: Ray's `memory` of a node is what Ray itself and the
    objects leave. On this machine `fit` says how many trials it is enough for.
    """

    cpus: int
    gpus: float
    device: str
    max_concurrent: int | None
    epoch_timeout: float | None = None
    memory: int = 0

    @property
    def asked(self) -> dict[str, float]:
        """In Tune's words."""
        return {"cpu": self.cpus, "gpu": self.gpus, "memory": self.memory}


def choose(asked: Asked, local: bool) -> Resources:
    """What each trial asks for. Raises UserError for what nobody, or (`local`) this machine, can give it."""
    if asked.exclusive:
        asked = replace(asked, exclusive=False, cpus=cpu_count(), max_concurrent=1)
    cpus = 1 if asked.cpus is None else asked.cpus
    device = _device(asked, cpus, local)
    share = GPUS_A_TRIAL if asked.gpus is None else asked.gpus
    gpus = share if device == "cuda" else 0.0
    at_once, timeout, needed = asked.max_concurrent, asked.epoch_timeout, 0 if local else TRIAL_BYTES
    return Resources(cpus, gpus, device, at_once, timeout, needed)


def fit(resources: Resources, cpus: int, there: int) -> tuple[Resources, str | None]:
    """As many trials side by side as memory is enough for, of which `there` are so many bytes; and a line where that is
    fewer than CPUs allow.
    """
    wanted = min(max(1, cpus // resources.cpus), resources.max_concurrent or cpus)
    if (room := _room(there)) >= wanted:
        return resources, None
    said = f"{there / (1 << 30):.1f} GB of memory: {plural(room, 'trial')} side by side, not {wanted}"
    return replace(resources, max_concurrent=room), said


def _room(there: int) -> int:
    """How many trials so many bytes of memory are enough for: 2 GB for the first, 1 GB for each other."""
    return max(1, (there - RAY_BYTES) // TRIAL_BYTES)


def _device(asked: Asked, cpus: int, local: bool) -> str:
    gpus = asked.gpus
    if local:
        _check_machine(cpus, gpus)
        device = resolve("cpu" if asked.device == "auto" and gpus == 0 else asked.device)
    else:
        device = ("cuda" if gpus else "cpu") if asked.device == "auto" else asked.device
    if device != "cuda" and gpus:
        raise UserError(f"--gpus-per-trial {gpus:g} does nothing with --device {device}; leave it out or choose cuda")
    if device == "cuda" and gpus == 0:
        raise UserError("--device cuda needs a share of a GPU; give --gpus-per-trial more than 0, or leave it out")
    return device


def _check_machine(cpus: int, gpus: float | None) -> None:
    there = plural(cpu_count(), "CPU")
    if cpus > cpu_count():
        raise UserError(f"--cpus-per-trial {cpus} is more than this machine has ({there}); choose fewer")
    if gpus and not gpu_count():
        raise UserError(f"--gpus-per-trial {gpus:g}: this machine has no GPU that torch can use; leave it out")


def slots(resources: Resources, cluster: Cluster, nodes: int = 1) -> int:
    """How many trials this machine, or so many like it, run side by side."""
    count = min(max(1, cluster.cpus // resources.cpus), _room(memory()))
    if resources.gpus:
        count = min(count, max(1, int(cluster.gpus / resources.gpus)))
    return min(nodes * count, resources.max_concurrent or nodes * count)


def check_room(asked: Mapping[str, float], say: Callable[[str], None]) -> None:
    """Raise UserError if no node could ever run one trial: Tune would wait for it without an end.

    A cluster without any CPU is one whose workers are still on their way, and one that was launched from a file brings
    them when they are asked for: `say` hears that they are waited for.
    """
    patience = float(os.environ.get(NODES_S_NAME, "0"))
    nodes, begin = _nodes(), time.monotonic()
    if not _fits(asked, nodes) and (patience or not _has_cpus(nodes)):
        say(f"waiting up to {patience or NODES_S:g} s for a node with {_amounts(asked)} to join the cluster")
    while not _fits(asked, nodes):
        limit = patience or (0 if _has_cpus(nodes) else NODES_S)
        if time.monotonic() - begin >= limit:
            raise UserError(_too_small(asked, nodes))
        time.sleep(0.5)
        nodes = _nodes()


def _fits(asked: Mapping[str, float], nodes: list[dict[str, float]]) -> bool:
    return any(all(node.get(RAYS[name], 0) >= amount for name, amount in asked.items()) for node in nodes)


def _too_small(asked: Mapping[str, float], nodes: list[dict[str, float]]) -> str:
    there = "; ".join(_amounts({name: node.get(rays, 0) for name, rays in RAYS.items()}) for node in nodes)
    said = f"no node has the {_amounts(asked)} that a trial asks for; the nodes have: {there}"
    if _fits({**asked, "memory": 0}, nodes):
        said += "; take nodes with more memory, or tell Ray that they have it: ray start --memory=BYTES"
    return said


def _amounts(of: Mapping[str, float]) -> str:
    """As people write them: 1 CPU, 0.25 GPU, 1 GB of memory."""
    units = {"cpu": (1, "CPU"), "gpu": (1, "GPU"), "memory": (1 << 30, "GB of memory")}
    return ", ".join(f"{round(of[name] / size, 2):g} {unit}" for name, (size, unit) in units.items() if of[name])


class Room:
    """Asks the cluster's autoscaler, if it has one, for the room of all trials that are left, within the `with` block.

    Left to itself it would see only the few trials that Tune keeps pending, and start one machine after another. `left`
    and `at_once` count trials; `asked` is what each asks for; of a cluster whose head `is_lost` nothing is asked.
    Memory is left out: few clusters' files say how much of it a machine has that is still to be started.
    """

    def __init__(self, left: int, at_once: int, asked: Mapping[str, float], is_lost: Callable[[], bool]) -> None:
        self.left, self.at_once, self.is_lost = left, at_once, is_lost
        self._bundle = {RAYS[name]: amount for name, amount in asked.items() if amount and name != "memory"}
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
