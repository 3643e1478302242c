"""What each trial asks Ray for, checked against this machine before Ray starts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tune_mnist.errors import UserError
from tune_mnist.machine.cpu import cpu_count
from tune_mnist.machine.devices import gpu_count, named, resolve
from tune_mnist.tuning.cluster import Cluster
from tune_mnist.words import plural

# Four trials on one GPU: the network fills a small part of any, and of its memory about 1 GB.
GPUS_A_TRIAL = 0.25
# Measured with the standard sweeps, rounded up: Ray and the driver; a trial's worker, while it evaluates.
RAY_BYTES = TRIAL_BYTES = 1 << 30


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
    """What each trial asks Ray for, on what device it trains, and after how many seconds without an epoch it hangs."""

    cpus: int
    gpus: float
    device: str
    max_concurrent: int | None
    epoch_timeout: float | None = None

    @property
    def asked(self) -> dict[str, float]:
        """In Ray's words."""
        return {"cpu": self.cpus, "gpu": self.gpus}


def choose(asked: Asked, local: bool) -> Resources:
    """What each trial asks for. Raises UserError for what nobody, or (`local`) this machine, can give it."""
    if asked.exclusive:
        asked = replace(asked, exclusive=False, cpus=cpu_count(), max_concurrent=1)
    cpus = 1 if asked.cpus is None else asked.cpus
    device = _device(asked, cpus, local)
    share = GPUS_A_TRIAL if asked.gpus is None else asked.gpus
    return Resources(cpus, share if device == "cuda" else 0.0, device, asked.max_concurrent, asked.epoch_timeout)


def fit(resources: Resources, cpus: int, memory: int) -> tuple[Resources, str | None]:
    """As many trials side by side as `memory` (bytes) is enough for; and a line where that is fewer than CPUs allow."""
    wanted = min(max(1, cpus // resources.cpus), resources.max_concurrent or cpus)
    room = max(1, (memory - RAY_BYTES) // TRIAL_BYTES)
    if room >= wanted:
        return resources, None
    there = f"{memory / (1 << 30):.1f} GB of memory"
    return replace(resources, max_concurrent=room), f"{there}: {plural(room, 'trial')} side by side, not {wanted}"


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
    count = max(1, cluster.cpus // resources.cpus)
    if resources.gpus:
        count = min(count, max(1, int(cluster.gpus / resources.gpus)))
    return min(nodes * count, resources.max_concurrent or nodes * count)
