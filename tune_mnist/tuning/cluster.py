"""A Ray cluster to run on: a local one on loopback, made for one command, or one that is there. Quiet unless asked."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import secrets
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune_mnist.exits import (
    INTERRUPTED,
    InterruptedAlone,
    delayed,
    interruptible,
    leave_at_once,
    stop,
    told,
    uninterrupted,
)
from tune_mnist.machine.cpu import WORKER_SETTINGS
from tune_mnist.machine.scratch import scratch_folder
from tune_mnist.tuning.head import (
    LOCAL_LOOK_S,
    LOOK_S,
    MISSES,
    TOLD_S,
    Head,
    HeadLost,
    Watch,
    check_token,
    reach,
    unreachable,
)
from tune_mnist.tuning.local import SHARED_MEMORY, bytes_free, own_signals, parts, start

OBJECTS, OBJECTS_PER_CPU = 512 << 20, 32 << 20  # bytes for Ray's objects, see Cluster.objects
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # workers stay where the command was given
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no CSV, JSON and TensorBoard files of Tune's beside ours
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # the store is what a command goes on from, not Tune's experiment state
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1e9",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S_AUTOSCALER": "1e9",
}
# No worker for each CPU before anything is asked: Tune gives its trials settings of their own, and starts others.
_LOCAL = {"RAY_prestart_worker_first_driver": "0", "RAY_enable_worker_prestart": "0"}
_TOKEN = secrets.token_hex(32)  # of this process's local clusters: nobody else on the machine may submit to them
_QUIET = {"RAY_AIR_NEW_OUTPUT": "0", "TUNE_PRINT_ALL_TRIAL_ERRORS": "0"}


@dataclass(frozen=True)
class Connection:
    """Ray while it is connected: a folder for Tune's own files, whether Tune may speak, and who watches the head."""

    folder: Path
    verbose: bool
    watch: Watch

    def is_lost(self) -> bool:
        """Whether the cluster is lost, now: Ray would wait for its answer."""
        return self.watch.gone() is not None


