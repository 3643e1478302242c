"""Sweep definitions as people bring them: what each means, and that nothing is asked for twice."""

from __future__ import annotations

import itertools
import random
import re
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tasks import CONDITIONS, asked, mnist

from tune_mnist import When
from tune_mnist.commands.subject import Chosen, Mnist, subject
from tune_mnist.errors import UserError
from tune_mnist.mnist.datasets import load
from tune_mnist.mnist.task import MNIST, prepared
from tune_mnist.parameter import Parameter, parameters_of
from tune_mnist.plan.plan import make_plan, run_names
from tune_mnist.plan.request import Options, Request, build
from tune_mnist.plan.sweeps import Sweep
from tune_mnist.plan.values import listed
from tune_mnist.results.tables import Outcome, points_frame
from tune_mnist.store.store import Held
from tune_mnist.task import Task, run_key


def from_file(folder: Path, text: str, **options: Any) -> Request:
    """The request of a sweep file with this text."""
    path = folder / "mine.yaml"
    path.write_text(text if text.startswith(("name:", "method:", "program:")) else f"name: mine\n{text}")
    return asked(config=path, **options)


def refusal(folder: Path, text: str) -> str:
    """The line that refuses the file, from its line's number on."""
    with pytest.raises(UserError) as refused:
        from_file(folder, text)
    said = str(refused.value)
    assert "\n" not in said
    return said.partition("mine.yaml:")[2] or said


def values(request: Request) -> list[Any]:
    return [point.value for point in request.points]


def of(request: Request, name: str) -> list[Any]:
    return [point.config[name] for point in request.points]


def runs(request: Request, task: Task = MNIST) -> int:
    """How many trainings it takes."""
    return len({run_key(point.config, task.conditions) for point in request.points})


def cells(request: Request, name: str) -> list[Any]:
    """The column of the table of points."""
    task = mnist()
    plan = make_plan(request.points, task, lambda _: Held())
    column = points_frame(plan, task, Outcome(), request.baseline)[name]
    return [None if pd.isna(one) else one for one in column]


# Conditions


def test_what_the_baseline_sets_is_inactive_where_nothing_looks_at_it(tmp_path: Path) -> None:
    request = from_file(
        tmp_path, "baseline: {optimizer: sgd, momentum: 0.9}\nvary: {optimizer: [sgd, adam]}", settings=["lr=0.1"]
    )
    assert (values(request), runs(request)) == (["sgd", "adam"], 2)
    assert cells(request, "momentum") == [0.9, None]
    assert request.notes[0] == "momentum is inactive with adam"


def test_points_that_differ_in_what_is_inactive_are_one(tmp_path: Path) -> None:
    request = from_file(tmp_path, "cross: {optimizer: [sgd, adam], momentum: [0, 0.9]}")
    assert (values(request), runs(request)) == (["sgd*0.0", "sgd*0.9", "adam*–"], 3)
    assert cells(request, "momentum") == [0.0, 0.9, None]
    said = "1 combination of cross is the training of another one, and not asked twice"
    assert {"momentum is inactive with adam", said} < {*request.notes}


def test_a_baseline_keeps_what_is_inactive_in_it_for_the_points_that_look_at_it() -> None:
    request = asked(vary=["optimizer=adam,sgd"], settings=["optimizer=adam", "momentum=0.9"])
    assert cells(request, "momentum") == [None, 0.9]


def test_a_value_that_no_point_looks_at_is_refused_still() -> None:
    with pytest.raises(UserError, match=r"^momentum=0.9 does nothing with optimizer=adam; leave it at 0 or"):
        asked(settings=["optimizer=adam", "momentum=0.9"], vary=["lr=0.1,1"])
    with pytest.raises(UserError, match=r"^momentum=0.9 does nothing with optimizer=adam; leave it at 0 or"):
        asked(settings=["optimizer=adam"], vary=["momentum=0,0.9"])


