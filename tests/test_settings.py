"""What a user's config may be: its parameters, their values, and what the loop is given; found without any training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tune_mnist.api import _Asked, _request
from tune_mnist.errors import UserError
from tune_mnist.mnist.task import MNIST
from tune_mnist.plan.request import Options, Request, build
from tune_mnist.plan.sweepfile import written_conditions, written_values
from tune_mnist.task import Task, run_key
from tune_mnist.tasks.loop import Loop, find
from tune_mnist.tasks.shipped import Carried
from tune_mnist.tasks.user import described

HEAD = "from dataclasses import dataclass, field\nfrom typing import Annotated, Literal\n"
HEAD += "from pydantic import BaseModel, Field\n"
BODY = "\ndef train(config{annotation}, state=None):\n    while True:\n        yield {{'loss': 1.0}}, {{'a': 1}}\n"
DATACLASS = """
@dataclass
class Config:
    lr: Annotated[float, Field(gt=0)]
    layers: list[int] = field(default_factory=list)
    betas: tuple[float, float] = (0.9, 0.999)
    decay: float | None = None
    activation: Literal["relu", "tanh"] = "relu"
    bias: bool = True
"""
MODEL = """
class Config(BaseModel):
    lr: Annotated[float, Field(gt=0)] = 0.1
    width: int = Field(8, ge=1)
    seed: int = 1
"""


def loop_of(folder: Path, config: str, annotation: str = ": Config") -> Loop:
    (folder / "loop_file.py").write_text(HEAD + config + BODY.format(annotation=annotation))
    return find(str(folder / "loop_file.py"))


def asked(loop: Loop, vary: dict[str, str], **options: Any) -> tuple[Task, Request]:
    """The task, and what `--vary` and the other options ask of it."""
    task = described(loop, None, {name: values.split(",") for name, values in vary.items()})
    return task, build(task, Options(vary=[f"{name}={values}" for name, values in vary.items()], **options))


def test_a_dataclass_gives_its_fields_that_can_be_swept(tmp_path: Path) -> None:
    loop = loop_of(tmp_path, DATACLASS)
    task, request = asked(loop, {"lr": "0.5,1"})
    assert [one.name for one in task.parameters] == ["epochs", "lr", "decay", "activation", "bias", "seed"]
    made = loop.settings.make(request.points[1].config)
    assert vars(made) == {
        "lr": 1.0,
        "layers": [],
        "betas": (0.9, 0.999),
        "decay": None,
        "activation": "relu",
        "bias": True,
    }


def test_a_value_that_is_required_is_the_first_that_is_given(tmp_path: Path) -> None:
    loop = loop_of(tmp_path, DATACLASS)
    _, request = asked(loop, {"lr": "0.5,1"})
    assert request.baseline["lr"] == 0.5
    with pytest.raises(UserError, match=r"^lr has no default; give it a value, as in --set lr=VALUE$"):
        asked(loop, {"bias": "true,false"})


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        ({"lr": "0"}, "lr must be a number above 0, not '0'"),
        (
            {"lr": "1", "activation": "gelu"},
            "unknown activation 'gelu' (did you mean 'relu'?); choose from: relu, tanh",
        ),
        ({"lr": "1", "layers": "3"}, "unknown hyper-parameter 'layers'"),
    ],
)
def test_a_dataclass_refuses_what_its_annotations_do(tmp_path: Path, vary: dict[str, str], said: str) -> None:
    with pytest.raises(UserError) as refused:
        asked(loop_of(tmp_path, DATACLASS), vary)
    assert str(refused.value).startswith(said)


def test_an_optional_number_is_swept_with_and_without(tmp_path: Path) -> None:
    _, request = asked(loop_of(tmp_path, DATACLASS), {"lr": "1", "decay": "none,0.1"})
    assert [point.value for point in request.points if point.sweep == "decay"] == ["none", 0.1]


def test_a_pydantic_model_gives_its_fields_and_ranges(tmp_path: Path) -> None:
    loop = loop_of(tmp_path, MODEL)
    task, request = asked(loop, {"width": "8,16"}, seeds=2)
    assert {one.name: one.default for one in task.parameters} == {"epochs": 10, "lr": 0.1, "width": 8, "seed": 1}
    assert loop.settings.make(request.points[3].config).model_dump() == {"lr": 0.1, "width": 16, "seed": 2}
    with pytest.raises(UserError, match=r"^width must be a whole number of at least 1, not '0'$"):
        asked(loop, {"width": "0"})


def test_a_dict_has_what_it_is_given_and_is_not_told_how_long_it_goes_on(tmp_path: Path) -> None:
    loop = loop_of(tmp_path, "", annotation="")
    task, request = asked(loop, {"lr": "0.1,1", "deep": "true,false", "name": "a,b"}, seeds=2)
    kinds = {one.name: one.kind for one in task.parameters}
    assert kinds == {"epochs": "whole", "lr": "number", "deep": "flag", "name": "text", "seed": "whole"}
    assert loop.settings.make(request.points[0].config) == {"lr": 0.1, "deep": True, "name": "a", "seed": 1}


def test_several_seeds_need_a_config_that_takes_one(tmp_path: Path) -> None:
    loop = loop_of(tmp_path, DATACLASS)
    assert len(asked(loop, {"lr": "1"})[1].points) == 1
    with pytest.raises(UserError, match="takes no seed: all would give the same numbers"):
        asked(loop, {"lr": "1"}, seeds=3)


def test_a_loop_that_takes_no_state_keeps_none(tmp_path: Path) -> None:
    """A run that is given a state which nobody reads would begin again and count on."""
    (tmp_path / "loop_file.py").write_text(
        "def train(config):\n    while True:\n        yield {'loss': 1.0}, {'a': 1}\n"
    )
    loop = find(str(tmp_path / "loop_file.py"))
    _, request = asked(loop, {"lr": "1"})
    assert next(Carried(loop, "cpu", resumes=True)(request.points[0].config)) == ({"loss": 1.0}, None)


def test_two_files_of_one_name_are_two_tasks(tmp_path: Path) -> None:
    for name, value in (("a", 1.0), ("b", 2.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same.py").write_text(
            f"def train(config):\n    while True:\n        yield {{'loss': {value}}}\n"
        )
    found = [next(find(str(tmp_path / name / "same.py")).steps({}, None, 1))[0]["loss"] for name in ("a", "b")]
    assert found == [1.0, 2.0]


CONDITIONAL = """
@dataclass
class Config:
    optimizer: Literal["sgd", "adam"] = "sgd"
    momentum: Annotated[float, When(optimizer="sgd")] = 0.0
    beta: Annotated[float, When(optimizer=["Adam"])] = 0.9
