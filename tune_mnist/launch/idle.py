"""A cloud's head ends its cluster once no job has run for some hours; else a lost laptop leaves it running, and paid.

The cluster file starts it beside Ray, on the head: `python -m tune_mnist.launch.idle HOURS`. What nobody has brought
home by then goes with the head's disk. Only Ray's own answer that no job runs counts as idle: a Ray that does not
answer may still have work.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from tune_mnist.exits import leave_at_once

LOOK_S = 60.0  # between two looks
USED = "used"  # a file in ~/tune-mnist on the head, touched by every command that is about to start a job there
CONFIG = Path("~/ray_bootstrap_config.yaml")  # the cluster file, as `ray up` leaves it on a head
ADDRESS = "RAY_API_SERVER_ADDRESS"  # Ray's own name for where its job server is


def main() -> None:
    """`python -m tune_mnist.launch.idle HOURS`. Where one runs already, it is told that its time begins anew."""
    config = yaml.safe_load(CONFIG.expanduser().read_text("utf-8"))
    used = (Path("~/tune-mnist") / USED).expanduser()
    used.touch()
    with suppress(Timeout), FileLock(f"{used}.lock", timeout=0):
        until_idle(float(sys.argv[1]) * 3600, job_may_run, lambda: used.stat().st_mtime_ns)
        print("no job has run for so long: the cluster is ended", flush=True)
        end(config)
    leave_at_once(0)  # a provider's threads may still wait


def until_idle(
    limit_s: float, runs: Callable[[], bool], used: Callable[[], int] = lambda: 0, look_s: float = LOOK_S
) -> None:
    """Return once nothing has run for `limit_s` seconds, and `used`, which changes with every command, is the same.

    A command has no job yet for as long as it copies files to the head.
    """
    last, known = time.monotonic(), used()
    while True:
        busy, now = runs(), used()  # in this order: a command says that it is there before it starts a job
        if busy or now != known:
            last, known = time.monotonic(), now
        elif time.monotonic() - last >= limit_s:
            return
        time.sleep(min(look_s, limit_s))


def job_may_run() -> bool:
    """Whether this machine's Ray has a job or a driver that has not ended, or does not answer."""
    from ray.job_submission import JobSubmissionClient

    try:
        jobs = JobSubmissionClient(os.environ.get(ADDRESS, "http://127.0.0.1:8265")).list_jobs()
    except Exception as error:
        print(f"Ray does not say what runs ({type(error).__name__}), so the cluster stays", flush=True)
        return True
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
