"""A Ray of this machine's own: how it is started, without what a sweep has no use for, and which processes it has.

Its start is mostly Python processes that import it.
"""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from tune_mnist.errors import ClusterError
from tune_mnist.machine.processes import Processes, end_of
from tune_mnist.tuning.head import LOCAL_LOOK_S

SHARED_MEMORY = Path("/dev/shm")
STOPPED_S = 4.0  # that a part of Ray may be stopped before it is lost: a shell stops them all, and continues them
NEEDED = {  # Ray's names for its processes
    "raylet": "the raylet, which starts the workers of this machine's Ray,",
    "gcs_server": "the GCS server, which keeps the state of this machine's Ray,",
}

# The dashboard's server, which is started, and waited for, even where no dashboard is asked for; the autoscaler, which
# has no machine to start; and what carries the workers' output, which nobody reads.
UNUSED = ("start_api_server", "start_monitor", "start_log_monitor")


@contextmanager
def _lean() -> Iterator[None]:
    """What is started within the `with` block has none of them.

    Ray has no option for that (2.60); where another release calls them otherwise, they are started.
    """
    from ray._private.node import Node

    kept = {name: getattr(Node, name) for name in UNUSED if hasattr(Node, name)}
    for name in kept:
        setattr(Node, name, lambda *_, **__: None)
    try:
        yield
    finally:
        for name, method in kept.items():
            setattr(Node, name, method)


@contextmanager
def own_signals() -> Iterator[None]:
    """What connects to Ray within the `with` block leaves SIGTERM to this program: Ray's own handler, which it sets
    half-way, would end the process with exit code 15.
    """
    from ray._private import utils

    name = "set_sigterm_handler"
    kept = getattr(utils, name, None)
    setattr(utils, name, lambda _: None)
    try:
        yield
    finally:
        setattr(utils, name, kept)


def start(folder: Path, objects: int, options: dict[str, Any]) -> None:
    """A Ray that keeps its files in the folder and has so many bytes for its objects. Raises ClusterError."""
    import ray

    if not (SHARED_MEMORY.is_dir() and bytes_free(SHARED_MEMORY) >= objects) and bytes_free(folder) < objects:
        short = f"/tmp has {bytes_free(folder) >> 20} MiB free"
        raise ClusterError(f"{short}, and Ray needs {objects >> 20} MiB there or in /dev/shm; make room in one of them")
    for attempt in ("1", "2"):  # Ray waits 30 s for its parts: too short for a cold, busy disk, enough once it is warm
        try:
            with nullcontext() if options["log_to_driver"] else _lean():
                ray.init(address="local", object_store_memory=objects, _temp_dir=str(folder / attempt), **options)
            return
        except BaseException as error:  # a signal, too; Ray raises it bare where a part of it is not up in time
            ray.shutdown()
            end_of(folder / attempt)  # it would go on listening beside the second one
            if not isinstance(error, Exception):
                traceback.clear_frames(error.__traceback__)  # of processes that Ray has started: each would complain
                raise
            cause = (str(error).strip() or type(error).__name__).splitlines()[0]
            failed = ClusterError(f"Ray did not start on this machine: {cause}; try again, or see --ray-logs")
            failed.__cause__ = error
    raise failed


def parts() -> Processes:
    """The processes of the Ray that this one has started."""
    from ray._private import worker

    node: Any = worker._global_node
    pids = {name: processes[0].process.pid for name, processes in node.all_processes.items()}
    needed = {words: pids.pop(name) for name, words in NEEDED.items()}
    return Processes(needed, list(pids.values()), STOPPED_S / LOCAL_LOOK_S)


def bytes_free(folder: Path) -> int:
    """Bytes that are free there."""
    return shutil.disk_usage(folder).free
