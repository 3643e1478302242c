"""What each trial asks Ray for, checked against this machine before Ray starts."""

from __future__ import annotations

from dataclasses import dataclass

from tune_mnist.cluster import Cluster
from tune_mnist.devices import DEVICES, gpu_count, resolve
from tune_mnist.environment import cpu_count
from tune_mnist.errors import UserError, unknown
from tune_mnist.progress import plural

# Four trials on one GPU: the network fills a small part of any, and of its memory about 1 GB.
GPUS_A_TRIAL = 0.25


@dataclass(frozen=True)
class Resources:
    """What each trial asks Ray for, and on what device it trains."""

    cpus: int
    gpus: float
    device: str
    max_concurrent: int | None


def choose(device: str, cpus: int, gpus: float | None, max_concurrent: int | None, local: bool) -> Resources:
    """What each trial asks for. Raises UserError for what nobody, or (`local`) this machine, can give it."""
    if device not in DEVICES:
        raise unknown("device", device, DEVICES)
    for option, value in (("--cpus-per-trial", cpus), ("--max-concurrent", max_concurrent)):
        if value is not None and value < 1:
            raise UserError(f"{option} must be a whole number of at least 1, not {value}")
    if gpus is not None and not 0 <= gpus <= 1:
        raise UserError(f"--gpus-per-trial must be a number from 0 to 1 (a training runs on one GPU), not {gpus:g}")
    if local:
        _check_machine(cpus, gpus)
        device = resolve("cpu" if device == "auto" and gpus == 0 else device)
    elif device == "auto":
        device = "cuda" if gpus else "cpu"
    if device != "cuda" and gpus:
        raise UserError(f"--gpus-per-trial {gpus:g} does nothing with --device {device}; leave it out or choose cuda")
    if device == "cuda" and gpus == 0:
        raise UserError("--device cuda needs a share of a GPU; give --gpus-per-trial more than 0, or leave it out")
    share = GPUS_A_TRIAL if gpus is None else gpus
    return Resources(cpus, share if device == "cuda" else 0.0, device, max_concurrent)


def _check_machine(cpus: int, gpus: float | None) -> None:
    there = plural(cpu_count(), "CPU")
    if cpus > cpu_count():
        raise UserError(f"--cpus-per-trial {cpus} is more than this machine has ({there}); choose fewer")
    if gpus and not gpu_count():
        raise UserError(f"--gpus-per-trial {gpus:g}: this machine has no GPU that torch can use; leave it out")


def slots(resources: Resources, cluster: Cluster) -> int:
    """How many trials this machine runs side by side."""
    count = max(1, cluster.cpus // resources.cpus)
    if resources.gpus:
        count = min(count, max(1, int(cluster.gpus / resources.gpus)))
    return min(count, resources.max_concurrent or count)
