"""Sweep files of W&B, in the shapes that people publish, each written anew: which points they ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tasks import asked

from tune_mnist.commands.subject import Chosen, Mnist, subject
from tune_mnist.errors import UserError
from tune_mnist.mnist.task import MNIST
from tune_mnist.plan.request import Options, Request
from tune_mnist.plan.sweepfile import written_values

VALUES = """\
program: train.py
method: grid
project: digits
metric:
  name: test/accuracy
  goal: maximize
parameters:
  learning_rate:
    values: [0.1, 0.01, 1e-3]
  batch_size:
    values: [32, 64]
command:
- ${env}
- python
- ${program}
- ${args_no_hyphens}
"""
VALUE = """\
name: one optimizer, two rates
method: grid
parameters:
  optimizer: {value: SGD}
  momentum: {value: 0.9}
  epochs: {distribution: constant, value: 3}
  lr: {distribution: categorical, values: [0.1, 0.01]}
"""
NESTED = """\
method: grid
parameters:
  seed: {values: [1, 7]}
  optimizer:
    parameters:
      name: {value: adam}
      lr: {values: [0.1, 0.01]}
  net:
    parameters:
      dropout: {values: [0, 0.1]}
"""
QUANTISED = """\
method: grid
parameters:
  dropout:
    distribution: q_uniform
    min: 0
    max: 0.4
    q: 0.1
  model: {values: [mlp]}
"""
INTEGERS = """\
method: grid
description: how long
parameters:
  epochs: {min: 2, max: 5}
  batch_size: {distribution: int_uniform, min: 7, max: 8}
  early: {value: 1}
early_terminate: {type: hyperband, min_iter: 3}
run_cap: 10
"""


def from_file(folder: Path, text: str, name: str = "sweep.yaml") -> Request:
    (folder / name).write_text(text)
    return asked(config=folder / name)


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(UserError) as refused:
        from_file(folder, text)
    return str(refused.value).partition("sweep.yaml:")[2]


def points(request: Request) -> list[tuple[Any, ...]]:
    """The swept values of each point."""
    return [tuple(point.config[name] for name in point.variables) for point in request.points]


def test_values_are_crossed(tmp_path: Path) -> None:
    request = from_file(tmp_path, VALUES)
    assert points(request) == [(lr, size) for lr in (0.1, 0.01, 0.001) for size in (32, 64)]
    assert request.notes == (
        "program, project and command of the W&B file mean nothing here",
        "learning_rate is called lr here",
    )


def test_a_value_is_the_baselines(tmp_path: Path) -> None:
    request = from_file(tmp_path, VALUE)
    assert points(request) == [(0.1,), (0.01,)]
    assert [sweep.name for sweep in request.sweeps] == ["lr"]
    baseline = request.baseline
    assert (baseline["optimizer"], baseline["momentum"], baseline.epochs) == ("sgd", 0.9, 3)
    assert (request.name, request.notes) == (
        "one-optimizer-two-rates",
        ("the sweep is called one-optimizer-two-rates here",),
    )


def test_nested_parameters_are_called_by_their_own_names(tmp_path: Path) -> None:
    text = NESTED.replace("      name: {value: adam}\n", "")
    request = from_file(tmp_path, text)
    assert (points(request), request.seeds) == (
        [(lr, dropout) for lr in (0.1, 0.01) for dropout in (0.0, 0.1) for _ in (1, 7)],
        (1, 7),
    )
    assert request.notes == ("optimizer.lr is called lr here", "net.dropout is called dropout here")
    assert refusal(tmp_path, NESTED).startswith("6: unknown hyper-parameter 'name'")


def test_a_dot_in_a_name_nests(tmp_path: Path) -> None:
    text = "method: grid\nparameters:\n  optim.learning_rate: {values: [0.1, 0]}\n"
    assert refusal(tmp_path, text).startswith("3: lr must be a number above 0, not 0")
    request = from_file(tmp_path, text.replace("0]", "1]"))
    assert points(request) == [(0.1,), (1.0,)]
    assert request.notes == ("optim.learning_rate is called learning_rate here", "learning_rate is called lr here")


def test_nested_parameters_of_one_name_are_told_apart(tmp_path: Path) -> None:
    text = "method: grid\nparameters:\n"
    text += "".join(f"  {net}: {{parameters: {{width: {{values: [1, 2]}}}}}}\n" for net in ("first", "second"))
    (tmp_path / "sweep.yaml").write_text(text)
    found = written_values(tmp_path / "sweep.yaml")
    assert found == {"first_width": [1, 2], "second_width": [1, 2]}


def test_a_quantised_range_is_a_grid_that_leaves_its_end_out(tmp_path: Path) -> None:
    """As W&B's grid does."""
    request = from_file(tmp_path, QUANTISED)
    assert points(request) == [(value, "mlp") for value in (0.0, 0.1, 0.2, 0.3)]


