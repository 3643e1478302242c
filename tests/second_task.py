"""A task beside MNIST: a made-up loop with its own parameters and two measures, of which the lower loss is better.

    python tests/second_task.py FOLDER rate=0.1,1 [--set epochs=4] [--seeds 3]

Nothing outside of this file knows it. The sweep's store is FOLDER/store, its results are FOLDER/results.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from tune_mnist.display.live import Display
from tune_mnist.display.log import ConsoleLines, LogFile, console, listening
from tune_mnist.experiment import Experiment
from tune_mnist.machine.devices import device_kind
from tune_mnist.measure import Measure
from tune_mnist.parameter import Parameter, parameters_of
from tune_mnist.plan.request import Options, build
from tune_mnist.results.folder import log_name, prepare_folder
from tune_mnist.store.store import Store
from tune_mnist.task import Config, Task
from tune_mnist.tuning.cluster import Cluster
from tune_mnist.tuning.resources import Asked, choose


@dataclass(frozen=True)
class Hill:
    """Where the loop starts and how far it steps."""

    rate: Annotated[float, Field(gt=0), Parameter(label="step size", log=10)] = 0.1
    width: Annotated[int, Field(ge=1)] = 8
    epochs: Annotated[int, Field(ge=1), Parameter(paces=False)] = 3
    seed: Annotated[int, Field(ge=0), Parameter(paces=False)] = 1


def train(config: Config, state: Any = None) -> Iterator[tuple[dict[str, float], dict[str, Any]]]:
    """Walk down a noisy hill."""
    place, epoch = (state["place"], state["epoch"]) if state else (1.0, 0)
    while True:
        epoch += 1
        noise = random.Random(f"{config['seed']} {epoch}").uniform(-0.01, 0.01)
        place -= place * min(config["rate"], 1.0) * 0.5 + noise / config["width"]
        yield {"val_loss": place * place + 3.0, "val_score": 100.0 - place}, {"place": place, "epoch": epoch}


HILL = Task(
    name="hill",
    train=train,
    parameters=parameters_of(Hill),
    measures=(Measure("val_loss", better="lower"), Measure("val_score", label="score")),
    conditions={"device": device_kind("cpu"), "threads": 1, "version": "1"},
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("vary", nargs="+")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    request = build(HILL, Options(vary=given.vary, settings=given.set, seeds=given.seeds))
    results, log_file, screen = given.folder / "results", LogFile(), console()
    prepare_folder(results)
    with Display(screen) as display, listening(ConsoleLines(screen)), listening(log_file):
        log_file.open(results / log_name(HILL.name))
        experiment = Experiment(request, HILL, Store(given.folder / "store"))
        print(f"to train: {experiment.plan.epochs_to_train}")
        experiment.train(results, choose(Asked(device="cpu"), local=True), Cluster(cpus=2), display)
        assert not experiment.errors, experiment.errors
        experiment.write(results)


if __name__ == "__main__":
    main()
