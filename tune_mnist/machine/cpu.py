"""This machine's CPUs and memory, as far as this process may use them."""

from __future__ import annotations

import contextlib
import os
import platform
from functools import cache
from pathlib import Path

CGROUP, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# Of a process that trains: glibc gives tensors of megabytes back to the system at every step and faults them in at the
# next, which takes 1.1 times as long.
WORKER_SETTINGS = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
    "MALLOC_ARENA_MAX": "1",  # each trial is a new thread, and would keep 40 MB in an arena of its own
}
INSTRUCTIONS = ("amx_tile", "avx512_bf16", "avx512f", "avx2")  # the widest of them decides which kernels run


def cpu_count() -> int:
    """The CPUs that this process may use: its affinity and its container's quota, not the host's count."""
    import joblib

    return int(joblib.cpu_count())


def memory() -> int:
    """The bytes of memory that this process may use: the least limit of its control groups (version 2 or 1), as of a
    container or a Slurm job, or the machine's.
    """
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for controller, limit in (("", "memory.max"), ("memory", "memory.limit_in_bytes")):
        for group in _control_groups(controller):
            with contextlib.suppress(OSError, ValueError):  # no such group, or no limit: "max"
                found = min(found, int((group / limit).read_text("utf-8")))
    return found


def memory_kills() -> int:
    """How many processes the kernel killed because this one's control group was out of memory; 0 if that is unknown."""
    for controller, told in (("", "memory.events"), ("memory", "memory.oom_control")):
        for group in _control_groups(controller):
            with contextlib.suppress(OSError, ValueError, KeyError):
                text = (group / told).read_text("utf-8")
                return int(dict(line.split() for line in text.splitlines())["oom_kill"])
    return 0


def _control_groups(controller: str) -> list[Path]:
    """This process's own control group, of version 2 (controller "") or 1, and those around it, the outermost last.

    A container may see its own as the outermost, and not by the name that the kernel tells.
    """
    try:
        told = dict(line.split(":", 2)[1:] for line in OWN_GROUPS.read_text("utf-8").splitlines())
    except (OSError, ValueError):
        told = {}
    own = Path(told.get(controller, "/").lstrip("/"))
    return [CGROUP / controller / one for one in (own, *own.parents)]


def cpu_model() -> str:
    """What the CPU calls itself."""
    return _facts().get("model name") or platform.processor() or platform.machine()


def cpu_flags() -> set[str]:
    """The CPU's features in Linux's words; none where Linux does not tell them."""
    facts = _facts()
    return set(facts.get("flags", facts.get("Features", "")).split())


def cpu_kind() -> str:
    """What the CPU is to the last bit of a sum: architecture, maker and, where Linux tells, its widest instructions."""
    widest = next((name for name in INSTRUCTIONS if name in cpu_flags()), "")
    return " ".join(filter(None, ("cpu", platform.machine(), _facts().get("vendor_id", ""), widest)))


@cache
def _facts() -> dict[str, str]:
    """What Linux says of the first CPU; nothing elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
