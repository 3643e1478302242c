"""Hyper-parameters: what each accepts, the exact line that refuses the rest, and which trainings share a key."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tasks import config

from tune_mnist.errors import UserError
from tune_mnist.mnist.config import TrainConfig
from tune_mnist.mnist.task import MNIST
from tune_mnist.task import Config, run_key

CONDITIONS: dict[str, Any] = {"dataset": "mnist", "data_checksum": "abc", "device": "cpu x86_64 AVX2", "threads": 1}
CONDITIONS |= {"precision": "fp32", "torch_version": "2.15.0", "training_version": 1}
NAN, INF = float("nan"), float("inf")
WHOLE = "a whole number of at least 1"
DROPOUT = "a number of at least 0 and below 1"
OPTIMIZERS = "adadelta, sgd, adam, adamw, rmsprop, nadam"

# What each hyper-parameter may be given as, typed or as text, and what it then is.
ACCEPTED: list[tuple[str, object, object]] = [
    ("epochs", 1, 1),
    ("epochs", "15", 15),
    ("batch_size", "64", 64),
    ("lr", "1e-3", 0.001),
    ("lr", 1, 1.0),
    ("gamma", "1", 1.0),
    ("weight_decay", "0", 0.0),
    ("weight_decay", 0.5, 0.5),
    ("dropout", "0", 0.0),
    ("dropout", 0.49, 0.49),
    ("dropout", 0.7, 0.7),
    ("dropout_last", "recipe", None),
    ("dropout_last", "0.5", 0.5),
    ("lr", " .5 ", 0.5),
    ("lr", "'1e-3'", 0.001),
    ("weight_decay", "−0", 0.0),
    ("shuffle", "Yes", True),
    ("shuffle", "false", False),
    ("shuffle", "true", True),
    ("shuffle", False, False),
    ("shuffle", "yes", True),
    ("shuffle", "No", False),
    ("shuffle", "TRUE", True),
    ("shuffle", "off", False),
    ("train_size", "all", None),
    ("train_size", None, None),
    ("train_size", "1000", 1000),
    ("seed", "0", 0),
    ("optimizer", "adamw", "adamw"),
    ("optimizer", "Adam", "adam"),
    ("optimizer", "RMSprop", "rmsprop"),
    ("optimizer", "SGD", "sgd"),
    ("optimizer", "NAdam", "nadam"),
    ("model", "CNN", "cnn"),
    ("model", "linear", "linear"),
    ("schedule", "step", "step"),
]
REFUSED: list[tuple[str, object, str]] = [
    ("epochs", 0, f"epochs must be {WHOLE}, not 0"),
    ("epochs", "0", f"epochs must be {WHOLE}, not '0'"),
    ("epochs", "five", f"epochs must be {WHOLE}, not 'five'"),
    ("epochs", "2.0", f"epochs must be {WHOLE}, not '2.0'"),
    ("epochs", 2.0, f"epochs must be {WHOLE}, not 2.0"),
    ("epochs", True, f"epochs must be {WHOLE}, not True"),
    ("epochs", NAN, f"epochs must be {WHOLE}, not nan"),
    ("epochs", "", f"epochs must be {WHOLE}, not ''"),
    ("epochs", None, f"epochs must be {WHOLE}, not None"),
    ("batch_size", -64, f"batch_size must be {WHOLE}, not -64"),
    ("batch_size", "64.5", f"batch_size must be {WHOLE}, not '64.5'"),
    ("batch_size", False, f"batch_size must be {WHOLE}, not False"),
    ("lr", 0, "lr must be a number above 0, not 0"),
    ("lr", "-0.1", "lr must be a number above 0, not '-0.1'"),
    ("lr", "nan", "lr must be a number above 0, not 'nan'"),
    ("lr", NAN, "lr must be a number above 0, not nan"),
    ("lr", INF, "lr must be a number above 0, not inf"),
    ("lr", "1e999", "lr must be a number above 0, not '1e999'"),
    ("lr", "fast", "lr must be a number above 0, not 'fast'"),
    ("lr", True, "lr must be a number above 0, not True"),
    ("lr", [0.1], "lr must be a number above 0, not [0.1]"),
    ("gamma", 0, "gamma must be a number above 0 and at most 1, not 0"),
    ("gamma", 1.1, "gamma must be a number above 0 and at most 1, not 1.1"),
    ("gamma", NAN, "gamma must be a number above 0 and at most 1, not nan"),
    ("momentum", 1, "momentum must be a number of at least 0 and below 1, not 1"),
    ("momentum", "-0.5", "momentum must be a number of at least 0 and below 1, not '-0.5'"),
    ("weight_decay", -1e-9, "weight_decay must be a number of at least 0, not -1e-09"),
    ("weight_decay", INF, "weight_decay must be a number of at least 0, not inf"),
    ("dropout", 1, f"dropout must be {DROPOUT}, not 1"),
    ("dropout_last", 1, f"dropout_last must be {DROPOUT}, or 'recipe', not 1"),
    ("dropout", "-0.1", f"dropout must be {DROPOUT}, not '-0.1'"),
    ("dropout", NAN, f"dropout must be {DROPOUT}, not nan"),
    ("shuffle", "maybe", "shuffle must be true or false, not 'maybe'"),
    ("shuffle", 1, "shuffle must be true or false, not 1"),
    ("shuffle", 0, "shuffle must be true or false, not 0"),
    ("train_size", 0, f"train_size must be {WHOLE}, or 'all', not 0"),
    ("train_size", "some", f"train_size must be {WHOLE}, or 'all', not 'some'"),
    ("train_size", True, f"train_size must be {WHOLE}, or 'all', not True"),
    ("seed", -1, "seed must be a whole number from 0 to 2**64 - 1, not -1"),
    ("seed", 1.0, "seed must be a whole number from 0 to 2**64 - 1, not 1.0"),
    ("seed", True, "seed must be a whole number from 0 to 2**64 - 1, not True"),
    ("model", "resnet", "unknown model 'resnet'; choose from: cnn, mlp, linear"),
    ("optimizer", "adm", f"unknown optimizer 'adm' (did you mean 'adam'?); choose from: {OPTIMIZERS}"),
    ("optimizer", None, f"unknown optimizer 'None'; choose from: {OPTIMIZERS}"),
    ("schedule", "linear", "unknown schedule 'linear'; choose from: step, cosine"),
]
WITHOUT_EFFECT: list[tuple[dict[str, Any], str]] = [
    ({"momentum": 0.9}, "momentum=0.9 does nothing with optimizer=adadelta; leave it at 0 or change optimizer"),
    (
        {"momentum": 0.9, "optimizer": "adam"},
        "momentum=0.9 does nothing with optimizer=adam; leave it at 0 or change optimizer",
    ),
    (
        {"gamma": 0.9, "schedule": "cosine"},
        "gamma=0.9 does nothing with schedule=cosine; leave it at 0.7 or change schedule",
    ),
    (
        {"dropout": 0.1, "model": "linear"},
        "dropout=0.1 does nothing with model=linear; leave it at 0.25 or change model",
    ),
]
# For each hyper-parameter another value than the default's, beside which all else stays valid.
OTHER: dict[str, Any] = {
    "epochs": 6,
    "batch_size": 32,
    "lr": 0.1,
    "gamma": 0.8,
    "optimizer": "sgd",
    "momentum": 0.5,
    "weight_decay": 0.1,
    "dropout": 0.1,
    "dropout_last": 0.3,
    "model": "mlp",
    "schedule": "cosine",
    "shuffle": False,
    "train_size": 100,
    "seed": 2,
}


def key(one: Config, apart: str = "", **conditions: Any) -> str:
    """The run's key under CONDITIONS, some of them changed."""
    return run_key(one, CONDITIONS | conditions, apart)


