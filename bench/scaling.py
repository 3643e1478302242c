"""A thousand trials that sleep, on a local Ray that is told it has 64 CPUs: is the driver quick enough? `make scaling`.

All is as in a sweep (plan, store, locks, messages, TensorBoard, log) but the task, which sleeps and then gives a
checkpoint of the CNN's size. Writes bench/scaling.json: how busy the CPUs were, and the memory of the driver and of the
mailbox as trials finished. Run nothing beside it: the worker processes start on this machine's real CPUs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from tune_mnist.background import Background
from tune_mnist.display.live import Display
from tune_mnist.display.log import LogFile, listening
from tune_mnist.experiment import Experiment
from tune_mnist.files import now, write_whole
from tune_mnist.machine import environment
from tune_mnist.machine.devices import device_kind
from tune_mnist.mnist.task import MEASURES
from tune_mnist.parameter import Parameter
from tune_mnist.plan.request import Options, build
from tune_mnist.store.store import Store
from tune_mnist.task import Config, Epochs, Task
from tune_mnist.tuning.cluster import Cluster
from tune_mnist.tuning.resources import Asked, choose

HERE = Path(__file__).parent
CHECKPOINT = 14 << 20  # bytes: the CNN's weights and Adadelta's two averages of each
METRICS = dict.fromkeys((one.name for one in MEASURES), 0.5)
SAMPLE_S = 5.0
PARAMETERS = (
    Parameter("lr", "number", 0.01, gt=0),
    Parameter("epochs", "whole", 1, ge=1),
    Parameter("seed", "whole", 1, ge=0),
)
# 64 workers start on few real CPUs: a few at a time, and Ray is to wait for them. A machine with 64 CPUs needs neither.
os.environ |= {"RAY_worker_register_timeout_seconds": "600", "RAY_worker_maximum_startup_concurrency": "4"}


def train(config: Config, state: Any = None, *, seconds: float, warm: float) -> Epochs:  # noqa: ARG001
    """Epochs that sleep for `seconds`, a quarter more or less, and end with random bytes for a state.

    The first in each worker waits until `warm`, when all are up: a worker that is starting would lose its trial to one
    that is free, and on few real CPUs it starts for a minute, not for 3 s.
    """
    time.sleep(max(0.0, warm - time.time()))
    seconds *= random.Random(config["lr"]).uniform(0.75, 1.25)
    times = {"train_time_s": seconds, "eval_time_s": 0.0, "cpu_time_s": seconds}
    while True:
        time.sleep(seconds)
        # Bytes, and no tensors: torch in each of 64 workers would take 20 GB.
        yield {**METRICS, **times}, os.urandom(CHECKPOINT)


def sleeping(seconds: float, warm: float) -> Task:
    """A task that trains nothing."""
    conditions = {"device": device_kind("cpu"), "threads": 1}
    return Task("sleep", partial(train, seconds=seconds, warm=warm), PARAMETERS, MEASURES, conditions)


class Watch(Background):
    """Samples, every few seconds: how many trials are stored, and the memory of driver and mailbox in MB."""

    def __init__(self, store: Path) -> None:
        super().__init__("watch", self._look, SAMPLE_S)
        self.store, self.begin = store, time.monotonic()
        self.samples: list[dict[str, float]] = []

    def seconds(self) -> float:
        """Since its begin."""
        return round(time.monotonic() - self.begin, 1)

    def _look(self) -> None:
        stored = sum(1 for _ in self.store.glob("*/history.jsonl"))
        memory = {"driver_mb": _memory(os.getpid()), "mailbox_mb": sum(map(_memory, _processes("ray::Mailbox")))}
        self.samples.append({"s": self.seconds(), "stored": stored, **memory})


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


def measure(trials: int, cpus: int, task: Task, folder: Path) -> dict[str, Any]:
    """Run so many trials of the task; what was measured."""
    lrs = ",".join(f"{index / 10000:g}" for index in range(1, trials + 1))
    store = Store(folder / "store")
    experiment = Experiment(build(task, Options(vary=[f"lr={lrs}"])), task, store)
    display = Display(Console(quiet=True))
    with Watch(store.folder) as watch:
        experiment.train(folder / "results", choose(Asked("cpu"), local=True), Cluster(None, cpus), display)
        whole = watch.seconds()
    assert not experiment.errors, experiment.errors
    reported = time.monotonic()
    experiment.write(folder / "results", report=False)
    return {
        "trials": trials,
        "cpus": cpus,
        "whole_s": whole,
        "busy": _busy(store, cpus),
        "tables_s": round(time.monotonic() - reported, 1),
        "samples": watch.samples,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--cpus", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=30, help="a trial sleeps")
    parser.add_argument("--start", type=float, default=300, help="seconds for all workers to start")
    parser.add_argument("--output", type=Path, default=HERE / "scaling.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, listening(LogFile()):
        task = sleeping(options.seconds, time.time() + options.start)
        found = measure(options.trials, options.cpus, task, Path(folder))
    machine = environment.describe(now(), now(), {})
    facts = {"seconds_a_trial": options.seconds, "cpu": machine["cpu"], "packages": machine["packages"]}
    write_whole(options.output, (json.dumps(found | facts, indent=1) + "\n").encode())
    samples = found["samples"]
    busy = found["busy"]
    print(f"{busy['full']:.1%} of {options.cpus} CPUs busy over {busy['full_s']:g} s, until the last trial starts")
    print(f"{busy['all']:.1%} over all {busy['all_s']:g} s of trials; the whole command took {found['whole_s']:g} s")
    for sample in samples[:: max(1, len(samples) // 10)]:
        print(f"{sample['stored']:5} stored: driver {sample['driver_mb']} MB, mailbox {sample['mailbox_mb']} MB")


if __name__ == "__main__":
    main()