def test_a_run_is_not_named_after_what_is_inactive() -> None:
    request = asked(vary=["optimizer=sgd,adam"], settings=["optimizer=sgd", "momentum=0.9"])
    plan = make_plan(request.points, mnist(), lambda _: Held())
    assert sorted(run_names(plan, request.baseline, MNIST).values()) == ["baseline", "optimizer=adam"]


def test_the_key_of_an_inactive_value_is_that_of_its_default() -> None:
    """Stores are older than conditions."""
    inactive = MNIST.config({"optimizer": "adam", "momentum": 0.9})
    assert run_key(inactive, CONDITIONS) == run_key(MNIST.config({"optimizer": "adam"}), CONDITIONS)


@pytest.mark.parametrize("dropout", [0.1, 0.25, 0.4])
def test_a_last_dropout_by_the_recipe_is_the_training_without_one(dropout: float) -> None:
    given = MNIST.config({"dropout": dropout, "dropout_last": 2 * dropout})
    assert run_key(given, CONDITIONS) == run_key(MNIST.config({"dropout": dropout}), CONDITIONS)


def test_a_dropout_that_the_last_layer_cannot_double_runs(tmp_path: Path) -> None:
    request = from_file(tmp_path, "cross: {dropout: [0.1, 0.2, 0.4, 0.5, 0.7], lr: [0.01, 0.1]}")
    assert (len(request.points), runs(request)) == (10, 10)
    assert set(of(request, "dropout_last")) == {None}


def test_all_images_and_their_number_are_one_training(tmp_path: Path) -> None:
    """Once the data are there: the digits have 1,438 images to train on."""
    task = prepared(load("digits", tmp_path, print), "cpu", 1, "fp32")
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nvary: {train_size: [100, 1438, all]}\n")
    request = asked(task, config=path)
    assert (values(request), runs(request, task)) == ([100, 1438], 2)
    assert request.notes == ("1 combination of train_size is the training of another one, and not asked twice",)


@pytest.mark.parametrize("name", ["Adam", "RMSprop", "SGD", "NAdam"])
def test_an_optimizer_is_named_in_large_or_small_letters(name: str) -> None:
    request = asked(vary=[f"optimizer={name},adadelta"])
    assert values(request) == [name.lower(), "adadelta"]


# A user's own conditions


def own(*parameters: Parameter) -> Task:
    """A made-up task with these parameters."""
    standard = (
        Parameter("epochs", "whole", default=2, ge=1),
        *parameters,
        Parameter("seed", "whole", default=1, ge=0),
    )
    return Task("mine", parameters=standard, conditions={"device": "cpu", "threads": 1})


CHAIN = own(
    Parameter("optimizer", "choice", default="sgd", choices=("sgd", "rmsprop", "adam")),
    Parameter("momentum", "number", default=0.0, when=(("optimizer", ("sgd", "rmsprop")),)),
    Parameter("nesterov", "flag", default=False, when=(("optimizer", ("sgd",)), ("momentum", (0.5, 0.9)))),
    Parameter("beta", "number", default=0.9, when=(("optimizer", ("adam",)),)),
    Parameter("clip", "number", default=None, none="none", when=(("nesterov", (True,)),)),
)


def test_what_depends_on_something_inactive_is_inactive() -> None:
    found = CHAIN.config({"optimizer": "adam", "momentum": 0.9, "nesterov": True, "clip": 1})
    assert found.inactive == {"momentum", "nesterov", "clip"}
    assert (found["momentum"], found["nesterov"], found["clip"], found["beta"]) == (0.0, False, None, 0.9)


