"""Tasks for tests: MNIST under made-up conditions, without its data; and the requests of a command line's options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from conftest import HISTORY, rows

from tune_mnist.mnist.task import MNIST
from tune_mnist.plan.request import Options, Request, build
from tune_mnist.task import Config, Task

CONDITIONS: dict[str, Any] = {
    "dataset": "digits",
    "data_checksum": "abc",
    "device": "cpu x86_64 AVX2",
    "threads": 1,
    "precision": "fp32",
    "torch_version": "2.15.0",
    "training_version": 1,
}


def mnist(**conditions: Any) -> Task:
    """MNIST under CONDITIONS, some of them changed."""
    return replace(MNIST, conditions=CONDITIONS | conditions)


def config(**values: Any) -> Config:
    """A config of MNIST."""
    return MNIST.config(values)


def asked(task: Task = MNIST, **options: Any) -> Request:
    """What a command with these options asks of the task."""
    return build(task, Options(**options))


# A loop of a user's own, with a helper, for the tests of more than one machine.
OWN_LOOP = {
    "walk.py": """import time
from strides import stride

def train(config, state=None):
    place = state["place"] if state else 1.0 + config["seed"] / 10
    while True:
        time.sleep(0.3)
        place -= stride(place, config["rate"])
        print("at", place)
        yield {"val_loss": place * place}, {"place": place}
""",
    "strides.py": "def stride(place, rate):\n    return place * rate * 0.7\n",
}
OWN_SWEEP = ("--vary", "rate=0.1,0.2,0.3,0.4", "--set", "epochs=10")


def write_own_loop(folder: Path, seconds: float = 0.3) -> None:
    """The loop and its helper, in the folder; an epoch takes so many seconds, and no processor."""
    for name, text in OWN_LOOP.items():
        (folder / name).write_text(text.replace("sleep(0.3)", f"sleep({seconds})"), "utf-8")


def walked(results: Path) -> list[tuple[str, ...]]:
    """The epochs of a sweep of that loop, wherever they were trained."""
    return sorted((row["rate"], row["epoch"], row["val_loss"]) for row in rows(results / HISTORY))
