"""Ray Tune runs the plan: its runs as one grid search, their resources, retries and events.

Trials train; nothing that matters stays with them. Each epoch's row and checkpoint travel through one actor beside the
driver to `Delivery`, which writes them to the store; a trial that Ray starts again asks the actor where to go on.
"""

from __future__ import annotations

import io
import platform
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

import ray
from ray import tune
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tune_mnist.errors import ClusterError, TrainingFailed, UserError
from tune_mnist.machine.devices import check_precision, device_kind
from tune_mnist.mnist.config import TrainConfig
from tune_mnist.mnist.datasets import Dataset
from tune_mnist.plan.plan import Run
from tune_mnist.store.store import Row, Store, now
from tune_mnist.tuning.cluster import Scratch
from tune_mnist.tuning.mailbox import Mailbox
from tune_mnist.tuning.resources import Resources

if TYPE_CHECKING:
    from tune_mnist.mnist.training import Training

ANSWER_S = 120  # for the mailbox, which waits for nothing; a machine may be short of CPU
RETRIES = 5  # of a trial whose worker was lost; an error in training itself is final


class Listener(Protocol):
    """Hears what happens to the runs, by key; from two threads."""

    def started(self, key: str, trained: int, hostname: str) -> None: ...
    def epoch(self, key: str, row: Row) -> None: ...
    def lost(self, key: str) -> None: ...
    def failed(self, key: str, error: str, trace: str) -> None: ...
    def said(self, key: str, text: str) -> None: ...


def trainable(config: dict[str, Any], data: Dataset, mailbox: Any, resources: Resources, kind: str) -> None:
    """One trial: train the run, report each epoch to Tune, and send its row and checkpoint on their way."""
    key = config["run"]["key"]
    outbox = _Outbox(mailbox, key)
    try:
        _check_node(resources, kind, outbox)
        training = _training(config["run"]["config"], data, resources, ray.get(mailbox.load.remote(key)))
        outbox.send(kind="started", trained=training.epoch, hostname=platform.node())
        for result in training:
            row = {**vars(result), "trial_id": tune.get_context().get_trial_id(), "hostname": platform.node()}
            outbox.send(kind="epoch", row={**row, "finished": now()}, checkpoint=_saved(training.state()))
            tune.report(row)
    except Exception as error:
        # Not raised: Tune would train it again, and the same config would fail in the same way.
        expected = isinstance(error, (TrainingFailed, UserError))
        outbox.send(
            kind="failed",
            error=traceback.format_exception_only(error)[-1].strip().splitlines()[-1],
            trace="" if expected else traceback.format_exc(),
        )
        tune.report({"failed": True})
    finally:
        outbox.flush()


def _check_node(resources: Resources, kind: str, outbox: _Outbox) -> None:
    """What the driver could only check of its own machine."""
    check_precision(resources.precision, resources.device, local=True)
    if device_kind(resources.device) != kind:
        found = f"{platform.node()} has {device_kind(resources.device)}, the driver {kind}"
        outbox.send(kind="said", text=f"{found}: the numbers may differ in their last bits")


def _training(config: dict[str, Any], data: Dataset, resources: Resources, saved: bytes | None) -> Training:
    import torch

    from tune_mnist.mnist.training import Training  # not above: the driver and the mailbox start sooner without torch

    state = None if saved is None else torch.load(io.BytesIO(saved), map_location="cpu", weights_only=True)
    return Training(TrainConfig(**config), data, resources.device, resources.cpus, state, resources.precision)


class _Outbox:
    """Sends while the next epoch trains, at most one message at a time: a crash finds at most one epoch not stored."""

    def __init__(self, mailbox: Any, key: str) -> None:
        self.mailbox, self.key = mailbox, key
        self.sent: list[Any] = []

    def send(self, **message: Any) -> None:
        self.flush()
        self.sent.append(self.mailbox.put.remote({"key": self.key, **message}))

    def flush(self) -> None:
        while self.sent:
            ray.get(self.sent.pop())


def _saved(state: dict[str, Any]) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