SPACE: dict[str, list[Any]] = {
    "optimizer": ["sgd", "rmsprop", "adam"],
    "momentum": [0, 0.5, 0.9],
    "nesterov": [True, False],
    "beta": [0.9, 0.99],
    "clip": ["none", 1],
    "epochs": [1, 2],
}
SPACES = st.lists(st.sampled_from(sorted(SPACE)), min_size=1, unique=True).flatmap(
    lambda names: st.fixed_dictionaries(
        {name: st.lists(st.sampled_from(SPACE[name]), min_size=1, unique_by=str) for name in names}
    )
)
BASELINES = st.fixed_dictionaries({}, optional={name: st.sampled_from(listed) for name, listed in SPACE.items()})
LAWS = settings(deadline=None, max_examples=150)


def crossed(space: dict[str, list[Any]], baseline: dict[str, Any]) -> Sweep | None:
    try:
        return Sweep("cross", space, CHAIN.config(baseline), CHAIN)
    except UserError as error:
        assert "does nothing with" in str(error)  # a variable that nothing looks at in any combination
        return None


def looked_at(values: dict[str, Any]) -> dict[str, Any]:
    """What a training with these values looks at, written out by hand."""
    seen = {"optimizer": values["optimizer"], "epochs": values["epochs"]}
    if values["optimizer"] == "adam":
        return seen | {"beta": values["beta"]}
    seen["momentum"] = float(values["momentum"])
    if values["optimizer"] == "sgd" and seen["momentum"] in (0.5, 0.9):
        seen["nesterov"] = values["nesterov"]
        if values["nesterov"]:
            seen["clip"] = None if values["clip"] == "none" else values["clip"]
    return seen


DEFAULTS = {"optimizer": "sgd", "momentum": 0, "nesterov": False, "beta": 0.9, "clip": "none", "epochs": 2}


@given(SPACES, BASELINES)
@LAWS
def test_nothing_is_asked_twice_and_no_two_things_are_one_row(
    space: dict[str, list[Any]], baseline: dict[str, Any]
) -> None:
    if (sweep := crossed(space, baseline)) is None:
        return
    points = sweep.points([1])
    combinations = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    meant = {tuple(looked_at({**DEFAULTS, **baseline, **one}).items()) for one in combinations}
    found = [tuple(looked_at({**point.config, "clip": point.config["clip"] or "none"}).items()) for point in points]
    assert len(found) == len(set(found)) == len(meant)
    assert set(found) == meant
    trainings = {tuple(pair for pair in one if pair[0] != "epochs") for one in meant}
    assert len({run_key(point.config, {}) for point in points}) == len(trainings)
    assert len({point.value for point in points}) == len(points)
    assert sweep.merged == len(combinations) - len(points)


@given(SPACES, BASELINES, st.randoms(use_true_random=False))
@LAWS
def test_any_order_of_names_and_values_asks_the_same(
    space: dict[str, list[Any]], baseline: dict[str, Any], shuffling: random.Random
) -> None:
    names = list(space)
    shuffling.shuffle(names)
    other = {name: shuffling.sample(space[name], len(space[name])) for name in names}
    one, same = crossed(space, baseline), crossed(other, dict(reversed(baseline.items())))
    assert (one is None) == (same is None)
    if one and same:
        assert {point.config for point in one.points([1])} == {point.config for point in same.points([1])}


def test_a_condition_in_an_annotation_is_the_parameters() -> None:
    from dataclasses import dataclass

    @dataclass
    class Config:
        optimizer: str = "sgd"
        momentum: Annotated[float, When(optimizer=["sgd", "rmsprop"])] = 0.0

    assert parameters_of(Config)[1].when == (("optimizer", ("sgd", "rmsprop")),)


# Seeds


