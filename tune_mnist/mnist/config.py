"""TrainConfig: the hyper-parameters of one MNIST training, checked at birth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from tune_mnist.errors import UserError
from tune_mnist.parameter import Parameter, When, parameters_of, refuse_without_effect

UNPACED = Parameter(paces=False)


@dataclass(frozen=True)
class TrainConfig:
    """One training's hyper-parameters. The defaults are the recipe of pytorch/examples' MNIST at the sweeps' baseline.

    `dropout` is the rate after the convolutions; the rate before the last layer, `dropout_last`, follows the recipe
    unless it is given (`last_dropout`). `train_size` takes the first so many training images; None is all of them. Any
    field may be given as text. Raises UserError for a value outside its range, and for one that nothing in this
    training would look at.
    """

    model: Annotated[Literal["cnn", "mlp", "linear"], Parameter(bare=True)] = "cnn"
    optimizer: Annotated[
        Literal["adadelta", "sgd", "adam", "adamw", "rmsprop", "nadam"], Parameter(bare=True, tuned_with="lr")
    ] = "adadelta"
    # "gamma 0.7" says that the schedule is the one of steps.
    schedule: Annotated[Literal["step", "cosine"], Parameter(silent="step", paces=False)] = "step"
    epochs: Annotated[int, Field(ge=1), UNPACED] = 5
    batch_size: Annotated[int, Field(ge=1), Parameter(short="batch", log=2)] = 64
    lr: Annotated[float, Field(gt=0), Parameter(label="learning rate", log=10, paces=False)] = 0.01
    gamma: Annotated[float, Field(gt=0, le=1), Parameter(paces=False), When(schedule="step")] = 0.7
    momentum: Annotated[
        float, Field(ge=0, lt=1), Parameter(silent="0", paces=False), When(optimizer=["sgd", "rmsprop"])
    ] = 0.0
    weight_decay: Annotated[float, Field(ge=0), Parameter(silent="0", log=10, paces=False)] = 0.0
    dropout: Annotated[float, Field(ge=0, lt=1), UNPACED, When(model=["cnn", "mlp"])] = 0.25
    dropout_last: Annotated[
        float | None,
        Field(ge=0, lt=1),
        Parameter(label="last layer's dropout", none="recipe", silent="recipe", later=True, paces=False),
        When(model="cnn"),
    ] = None
    shuffle: Annotated[bool, UNPACED] = True
    train_size: Annotated[int | None, Field(ge=1), Parameter(label="training set size", none="all", log=10)] = None
    seed: Annotated[int, Field(ge=0, le=2**64 - 1), UNPACED] = 1  # what torch's generators take

    def __post_init__(self) -> None:
        for one in PARAMETERS:
            object.__setattr__(self, one.name, one.read(getattr(self, one.name)))
        refuse_without_effect(PARAMETERS, vars(self))

    @property
    def last_dropout(self) -> float:
        """The rate before the last layer."""
        return by_recipe(self.dropout) if self.dropout_last is None else self.dropout_last

    def but(self, **changes: Any) -> TrainConfig:
        """The same config with some values changed, checked again."""
        return replace(self, **changes)


def by_recipe(dropout: float) -> float:
    """The rate before the last layer: twice that after the convolutions, as 0.25 and 0.5 in the recipe; the same rate
    where twice it would leave nothing.
    """
    return 2 * dropout if dropout < 0.5 else dropout


PARAMETERS = parameters_of(TrainConfig)
NAMES = tuple(field.name for field in fields(TrainConfig))


def canonical(values: Mapping[str, Any], images: int | None = None) -> dict[str, Any]:
    """The values as the same training usually has them: nothing is trained twice because it was written otherwise."""
    found = dict(values)
    if values["dropout_last"] == by_recipe(values["dropout"]):
        found["dropout_last"] = None
    if values["train_size"] == images:
        found["train_size"] = None
    return found


def check_fits(config: Mapping[str, Any], images: int) -> None:
    """Raise UserError if `config` asks for more than the `images` of the training set, for a subset or for a batch."""
    train_size, batch_size = config["train_size"], config["batch_size"]
    if train_size is not None and train_size > images:
        raise UserError(f"train_size {train_size} is more than the {images} training images; choose at most {images}")
    size = train_size or images
    if batch_size > size:
        raise UserError(f"batch_size {batch_size} is larger than the training set; choose at most {size}")
