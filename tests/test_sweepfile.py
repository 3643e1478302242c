"""Sweep files: what they mean, and that whatever is wrong is named with the file and the line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tune_mnist.errors import UserError
from tune_mnist.mnist.task import MNIST, STANDARD
from tune_mnist.plan.sweepfile import SweepFile, read

ISSUE = """\
name: lr-fine
baseline: {epochs: 5, batch_size: 64}
vary:
  lr: [0.003, 0.01, 0.03]
  batch_size: [32, 64]
cross:            # optional: every combination, instead of one at a time
  lr: [0.01, 0.05]
  dropout: [0.0, 0.25]
seeds: 3
"""
VARIABLES = "model, optimizer, schedule, epochs, batch_size, lr, gamma, momentum, weight_decay, dropout, "
VARIABLES += "dropout_last, shuffle, train_size"

# (what the file says, the line that is named, what is said of it)
REFUSED: dict[str, tuple[str, int, str]] = {
    "unknown key": (
        "name: x\nvary:\n  lr: [1]\nvery: {}\n",
        4,
        "unknown key 'very' (did you mean 'vary'?); choose from: name, baseline, vary, cross, "
        "zip, exclude, when, seeds, title, task, judge, at, validation, val_fraction, margin",
    ),
    "unknown variable": (
        "name: x\nvary:\n  lr: [1]\n  lrr: [1]\n",
        4,
        f"unknown hyper-parameter 'lrr' (did you mean 'lr'?); choose from: {VARIABLES}",
    ),
    "unknown variable in baseline": (
        "name: x\nbaseline:\n  epochs: 1\n  warmup: 3\nvary: {lr: [1]}\n",
        4,
        f"unknown hyper-parameter 'warmup'; choose from: {VARIABLES}",
    ),
    "no name": ("vary: {lr: [1]}\n", 1, "'name' is missing"),
    "name not text": ("seeds: 1\nname: 5\nvary: {lr: [1]}\n", 2, "name: input should be a valid string, not 5"),
    "list not a list": ("name: x\nvary:\n  lr: 1\n", 3, "vary.lr: input should be a valid list, not 1"),
    "vary not a mapping": ("name: x\nvary: [1]\n", 2, "vary: input should be a valid dictionary, not [1]"),
    "baseline empty": (
        "name: x\nbaseline:\nvary: {lr: [1]}\n",
        2,
        "baseline: input should be a valid dictionary, not None",
    ),
    "seeds yes": (
        "name: x\nvary: {lr: [1]}\nseeds: yes\n",
        3,
        "seed must be a whole number from 0 to 2**64 - 1, not 'yes'",
    ),
    "seeds true": (
        "name: x\nvary: {lr: [1]}\nseeds: true\n",
        3,
        "seeds are a number of them, a list such as 77,88,99, or 3..20, not True",
    ),
    "no seeds": (
        "name: x\nvary: {lr: [1]}\nseeds: 0\n",
        3,
        "seeds must be a whole number of at least 1, not 0",
    ),
    "a seed twice": ("name: x\nvary: {lr: [1]}\nseeds: [3, 3]\n", 3, "seed 3 stands twice; give each once"),
    "bad number": ("name: x\nvary:\n  lr:\n  - 0.1\n  - -0.1\n", 5, "lr must be a number above 0, not -0.1"),
    "not a number": ("name: x\nvary:\n  lr:\n  - 0.1\n  - .nan\n", 5, "lr must be a number above 0, not nan"),
    "yes as a number": (
        "name: x\nvary:\n  epochs: [2,\n   yes]\n",
        4,
        "epochs must be a whole number of at least 1, not 'yes'",
    ),
    "half an epoch": ("name: x\nvary:\n  epochs: [1.5]\n", 3, "epochs must be a whole number of at least 1, not 1.5"),
    "bad baseline": (
        "name: x\nbaseline:\n  lr: 1\n  batch_size: 0\nvary: {lr: [1]}\n",
        4,
        "batch_size must be a whole number of at least 1, not 0",
    ),
    "unknown model": (
        "name: x\ncross:\n  lr: [1]\n  model: [cnn, rnn]\n",
        4,
        "unknown model 'rnn' (did you mean 'cnn'?); choose from: cnn, mlp, linear",
    ),
    "value of two": ("name: x\nvary:\n  lr: [0.1, [1]]\n", 3, "lr must be a number above 0, not [1]"),
    "empty list": ("name: x\nvary:\n  lr: []\n", 3, "lr has no values to vary; give some, as in --vary lr=A,B"),
    "repeated value": (
        "name: x\nvary:\n  lr: [0.1, 1e-1]\n",
        3,
        "lr=0.1 stands twice in its list of values; give each once",
    ),
    "repeated key": ("name: x\nvary:\n  lr: [0.1]\n  lr: [0.2]\n", 4, "'lr' stands twice; give it once"),
    "repeated top key": ("name: x\nvary: {lr: [1]}\nname: y\n", 3, "'name' stands twice; give it once"),
    "nothing to sweep": (
        "name: x\nbaseline: {lr: 1}\n",
        1,
        "nothing to sweep; give values under vary, cross or zip",
    ),
    "baseline does not go together": (
        "name: x\nbaseline:\n  momentum: 0.9\nvary: {lr: [1]}\n",
        2,
        "momentum=0.9 does nothing with optimizer=adadelta; leave it at 0 or change optimizer",
    ),
    "value does not go with the baseline": (
        "name: x\nvary:\n  lr: [1]\n  momentum: [0.0, 0.9]\n",
        4,
        "momentum=0.9 does nothing with optimizer=adadelta; leave it at 0 or change optimizer",
    ),
    "a cross over nothing": (
        "name: x\ncross:\n  optimizer: [nadam, adam]\n  momentum: [0, 0.9]\n",
        2,
        "momentum=0.9 does nothing with optimizer=nadam; leave it at 0 or change optimizer",
    ),
    "not YAML": ("name: x\nvary: {lr: [1}\n", 2, "not YAML: did not find expected ',' or ']'"),
    "two documents": ("name: x\n---\nname: y\n", 2, "not YAML: but found another document"),
    "a tag that runs code": (
        "name: x\nvary: !!python/object/apply:os.getcwd []\n",
        2,
        "the tag 'tag:yaml.org,2002:python/object/apply:os.getcwd' asks for more than a value; leave it out",
    ),
    "empty": ("", 1, "a sweep file holds name, baseline, vary, cross and seeds; this one does not"),
    "a list": ("- lr\n", 1, "a sweep file holds name, baseline, vary, cross and seeds; this one does not"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mine.yaml"


def refusal(path: Path, text: str) -> str:
    """The line that refuses a sweep file of this text."""
    path.write_text(text)
    with pytest.raises(UserError) as refused:
        read(path, MNIST)
    return str(refused.value)


def values(file: SweepFile) -> dict[str, list[Any]]:
    """Sweep name -> the values of its points."""
    return {sweep.name: [point.value for point in sweep.points([1])] for sweep in file.sweeps()}


def test_the_standard_file_is_the_three_published_sweeps() -> None:
    assert values(read(STANDARD, MNIST)) == {
        "epochs": [1, 3, 5, 10, 15],
        "batch": [32, 64, 128, 256],
        "lr": [0.001, 0.005, 0.01, 0.05],
    }


def test_the_standard_files_baseline_is_the_published_one() -> None:
    standard = read(STANDARD, MNIST)
    assert (standard.baseline, standard.seeds) == ({"epochs": 5, "batch_size": 64, "lr": 0.01}, 1)


def test_the_issues_example_is_its_sweeps_and_every_combination_of_its_cross(path: Path) -> None:
    path.write_text(ISSUE)
    assert values(read(path, MNIST)) == {
        "lr": [0.003, 0.01, 0.03],
        "batch": [32, 64],
        "cross": ["0.01*0.0", "0.01*0.25", "0.05*0.0", "0.05*0.25"],
    }


def test_name_and_seeds_are_read(path: Path) -> None:
    path.write_text(ISSUE)
    assert (read(path, MNIST).name, read(path, MNIST).seeds) == ("lr-fine", 3)


def test_a_file_without_seeds_asks_for_one(path: Path) -> None:
    path.write_text("name: x\nvary: {lr: [1]}\n")
    assert read(path, MNIST).seeds == 1


@pytest.mark.parametrize("written", ["1e-3", "1E-3", "0.001", "1.0e-3", "'0.001'"])
def test_every_way_to_write_a_number_is_that_number(path: Path, written: str) -> None:
    """YAML 1.1 reads 1e-3 as text."""
    path.write_text(f"name: x\nvary: {{lr: [{written}]}}\n")
    assert values(read(path, MNIST)) == {"lr": [0.001]}


def test_a_baseline_is_used_by_every_sweep(path: Path) -> None:
    path.write_text("name: x\nbaseline: {optimizer: sgd, momentum: 0.9}\nvary: {lr: [1]}\ncross: {gamma: [1]}\n")
    configs = [point.config for sweep in read(path, MNIST).sweeps() for point in sweep.points([1])]
    assert {(config["optimizer"], config["momentum"]) for config in configs} == {("sgd", 0.9)}


def test_changes_override_the_baseline_and_not_the_values(path: Path) -> None:
    path.write_text(ISSUE)
    points = [point for sweep in read(path, MNIST).sweeps(epochs=2, lr=0.5) for point in sweep.points([1])]
    assert {(p.config.epochs, p.config["lr"]) for p in points if p.sweep == "batch"} == {(2, 0.5)}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_named_with_file_and_line(path: Path, case: str) -> None:
    text, line, what = REFUSED[case]
    assert refusal(path, text) == f"{path}:{line}: {what}"


def test_the_rule_for_a_name_is_said_as_it_is(path: Path) -> None:
    line = refusal(path, "vary: {lr: [1]}\nname: a b\n")
    assert line.startswith(f"{path}:2: name")
    assert "a-za-z" not in line  # the pattern, or words, but not the pattern in lower case


def test_a_quoted_word_for_a_whole_number_is_quoted_once(path: Path) -> None:
    line = refusal(path, "name: x\nvary: {epochs: [five]}\n")
    assert line == f"{path}:2: epochs must be a whole number of at least 1, not 'five'"


def test_a_key_that_is_no_text_is_named_with_its_line(path: Path) -> None:
    assert refusal(path, "name: x\nvary: {lr: [1]}\n3: 4\n").startswith(f"{path}:3: ")


@pytest.mark.parametrize("date", ["2026-02-30", "2026-02-28"])
def test_a_date_is_a_text(path: Path, date: str) -> None:
    """YAML 1.1 makes a day of it, where there is one."""
    path.write_text(f"name: {date}\nvary: {{lr: [1]}}\n")
    assert read(path, MNIST).name == date


def test_a_file_that_is_not_text_is_refused_in_one_line(path: Path) -> None:
    assert "\n" not in refusal(path, "name: \0\n")


def test_a_number_too_large_for_a_float_is_refused(path: Path) -> None:
    assert refusal(path, f"name: x\nvary: {{lr: [1{'0' * 400}]}}\n").startswith(f"{path}:2: lr must be a number")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: None, "No such file or directory"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.write_bytes(b"\xff"), "'utf-8' codec can't decode byte 0xff in position 0"),
    ],
    ids=["missing", "folder", "binary"],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(path: Path, make: Any, reason: str) -> None:
    make(path)
    with pytest.raises(UserError) as refused:
        read(path, MNIST)
    assert str(refused.value).startswith(f"sweep file '{path}' cannot be read: {reason}")
