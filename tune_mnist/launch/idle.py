"""A cloud's head ends its cluster once no job has run for some hours; else a lost laptop leaves it running, and paid.

The cluster file starts it beside Ray, on the head: `python -m tune_mnist.launch.idle HOURS`. What nobody has brought
home by then goes with the head's disk.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from tune_mnist.exits import leave_at_once

LOOK_S = 60.0  # between two looks
CONFIG = Path("~/ray_bootstrap_config.yaml")  # the cluster file, as `ray up` leaves it on a head


def main() -> None:
    """`python -m tune_mnist.launch.idle HOURS`. A second one on a machine leaves it to the first."""
    config = yaml.safe_load(CONFIG.expanduser().read_text("utf-8"))
    lock = FileLock(Path(tempfile.gettempdir()) / f"{config['cluster_name']}.idle", timeout=0)
    with suppress(Timeout), lock:
        until_idle(float(sys.argv[1]) * 3600, job_runs)
        print("no job has run for so long: the cluster is ended", flush=True)
        end(config)
    leave_at_once(0)  # a provider's threads may still wait


def until_idle(limit_s: float, runs: Callable[[], bool], look_s: float = LOOK_S) -> None:
    """Return once nothing has run for `limit_s` seconds."""
    last = time.monotonic()
    while True:
        if runs():
            last = time.monotonic()
        elif time.monotonic() - last >= limit_s:
            return
        time.sleep(look_s)


def job_runs() -> bool:
    """Whether this machine's Ray has a job that has not ended; a Ray that does not answer has none."""
    from ray.job_submission import JobSubmissionClient

    try:
        jobs = JobSubmissionClient("http://127.0.0.1:8265").list_jobs()
    except (OSError, RuntimeError):
        return False
    return any(not job.status.is_terminal() for job in jobs)


def end(config: dict[str, Any]) -> None:
    """Give the cluster's machines back, by the cloud's API: the workers, then the head, which may be this one."""
    from ray.autoscaler._private.providers import _get_node_provider
    from ray.autoscaler.tags import NODE_KIND_HEAD, NODE_KIND_WORKER, TAG_RAY_NODE_KIND

    provider = _get_node_provider(config["provider"], config["cluster_name"])
    for kind in (NODE_KIND_WORKER, NODE_KIND_HEAD):
        provider.terminate_nodes(provider.non_terminated_nodes({TAG_RAY_NODE_KIND: kind}))


if __name__ == "__main__":
    main()