class Delivery:
    """Takes messages out of the mailbox in a thread of its own, stores them, and tells the listener."""

    def __init__(self, mailbox: Any, store: Store, listener: Listener) -> None:
        self.mailbox, self.store, self.listener = mailbox, store, listener
        self.errors: dict[str, str] = {}
        self.broken: BaseException | None = None
        self._running: set[str] = set()
        self._most: dict[str, int] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._deliver, name="delivery", daemon=True)

    def __enter__(self) -> Delivery:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()  # however long a write takes: the runs' locks are freed after this
        if self.broken is None:
            with suppress(ray.exceptions.RayError):  # an interrupt, or a lost cluster: what is stored is safe
                while self._take(0):
                    pass

    def check(self) -> None:
        """Raise what ended the thread: nobody stores what is trained."""
        if isinstance(self.broken, OSError):
            raise ClusterError(f"the store {self.store.folder} cannot be written: {self.broken}")
        if self.broken is not None:
            raise self.broken

    def _deliver(self) -> None:
        try:
            while not self._stop.is_set():
                self._take(0.5)
        except BaseException as error:
            self.broken = error

    def _take(self, wait: float) -> int:
        messages = ray.get(self.mailbox.take.remote(wait), timeout=ANSWER_S)
        for message in messages:
            self._handle(**message)
        return len(messages)

    def _handle(self, key: str, kind: str, **content: Any) -> None:
        if kind == "epoch":
            row = {**content["row"], "concurrent": self._beside(key)}
            self.store.append(key, row)
            if self.store.newest_checkpoint(key) < row["epoch"]:
                self.store.save_checkpoint(key, row["epoch"], content["checkpoint"])
            self.listener.epoch(key, row)
        elif kind == "failed":
            self.errors[key] = content["error"]
            self.listener.failed(key, content["error"], content["trace"])
        elif kind == "said":
            self.listener.said(key, content["text"])
        else:
            self.listener.started(key, **content)

    def _beside(self, key: str) -> int:
        """The most other trials that ran beside this one since it was last asked."""
        with self._lock:
            most = self._most.get(key, 0)
            self._most[key] = len(self._running - {key})
            return most

    def enter(self, key: str) -> None:
        """A trial starts beside those that run."""
        with self._lock:
            self._running.add(key)
            for other in self._running:
                self._most[other] = max(self._most.get(other, 0), len(self._running) - 1)

    def leave(self, key: str) -> None:
        """A trial ended; its last message may still be on its way."""
        with self._lock:
            self._running.discard(key)

    def give_up(self, key: str, error: Exception | None) -> None:
        """A trial failed outside of its training once too often: its worker was lost, or could not start."""
        lost = error is None or isinstance(error, ray.exceptions.RayActorError)
        self.errors[key] = f"its worker was lost {RETRIES + 1} times" if lost else str(error).strip().splitlines()[-1]
        self.listener.failed(key, self.errors[key], "" if error is None else str(error))


class Watch(tune.Callback):
    """Tells the delivery which trials run side by side and which were lost, in the driver's main thread."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks, to restore them; here the store is what one goes on from

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.delivery.enter(_key(trial))

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any) -> None:
        self.delivery.check()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.delivery.leave(_key(trial))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.delivery.leave(_key(trial))
        self.delivery.listener.lost(_key(trial))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.delivery.leave(_key(trial))
        self.delivery.give_up(_key(trial), trial.get_error())


def _key(trial: Any) -> str:
    return str(trial.config["run"]["key"])


def execute(
    runs: Sequence[Run],
    data: Dataset,
    resources: Resources,
    kind: str,
    store: Store,
    listener: Listener,
    scratch: Scratch,
) -> dict[str, str]:
    """Train `runs` side by side on the cluster that is connected, storing every epoch; returns run key -> error.

    The caller holds the runs' locks and has opened them in the store. `kind` is the device that their keys name. On a
    KeyboardInterrupt all that reached the driver is stored. Raises ClusterError if the store cannot be written.
    """
    with Delivery(_mailbox(store), store, listener) as delivery:
        space = {"run": tune.grid_search([{"key": run.key, "config": asdict(run.config)} for run in runs])}
        parts = {"data": data, "mailbox": delivery.mailbox, "resources": resources, "kind": kind}
        trained = tune.with_resources(tune.with_parameters(trainable, **parts), resources.asked)
        tuning = tune.TuneConfig(
            reuse_actors=True,  # a warm worker takes the next trial in 0.1 s; a new one starts in 3 s
            max_concurrent_trials=resources.max_concurrent,
            trial_dirname_creator=lambda trial: trial.trial_id,
        )
        running = tune.RunConfig(
            name="trials",
            storage_path=str(scratch.folder / "tune"),
            verbose=2 if scratch.verbose else 0,
            callbacks=[Watch(delivery)],
            failure_config=tune.FailureConfig(max_failures=RETRIES),
        )
        tune.Tuner(trained, param_space=space, tune_config=tuning, run_config=running).fit()
    delivery.check()
    return delivery.errors


def _mailbox(store: Store) -> Any:
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(Mailbox).options(num_cpus=0, max_concurrency=1000, scheduling_strategy=here)
    mailbox: Any = actor.remote(str(store.folder.resolve()))
    ray.get(mailbox.take.remote(0))  # it is there; from now on it answers at once
    return mailbox
