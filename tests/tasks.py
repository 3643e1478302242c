"""Tasks for tests: MNIST under made-up conditions, without its data; and the requests of a command line's options."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

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
