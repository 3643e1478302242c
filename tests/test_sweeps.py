"""Sweeps, and the request that a command's options make of them: which points are asked, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tasks import asked, config

from tune_mnist.errors import UserError
from tune_mnist.mnist.task import MNIST
from tune_mnist.plan.request import Request
from tune_mnist.plan.sweeps import Sweep, one_variable

FILE = """\
name: mine
baseline: {epochs: 2, batch_size: 16}
vary:
  lr: [0.1, 0.2]
  epochs: [1, 2, 3]
cross:
  optimizer: [sgd, adam]
  weight_decay: [0.0, 0.1]
seeds: 2
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(FILE)
    return path


def names(request: Request) -> list[str]:
    return [sweep.name for sweep in request.sweeps]


def configs(request: Request, name: str) -> list[Any]:
    """The values of hyper-parameter `name`, a point each."""
    return [point.config[name] for point in request.points]


def refusal(**options: Any) -> str:
    """The line that refuses the request."""
    with pytest.raises(UserError) as refused:
        asked(**options)
    return str(refused.value)


def test_the_standard_sweeps_are_the_published_ones() -> None:
    found = {sweep.name: dict(sweep.space) for sweep in asked().sweeps}
    assert found == {
        "epochs": {"epochs": (1, 3, 5, 10, 15)},
        "batch": {"batch_size": (32, 64, 128, 256)},
        "lr": {"lr": (0.001, 0.005, 0.01, 0.05)},
    }


def test_the_standard_sweeps_ask_for_13_points() -> None:
    assert len(asked().points) == 13


def test_the_standard_sweeps_ask_for_74_epochs() -> None:
    assert sum(configs(asked(), "epochs")) == 74


def test_a_point_differs_from_the_baseline_in_its_variable_only() -> None:
    request = asked()
    changed = [
        {name for name, value in point.config.items() if value != request.baseline[name]} for point in request.points
    ]
    assert all(differs <= {p.variable} for p, differs in zip(request.points, changed, strict=True))


def test_sweep_takes_some_of_the_standard_ones_in_the_order_asked() -> None:
    assert names(asked(sweep=["lr", "epochs"])) == ["lr", "epochs"]


def test_a_sweep_asked_for_twice_by_name_is_one() -> None:
    assert names(asked(sweep=["lr", "lr"])) == ["lr"]


def test_vary_alone_is_all_there_is() -> None:
    request = asked(vary=["lr=0.01, 0.05"])
    assert (names(request), configs(request, "lr")) == (["lr"], [0.01, 0.05])


def test_vary_beside_sweep_adds_to_it() -> None:
    assert names(asked(sweep=["lr"], vary=["dropout=0,0.25", "gamma=0.5,1"])) == ["lr", "dropout", "gamma"]


def test_vary_takes_every_hyper_parameter_with_a_hyphen_or_an_underscore() -> None:
    assert configs(asked(vary=["batch-size=8,16"]), "batch_size") == [8, 16]


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("epochs=1,2", [1, 2]),
        ("batch_size=1,2", [1, 2]),
        ("lr=1e-3,1", [0.001, 1.0]),
        ("gamma=0.5,1", [0.5, 1.0]),
        ("optimizer=sgd,adam,adamw,adadelta", ["sgd", "adam", "adamw", "adadelta"]),
        ("weight_decay=0,0.1", [0.0, 0.1]),
        ("dropout=0,0.1", [0.0, 0.1]),
        ("model=cnn,mlp,linear", ["cnn", "mlp", "linear"]),
        ("schedule=step,cosine", ["step", "cosine"]),
        ("shuffle=true,false", [True, False]),
        ("train_size=100,all", [100, None]),
    ],
)
def test_a_varied_value_reaches_its_point(option: str, values: list[object]) -> None:
    assert configs(asked(vary=[option]), option.partition("=")[0]) == values


def test_momentum_can_be_varied_where_it_has_an_effect() -> None:
    assert configs(asked(vary=["momentum=0,0.9"], settings=["optimizer=sgd"]), "momentum") == [0.0, 0.9]


def test_set_moves_the_baseline_of_every_sweep() -> None:
    request = asked(settings=["weight-decay=0.1", "train_size=1000"])
    assert {(p.config["weight_decay"], p.config["train_size"]) for p in request.points} == {(0.1, 1000)}


def test_set_leaves_a_sweeps_own_values() -> None:
    assert configs(asked(sweep=["epochs"], settings=["epochs=2"]), "epochs") == [1, 3, 5, 10, 15]


def test_set_reaches_the_baseline_that_plots_and_names_use() -> None:
    assert asked(settings=["epochs=2"]).baseline.epochs == 2


def test_seeds_give_each_point_each_seed_from_the_first_on() -> None:
    request = asked(vary=["lr=0.1,0.2"], seed=7, seeds=3)
    found = [(point.value, point.config["seed"]) for point in request.points]
    assert found == [(lr, seed) for lr in (0.1, 0.2) for seed in (7, 8, 9)]


def test_the_seed_is_1_unless_asked() -> None:
    assert asked().seeds == (1,)


def test_a_sweep_files_sweeps_are_run_instead_of_the_standard_ones(file: Path) -> None:
    assert (asked(config=file).name, names(asked(config=file))) == ("mine", ["lr", "epochs", "cross"])