@pytest.mark.parametrize(
    "options",
    [
        {"seeds": "77,88,99", "vary": ["lr=0.1"]},
        {"vary": ["seed=77,88,99", "lr=0.1"]},
        {"words": ["seed=77,88,99", "lr=0.1,"], "sweep": ["lr"]},
        {"seeds": [77, 88, 99], "vary": ["lr=0.1"]},
        {"seeds": "77:99:11", "vary": ["lr=0.1"]},
    ],
)
def test_seeds_that_are_listed_are_those(options: dict[str, Any]) -> None:
    request = asked(**options)
    assert (request.seeds, request.baseline["seed"]) == ((77, 88, 99), 77)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("vary: {lr: [1]}\nseeds: [77, 88, 99]", (77, 88, 99)),
        ("vary: {lr: [1]}\nseeds: 77, 88, 99", (77, 88, 99)),
        ("vary: {lr: [1], seed: [5, 3]}", (5, 3)),
        ("cross: {lr: [1], seed: [5, 3]}", (5, 3)),
        ("baseline: {seed: 7}\nvary: {lr: [1]}\nseeds: 2", (7, 8)),
        ("vary: {lr: [1]}\nseeds: '3'", (1, 2, 3)),
    ],
)
def test_a_files_seeds(tmp_path: Path, text: str, seeds: tuple[int, ...]) -> None:
    assert from_file(tmp_path, text).seeds == seeds


def test_seeds_of_the_command_line_are_used_instead_of_the_files(tmp_path: Path) -> None:
    text = "vary: {lr: [1]}\nseeds: [77, 88]"
    assert from_file(tmp_path, text, seeds="4").seeds == (1, 2, 3, 4)
    assert from_file(tmp_path, text, seed="5").seeds == (5,)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"seeds": "77,77"}, "seed 77 stands twice; give each once"),
        ({"seeds": "0"}, "seeds must be a whole number of at least 1, not 0"),
        ({"seeds": "many"}, "seed must be a whole number from 0 to 2**64 - 1, not 'many'"),
        ({"seeds": "3", "vary": ["seed=1,2"]}, "seeds are given twice, by --seeds and as the values of seed"),
        ({"seed": "3", "settings": ["seed=4"]}, "the first seed is given twice"),
        ({"seeds": "100000000000"}, "that is 100,000,000,000 points; at most 100,000 in one command"),
        ({"seeds": "20000000"}, "that is 20,000,000 points; at most 100,000 in one command"),
    ],
)
def test_seeds_that_cannot_be(options: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as refused:
        asked(**options)
    assert str(refused.value).startswith(line)


# Names


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("learning_rate=0.1", "lr"),
        ("learning-rate=0.1", "lr"),
        ("LR=0.1", "lr"),
        ("batch=8", "batch_size"),
        ("bs=8", "batch_size"),
        ("weight-decay=0.1", "weight_decay"),
        ("wd=0.1", "weight_decay"),
        ("n_epochs=3", "epochs"),
        ("num-epochs=3", "epochs"),
    ],
)
def test_a_well_known_name_is_taken_and_the_tasks_own_is_shown(written: str, meant: str) -> None:
    request = asked(vary=[written])
    assert [point.variable for point in request.points] == [meant]
    plain = written.partition("=")[0]
    assert request.notes == (() if plain == "weight-decay" else (f"{plain} is called {meant} here",))


def test_a_name_is_told_once(tmp_path: Path) -> None:
    text = "baseline: {learning_rate: 1}\ncross: {learning_rate: [1, 2], dropout: [0, 0.1]}"
    assert from_file(tmp_path, text, settings=["learning_rate=3"]).notes == ("learning_rate is called lr here",)


def test_a_tasks_own_name_is_its_own() -> None:
    task = own(Parameter("batch", "whole", default=1), Parameter("batch_size", "whole", default=1))
    assert [point.variable for point in asked(task, vary=["batch=1,2"]).points] == ["batch", "batch"]


@pytest.mark.parametrize("name", ["", "-", "a b", "a" * 101, "lr*wd"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UserError) as refused:
        MNIST.variable(name)
    assert len(str(refused.value)) < 300


def test_one_thing_under_two_names_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "vary:\n  lr: [1]\n  learning_rate: [2]\n") == (
        "4: lr is given twice, once as learning_rate; give it once"
    )


