"""What each trial asks Ray for, checked against this machine before Ray starts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tune_mnist.display.progress import plural
from tune_mnist.errors import UserError, unknown
from tune_mnist.machine.devices import DEVICES, check_precision, gpu_count, resolve
from tune_mnist.machine.environment import cpu_count
from tune_mnist.tuning.cluster import Cluster

# Four trials on one GPU: the network fills a small part of any, and of its memory about 1 GB.
GPUS_A_TRIAL = 0.25
# Measured with MNIST and the CNN, rounded up: Ray and the driver; a trial's worker, while it evaluates.
RAY_BYTES = TRIAL_BYTES = 1 << 30


@dataclass(frozen=True)
class Resources:
    """What each trial asks Ray for, on what device it trains, and in what precision."""

    cpus: int
    gpus: float
    device: str
    max_concurrent: int | None
    precision: str

    @property
    def asked(self) -> dict[str, float]:
        """In Ray's words."""
        return {"cpu": self.cpus, "gpu": self.gpus}


def choose(
    device: str,
    cpus: int | None,
    gpus: float | None,
    max_concurrent: int | None,
    exclusive: bool,
    precision: str,
    local: bool,
) -> Resources:
    """What each trial asks for. Raises UserError for what nobody, or (`local`) this machine, can give it."""
    _check_numbers(cpus, gpus, max_concurrent)
    if exclusive:
        if cpus is not None or max_concurrent is not None:
            raise UserError(
                "--exclusive is one trial at a time on every CPU; leave out --cpus-per-trial and --max-concurrent"
            )
        cpus, max_concurrent = cpu_count(), 1
    cpus = 1 if cpus is None else cpus
    device = _device(device, cpus, gpus, local)
    check_precision(precision, device, local)
    share = GPUS_A_TRIAL if gpus is None else gpus
    return Resources(cpus, share if device == "cuda" else 0.0, device, max_concurrent, precision)


def fit(resources: Resources, cpus: int, memory: int) -> tuple[Resources, str | None]:
    """As many trials side by side as `memory` (bytes) is enough for; and a line where that is fewer than CPUs allow."""
    wanted = min(max(1, cpus // resources.cpus), resources.max_concurrent or cpus)
    room = max(1, (memory - RAY_BYTES) // TRIAL_BYTES)
    if room >= wanted:
        return resources, None
    there = f"{memory / (1 << 30):.1f} GB of memory"
    return replace(resources, max_concurrent=room), f"{there}: {plural(room, 'trial')} side by side, not {wanted}"


def _check_numbers(cpus: int | None, gpus: float | None, max_concurrent: int | None) -> None:
    for option, value in (("--cpus-per-trial", cpus), ("--max-concurrent", max_concurrent)):
        if value is not None and value < 1:
            raise UserError(f"{option} must be a whole number of at least 1, not {value}")
    if gpus is not None and not 0 <= gpus <= 1:
        raise UserError(f"--gpus-per-trial must be a number from 0 to 1 (a training runs on one GPU), not {gpus:g}")


def _device(asked: str, cpus: int, gpus: float | None, local: bool) -> str:
    if asked not in DEVICES:
        raise unknown("device", asked, DEVICES)
    if local:
        _check_machine(cpus, gpus)
        device = resolve("cpu" if asked == "auto" and gpus == 0 else asked)
    else:
        device = ("cuda" if gpus else "cpu") if asked == "auto" else asked
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