def test_whole_numbers_from_min_to_max_are_all_of_them(tmp_path: Path) -> None:
    request = from_file(tmp_path, INTEGERS.replace("  early: {value: 1}\n", ""))
    assert points(request) == [(epochs, size) for epochs in (2, 3, 4, 5) for size in (7, 8)]
    assert request.notes == ("description, early_terminate and run_cap of the W&B file mean nothing here",)


def test_a_file_without_a_name_is_called_as_the_file(tmp_path: Path) -> None:
    assert from_file(tmp_path, VALUES, "my sweep.yaml").name == "my-sweep"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            VALUES.replace("method: grid", "method: random"),
            "2: method: random is a search, and there is none yet; method: grid asks for every combination of values",
        ),
        (VALUES.replace("method: grid", "method: bayes"), "2: method: bayes is a search, and there is none yet"),
        (VALUES.replace("method: grid\n", ""), "1: 'method' is missing"),
        (
            VALUE.replace("{distribution: categorical, values: [0.1, 0.01]}", "{min: 0.01, max: 0.1}"),
            "7: lr: a distribution (uniform) has no list of values to sweep; give its values, or min, max and q",
        ),
        (
            VALUE.replace("categorical, values: [0.1, 0.01]", "log_uniform_values, min: 0.01, max: 0.1"),
            "7: lr: a distribution (log_uniform_values) has no list",
        ),
        (
            VALUE.replace("categorical, values: [0.1, 0.01]", "normal, mu: 0, sigma: 1"),
            "7: lr: a distribution (normal) has no list",
        ),
        (
            VALUE.replace("categorical, values: [0.1, 0.01]", "q_log_uniform_values, q: 1, min: 1, max: 9"),
            "7: lr: a distribution (q_log_uniform_values) has no list",
        ),
        (VALUE.replace("0.01]}", "0.01], probabilities: [0.5, 0.5]}"), "7: lr: probabilities are of a search"),
        (VALUE.replace("SGD", "SDG"), "4: unknown optimizer 'SDG'"),
        (
            VALUES.replace("[32, 64]", "\n    - 32\n    - 0"),
            "13: batch_size must be a whole number of at least 1, not 0",
        ),
        (INTEGERS, "6: unknown hyper-parameter 'early'"),
        (VALUES.replace("project:", "projects:"), "3: unknown key 'projects'"),
        ("method: grid\nparameters: [lr]\n", "2: parameters holds a name for each hyper-parameter"),
        ("method: grid\nparameters:\n  lr: 0.1\n", "3: lr has values: [...] or value: V, not 0.1"),
        ("method: grid\nparameters:\n  lr: {values: 0.1}\n", "3: lr: values is a list, not 0.1"),
        ("method: grid\nparameters:\n  lr: {value: 0.1}\n", "1: nothing to sweep"),
        ("method: grid\nparameters:\n  epochs: {min: 5, max: 2}\n", "3: no steps of 1 lead from 5 to 2"),
        ("method: grid\nmetric: accuracy\nparameters:\n  lr: {values: [1]}\n", "2: metric has a name, and goal:"),
    ],
)
def test_what_a_grid_cannot_be_is_refused_with_its_line(tmp_path: Path, text: str, line: str) -> None:
    assert refusal(tmp_path, text).startswith(line)


OWN = "def train(config):\n    while True:\n        yield {'val_loss': config['lr'], 'acc': 1.0}\n"


def chosen(folder: Path, task: str | None) -> Any:
    (folder / "sweep.yaml").write_text(VALUES)
    options = Options(config=folder / "sweep.yaml")
    return subject(Chosen(task, None, None, False, False), Mnist("auto", folder, "fp32"), options, [])


def test_its_metric_judges_a_loop_of_ones_own_and_mnist_has_its_own_judge(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    assert chosen(tmp_path, None).described is MNIST
    task = chosen(tmp_path, str(tmp_path / "mine.py")).described
    assert task.judge == ("test/accuracy", "higher")
    assert {one.name for one in task.parameters} == {"epochs", "learning_rate", "batch_size", "seed"}