def test_a_sweep_files_baseline_and_seeds_are_used(file: Path) -> None:
    request = asked(config=file, sweep=["lr"])
    found = {(point.config["batch_size"], point.config.epochs, point.config["seed"]) for point in request.points}
    assert found == {(16, 2, 1), (16, 2, 2)}


def test_options_override_the_sweep_file(file: Path) -> None:
    request = asked(config=file, sweep=["lr"], settings=["batch_size=4"], seeds=1, seed=5)
    found = {(point.config["batch_size"], point.config.epochs, point.config["seed"]) for point in request.points}
    assert found == {(4, 2, 5)}


def test_vary_keeps_the_sweep_files_baseline(file: Path) -> None:
    assert set(configs(asked(config=file, vary=["gamma=0.5,1"]), "batch_size")) == {16}


def test_a_cross_is_every_combination(file: Path) -> None:
    request = asked(config=file, sweep=["cross"], seeds=1)
    found = [(point.config["optimizer"], point.config["weight_decay"]) for point in request.points]
    assert found == [("sgd", 0.0), ("sgd", 0.1), ("adam", 0.0), ("adam", 0.1)]


def test_a_crosss_point_is_labelled_with_all_of_its_variables(file: Path) -> None:
    point = asked(config=file, sweep=["cross"]).points[-1]
    assert (point.variable, point.value) == ("optimizer*weight_decay", "adam*0.1")


def test_an_unknown_sweep_is_named_with_the_choices() -> None:
    assert refusal(sweep=["lrr"]) == "unknown sweep 'lrr' (did you mean 'lr'?); choose from: epochs, batch, lr"


def test_an_unknown_sweep_of_a_file_is_named_with_the_files_choices(file: Path) -> None:
    assert refusal(config=file, sweep=["batch"]) == "unknown sweep 'batch'; choose from: lr, epochs, cross"


@pytest.mark.parametrize("option", ["vary", "settings"])
def test_an_unknown_hyper_parameter_is_named_with_the_choices(option: str) -> None:
    line = refusal(**{option: ["warmup=0.1"]})
    assert line.startswith("unknown hyper-parameter 'warmup'; choose from: model, optimizer, ")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"vary": ["lr=0.1,0"]}, "lr must be a number above 0, not '0'"),
        ({"vary": ["lr=0.1,,0.2"]}, "lr must be a number above 0, not ''"),
        ({"vary": ["epochs=1,2.5"]}, "epochs must be a whole number of at least 1, not '2.5'"),
        ({"vary": ["model=cnn,rnn"]}, "unknown model 'rnn' (did you mean 'cnn'?); choose from: cnn, mlp, linear"),
        ({"settings": ["lr=nan"]}, "lr must be a number above 0, not 'nan'"),
        ({"settings": ["lr="]}, "lr must be a number above 0, not ''"),
        ({"settings": ["shuffle=maybe"]}, "shuffle must be true or false, not 'maybe'"),
        ({"vary": ["lr="]}, "lr has no values to vary; give some, as in --vary lr=A,B"),
        ({"vary": ["lr=0.1,0.10"]}, "lr=0.1 stands twice in its list of values; give each once"),
        ({"vary": ["epochs=3,3"]}, "epochs=3 stands twice in its list of values; give each once"),
        ({"vary": ["lr=0.1", "lr=0.2"]}, "--vary lr is given twice; give it once"),
        ({"vary": ["batch-size=1", "batch_size=2"]}, "--vary batch_size is given twice; give it once"),
        ({"settings": ["lr=0.1", "lr=0.2"]}, "--set lr is given twice; give it once"),
        (
            {"sweep": ["batch"], "vary": ["batch_size=8"]},
            "sweep 'batch' is asked for twice; give its values in one --vary, or leave out --sweep batch",
        ),
        ({"seeds": 0}, "seeds must be a whole number of at least 1, not 0"),
        ({"seed": -1}, "seed must be a whole number from 0 to 2**64 - 1, not -1"),
    ],
)
def test_a_bad_option_is_refused_in_one_line(options: dict[str, Any], line: str) -> None:
    assert refusal(**options) == line


@pytest.mark.parametrize(("option", "text"), [("vary", "lr"), ("settings", "lr"), ("settings", "=3"), ("vary", "")])
def test_an_option_without_a_name_or_a_value_is_shown_as_it_was_given(option: str, text: str) -> None:
    given = "--set" if option == "settings" else "--vary"
    line = refusal(**{option: [text]})
    assert line.startswith(f"{given} takes NAME=")
    assert line.endswith(f"not '{text}'")


def test_a_value_that_does_not_go_with_the_baseline_is_refused_before_anything_runs() -> None:
    assert refusal(vary=["momentum=0,0.9"]) == (
        "momentum=0.9 does nothing with optimizer=adadelta; leave it at 0 or change optimizer"
    )


def test_all_images_given_twice_is_named_as_it_was_written() -> None:
    assert refusal(vary=["train_size=all,all"]) == "train_size=all stands twice in its list of values; give each once"


def test_the_point_of_all_images_has_a_value_to_show() -> None:
    assert [point.value for point in asked(vary=["train_size=100,all"]).points] == [100, "all"]


def test_a_sweep_of_batch_size_keeps_the_published_name() -> None:
    assert one_variable("batch-size", [1, 2], config(), MNIST).name == "batch"


def test_a_sweep_checks_its_values_at_birth() -> None:
    with pytest.raises(UserError, match=r"^lr must be a number above 0, not -1$"):
        Sweep("mine", {"lr": [0.1, -1]}, config(), MNIST)
