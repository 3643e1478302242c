"""A comparison of what has to be tuned first is flagged: each optimizer has its own best learning rate."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import pytest
from tables import CURVE, complete, curve_sweep, read_folder, seeded_sweep, write_folder

from tune_mnist.errors import UserError
from tune_mnist.mnist.task import MNIST
from tune_mnist.parameter import Parameter, parameters_of
from tune_mnist.plan.request import Options, build
from tune_mnist.plan.sweeps import crossing
from tune_mnist.report.method import again_with
from tune_mnist.report.write import write_report
from tune_mnist.task import Task, recorded
from tune_mnist.tasks.settings import conditioned

OPTIMIZERS: dict[Any, list[float]] = {"adadelta": [0.951, 0.949], "sgd": [0.902, 0.899]}
LINE = "ach optimizer has its own best learning rate, and sweep optimizer compares all at lr 0.01"
WORDS = "optimizer=adadelta,sgd lr=0.001,0.01,0.1"


def notes(*words: str) -> list[str]:
    return list(build(MNIST, Options(words=words)).notes)


def report_of(folder: Path, *tables: pd.DataFrame, **facts: Any) -> str:
    write_folder(folder, *tables)
    path = folder / "environment.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | facts), "utf-8")
    write_report(read_folder(folder))
    return (folder / "report.md").read_text("utf-8").replace("\\", "")


def test_it_is_said_before_anything_is_trained() -> None:
    assert notes("optimizer=adadelta,sgd") == [f"e{LINE}; cross them: {WORDS}"]


@pytest.mark.parametrize(
    "words", [("optimizer=adadelta,sgd", "lr=0.01,0.1"), ("dropout=0,0.25",), ("lr=0.01,0.1",)], ids=str
)
def test_what_is_crossed_or_no_optimizer_is_not_flagged(words: tuple[str, ...]) -> None:
    assert notes(*words) == []


def test_beside_a_sweep_that_crosses_both_it_is_not_flagged(tmp_path: Path) -> None:
    cross = seeded_sweep("lr", {0.01: [0.95, 0.94], 0.1: [0.9, 0.91]}, sweep="cross").assign(variable="optimizer*lr")
    assert LINE not in report_of(tmp_path, seeded_sweep("optimizer", OPTIMIZERS), cross)


def test_the_report_says_it_with_the_command_that_crosses_both(tmp_path: Path) -> None:
    command = "tune-mnist run --vary optimizer=adadelta,sgd --set epochs=2 --seeds 2 --output 'my results'"
    made = {"command": command, "sweeps": {"optimizer": {"optimizer": ["adadelta", "sgd"]}}}
    report = report_of(tmp_path, seeded_sweep("optimizer", OPTIMIZERS), **made)
    assert f"E{LINE}. Cross them before one is called better:" in report
    assert f"```sh\ntune-mnist run --set epochs=2 --seeds 2 --output 'my results' {WORDS}\n```" in report
    assert f"- E{LINE}." in report.partition("## What would weaken it")[2]


COMMANDS = [
    ("tune-mnist run --vary=optimizer=adam,sgd --exclusive", "tune-mnist run --exclusive a=1,2"),
    ("tune-mnist run --sweep lr --vary optimizer=adam,sgd", "tune-mnist run a=1,2"),
    ("tune-mnist run optimizer=adam,sgd epochs=2 --set lr=0.1", "tune-mnist run epochs=2 --set lr=0.1 a=1,2"),
    ("tune-mnist run a=5 --config 'my file.yaml'", "tune-mnist run --config 'my file.yaml' a=1,2"),
    ("tune-mnist run 'torn", "tune-mnist run a=1,2"),
    ("python mine.py", 'sweep(train, cross={"a": [1, 2]})'),
]


@pytest.mark.parametrize(("command", "again"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_a_command_keeps_all_but_its_sweeps(command: str, again: str) -> None:
    assert again_with({"command": command, "sweeps": {"a": {}}}, "a", "a=1,2") == again


def test_the_command_asks_what_it_says() -> None:
    words = shlex.split(again_with({"command": "tune-mnist run --vary optimizer=adadelta,sgd"}, "optimizer", WORDS))
    (sweep,) = build(MNIST, Options(words=words[2:])).sweeps
    assert sweep.space == {"optimizer": ("adadelta", "sgd"), "lr": (0.001, 0.01, 0.1)}


@dataclass
class Mine:
    solver: Annotated[str, Parameter(tuned_with="rate")] = "plain"
    rate: float = 0.5
    optimizer: str = "a"
    lr: float = 0.1


def test_a_parameter_of_ones_own_says_it_and_its_name_does_not() -> None:
    task = Task("mine", parameters=(*parameters_of(Mine), *CURVE.parameters[-2:]))
    known = recorded(task.record() | {"measures": []})
    for one in (task, known):
        said = [build(one, Options(vary=[f"{name}=a,b"])).notes for name in ("solver", "optimizer")]
        assert said == [
            (
                "each solver has its own best rate, and sweep solver compares all at rate 0.5; cross them: "
                "solver=a,b rate=0.25,0.5,1",
            ),
            (),
        ]


def test_a_name_that_is_no_parameter_is_refused() -> None:
    wrong = Parameter("solver", tuned_with="rato")
    with pytest.raises(UserError, match="'rato'"):
        conditioned((wrong, Parameter("rate", "number", default=0.1)), {})


def test_values_stay_within_the_range() -> None:
    bounded = Parameter("rate", "number", default=0.5, le=0.6)
    assert crossing(Parameter("solver"), ["a"], bounded, 0.5) == "solver=a rate=0.25,0.5"
    assert crossing(Parameter("solver"), ["a"], bounded, 0.0) == ""


def test_a_task_without_such_a_parameter_says_nothing(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, complete(curve_sweep("rate", {0.1: [0.5], 0.2: [0.4]}), CURVE), task=CURVE)
    write_report(read_folder(folder))
    assert "its own best" not in (folder / "report.md").read_text("utf-8")
