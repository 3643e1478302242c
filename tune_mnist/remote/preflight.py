"""What machines are before anything is started there: `tune-mnist run --cluster FILE --dry-run`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tune_mnist.remote.hosts import GB, Host
from tune_mnist.tuning.cluster import Cluster
from tune_mnist.tuning.resources import Resources, fit, slots
from tune_mnist.words import several

HEAD = ("machine", "Python", "Ray", "CPUs", "GPUs", "memory", "disk free", "clock")


def table(hosts: Sequence[Host]) -> list[str]:
    """A line for each machine, after the columns' names."""
    rows = [HEAD, *(_row(host) for host in hosts if not host.error)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    names = max(len(host.address) for host in hosts)
    widths[0] = max(widths[0], names)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*lines, *(f"{host.address.ljust(widths[0])}  {host.state}" for host in hosts if host.error)]


def _row(host: Host) -> tuple[str, ...]:
    sizes = f"{host.memory / GB:.1f} GB", f"{host.disk / GB:.0f} GB"
    return (
        host.address,
        host.python or "none",
        host.ray or "to install",
        str(host.cpus),
        str(host.gpus),
        *sizes,
        f"{host.ahead:+.1f} s",
    )


def side_by_side(hosts: Sequence[Host], resources: Resources) -> tuple[int, list[str]]:
    """How many trials those that answered run side by side; and a line on each that runs fewer than its CPUs allow."""
    counts, lines = [], []
    for host in hosts:
        if host.error:
            continue
        count, short = _fitting(host, resources)
        counts.append(count)
        lines += [f"{host.address}: {short}"] if short else []
    total = sum(counts)
    return min(total, resources.max_concurrent or total), lines


def _fitting(host: Host, resources: Resources) -> tuple[int, str | None]:
    """How many trials a machine runs, and why it runs fewer than its CPUs allow."""
    if host.cpus < resources.cpus or (resources.gpus and not host.gpus):
        lacks = f"a trial asks for {resources.cpus} CPU" + (f" and {resources.gpus:g} GPU" if resources.gpus else "")
        return 0, f"{lacks}; none runs there"
    fitted, short = fit(replace(resources, max_concurrent=None), host.cpus, host.memory)
    return slots(fitted, Cluster(None, host.cpus, host.gpus)), short


def would_start(config: Mapping[str, Any]) -> str:
    """Of a cloud's cluster file: which machines, of which nobody can be asked yet."""
    provider, kinds = config["provider"], config.get("available_node_types") or {}
    head, most = str(config.get("head_node_type")), int(config.get("max_workers", 2))  # Ray's own default
    counts = {name: min(most, int(kind.get("max_workers", most))) for name, kind in kinds.items() if name != head}
    workers = [f"up to {count} × {_named(name, kinds[name])}" for name, count in counts.items()]
    place = " in ".join(str(provider[name]) for name in ("type", "region") if name in provider)
    started = [f"{_named(head, kinds.get(head) or {})} as the head", *workers]
    return f"would start on {place}: {several(started)}; {most} workers at the most"


def _named(name: str, kind: Mapping[str, Any]) -> str:
    """A node type's machine, with what trials get of it: `c6i.4xlarge (16 CPU)`."""
    node, has = kind.get("node_config") or {}, kind.get("resources") or {}
    parts = [f"{count} {what}" for what, count in has.items() if count]
    machine = str(node.get("InstanceType") or node.get("machineType") or name)
    return f"{machine} ({', '.join(parts)})" if parts else machine
