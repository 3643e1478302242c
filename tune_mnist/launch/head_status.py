"""What a cluster's head tells `tune-mnist cluster`: which machines are there, which jobs run, and what the newest said.

`head_job` asks it there: `python -m tune_mnist.launch.head_job status -`, `… logs -`, `… stop-all -`.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from typing import Any

from rich.text import Text

HEAD = "http://127.0.0.1:8265"  # Ray's server of jobs and of its state, on the head alone
MOST = 10_000  # machines; more than Ray lists
_RAYS = re.compile(r"^(\d{4}-\d\d-\d\d \S+\s+[A-Z]+ \w+\.py:\d+ -- |Running entrypoint for job ).*\n?", re.MULTILINE)


def nodes() -> list[Any]:
    """The machines that are there, in Ray's words. Raises OSError or RuntimeError before Ray is ready."""
    from ray.util.state import list_nodes
    from ray.util.state.exception import RayStateApiException

    try:
        return list(list_nodes(HEAD, filters=[("state", "=", "ALIVE")], limit=MOST, detail=True))
    except RayStateApiException as error:
        raise RuntimeError(str(error)) from None


def joined() -> set[str]:
    """The addresses of those."""
    return {str(node.node_ip) for node in nodes()}


def ours(text: str) -> str:
    """A job's log without the lines that Ray writes into it before the job does."""
    return _RAYS.sub("", text)


def _status(client: Any) -> dict[str, Any]:
    now = time.time()
    machines = [
        {"address": str(one.node_ip), "head": bool(one.is_head_node), "seconds": now - (one.start_time_ms or 0) / 1000}
        for one in nodes()
    ]
    jobs = [{"name": job.submission_id, "seconds": now - (job.start_time or 0) / 1000} for job in _running(client)]
    return {"machines": machines, "jobs": jobs}


def _stop(client: Any) -> dict[str, Any]:
    """Interrupt the jobs, and wait until they have ended: each keeps what is finished and writes its tables."""
    stopped = [job.submission_id for job in _running(client)]
    for job in stopped:
        client.stop_job(job)
    while any(job.submission_id in stopped for job in _running(client)):
        time.sleep(0.5)
    return {"stopped": stopped}


def _logs(client: Any) -> dict[str, Any]:
    """Say all that the newest job has said so far."""
    jobs = [job for job in client.list_jobs() if job.submission_id]
    if not jobs:
        return {"job": None}
    newest = max(jobs, key=lambda job: job.start_time or 0).submission_id
    sys.stdout.write(Text.from_ansi(ours(client.get_job_logs(newest))).plain + "\n")
    return {"job": newest}


def _running(client: Any) -> list[Any]:
    return [job for job in client.list_jobs() if job.submission_id and not job.status.is_terminal()]


ACTIONS: dict[str, Callable[[Any], dict[str, Any]]] = {"status": _status, "stop-all": _stop, "logs": _logs}
