"""How long a plan will take: from the store's epoch times of the same kind of run, else from a short probe."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict

from tune_mnist.mnist.config import Conditions, TrainConfig
from tune_mnist.plan.plan import Plan, kind, makespan
from tune_mnist.store.store import Store


def forecast(
    plan: Plan, conditions: Conditions, store: Store, slots: int, probe: Callable[[TrainConfig], float]
) -> tuple[float, str]:
    """(seconds of training, what they come from). `probe` measures the seconds an epoch of a config takes."""
    known = stored_epoch_times(store, conditions)
    stored, probed = set(), {}
    lengths = []
    for run in plan.todo:
        of_kind = kind(asdict(run.config))
        if of_kind in known:
            stored.add(of_kind)
        elif of_kind not in probed:
            probed[of_kind] = probe(run.config)
        lengths.append(run.to_train * (known[of_kind] if of_kind in known else probed[of_kind]))
    return makespan(lengths, slots), _source(len(stored), len(probed))


def _source(stored: int, probed: int) -> str:
    if not probed:
        return "from stored epoch times" if stored else "nothing to train"
    return "from a short probe" if not stored else "from stored epoch times and, for other kinds of run, a short probe"


def stored_epoch_times(store: Store, conditions: Conditions) -> dict[tuple[object, ...], float]:
    """Kind of run -> the median seconds of its epochs, over all runs stored under the same conditions."""
    times: dict[tuple[object, ...], list[float]] = {}
    same = ("dataset", "device", "threads", "precision")
    for key in store.run_keys():
        record = store.record(key)
        if "config" in record and all(
            record.get("conditions", {}).get(name) == getattr(conditions, name) for name in same
        ):
            rows = store.held(key).rows
            times.setdefault(kind(record["config"]), []).extend(
                row["train_time_s"] + row["eval_time_s"] for row in rows
            )
    return {of_kind: statistics.median(seconds) for of_kind, seconds in times.items() if seconds}