# Values and ranges


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0.001:0.1:log5", ["0.001", "0.00316", "0.01", "0.0316", "0.1"]),
        ("1e-4:1e-1:log4", ["0.0001", "0.001", "0.01", "0.1"]),
        ("0.1:0.001:log3", ["0.1", "0.01", "0.001"]),
        ("0:1:lin4", ["0", "0.333333", "0.666667", "1"]),
        ("0.1:0.5:0.1", ["0.1", "0.2", "0.3", "0.4", "0.5"]),
        ("2:10:2", ["2", "4", "6", "8", "10"]),
        ("2:9:4", ["2", "6"]),
        ("10:1:-3", ["10", "7", "4", "1"]),
        ("1:1.0001:log3", ["1", "1.00005", "1.0001"]),
        ("range(1,4)", ["1", "2", "3"]),
        ("choice(a, b)", ["a", "b"]),
        ("[0.1, 0.2,]", ["0.1", "0.2"]),
        ("0.1,0.2,", ["0.1", "0.2"]),
        ("1:30", ["1:30"]),
    ],
)
def test_a_list_or_a_range_is_these_values(text: str, found: list[str]) -> None:
    assert listed(text) == found


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 40), st.sampled_from(["log", "lin"]))
@LAWS
def test_a_range_has_its_ends_exactly_and_no_value_twice(low: float, high: float, n: int, spacing: str) -> None:
    if abs(low - high) < 1e-6 * max(low, high):
        return
    found = [float(one) for one in listed(f"{low:.9g}:{high:.9g}:{spacing}{n}")]
    assert (found[0], found[-1], len(set(found))) == (float(f"{low:.9g}"), float(f"{high:.9g}"), n)
    assert found == sorted(found, reverse=low > high)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("vary: {lr: {log: [1e-3, 0.1], n: 5}}", [0.001, 0.00316, 0.01, 0.0316, 0.1]),
        ("vary: {epochs: {from: 2, to: 10, step: 2}}", [2, 4, 6, 8, 10]),
        ("vary: {epochs: {from: 2, to: 4}}", [2, 3, 4]),
        ("vary: {dropout: {lin: [0, 0.5], n: 3}}", [0.0, 0.25, 0.5]),
        ("vary: {batch_size: {log: [16, 100], n: 4}}", [16, 29, 54, 100]),
        ("vary: {batch_size: 16:256:log5}", [16, 32, 64, 128, 256]),
        ("vary:\n  lr: 0.1, .5, 1e-3", [0.1, 0.5, 0.001]),
        ("vary: {lr: '0.1, .5, 1e-3,'}", [0.1, 0.5, 0.001]),
        ("vary: {lr: ['1e-3', ' .5 ', \"0.1\"]}", [0.001, 0.5, 0.1]),
        ("vary: {epochs: ['3', 4,]}", [3, 4]),
        ("vary: {shuffle: [yes, No]}", [True, False]),
    ],
)
def test_a_files_values(tmp_path: Path, text: str, found: list[Any]) -> None:
    assert values(from_file(tmp_path, text)) == found


def test_a_minus_as_it_is_printed_is_a_minus() -> None:
    task = own(Parameter("shift", "number", default=0.0))
    assert values(asked(task, vary=["shift=−5,'-0.5'"])) == [-5.0, -0.5]


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("lr=0:1:log5", "a range is of two numbers above 0 that differ, not 0 and 1"),
        ("lr=1:1:lin3", "a range is of two numbers that differ, not 1 and 1"),
        ("lr=1:2:log1", "a range has at least 2 values, not '1'"),
        ("lr=1:2:0", "no steps of 0 lead from 1 to 2"),
        ("lr=1:2:-1", "no steps of -1 lead from 1 to 2"),
        ("epochs=1:3:log5", "there are not 5 different whole numbers from 1 to 3"),
        ("epochs=1:2:0.5", "epochs must be a whole number of at least 1, not '1.5'"),
        ("epochs=1:1000000:1", "that is 1,000,000 points; at most 100,000 in one command"),
        ("lr=1:2:lin999999999", "that is 999,999,999 points; at most 100,000 in one command"),
        ("lr=1e-300:1e300:1e-300", "that is "),
        ("epochs=1:30", "epochs must be a whole number of at least 1, not '1:30'"),
        ("lr=1:1e999:2", "a range is of numbers, not '1e999'"),
    ],
)
def test_a_range_that_cannot_be(option: str, line: str) -> None:
    with pytest.raises(UserError) as refused:
        asked(vary=[option])
    assert str(refused.value).startswith(line)
    assert len(str(refused.value)) < 1000