"""
WHEN = "from tune_mnist import When\n"


def told(request: Request) -> list[dict[str, Any]]:
    """What is active in each point."""
    return [
        {name: value for name, value in point.config.items() if name not in {*point.config.inactive, "epochs", "seed"}}
        for point in request.points
    ]


def test_an_annotation_tells_when_a_parameter_has_an_effect(tmp_path: Path) -> None:
    loop = loop_of(tmp_path, WHEN + CONDITIONAL)
    task = described(loop, None, {})
    request = build(task, Options(words=["optimizer=sgd,adam", "momentum=0,0.9"]))
    assert told(request) == [
        {"optimizer": "sgd", "momentum": 0.0},
        {"optimizer": "sgd", "momentum": 0.9},
        {"optimizer": "adam", "beta": 0.9},
    ]
    assert vars(loop.settings.make(request.points[-1].config)) == {"optimizer": "adam", "momentum": 0.0, "beta": 0.9}
    assert request.notes[0] == "momentum is inactive with optimizer adam"


def test_a_required_value_is_none_where_it_does_nothing(tmp_path: Path) -> None:
    config = CONDITIONAL.replace(
        '    optimizer: Literal["sgd", "adam"] = "sgd"', '    optimizer: Literal["sgd", "adam"]'
    )
    loop = loop_of(tmp_path, WHEN + config.replace(" = 0.0", "").replace(" = 0.9", ""))
    given: dict[str, Any] = {"optimizer": ["sgd", "adam"], "momentum": [0.5, 0.9], "beta": [0.99]}
    request = build(described(loop, None, given), Options(vary=["optimizer=sgd,adam"], settings=["momentum=0.5"]))
    made = [vars(loop.settings.make(point.config)) for point in request.points]
    assert made == [
        {"optimizer": "sgd", "momentum": 0.5, "beta": None},
        {"optimizer": "adam", "momentum": None, "beta": 0.99},
    ]


def test_a_model_has_a_default_for_what_may_do_nothing(tmp_path: Path) -> None:
    model = 'class Config(BaseModel):\n    kind: str = "a"\n    depth: Annotated[int, When(kind="b")]\n'
    with pytest.raises(UserError, match="parameter depth has a condition; give it a default"):
        loop_of(tmp_path, WHEN + model)


@pytest.mark.parametrize(
    "text",
    [
        "cross: {optimizer: [sgd, adam], momentum: [0, 0.9]}\nwhen: {momentum: {optimizer: sgd}}\n",
        "cross:\n  optimizer: [sgd, adam]\n  momentum: {values: [0, 0.9], when: {optimizer: sgd}}\n",
        "cross:\n  optimizer: [sgd, adam]\n  momentum: {lin: [0, 0.9], n: 2, when: {optimizer: [sgd]}}\n",
        "cross: {momentum: [0.9, 0], optimizer: [adam, sgd]}\nwhen: {momentum: {when: {optimizer: sgd}}}\n",
    ],
)
def test_a_sweep_file_tells_when_a_dicts_value_has_an_effect(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.yaml").write_text(f"name: mine\n{text}")
    loop = loop_of(tmp_path, "", annotation="")
    options = Options(config=tmp_path / "mine.yaml")
    task = described(loop, None, written_values(options.config), written_conditions(options.config))  # type: ignore[arg-type]
    request = build(task, options)
    made = [loop.settings.make(point.config) for point in request.points]
    assert sorted(((one["optimizer"], one["momentum"]) for one in made), key=str) == [
        ("adam", None),
        ("sgd", 0.0),
        ("sgd", 0.9),
    ]


def test_the_key_of_what_is_inactive_does_not_depend_on_the_order_of_values(tmp_path: Path) -> None:
    loop = loop_of(tmp_path, "", annotation="")
    keys = set()
    for momenta in ("0,0.9", "0.9,0"):
        given = {"optimizer": ["sgd", "adam"], "momentum": momenta.split(",")}
        task = described(loop, None, given, {"momentum": {"optimizer": "sgd"}})
        request = build(task, Options(words=["optimizer=sgd,adam", f"momentum={momenta}"]))
        keys.add(frozenset(run_key(point.config, {}) for point in request.points))
    assert len(keys) == 1


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ({"momentum": {"optimiser_name": "sgd"}}, "unknown hyper-parameter 'optimiser_name'"),
        ({"momemtum": {"optimizer": "sgd"}}, "unknown hyper-parameter 'momemtum' (did you mean 'momentum'?)"),
        ({"beta": {"optimizer": "sdg"}}, "unknown optimizer 'sdg' (did you mean 'sgd'?)"),
        ({"beta": {"momentum": 0.9}, "momentum": {"beta": 0.9}}, "when: momentum and beta depend on each other"),
        ({"beta": {"beta": 0.9}}, "unknown hyper-parameter 'beta'"),
    ],
)
def test_a_condition_on_nothing_is_refused(tmp_path: Path, when: dict[str, Any], said: str) -> None:
    loop = loop_of(tmp_path, WHEN + CONDITIONAL)
    with pytest.raises(UserError) as refused:
        described(loop, None, {}, when)
    assert str(refused.value).startswith(said)


def test_a_shipped_task_knows_its_own_conditions(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: x\nvary: {lr: [1, 2]}\nwhen: {lr: {optimizer: sgd}}\n")
    with pytest.raises(UserError, match="3: when is for a training loop of your own; this task knows its conditions"):
        build(MNIST, Options(config=path))


def test_a_dataclass_takes_a_well_known_name_for_its_own(tmp_path: Path) -> None:
    loop = loop_of(tmp_path, DATACLASS)
    task = described(loop, None, {"learning_rate": ["0.5"]})
    request = build(task, Options(vary=["learning_rate=0.5,1"]))
    assert [(point.variable, point.value) for point in request.points] == [("lr", 0.5), ("lr", 1.0)]


def test_a_call_from_python_takes_a_list_of_seeds_and_other_names(tmp_path: Path) -> None:
    loop = loop_of(tmp_path, MODEL)
    asked_for = _Asked({"learning-rate": [0.1, 0.2]}, {}, {"Width": 16}, None, [7, 9])
    request = _request(described(loop, None, {}), asked_for)
    assert (request.seeds, request.baseline["width"]) == ((7, 9), 16)
    assert [(point.variable, point.value) for point in request.points[::2]] == [("lr", 0.1), ("lr", 0.2)]
