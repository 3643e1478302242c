"""Ray Tune runs the plan: its runs as one grid search, their resources and retries.

Trials train (`trial`); nothing that matters stays with them. Each epoch's row and checkpoint travel through an actor
beside the driver (`mailbox`) to the driver, which stores them (`delivery`). A trial that Ray starts again asks the
actor where to go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tune_mnist.plan.plan import Run
from tune_mnist.store.store import Store
from tune_mnist.task import Task
from tune_mnist.tuning.cluster import Connection
from tune_mnist.tuning.delivery import RETRIES, Delivery, Listener, Watch
from tune_mnist.tuning.mailbox import Mailbox
from tune_mnist.tuning.resources import Resources
from tune_mnist.tuning.trial import trainable


@dataclass(frozen=True)
class Trials:
    """How runs become trials: what each asks for, on the Ray that is connected."""

    resources: Resources
    connection: Connection


def execute(runs: Sequence[Run], task: Task, trials: Trials, store: Store, listener: Listener) -> dict[str, str]:
    """Train `runs` of the task side by side on the cluster that is connected, storing every epoch.

    Returns run key -> error. The caller holds the runs' locks and has opened them in the store. On a KeyboardInterrupt
    all that reached the driver is stored. Raises ClusterError if the store cannot be written.
    """
    with Delivery(_mailbox(store), store, listener) as delivery:
        parts = {"task": task, "mailbox": delivery.mailbox, "resources": trials.resources}
        trained = tune.with_resources(tune.with_parameters(trainable, **parts), trials.resources.asked)
        tuning = tune.TuneConfig(
            reuse_actors=True,  # a warm worker takes the next trial in 0.1 s; a new one starts in 3 s
            max_concurrent_trials=trials.resources.max_concurrent,
            trial_dirname_creator=lambda trial: trial.trial_id,
        )
        running = tune.RunConfig(
            name="trials",
            storage_path=str(trials.connection.folder / "tune"),
            verbose=2 if trials.connection.verbose else 0,
            callbacks=[Watch(delivery)],
            failure_config=tune.FailureConfig(max_failures=RETRIES),
        )
        space = {"run": tune.grid_search([_plain(run) for run in runs])}
        tune.Tuner(trained, param_space=space, tune_config=tuning, run_config=running).fit()
    delivery.check()
    return delivery.errors


def _plain(run: Run) -> dict[str, Any]:
    """A run as Tune carries it to its trial."""
    return {"key": run.key, "config": dict(run.config), "needs_total": run.config.needs_total}


def _mailbox(store: Store) -> Any:
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(Mailbox).options(num_cpus=0, max_concurrency=1000, scheduling_strategy=here)
    mailbox: Any = actor.remote(str(store.folder.resolve()))
    ray.get(mailbox.take.remote(0))  # it is there; from now on it answers at once
    return mailbox
