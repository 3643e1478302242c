"""A thousand trials that sleep, on a local Ray that is told it has 64 CPUs: is the driver quick enough? `make scaling`.

All is as in a sweep (plan, store, locks, messages, TensorBoard, log) but the training, which sleeps and then gives a
checkpoint of the CNN's size. Writes bench/scaling.json: how busy the CPUs were, and the memory of the driver and of the
mailbox as trials finished. Run nothing beside it: the worker processes start on this machine's real CPUs.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from tune_mnist.display import progress
from tune_mnist.experiment import Experiment
from tune_mnist.machine import environment
from tune_mnist.machine.devices import conditions
from tune_mnist.mnist import datasets
from tune_mnist.plan import request
from tune_mnist.store.store import Store, now, write_whole
from tune_mnist.tuning.cluster import Cluster
from tune_mnist.tuning.resources import choose

HERE = Path(__file__).parent
CHECKPOINT = 14 << 20  # bytes: the CNN's weights and Adadelta's two averages of each
SAMPLE_S = 5.0
# 64 workers start on few real CPUs: a few at a time, and Ray is to wait for them. A machine with 64 CPUs needs neither.
os.environ |= {"RAY_worker_register_timeout_seconds": "600", "RAY_worker_maximum_startup_concurrency": "4"}


class Sleep:
    """Stands for a training: an epoch that sleeps."""

    epoch = 0

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __iter__(self) -> Iterator[Any]:
        time.sleep(self.seconds)
        # Not training's EpochResult: torch in each of 64 workers would take 20 GB.
        measured = {"lr": 0.01, "train_loss": 1.0, "train_accuracy": 0.5, "test_loss": 1.0, "test_accuracy": 0.5}
        yield SimpleNamespace(epoch=1, **measured, train_time_s=self.seconds, eval_time_s=0.0, cpu_time_s=self.seconds)

    def state(self) -> bytes:
        return os.urandom(CHECKPOINT)


def sleeping(config: dict[str, Any], seconds: float, warm: float, **parts: Any) -> None:
    """A trial of ours, in a worker, that sleeps where it would train: `seconds`, a quarter more or less.

    The first in each worker waits until `warm`, when all are up: a worker that is starting would lose its trial to one
    that is free, and on few real CPUs it starts for a minute, not for 3 s.
    """
    from tune_mnist.tuning import tuner as tuning

    time.sleep(max(0.0, warm - time.time()))
    seconds *= 0.75 + int(config["run"]["key"][:4], 16) / (1 << 17)
    parts_of_ours = vars(tuning)
    parts_of_ours["_training"] = lambda *_: Sleep(seconds)
    parts_of_ours["_saved"] = lambda state: state
    tuning.trainable(config, **parts)


@dataclass
class Watch:
    """Samples, every few seconds: how many trials are stored, and the memory of driver and mailbox in MB."""

    store: Path
    begin: float

    def __post_init__(self) -> None:
        self.samples: list[dict[str, float]] = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        while not self.stop.wait(SAMPLE_S):
            stored = sum(1 for _ in self.store.glob("*/history.jsonl"))
            memory = {"driver_mb": _memory(os.getpid()), "mailbox_mb": sum(map(_memory, _processes("ray::Mailbox")))}
            self.samples.append({"s": round(time.monotonic() - self.begin, 1), "stored": stored, **memory})

    def ended(self) -> list[dict[str, float]]:
        self.stop.set()
        self.thread.join()
        return self.samples


def _processes(name: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(name.encode()):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def _memory(process: int) -> int:
    """Megabytes that are resident."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
    except OSError:
        return 0


def _busy(store: Store, cpus: int) -> dict[str, float]:
    """How busy the CPUs were, by when each trial's epoch was stored and how long it slept before that.

    `all` is from the first trial's start to the last's end. `full` leaves out the end, when no trial is left to start.
    """
    trials = []
    for key in store.run_keys():
        end = (store.folder / key / "history.jsonl").stat().st_mtime
        trials.append((end - float(store.held(key).rows[0]["train_time_s"]), end))
    begin, last, end = min(trials)[0], max(trials)[0], max(end for _, end in trials)
    slept = sum(stop - start for start, stop in trials)
    before = sum(min(stop, last) - start for start, stop in trials)
    return {
        "all": round(slept / cpus / (end - begin), 3),
        "all_s": round(end - begin, 1),
        "full": round(before / cpus / (last - begin), 3),
        "full_s": round(last - begin, 1),
    }


def measure(trials: int, cpus: int, seconds: float, start: float, folder: Path) -> dict[str, Any]:
    """Run the trials; what was measured."""
    lrs = ",".join(f"{index / 10000:g}" for index in range(1, trials + 1))
    asked = request.build(vary=[f"lr={lrs}"], settings=["epochs=1", "model=linear"])
    resources = choose("cpu", None, None, None, False, "fp32", local=True)
    data = datasets.load("digits", folder, print)
    store = Store(folder / "store")
    experiment = Experiment(asked, data, conditions(data, "cpu", 1, "fp32"), store)
    cluster = Cluster(None, cpus)
    with cluster._settings():  # Ray reads them when it is imported
        from tune_mnist.tuning import tuner as tuning
    ours = tuning.trainable
    tuning.trainable = partial(sleeping, seconds=seconds, warm=time.time() + start)
    begin = time.monotonic()
    watch = Watch(store.folder, begin)
    try:
        experiment.train(folder / "results", resources, cluster, Console(quiet=True))
    finally:
        tuning.trainable = ours
    whole, samples = time.monotonic() - begin, watch.ended()
    assert not experiment.errors, experiment.errors
    reported = time.monotonic()
    experiment.write(folder / "results", report=False)
    return {
        "trials": trials,
        "cpus": cpus,
        "seconds_a_trial": seconds,
        "whole_s": round(whole, 1),
        "busy": _busy(store, cpus),
        "tables_s": round(time.monotonic() - reported, 1),
        "samples": samples,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--cpus", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=30, help="a trial sleeps")
    parser.add_argument("--start", type=float, default=300, help="seconds for all workers to start")
    parser.add_argument("--output", type=Path, default=HERE / "scaling.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, progress.heard_on(progress.LogFile()):
        found = measure(options.trials, options.cpus, options.seconds, options.start, Path(folder))
    machine = environment.describe(now(), now(), {})
    facts = {"cpu": machine["cpu"], "packages": machine["packages"]}
    write_whole(options.output, (json.dumps(found | facts, indent=1) + "\n").encode())
    samples = found["samples"]
    busy = found["busy"]
    print(f"{busy['full']:.1%} of {options.cpus} CPUs busy over {busy['full_s']:g} s, until the last trial starts")
    print(f"{busy['all']:.1%} over all {busy['all_s']:g} s of trials; the whole command took {found['whole_s']:g} s")
    for sample in samples[:: max(1, len(samples) // 10)]:
        print(f"{sample['stored']:5} stored: driver {sample['driver_mb']} MB, mailbox {sample['mailbox_mb']} MB")


if __name__ == "__main__":
    main()
