"""The devices that training may run on, and the conditions that a command's trainings share.

torch is imported only where it must be asked: a command that trains nothing is quicker by the two seconds it takes.
"""

from __future__ import annotations

import ctypes
import platform
from importlib.metadata import version
from pathlib import Path

from tune_mnist.errors import UserError, unknown
from tune_mnist.mnist.config import Conditions
from tune_mnist.mnist.datasets import Dataset

# A stored epoch answers for a new one only under the same version. Raise it whenever a change in training.py, model.py
# or the digits of datasets.py makes any number differ in any bit or adds one;
# a test holds it against the code's fingerprint.
TRAINING_VERSION = 2
PRECISIONS = ("fp32", "bf16")
BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # /proc/cpuinfo's names; the last is Arm's
DEVICES = ("auto", "cpu", "cuda", "mps")
DRIVERS = ("libcuda.so.1", "libamdhip64.so", "nvcuda.dll")  # without one of these torch has no "cuda"
INSTRUCTIONS = ("amx_tile", "avx512_bf16", "avx512f", "avx2")  # the widest of them decides which kernels run


def gpu_count() -> int:
    """The CUDA devices that torch sees."""
    if not any(_loads(driver) for driver in DRIVERS):
        return 0
    import torch

    return torch.cuda.device_count()


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def resolve(asked: str) -> str:
    """The device for what was asked: auto takes CUDA where it is, else the CPU. Raises UserError if it is not there."""
    if asked == "auto":
        return "cuda" if gpu_count() else "cpu"
    if asked == "cuda" and not gpu_count():
        raise UserError("--device cuda: torch finds no CUDA device here; choose cpu, or auto")
    if asked == "mps" and not _has_mps():
        raise UserError("--device mps: torch finds no Metal device here; choose cpu, or auto")
    return asked


def _has_mps() -> bool:
    import torch

    return torch.backends.mps.is_available()


def check_precision(precision: str, device: str, local: bool) -> None:
    """Raise UserError for a precision that is unknown, or that this machine's CPU could only imitate."""
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    if precision == "bf16" and device == "cpu" and local and not BF16_FLAGS & cpu_flags():
        raise UserError(
            "--precision bf16: this CPU has no bf16 instructions and would be many times slower; choose fp32"
        )


def conditions(dataset: Dataset, device: str, threads: int, precision: str) -> Conditions:
    """What is held around a command's trainings on this machine, for the key of each."""
    return Conditions(
        dataset=dataset.name,
        data_checksum=dataset.checksum,
        device=device_kind(device),
        threads=threads,
        precision=precision,
        torch_version=version("torch"),
        training_version=TRAINING_VERSION,
    )


def device_kind(device: str) -> str:
    """What a device is to the last bit of a sum: kernels differ by maker, by instruction set, and by GPU."""
    if device == "cuda" and gpu_count():  # else it is on the cluster, and not seen from here
        import torch

        return f"cuda {torch.cuda.get_device_name(0)}"
    return " ".join(["cpu", platform.machine(), *_cpu_traits()]) if device == "cpu" else device


def _cpu_traits() -> list[str]:
    """The maker and the widest vector instructions, where Linux tells them."""
    widest = next((name for name in INSTRUCTIONS if name in cpu_flags()), "")
    return [trait for trait in (_cpu_facts().get("vendor_id", ""), widest) if trait]


def cpu_flags() -> set[str]:
    """The CPU's features in Linux's words; none where Linux does not tell them."""
    facts = _cpu_facts()
    return set(facts.get("flags", facts.get("Features", "")).split())


def _cpu_facts() -> dict[str, str]:
    """What Linux says of the first CPU; nothing elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