# Words of the command line, zip and exclude


def test_hydras_words_are_a_cross() -> None:
    request = asked(words=["lr=0.1,0.01", "batch_size=32,64"])
    assert [sweep.name for sweep in request.sweeps] == ["cross"]
    assert values(request) == ["0.1*32", "0.1*64", "0.01*32", "0.01*64"]


def test_a_word_with_one_value_sets() -> None:
    request = asked(words=["lr=0.5", "+batch-size=32,64"])
    assert (values(request), of(request, "lr")) == ([32, 64], [0.5, 0.5])
    assert len(asked(words=["lr=0.5"]).points) == 13


def test_words_beside_a_sweep_add_to_it() -> None:
    request = asked(words=["lr=0.1,0.2", "dropout=0,0.1"], sweep=["batch"], vary=["gamma=0.5,1"])
    assert [sweep.name for sweep in request.sweeps] == ["batch", "gamma", "cross"]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"words": ["lr"]}, "a word after the command takes NAME=VALUE, not 'lr'"),
        ({"words": ["lr=1", "lr=2"]}, "--set lr is given twice; give it once"),
        ({"words": ["lr=1"], "settings": ["learning-rate=2"]}, "--set lr is given twice; give it once"),
        ({"words": ["lr=1,2"], "vary": ["lr=3,4"]}, "--vary lr is given twice; give it once"),
        ({"words": ["~lr=1"]}, "'~lr' is no name of a hyper-parameter; use letters, digits and _"),
    ],
)
def test_words_that_cannot_be(options: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as refused:
        asked(**options)
    assert str(refused.value) == line


def test_what_is_zipped_moves_together(tmp_path: Path) -> None:
    request = from_file(tmp_path, "zip: {batch_size: [32, 64], lr: [0.01, 0.02]}")
    found = [(point.variable, point.config["batch_size"], point.config["lr"]) for point in request.points]
    assert found == [("batch_size+lr", 32, 0.01), ("batch_size+lr", 64, 0.02)]


def test_a_zip_of_unequal_lists_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "zip: {batch_size: [32, 64], lr: [0.01, 0.02, 0.03]}") == (
        "2: values that move together are as many of each; there are 2 of batch_size and 3 of lr"
    )


def test_a_zip_may_say_a_value_twice_and_asks_a_point_once(tmp_path: Path) -> None:
    request = from_file(tmp_path, "zip: {lr: [1, 1, 2, 1], batch_size: [8, 16, 8, 8]}")
    assert values(request) == ["1.0*8", "1.0*16", "2.0*8"]


def test_what_is_excluded_is_not_asked_and_is_told(tmp_path: Path) -> None:
    request = from_file(
        tmp_path,
        "cross: {optimizer: [sgd, adam], lr: [0.01, 1, 10]}\nexclude:\n- {optimizer: Adam, learning_rate: [1, 10]}\n",
    )
    assert values(request) == ["sgd*0.01", "sgd*1.0", "sgd*10.0", "adam*0.01"]
    told = "2 combinations excluded from cross: optimizer=adam, lr=1.0; optimizer=adam, lr=10.0"
    assert request.notes == ("learning_rate is called lr here", told)