@pytest.mark.parametrize(("name", "given", "value"), ACCEPTED)
def test_an_accepted_value_has_its_own_type(name: str, given: Any, value: object) -> None:
    """True == 1 == 1.0: the type is looked at too."""
    read = getattr(TrainConfig(**{name: given}), name)
    assert (type(read), read) == (type(value), value)


@pytest.mark.parametrize(("name", "given", "message"), REFUSED)
def test_a_refused_value_is_named_with_its_rule(name: str, given: Any, message: str) -> None:
    with pytest.raises(UserError) as refused:
        TrainConfig(**{name: given})
    assert str(refused.value) == message


@pytest.mark.parametrize(("values", "message"), WITHOUT_EFFECT)
def test_a_value_that_nothing_looks_at_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as refused:
        TrainConfig(**values)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    "values",
    [
        {"momentum": 0.9, "optimizer": "sgd"},
        {"gamma": 0.9},
        {"dropout": 0.1, "model": "mlp"},
        {"momentum": 0.0, "gamma": 0.7, "dropout": 0.25, "model": "linear", "schedule": "cosine"},
    ],
)
def test_a_value_with_effect_or_at_its_default_is_accepted(values: dict[str, Any]) -> None:
    assert asdict(TrainConfig(**values)).items() >= values.items()


