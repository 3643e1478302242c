"""Ray Tune runs the plan: its runs as one grid search, their resources and retries.

Trials train (`trial`); nothing that matters stays with them. Each epoch's row and checkpoint travel through an actor
beside the driver (`mailbox`) to the driver, which stores them (`delivery`). A trial that Ray starts again asks the
actor where to go on.

Tune ends as a whole where a node's memory runs out. The search is then given again, for what the store still lacks and
with fewer trials side by side on that node: a *round*. Most plans take one.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tune_mnist.errors import ClusterError, UserError
from tune_mnist.plan.plan import Run
from tune_mnist.store.regular import KEPT
from tune_mnist.store.store import Store
from tune_mnist.task import Task
from tune_mnist.trials.overdue import Overdue
from tune_mnist.trials.receiver import RETRIES, Listener, longest_epochs
from tune_mnist.tuning.cluster import Connection
from tune_mnist.tuning.delivery import Delivery, Watch
from tune_mnist.tuning.limits import Limits, place
from tune_mnist.tuning.mailbox import Mailbox
from tune_mnist.tuning.resources import Resources
from tune_mnist.tuning.trial import trainable
from tune_mnist.tuning.workers import OutOfMemory, Worker, causes
from tune_mnist.words import plural

log = logging.getLogger("tune_mnist")
OURS, RAYS = Path(__file__).parents[1], Path(ray.__file__).parent
SETTLE_S = 1.0  # for the memory of workers that were ended; Ray looks four times a second


@dataclass(frozen=True)
class Trials:
    """How runs become trials: what each asks for, on the Ray that is connected."""

    resources: Resources
    connection: Connection


def execute(runs: Sequence[Run], task: Task, trials: Trials, store: Store, listener: Listener) -> dict[str, str]:
    """Train `runs` of the task side by side on the cluster that is connected, storing every epoch.

    Returns run key -> error. The caller holds the runs' locks and has opened them in the store. On a KeyboardInterrupt
    all that reached the driver is stored. Raises ClusterError if the store cannot be written, or Ray cannot go on.
    """
    rounds = _Rounds(task, trials, store, listener, Limits(trials.resources.cpus), list(runs))
    while rounds.left:
        rounds.go_on()
    rounds.limits.lift()  # where this raises, Ray goes, and they with it
    return rounds.errors


@dataclass
class _Rounds:
    """What is left of the runs, from round to round. `killed`: how often each was killed for memory while alone, and
    `causes`: what was said of it the last time.
    """

    task: Task
    trials: Trials
    store: Store
    listener: Listener
    limits: Limits
    left: list[Run]
    errors: dict[str, str] = field(default_factory=dict)
    killed: Counter[str] = field(default_factory=Counter)
    causes: dict[str, str] = field(default_factory=dict)

    def go_on(self) -> None:
        """One round, and what it leaves for the next."""
        delivery: Delivery | None = None
        try:
            node, mailbox = ray.get_runtime_context().get_node_id(), _mailbox(self.store)
            with Delivery(mailbox, node, self.store, self.listener, self._overdue(), self.causes) as delivery:
                self._fit(delivery)
            delivery.check()
            self.left = []
        except Exception as error:
            broken = (delivery and delivery.broken) or error  # Tune may know of no more than what came of it
            short = OutOfMemory.among(broken) or OutOfMemory.among(error)
            if short is None:
                raise _told(broken) from error
        else:
            short = None
        self.errors |= delivery.receiver.errors if delivery else {}
        if short:
            self._make_do(short, delivery)

    def _fit(self, delivery: Delivery) -> None:
        parts = {"task": self.task, "mailbox": delivery.mailbox, "resources": self.trials.resources}
        trained = tune.with_resources(tune.with_parameters(trainable, **parts), self.trials.resources.asked)
        tuning = tune.TuneConfig(
            reuse_actors=True,  # a warm worker takes the next trial in 0.1 s; a new one starts in 3 s
            max_concurrent_trials=self.trials.resources.max_concurrent,
            trial_dirname_creator=lambda trial: trial.trial_id,
        )
        running = tune.RunConfig(
            name="trials",
            storage_path=str(self.trials.connection.folder / "tune"),
            verbose=2 if self.trials.connection.verbose else 0,
            callbacks=[Watch(delivery, self.trials.connection.is_lost)],
            failure_config=tune.FailureConfig(max_failures=RETRIES),
        )
        space = {"run": tune.grid_search([_plain(run) for run in self.left])}
        try:
            tune.Tuner(trained, param_space=space, tune_config=tuning, run_config=running).fit()
        except Exception:
            for worker in delivery.workers.values():  # Tune leaves them where it fails as a whole
                worker.end()
            raise

    def _overdue(self) -> Overdue:
        """The longest epoch of each run by its rows so far."""
        return Overdue(self.trials.resources.epoch_timeout, longest_epochs(self.store, [run.key for run in self.left]))

    def _make_do(self, short: OutOfMemory, delivery: Delivery | None) -> None:
        """Prepare a round with half of the trials side by side on the node whose memory ran out."""
        there = _beside(short.node, delivery) if delivery else {}
        killed = {key: worker.pid for key, worker in there.items() if worker and worker.pid in short.held}
        if len(there) == 1:
            killed = killed or dict.fromkeys(there, 0)
        placed = [worker for worker in there.values() if worker]
        alone = len(there) <= 1 or (self.limits.most(short.node) == 1 and len(placed) <= 1)
        self._count({key: short.cause(pid) for key, pid in killed.items()} or {"": short.cause()}, alone)
        if not alone:
            self._limit(short.node, len(there))
        self.left = [run for run in self.left if not self._is_over(run)]
        self.left.sort(key=lambda run: self.killed[run.key])  # the others first
        time.sleep(SETTLE_S)

    def _limit(self, node: str, beside: int) -> None:
        """Half of the trials that ran `beside` each other there, or half of those that might."""
        before = min(beside, self.limits.most(node) or beside)
        most = before - max(1, before // 2) or 1
        name = place(node)
        on, there = (f" on {name}", " there") if name else ("", "")
        log.warning(f"memory ran out{on}: {plural(most, 'trial')} side by side{there} from now on")
        self.limits.set(node, most)

    def _count(self, killed: Mapping[str, str], alone: bool) -> None:
        """Who was killed though alone, and once too often, has failed; of nobody in particular it is Ray itself."""
        self.causes |= killed
        for key, cause in killed.items():
            self.killed[key] += alone or not key
            if self.killed[key] > RETRIES:
                if not key:
                    raise ClusterError(f"the machine has too little memory for Ray: {cause}; {KEPT}")
                self.errors[key] = f"{cause}, {self.killed[key]} times with no other trial beside it"
                self.listener.failed(key, self.errors[key], "")
            elif key:
                self.listener.lost(key, cause)
            else:
                log.warning(f"a process of Ray's was lost, and is started again: {cause}")

    def _is_over(self, run: Run) -> bool:
        return run.key in self.errors or self.store.held(run.key).answers(run.config.epochs)


def _beside(node: str, delivery: Delivery) -> dict[str, Worker | None]:
    """The trials that run on the node, by key; and those without a worker yet, which may be about to start there."""
    running = {key: delivery.workers.get(key) for key in delivery.running()}
    return {key: worker for key, worker in running.items() if worker is None or worker.node == node}


def _told(error: BaseException) -> BaseException:
    """As one line, unless it is a bug of ours: what we said ourselves in it, else what Ray or the system says."""
    chain = list(causes(error))
    for one in chain:
        if isinstance(one, (ClusterError, UserError)):
            return one
    first = chain[-1]
    if _is_bug(first):
        return first
    said = next((line.strip() for line in str(first).splitlines() if line.strip()), type(first).__name__)
    return ClusterError(f"the sweep cannot go on: {said}; {KEPT}")


def _is_bug(error: BaseException) -> bool:
    """Whether it came up in code that we called last, and not Ray."""
    if isinstance(error, (ray.exceptions.RayError, OSError)):
        return False
    files = [Path(frame.filename).parents for frame in traceback.extract_tb(error.__traceback__)]
    ours = [OURS in parents for parents in files if OURS in parents or RAYS in parents]
    return ours[-1:] == [True]


def _plain(run: Run) -> dict[str, Any]:
    """A run as Tune carries it to its trial."""
    return {"key": run.key, "config": dict(run.config), "needs_total": run.config.needs_total}


def _mailbox(store: Store) -> Any:
    """The actor, on its way: trials that are there before it wait for it."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(Mailbox).options(num_cpus=0, max_concurrency=1000, scheduling_strategy=here)
    return actor.remote(str(store.folder.resolve()))
