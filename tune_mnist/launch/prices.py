"""What a cloud's machines cost at the most: one line before `ray up`, from a small table of prices.

Spot and preemptible machines cost less than those on demand, never more, but their prices change by the hour: the line
is the bound.
"""

from __future__ import annotations

from typing import Any

DATE = "November 2026"  # when the table was looked up. It is approximate: prices change, and nothing here asks for them
# Dollars an hour on demand, with Linux, as SkyPilot's catalog has them from the clouds' own price lists:
# github.com/skypilot-org/skypilot-catalog, catalogs/v7/aws/vms.csv (001367d) and catalogs/v7/gcp/vms.csv (017e250).
_AWS = {"m6i.large": 0.096, "c6i.4xlarge": 0.68, "g4dn.xlarge": 0.526}
_GCP = {"n2-standard-2": 0.0971, "n2-standard-16": 0.7769, "n1-standard-4": 0.19, "nvidia-tesla-t4": 0.35}
PRICES = {
    "aws": dict.fromkeys(("us-east-1", "us-east-2", "us-west-2"), _AWS),
    "gcp": dict.fromkeys(("us-central1", "us-east1", "us-west1"), _GCP),
}


def most(config: dict[str, Any]) -> str | None:
    """The line on a cluster file of Ray's; None for machines of one's own, and for a file that Ray will refuse."""
    cloud, region = config["provider"].get("type"), config["provider"].get("region")
    kinds = config.get("available_node_types") or {}
    if cloud not in PRICES or config.get("head_node_type") not in kinds:
        return None
    known = PRICES[cloud].get(region, {})
    machines = {name: _parts(kind.get("node_config") or {}) for name, kind in kinds.items()}
    if unknown := sorted({part for parts in machines.values() for part, _ in parts} - known.keys()):
        return f"what it costs is not known here: no price of {', '.join(unknown)} in {region}"
    costs = {name: sum(known[part] * count for part, count in parts) for name, parts in machines.items()}
    counts = _most_machines(config, costs)
    dollars = sum(costs[name] * count for name, count in counts.items())
    listed = ", ".join(f"{count} × {_named(machines[name])}" for name, count in counts.items())
    return (
        f"at most about ${dollars:.2f} an hour, by the prices on demand in {region} of {DATE}: {listed}; "
        "spot machines cost less, disks and traffic come on top"
    )


def _parts(node: dict[str, Any]) -> list[tuple[str, int]]:
    """(what has a price, how many) of a machine: its type, and on Google its GPUs."""
    kind = str(node.get("InstanceType") or node.get("machineType")).rpartition("/")[2]
    gpus = [(str(gpu["acceleratorType"]), int(gpu["acceleratorCount"])) for gpu in node.get("guestAccelerators", ())]
    return [(kind, 1), *gpus]


def _named(parts: list[tuple[str, int]]) -> str:
    (kind, _), *gpus = parts
    return " with ".join([kind, *(f"{count} {gpu}" for gpu, count in gpus)])


def _most_machines(config: dict[str, Any], costs: dict[str, float]) -> dict[str, int]:
    """Node type -> how many of it cost the most together: the head, and the dearest workers up to the file's limits."""
    counts, left = {config["head_node_type"]: 1}, int(config.get("max_workers", 2))  # Ray's own default
    for name in sorted(costs, key=costs.__getitem__, reverse=True):
        count = min(left, int(config["available_node_types"][name].get("max_workers", left)))
        left -= count
        if count:
            counts[name] = counts.get(name, 0) + count
    return counts