def test_a_sweep_of_which_all_is_excluded_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "vary: {lr: [1, 2]}\nexclude: [{lr: [1, 2]}]") == (
        "2: every combination of sweep lr is excluded; take some out of exclude"
    )


def test_an_exclusion_is_checked(tmp_path: Path) -> None:
    assert refusal(tmp_path, "vary: {lr: [1, 2]}\nexclude:\n- {lr: 1}\n- {model: rnn}").startswith(
        "5: unknown model 'rnn'"
    )


# YAML


TRAPS = {
    "deep": ("vary: " + "[" * 900, 2, "more than 20 lists and mappings lie in each other"),
    "deep mappings": ("vary: " + "{a: " * 900, 2, "more than 20 lists and mappings lie in each other"),
    "a tag of a flag": ("vary: {shuffle: [!!bool maybe]}", 2, "the tag 'tag:yaml.org,2002:bool' asks for more"),
    "a tag of a time": ("vary: {lr: [!!timestamp 2001-01-010.0]}", 2, "the tag 'tag:yaml.org,2002:timestamp'"),
    "a number in sixties": ("vary: {epochs: [1:30]}", 2, "1:30 counts in sixties to other readers of YAML"),
    "many sixties": ("vary: {epochs: [" + "1:" * 400 + "30]}", 2, "1:1:1:1:"),
    "an octal number": ("vary: {epochs: [010]}", 2, "010 is another number to other readers of YAML"),
    "a long hexadecimal number": ("vary: {epochs: [0x" + "f" * 5000 + "]}", 2, "0xfffff"),
    "a long number": ("vary: {epochs: [" + "9" * 5000 + "]}", 2, "epochs must be a whole number of at least 1, not"),
    "a long text": ("vary: {epochs: [" + "x" * 5000 + "]}", 2, "epochs must be a whole number of at least 1, not"),
    "an alias": ("vary: {lr: &x [1, 2], dropout: *x}", 2, "&NAME and *NAME refer to other parts of the file"),
    "an alias bomb": (
        "\n".join(["a: &a [1, 2, 3]", *(f"{c}: &{c} [*{p}, *{p}]" for p, c in itertools.pairwise("abcdefghijklm"))]),
        2,
        "&NAME and *NAME refer to other parts of the file",
    ),
    "a merged mapping": ("vary: {<<: {lr: [1]}}", 2, "'<<' is no name of a hyper-parameter"),
    "seeds without end": ("vary: {lr: [1]}\nseeds: 100000000000", 3, "that is 100,000,000,000 points"),
    "many seeds": ("vary: {lr: [1]}\nseeds: 20000000", 3, "that is 20,000,000 points"),
    "seeds in digits": ("vary: {lr: [1]}\nseeds: " + "9" * 5000, 3, "seeds are a number of them"),
    "too many points": (
        "cross: {lr: 1:1000:1, weight_decay: 1:1000:1}",
        2,
        "that is 1,000,000 points; at most 100,000 in one command",
    ),
    "a full megabyte of values": ("vary: {lr: [" + "1," * 499_000 + "]}", 2, "more than 200,000 names and values"),
    "a long name": ("vary: {" + "l" * 500 + ": [1]}", 2, "a name has 1 to 100 letters, not 500"),
    "an endless float": ("vary: {lr: [.inf]}", 2, "lr must be a number above 0, not inf"),
    "a list as a name": ("vary: {? [1, 2] : 3}", 2, "not YAML: found unhashable key"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("case", TRAPS)
def test_a_trap_of_yaml_is_one_line(tmp_path: Path, case: str) -> None:
    text, line, said = TRAPS[case]
    found = refusal(tmp_path, text)
    assert found.startswith(f"{line}: {said}")
    assert len(found) < 400


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "2001-01-01", "~x"])
def test_a_name_that_looks_like_something_else_is_a_text(tmp_path: Path, word: str) -> None:
    task = own(Parameter("activation", "text", default="relu"))
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: mine\nvary: {{activation: [relu, {word}]}}\n")
    assert values(asked(task, config=path)) == ["relu", word]