def test_a_seed_that_torch_cannot_take_is_refused() -> None:
    """torch.Generator.manual_seed takes 64 bits."""
    assert TrainConfig(seed=2**64 - 1).seed == 2**64 - 1
    with pytest.raises(UserError, match=r"^seed must be a whole number"):
        TrainConfig(seed=2**64)


def test_a_changed_config_is_checked_again() -> None:
    with pytest.raises(UserError, match=r"^lr must be"):
        TrainConfig().but(lr=0)


def test_the_defaults_are_the_recipe_at_the_published_baseline() -> None:
    assert asdict(TrainConfig()) == {
        "epochs": 5,
        "batch_size": 64,
        "lr": 0.01,
        "gamma": 0.7,
        "optimizer": "adadelta",
        "momentum": 0.0,
        "weight_decay": 0.0,
        "dropout": 0.25,
        "dropout_last": None,
        "model": "cnn",
        "schedule": "step",
        "shuffle": True,
        "train_size": None,
        "seed": 1,
    }


def test_every_hyper_parameter_of_the_issue_can_be_varied_and_the_seed_cannot() -> None:
    asked = {"epochs", "batch_size", "lr", "gamma", "optimizer", "momentum", "weight_decay", "dropout", "model"}
    assert set(MNIST.variables) == {*asked, "dropout_last", "shuffle", "train_size", "schedule"}


def test_a_hyphen_in_a_name_is_an_underscore() -> None:
    assert MNIST.variable(" batch-size ").name == "batch_size"


def test_an_unknown_hyper_parameter_is_named_with_the_choices() -> None:
    with pytest.raises(UserError) as refused:
        MNIST.variable("batch_sizes")
    assert str(refused.value) == (
        "unknown hyper-parameter 'batch_sizes' (did you mean 'batch_size'?); choose from: model, optimizer, "
        "schedule, epochs, batch_size, lr, gamma, momentum, weight_decay, dropout, dropout_last, shuffle, train_size"
    )


def test_the_table_of_other_values_has_every_hyper_parameter() -> None:
    assert set(OTHER) == {field.name for field in fields(TrainConfig)}


@given(st.integers(1, 10_000), st.integers(1, 10_000))
@settings(deadline=None)
def test_a_step_schedules_key_does_not_look_at_the_epochs(one: int, other: int) -> None:
    assert key(config(epochs=one)) == key(config(epochs=other))


def test_a_cosine_schedules_key_looks_at_the_epochs() -> None:
    assert key(config(schedule="cosine", epochs=5)) != key(config(schedule="cosine", epochs=6))


@pytest.mark.parametrize("name", [name for name in OTHER if name != "epochs"])
def test_the_key_looks_at_every_other_hyper_parameter(name: str) -> None:
    base = config(optimizer="sgd") if name == "momentum" else config()
    assert key(MNIST.config(base, **{name: OTHER[name]})) != key(base)


@pytest.mark.parametrize("name", list(CONDITIONS))
def test_the_key_looks_at_every_condition(name: str) -> None:
    other = CONDITIONS[name] * 2
    assert key(config(), **{name: other}) != key(config())


def test_a_run_set_apart_has_a_key_of_its_own() -> None:
    assert len({key(config()), key(config(), "a"), key(config(), "b")}) == 3


@given(
    st.builds(
        dict,
        epochs=st.integers(1, 50),
        batch_size=st.integers(1, 500),
        lr=st.floats(1e-6, 10),
        dropout=st.floats(0, 0.49),
        seed=st.integers(0, 99),
    )
)
@settings(deadline=None)
def test_equal_configs_have_one_key_whether_typed_or_as_text(values: dict[str, Any]) -> None:
    as_text: dict[str, Any] = {name: repr(value) for name, value in values.items()}
    assert key(config(**values)) == key(config(**as_text))


def test_zero_and_minus_zero_are_one_training() -> None:
    assert key(config(weight_decay=-0.0)) == key(config(weight_decay=0.0))


def test_the_key_is_the_same_in_another_process_and_another_year() -> None:
    """It names folders of stores that people have: a change here makes all that they have trained unknown."""
    assert key(config()) == "e1420d814a2aa977"


def test_what_a_training_is_without_its_length() -> None:
    said = {name: value for name, value in asdict(TrainConfig()).items() if name not in ("epochs", "dropout_last")}
    assert config(epochs=7).identity() == said
