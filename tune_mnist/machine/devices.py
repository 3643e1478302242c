"""The devices that training may run on.

torch is imported only where it must be asked: a command that trains nothing is quicker by the two seconds it takes.
"""

from __future__ import annotations

import ctypes

from tune_mnist.errors import UserError, unknown
from tune_mnist.machine.cpu import cpu_kind

DEVICES = ("auto", "cpu", "cuda", "mps")
DRIVERS = ("libcuda.so.1", "libamdhip64.so", "nvcuda.dll")  # without one of these torch has no "cuda"


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


def named(asked: str) -> str:
    """The one of DEVICES that is called so, in small letters or large. Raises UserError for what is none."""
    if asked.lower() not in DEVICES:
        raise unknown("device", asked, DEVICES, meant="cuda" if asked.lower() in ("gpu", "nvidia") else None)
    return asked.lower()


def resolve(asked: str) -> str:
    """The device for what was asked: auto takes CUDA where it is, else the CPU. Raises UserError if it is not there."""
    asked = named(asked)
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


def device_kind(device: str) -> str:
    """What a device is to the last bit of a sum: kernels differ by maker, by instruction set, and by GPU."""
    if device == "cuda" and gpu_count():  # else it is on the cluster, and not seen from here
        import torch

        return f"cuda {torch.cuda.get_device_name(0)}"
    return cpu_kind() if device == "cpu" else device