@pytest.mark.timeout(60)
def test_twenty_thousand_values_are_read_in_seconds(tmp_path: Path) -> None:
    listed_values = ", ".join(f"{place / 1000:g}" for place in range(1, 20_001))
    assert len(from_file(tmp_path, f"vary: {{lr: [{listed_values}]}}").points) == 20_000


def test_the_standard_file_means_the_same_to_every_reader() -> None:
    """Ours reads YAML 1.2; most others read 1.1."""
    assert MNIST.sweeps is not None
    content = yaml.safe_load(MNIST.sweeps.read_text("utf-8"))
    assert {sweep.name: next(iter(sweep.space.values())) for sweep in asked().sweeps} == {
        "epochs": tuple(content["vary"]["epochs"]),
        "batch": tuple(content["vary"]["batch_size"]),
        "lr": tuple(content["vary"]["lr"]),
    }


# The page, and the example


PAGE = (Path(__file__).parents[1] / "docs" / "spaces.md").read_text("utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
EXAMPLE = Path(__file__).parents[1] / "examples" / "rates.yaml"


@pytest.mark.parametrize(("block", "points"), [(BLOCKS[0], 42), (BLOCKS[2], 18)], ids=["rates", "wandb"])
def test_a_file_of_the_page_asks_what_it_says(tmp_path: Path, block: str, points: int) -> None:
    assert len(from_file(tmp_path, block).points) == points


def test_the_pages_file_for_a_loop_of_ones_own_is_four_runs(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def train(config):\n    while True:\n        yield {'loss': 1.0}\n")
    (tmp_path / "mine.yaml").write_text(BLOCKS[1])
    options = Options(config=tmp_path / "mine.yaml")
    task = subject(Chosen(None, None, None, False, False), Mnist("auto", tmp_path, "fp32"), options, []).described
    assert values(build(task, options)) == ["sgd*0.0*–", "sgd*0.9*–", "adam*–*0.9", "adam*–*0.99"]


@pytest.mark.parametrize(
    ("written", "said"), re.findall(r"^\| `([^`]*:[^`]*)` or `([^`]*)` \|", PAGE, flags=re.MULTILINE)
)
def test_the_two_ways_to_write_a_range_on_the_page_are_one(tmp_path: Path, written: str, said: str) -> None:
    name = "epochs" if written.startswith("2") else "momentum" if ":1:" in written else "lr"
    low = written.replace(":1:", ":0.9:"), said.replace("[0, 1]", "[0, 0.9]")  # a momentum is below 1
    one = asked(vary=[f"{name}={low[0]}"], settings=["optimizer=sgd"])
    other = from_file(tmp_path, f"baseline: {{optimizer: sgd}}\nvary: {{{name}: {low[1]}}}")
    assert values(one) == values(other)
    assert len(values(one)) == 5


def test_the_example_can_be_planned() -> None:
    request = asked(config=EXAMPLE)
    assert len(request.points) == 27
    assert request.notes == (
        "momentum is inactive with adam",
        "1 combination excluded from cross: optimizer=adam, lr=0.1",
    )


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_whatever_a_file_says_is_understood_or_refused_in_a_line(tmp_path_factory: Any, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.yaml"
    text = list(data.draw(st.sampled_from([*BLOCKS, EXAMPLE.read_text("utf-8")])))
    for _ in range(data.draw(st.integers(1, 5))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.sampled_from("{}[]:,'\"&*!%@#-? \n\t019.eé|>~<"))
    path.write_text("".join(text), "utf-8")
    try:
        assert asked(config=path).points
    except UserError as refused:
        assert len(str(refused).splitlines()) == 1