@dataclass(frozen=True)
class Cluster:
    """Where Ray runs: at `address`, or with `cpus` and `gpus` on this machine; `ray_logs` lets it speak.

    `insecure`: the address may be one that is open to whoever reaches it.
    """

    address: str | None = None
    cpus: int = 1
    gpus: int = 0
    ray_logs: bool = False
    insecure: bool = False

    @property
    def is_own(self) -> bool:
        """Whether it is made for this command alone, on CPUs: what is short may do without it."""
        return self.address is None and not self.gpus and not self.ray_logs

    def reached(self) -> Cluster:
        """This one. Raises UserError if it is not at its address, or refuses us: before anything is written."""
        if self.address not in (None, "auto"):
            reach(str(self.address), self.insecure)
        return self

    @property
    def objects(self) -> int:
        """Bytes for a local Ray's objects: the data once, and from each trial a checkpoint on its way, of 14 MB.

        Ray writes them to disk, and has every worker collect garbage, where less than a third is free.
        """
        return max(OBJECTS, (128 << 20) + self.cpus * OBJECTS_PER_CPU)

    def objects_note(self) -> str | None:
        """A line to say where a local Ray's objects do not fit into shared memory, as in most containers."""
        if self.address is not None or not SHARED_MEMORY.is_dir() or bytes_free(SHARED_MEMORY) >= self.objects:
            return None
        free = f"{bytes_free(SHARED_MEMORY) >> 20} MiB of {self.objects >> 20} MiB"
        return f"{SHARED_MEMORY} has {free} free: Ray keeps its objects in /tmp (docker run --shm-size=1g avoids it)"

    @contextlib.contextmanager
    def started(self, last: Callable[[], object] = lambda: None) -> Iterator[Connection]:
        """Connected to Ray within the `with` block, where the signals that ask for an end raise KeyboardInterrupt.

        That is InterruptedAlone where they have ended this machine's Ray, too. Where Ray is lost and keeps the main
        thread, `last` is called in another one, and the process ended.

        Raises UserError if no cluster is at the address, ClusterError if a local one does not start, and HeadLost,
        within seconds, where the head of another, or a part of a local one, is lost.
        """
        lost = False
        with scratch_folder() as folder:
            try:
                with interruptible(), self._settings(), warnings.catch_warnings():
                    if not self.ray_logs:
                        warnings.simplefilter("ignore")
                    self._connect(folder)
                    with self._watched(folder, last) as watch:
                        yield Connection(folder, self.ray_logs, watch)
            except (HeadLost, InterruptedAlone):
                lost = True
                raise
            finally:
                with uninterrupted():
                    ray = sys.modules.get("ray")  # not there after an interrupt within its import, which fails again
                    if ray and not lost:  # else it would take a minute
                        _shut_down(ray)

    @contextlib.contextmanager
    def _watched(self, folder: Path, last: Callable[[], object]) -> Iterator[Watch]:
        """Raise HeadLost where the cluster is lost; of a local one nothing is left then."""
        import ray

        local = parts() if self.address is None else None
        head = local or Head(ray.get_runtime_context().gcs_address)

        def ended(what: str) -> str:
            if local:
                local.end()
            return f"{what} was lost; every finished epoch is in the store; the same command goes on from there"

        def give_up(what: str) -> None:
            said = ended(what)
            shutil.rmtree(folder, ignore_errors=True)
            _give_up(said if watch.lost else None, last)

        with Watch(head.missing, *((1, LOCAL_LOOK_S) if local else (MISSES, LOOK_S)), give_up) as watch:
            try:
                yield watch
            except (KeyboardInterrupt, Exception):
                if (what := watch.gone()) is None:
                    raise
                said = ended(what)
                raise (InterruptedAlone() if _is_told() and watch.lost is None else HeadLost(said)) from None

    @contextlib.contextmanager
    def _settings(self) -> Iterator[None]:
        """Ray reads these from the environment when it is imported and when it starts."""
        changed = dict(_SETTINGS)
        if not self.ray_logs:
            changed |= _QUIET
        if self.address is None or self.address.startswith(("127.", "localhost:")):
            # The one way to have every port of a local Ray on 127.0.0.1, and to join one that is there: 2.60 otherwise
            # takes the machine's own address instead.
            changed["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        if self.address is None:
            changed |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _TOKEN} | WORKER_SETTINGS | _LOCAL
        before = {name: os.environ.get(name) for name in changed}
        os.environ.update(changed)
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})

    def _connect(self, folder: Path) -> None:
        options: dict[str, Any] = {
            "log_to_driver": self.ray_logs,
            "configure_logging": self.ray_logs,
            "logging_level": logging.INFO if self.ray_logs else logging.CRITICAL + 1,
        }
        with delayed():
            import ray  # half of it could not be left again
        with _quiet_start(not self.ray_logs), own_signals():
            if self.address is None:
                options |= {"num_cpus": self.cpus, "num_gpus": self.gpus, "include_dashboard": False}
                start(folder, self.objects, options)
            else:
                _join(self.address, options | {"runtime_env": {"env_vars": WORKER_SETTINGS}})
                if self.address == "auto":  # what that is, Ray has found only now
                    check_token(ray.get_runtime_context().gcs_address, self.insecure)
        signal.signal(signal.SIGTERM, stop)  # before it Ray's C++ part would write a trace
        if not self.ray_logs:
            _silence()


def _shut_down(ray: Any) -> None:
    """Without collecting garbage: an object of Ray's that another thread, as the display's, collects while Ray is half
    shut down ends the process.
    """
    gc.disable()
    try:
        ray.shutdown()
    finally:
        gc.enable()


def _is_told() -> bool:
    """Whether a signal has told this process to end, or does so now; then it has ended Ray's processes, too."""
    if not told.is_set():
        with contextlib.suppress(KeyboardInterrupt):  # which its handler raises right here
            time.sleep(TOLD_S)
    return told.is_set()


def _give_up(lost: str | None, last: Callable[[], object]) -> None:
    """End the process where Ray keeps its main thread: the store is as after any crash, whole.

    `lost`: what to say of what is lost; None where a signal has told the process to end.
    """
    log = logging.getLogger("tune_mnist")
    if lost:
        log.error(lost)
    else:
        log.warning("interrupted; every finished epoch is in the store; the same command goes on from there")
    with contextlib.suppress(Exception):
        last()
    if sys.stdout.isatty():
        sys.stdout.write("\x1b[?25h")  # the live display had hidden the cursor
    leave_at_once(1 if lost else INTERRUPTED)


def _join(address: str, options: dict[str, Any]) -> None:
    import ray

    try:
        ray.init(address=address, **options)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise unreachable(address, error) from None


@contextlib.contextmanager
def _quiet_start(on: bool) -> Iterator[None]:
    """Ray's C++ writes to the process's own stderr while it connects."""
    if not on:
        yield
        return
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _silence() -> None:
    for name in ("ray", "ray.tune", "ray.train", "ray.air", "ray.data"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL + 1)
        logger.propagate = False
        logger.handlers[:] = [logging.NullHandler()]
    from ray._private import worker

    # "(raylet) A worker died ..." goes to stdout whatever log_to_driver says; the display says it in its own words.
    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None
