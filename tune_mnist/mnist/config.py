"""TrainConfig: the hyper-parameters of one training, checked at birth; Conditions: what is held around it; their key.

Two trainings with one key give the same numbers, epoch by epoch; that is what lets the store answer for a training.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from tune_mnist.errors import UserError, unknown

MODELS = ("cnn", "mlp", "linear")
OPTIMIZERS = ("adadelta", "sgd", "adam", "adamw")
SCHEDULES = ("step", "cosine")


@dataclass(frozen=True)
class TrainConfig:
    """One training's hyper-parameters. The defaults are the recipe of pytorch/examples' MNIST at the sweeps' baseline.

    `dropout` is the rate after the convolutions; the rate before the last layer is twice that, as 0.25 and 0.5 in
    the recipe. `train_size` takes the first so many training images; None is all of them. Any field may be given as
    text. Raises UserError for a value outside its range, and for one that nothing in this training would look at.
    """

    epochs: int = 5
    batch_size: int = 64
    lr: float = 0.01
    gamma: float = 0.7
    optimizer: str = "adadelta"
    momentum: float = 0.0
    weight_decay: float = 0.0
    dropout: float = 0.25
    model: str = "cnn"
    schedule: str = "step"
    shuffle: bool = True
    train_size: int | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, parse(field.name, getattr(self, field.name)))
        self._refuse_values_without_effect()

    def _refuse_values_without_effect(self) -> None:
        """A sweep over something that the training ignores would show a difference of nothing as a finding."""
        ignored = {
            "momentum": ("optimizer", self.optimizer, self.optimizer != "sgd"),
            "gamma": ("schedule", self.schedule, self.schedule != "step"),
            "dropout": ("model", self.model, self.model == "linear"),
        }
        for name, (by, choice, applies) in ignored.items():
            value, default = getattr(self, name), getattr(TrainConfig, name)
            if applies and value != default:
                raise UserError(
                    f"{name}={value:g} does nothing with {by}={choice}; leave it at {default:g} or change {by}"
                )

    @property
    def shares_prefix(self) -> bool:
        """Whether a longer training passes through this one's epochs: not if the schedule looks at the total."""
        return self.schedule == "step"

    def identity(self) -> dict[str, Any]:
        """All that shapes the training's epochs: everything but `epochs`, and that too if the schedule looks at it."""
        named = asdict(self)
        if self.shares_prefix:
            del named["epochs"]
        return named

    def but(self, **changes: Any) -> TrainConfig:
        """The same config with some values changed, checked again."""
        return replace(self, **changes)


@dataclass(frozen=True)
class Conditions:
    """What is the same for every training of a command, and shapes its numbers as much as the config does."""

    dataset: str
    data_checksum: str
    device: str  # a kind of device, such as "cpu x86_64 AVX2" or "cuda NVIDIA H200"
    threads: int
    precision: str
    torch_version: str
    training_version: int


def run_key(config: TrainConfig, conditions: Conditions, alone: str = "") -> str:
    """16 hexadecimal digits that name the training: equal when all that shapes its numbers is equal.

    `alone` sets a run apart that is to be trained for one point only, although another would give the same numbers.
    """
    record = json.dumps([config.identity(), asdict(conditions), alone], sort_keys=True)
    return hashlib.sha256(record.encode()).hexdigest()[:16]


def parse(name: str, value: object) -> Any:
    """`value`, or text for it, as hyper-parameter `name`'s type; raises a UserError that says the rule."""
    if name in CHOICES:
        if value not in CHOICES[name]:
            raise unknown(name, value, CHOICES[name])
        return value
    read, rule = RULES[name]
    try:
        return read(value)
    except (ValueError, OverflowError):
        shown = f"'{value}'" if isinstance(value, str) else value
        raise UserError(f"{name} must be {rule}, not {shown}") from None


def _whole(low: int, high: float = math.inf) -> Callable[[object], int]:
    def read(value: object) -> int:
        number = int(value) if isinstance(value, str) else value
        if isinstance(number, bool) or not isinstance(number, int) or not low <= number <= high:
            raise ValueError
        return number

    return read


def _number(accepts: Callable[[float], bool]) -> Callable[[object], float]:
    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ValueError
        number = float(value) + 0.0  # -0 is 0
        if not math.isfinite(number) or not accepts(number):
            raise ValueError
        return number

    return read


def _flag(value: object) -> bool:
    named = {"true": True, "false": False, True: True, False: False}
    if not isinstance(value, (str, bool)) or value not in named:
        raise ValueError
    return named[value]


def _size(value: object) -> int | None:
    return None if value is None or value == "all" else _whole(1)(value)


CHOICES = {"optimizer": OPTIMIZERS, "model": MODELS, "schedule": SCHEDULES}
RULES: dict[str, tuple[Callable[[object], Any], str]] = {
    "epochs": (_whole(1), "a whole number of at least 1"),
    "batch_size": (_whole(1), "a whole number of at least 1"),
    "lr": (_number(lambda x: x > 0), "a number above 0"),
    "gamma": (_number(lambda x: 0 < x <= 1), "a number above 0 and at most 1"),
    "momentum": (_number(lambda x: 0 <= x < 1), "a number of at least 0 and below 1"),
    "weight_decay": (_number(lambda x: x >= 0), "a number of at least 0"),
    "dropout": (
        _number(lambda x: 0 <= x < 0.5),
        "a number of at least 0 and below 0.5 (the last layer drops twice it)",
    ),
    "shuffle": (_flag, "true or false"),
    "train_size": (_size, "a whole number of at least 1, or 'all'"),
    "seed": (_whole(0, 2**64 - 1), "a whole number from 0 to 2**64 - 1"),  # what torch's generators take
}
# What a sweep may vary and a baseline may set. The seed is an axis of its own: every point has each.
VARIABLES = tuple(field.name for field in fields(TrainConfig) if field.name != "seed")


def variable(name: str) -> str:
    """`name` with `-` read as `_`, if a sweep may vary it; otherwise a UserError with the choices."""
    plain = name.strip().replace("-", "_")
    if plain not in VARIABLES:
        raise unknown("hyper-parameter", name.strip(), VARIABLES)
    return plain


def check_fits(config: TrainConfig, images: int) -> None:
    """Raise UserError if `config` asks for more than the `images` of the training set, for a subset or for a batch."""
    if config.train_size is not None and config.train_size > images:
        raise UserError(
            f"train_size {config.train_size} is more than the {images} training images; choose at most {images}"
        )
    size = config.train_size or images
    if config.batch_size > size:
        raise UserError(f"batch_size {config.batch_size} is larger than the training set; choose at most {size}")
