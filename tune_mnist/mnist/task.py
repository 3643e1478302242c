"""MNIST as a task: its words and measures, and how it trains on data that were loaded.

    task = prepared(load("digits", Path("data"), print), device="cpu", threads=1, precision="fp32")

`MNIST` alone, without data, is what options and sweep files are checked against.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tune_mnist.errors import UserError, unknown
from tune_mnist.machine.cpu import cpu_flags
from tune_mnist.machine.devices import device_kind
from tune_mnist.measure import Measure
from tune_mnist.mnist.config import PARAMETERS, TrainConfig, canonical, check_fits
from tune_mnist.mnist.datasets import Dataset
from tune_mnist.mnist.published import published
from tune_mnist.parameter import Parameter
from tune_mnist.task import Config, Epochs, Task

# A stored epoch answers for a new one only under the same version. Raise it whenever a change in training.py,
# networks.py or the digits of datasets.py makes any number differ in any bit or adds one;
# a test holds it against the code's fingerprint.
TRAINING_VERSION = 2
PRECISIONS = ("fp32", "bf16")
BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # /proc/cpuinfo's names; the last is Arm's
STANDARD = Path(__file__).with_name("standard.yaml")  # the three sweeps of the published experiment
TITLES = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST", "kmnist": "KMNIST", "qmnist": "QMNIST"}
MEASURES = (
    Measure("test_accuracy", unit="%", short="accuracy"),
    Measure("test_loss", better="lower", short="loss", least=0),
    Measure("train_accuracy", label="training accuracy", unit="%"),
    Measure("train_loss", label="training loss", better="lower", least=0),
    Measure("lr", label="learning rate", column="epoch_lr", in_points=False),
)
# Only where images are held out: those who hold out none have neither its columns nor its part in the key.
VALIDATION = Parameter("validation", kind="whole", default=0, ge=0, silent="0", later=True)


def _needs_total(config: Mapping[str, Any]) -> bool:
    return bool(config["schedule"] == "cosine")


# Microseconds per image and per step, of one CPU with images of 28 by 28: what counts above all are their ratios.
COSTS = {"cnn": (630.0, 4500.0), "mlp": (7.0, 530.0), "linear": (1.5, 180.0)}


def _cost(config: Mapping[str, Any], images: int = 60_000) -> float:
    size, (image, step) = config["train_size"] or images, COSTS[config["model"]]
    evaluation = images / 18 * image  # a sixth as many images, and a third of the work
    return size * (image + step / float(config["batch_size"])) + evaluation


MNIST = Task(
    name="mnist",
    parameters=PARAMETERS,
    measures=MEASURES,
    # The default falls back to small bundled digits, which nobody may take for MNIST.
    data=Parameter("dataset", default="mnist", values=tuple(TITLES.items())),
    context=(Parameter("precision", bare=True, silent="fp32"),),
    examples="images",
    remark="Training images: over the epoch as it went, with dropout; test images: after it.",
    sweeps=STANDARD,
    reference=published(),
    needs_total=_needs_total,
    canonical=canonical,
    cost=_cost,
    cost_s=1e-6,
)


def validated(task: Task) -> Task:
    """The task with measures of validation data."""
    accuracy = Measure("val_accuracy", label="validation accuracy", unit="%")
    loss = Measure("val_loss", label="validation loss", better="lower", least=0)
    return replace(
        task,
        measures=(*task.measures[:2], accuracy, loss, *task.measures[2:]),
        context=(*task.context, VALIDATION),
        remark=task.remark.replace("test images", "test and validation images"),
    )


def prepared(data: Dataset, device: str, threads: int, precision: str) -> Task:
    """MNIST on these data, ready to be swept: each training on the device, in the precision, on so many threads."""
    task = MNIST if data.validation is None else validated(MNIST)
    images = len(data.train.labels)
    how: dict[str, Any] = {"data": data, "device": device, "threads": threads, "precision": precision}
    sized = tuple(replace(one, none_is=images if one.name == "train_size" else None) for one in MNIST.parameters)
    return replace(
        task,
        train=partial(train, **how),
        measures=_asked_of(task.measures, data),
        parameters=sized,
        conditions=conditions(data, device, threads, precision),
        data_sha256=data.checksums,
        canonical=partial(canonical, images=images),
        check=partial(check_fits, images=images),
        cost=partial(_cost, images=images),
        probe=partial(_probe, **how),
    )


def _asked_of(measures: tuple[Measure, ...], data: Dataset) -> tuple[Measure, ...]:
    """The measures, and how many images were asked. Guessing reaches most by always naming the most common class:
    11.35 % of MNIST's test images.
    """
    asked = {"test_accuracy": data.test, "val_accuracy": data.validation}
    found = {name: split.labels for name, split in asked.items() if split is not None}
    return tuple(
        replace(one, examples=len(found[one.name]), chance=_most_common(found[one.name])) if one.name in found else one
        for one in measures
    )


def _most_common(labels: npt.NDArray[np.int64]) -> float:
    return float(np.bincount(labels).max() / len(labels))


def conditions(data: Dataset, device: str, threads: int, precision: str) -> dict[str, Any]:
    """What is the same for every training of a command on this machine, and shapes its numbers as the config does."""
    held_out = {} if data.validation is None else {VALIDATION.name: len(data.validation.labels)}
    return {
        "dataset": data.name,
        "data_checksum": data.checksum,
        "device": device_kind(device),
        "threads": threads,
        "precision": precision,
        "torch_version": version("torch"),
        "training_version": TRAINING_VERSION,
    } | held_out


def train(
    config: Config, state: Any = None, *, data: Dataset, device: str = "cpu", threads: int = 1, precision: str = "fp32"
) -> Epochs:
    """The training of `config`, from its start or from another's state."""
    from tune_mnist.mnist.training import Training  # not above: a command that trains nothing starts sooner

    check_precision(precision, device, local=True)  # the driver could only check its own machine
    training = Training(TrainConfig(**config), data, device, threads, state, precision)
    while True:
        result = {name: value for name, value in asdict(training.run_epoch()).items() if value is not None}
        del result["epoch"]
        yield result, training.state()


def _probe(config: Config, data: Dataset, device: str, threads: int, precision: str) -> float:
    from tune_mnist.mnist.training import probe_epoch_seconds

    return probe_epoch_seconds(TrainConfig(**config), data, device, threads, precision)


def check_precision(precision: str, device: str, local: bool) -> None:
    """Raise UserError for a precision that is unknown, or that this machine's CPU could only imitate."""
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    if precision == "bf16" and device == "cpu" and local and not BF16_FLAGS & cpu_flags():
        raise UserError(
            "--precision bf16: this CPU has no bf16 instructions and would be many times slower; choose fp32"
        )
