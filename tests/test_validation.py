"""Validation data: which images are held out, that they leave the training alone, and what is chosen by them."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import rows, run
from tables import CURVE, complete, curve_sweep, seeded_sweep, write_folder
from tasks import CONDITIONS, asked, config, mnist
from test_results import row

from tune_mnist.__main__ import main
from tune_mnist.display.overview import best_lines
from tune_mnist.errors import UserError
from tune_mnist.experiment import Experiment
from tune_mnist.mnist.config import TrainConfig
from tune_mnist.mnist.datasets import Dataset, Split, load
from tune_mnist.mnist.task import MNIST, conditions, prepared, validated
from tune_mnist.mnist.training import Training
from tune_mnist.mnist.validation import counted, without_validation
from tune_mnist.plan.plan import make_plan
from tune_mnist.report import findings
from tune_mnist.report.weaknesses import weaknesses
from tune_mnist.results.columns import epoch_columns, point_columns
from tune_mnist.results.read import Results, read_points, read_results
from tune_mnist.results.summary import summarise
from tune_mnist.results.tables import Outcome, points_frame
from tune_mnist.store.store import Store
from tune_mnist.task import Task, recorded, run_key

DIGITS = load("digits", Path("nowhere"), print)
HELD_OUT = without_validation(DIGITS, 200)
LINEAR = TrainConfig(model="linear", batch_size=32, epochs=4)


Give = Callable[..., tuple[int, str, str]]


@pytest.fixture
def give(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Give:
    """Gives a command in this process: its exit code, and what it said on stdout and on stderr."""

    def given(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tune-mnist", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return given


def task(images: int = 200, **conditions: Any) -> Task:
    """MNIST with validation data, under made-up conditions."""
    return replace(validated(MNIST), conditions={**CONDITIONS, "validation": images, **conditions})


def toy(sizes: Sequence[int]) -> Dataset:
    """Images whose pixels are their place, of classes of these sizes, mixed."""
    labels = np.random.RandomState(1).permutation(np.repeat(np.arange(len(sizes)), sizes))
    images = np.arange(len(labels)).astype(np.uint8)[:, None, None] * np.ones((1, 28, 28), np.uint8)
    return Dataset("toy", Split(images, labels), Split(images[:9], labels[:9]), {})


# Which images


def test_classes_have_their_shares_by_largest_remainders() -> None:
    """10 of 50, 30 and 21: 4.95, 2.97 and 2.08; 4 + 2 + 2, and one more for each of the two largest remainders."""
    data = without_validation(toy([50, 30, 21]), 10)
    assert data.validation is not None
    assert np.bincount(data.validation.labels).tolist() == [5, 3, 2]
    assert np.bincount(data.train.labels).tolist() == [45, 27, 19]


def test_equal_remainders_go_to_the_first_classes() -> None:
    data = without_validation(toy([20, 20, 20]), 10)
    assert data.validation is not None
    assert np.bincount(data.validation.labels).tolist() == [4, 3, 3]


def test_each_image_is_in_one_part_and_both_keep_the_files_order() -> None:
    whole, data = toy([50, 30, 21]), without_validation(toy([50, 30, 21]), 25)
    assert data.validation is not None
    trained, held = (part.images[:, 0, 0].tolist() for part in (data.train, data.validation))
    assert (trained, held) == (sorted(trained), sorted(held))
    assert sorted(trained + held) == whole.train.images[:, 0, 0].tolist()
    assert held != list(range(25))
    labels = whole.train.labels
    assert data.validation.labels.tolist() == labels[held].tolist()
    assert data.test is whole.test or (data.test.labels == whole.test.labels).all()


def test_they_are_the_same_on_every_machine() -> None:
    """A store of one machine answers on another, so the rows must be the same for good."""
    assert HELD_OUT.validation is not None
    found = hashlib.sha256(HELD_OUT.validation.images.tobytes() + HELD_OUT.validation.labels.tobytes())
    assert found.hexdigest() == "f7d6187e3add058aea69195ce743cb4cfe6a2ba63c18bd37925c1c26b36fcc82"


def test_none_are_held_out_unless_asked_for() -> None:
    assert without_validation(DIGITS, 0) is DIGITS
    assert DIGITS.validation is None


@pytest.mark.parametrize(("count", "said"), [(9, "at least 10"), (1429, "choose at most 1428"), (-3, "not -3")])
def test_a_number_that_does_not_fit_is_refused(count: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        without_validation(DIGITS, count)


def test_a_fraction_is_of_the_training_images() -> None:
    assert (counted(0.1, DIGITS), counted(0, DIGITS)) == (144, 0)  # of 1,438
    with pytest.raises(UserError, match=r"^val_fraction 0.001 is 1 of 1438 training images; hold out at least 10$"):
        counted(0.001, DIGITS)


# The training


def numbers(training: Training) -> list[dict[str, Any]]:
    """Its epochs to the end, without their times."""
    return [{name: one for name, one in asdict(result).items() if not name.endswith("_s")} for result in training]


def test_evaluating_them_changes_no_training() -> None:
    """Bit for bit as on the rest alone."""
    assert HELD_OUT.validation is not None
    alone = numbers(Training(LINEAR, replace(HELD_OUT, validation=None)))
    beside = numbers(Training(LINEAR, HELD_OUT))
    assert [one | {"val_loss": None, "val_accuracy": None} for one in beside] == alone
    assert all(0 < one["val_accuracy"] <= 1 and one["val_loss"] > 0 for one in beside)


def test_they_are_measured_as_the_test_images_are() -> None:
    same = replace(HELD_OUT, validation=HELD_OUT.test)
    for one in numbers(Training(LINEAR, same)):
        assert (one["val_loss"], one["val_accuracy"]) == (one["test_loss"], one["test_accuracy"])


@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_extended_equals_whole_bit_for_bit(model: str) -> None:
    whole = LINEAR.but(model=model)
    first = Training(whole.but(epochs=2), HELD_OUT)
    begun = numbers(first)
    assert begun + numbers(Training(whole, HELD_OUT, state=first.state())) == numbers(Training(whole, HELD_OUT))


def test_the_rest_is_the_training_set() -> None:
    found = prepared(HELD_OUT, "cpu", 1, "fp32")
    assert found.shown("train_size", None) == 1238
    found.check(found.config({"train_size": 1238}))
    with pytest.raises(UserError, match="train_size 1239 is more than the 1238 training images"):
        found.check(found.config({"train_size": 1239}))
    measure = {one.name: one for one in found.measures}["val_accuracy"]
    assert (measure.examples, measure.unit) == (200, "%")


# The key


def test_runs_without_them_keep_their_keys() -> None:
    plain, held = (conditions(data, "cpu", 1, "fp32") for data in (DIGITS, HELD_OUT))
    assert "validation" not in plain
    assert held == {**plain, "validation": 200}
    assert run_key(config(), plain) != run_key(config(), held)
    assert [one.name for one in MNIST.context] == ["precision"]
    assert not {"val_accuracy", "validation", "epoch_read"} & {*point_columns(MNIST), *epoch_columns(MNIST)}


# The epoch that is read


def planned(store: Store, of: Task, accuracies: Sequence[float | None], **options: Any) -> Experiment:
    """What a command asks, over a store in which each run has these validation accuracies, epoch by epoch."""
    request = asked(of, **options)
    for one in make_plan(request.points, of, store.held).runs:
        with store.claim([one.key]):
            store.open(one.key, {})
            for epoch, accuracy in enumerate(accuracies[: one.config.epochs], start=1):
                measured = {} if accuracy is None else {"val_accuracy": accuracy, "val_loss": 1 - accuracy}
                store.append(one.key, row(epoch, **measured))
    return Experiment(request, of, store)


def points(experiment: Experiment) -> pd.DataFrame:
    return points_frame(experiment.plan, experiment.task, Outcome(), experiment.request.baseline)


PEAK = [0.5, 0.8, 0.9, 0.9, 0.7]


def test_the_best_epoch_is_read_and_the_earlier_of_two_that_are_equal(tmp_path: Path) -> None:
    """For points of 1, 2 and 5 epochs of one training: its epochs 1, 2 and 3."""
    found = points(planned(Store(tmp_path), task(), PEAK, vary=["epochs=1,2,5"], at="best"))
    assert found["epoch_read"].tolist() == [1, 2, 3]
    assert found["val_accuracy"].tolist() == [0.5, 0.8, 0.9]
    assert found["test_accuracy"].tolist() == [0.01, 0.02, 0.03]
    assert found["train_time_s"].tolist() == [11, 23, 65]  # of all its epochs


def test_the_last_epoch_is_read_unless_asked_otherwise(tmp_path: Path) -> None:
    found = points(planned(Store(tmp_path), task(), PEAK, vary=["epochs=1,2,5"]))
    assert "epoch_read" not in found
    assert found["val_accuracy"].tolist() == [0.5, 0.8, 0.7]
    assert found["test_accuracy"].tolist() == [0.01, 0.02, 0.05]


def test_a_lower_loss_is_the_better(tmp_path: Path) -> None:
    judged = task()
    by_loss = replace(judged, measures=(judged.measures[1], judged.measures[0], *judged.measures[2:]))
    assert by_loss.reading == "at the last epoch"
    found = planned(Store(tmp_path), by_loss, [0.5, 0.9, 0.7, 0.6, 0.6], vary=["epochs=5"], at="best")
    assert found.task.reading == "at the epoch of the lowest validation loss"
    assert points(found)["epoch_read"].tolist() == [2]


def test_nothing_is_trained_to_read_another_epoch(tmp_path: Path) -> None:
    planned(Store(tmp_path), task(), PEAK, vary=["epochs=1,2,5"])
    again = Experiment(asked(task(), vary=["epochs=1,2,5"], at="best"), task(), Store(tmp_path))
    assert again.plan.epochs_to_train == 0


LEARNS = replace(mnist(), learns=True, measures=(), judge=("test_accuracy", "higher"))


def test_a_loop_without_validation_is_refused_once_that_is_known(tmp_path: Path) -> None:
    """Its measures are those that it yields, so before its first run is done they may still come."""
    store = Store(tmp_path)
    Experiment(asked(LEARNS, vary=["epochs=2"], at="best"), LEARNS, store)
    said = "--at=best needs validation data, and mnist has none; yield val_accuracy, too, or leave it out"
    with pytest.raises(UserError, match=said):
        planned(store, LEARNS, [None, None], vary=["epochs=2"], at="best")


def test_a_measure_that_comes_now_and_then_is_read_where_it_is(tmp_path: Path) -> None:
    found = planned(Store(tmp_path), LEARNS, [None, 0.7, None, 0.6, None], vary=["epochs=1,3,5"], at="best")
    assert found.task.reading == "at the epoch of the highest val accuracy"
    table = points(found)
    assert table["epoch_read"].astype(object).where(table["epoch_read"].notna(), None).tolist() == [None, 2, 2]


@pytest.mark.parametrize(
    ("names", "judged", "by"),
    [
        (["test_accuracy", "val_loss", "val_accuracy"], "test_accuracy", "val_accuracy"),
        (["loss", "valid_loss"], "loss", "valid_loss"),
        (["val_loss", "val_accuracy"], "val_accuracy", "val_accuracy"),
        (["test_accuracy", "val_loss"], "test_accuracy", None),
        (["validity", "train_loss"], "validity", None),
    ],
)
def test_what_is_chosen_by(names: list[str], judged: str, by: str | None) -> None:
    measures = [replace(MNIST.judged, name=name, label="") for name in names]
    first = next(one for one in measures if one.name == judged)
    found = replace(MNIST, measures=(first, *(one for one in measures if one is not first)))
    assert (found.chosen_by and found.chosen_by.name) == by


# A folder of results


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "results"
    made.mkdir()
    return made


LR: dict[str, Any] = {"vary": ["lr=0.01,0.05"], "settings": ["epochs=5"], "seeds": 2}
BATCH: dict[str, Any] = {**LR, "vary": ["batch_size=32,64"]}


def test_a_folder_tells_at_which_epoch_its_values_are_read(folder: Path) -> None:
    planned(Store(folder.parent / "store"), task(), PEAK, **LR, at="best").write(folder)
    report = (folder / "report.md").read_text("utf-8").replace("\\", "")
    at = "values at the epoch of the highest validation accuracy"
    captions = [line for line in report.splitlines() if line.startswith(("Sweep ", "Every point"))]
    assert len(captions) == 2
    assert all(at in line for line in captions)
    assert (
        "Best by validation accuracy: lr 0.01 (as lr 0.05 does), 90.00 %; the test accuracy of lr 0.01 is 3.00 %"
        in report
    )
    assert "validation 200" in report
    assert "| sweep | value | seed | status | test accuracy | epoch read | training time |" in report
    assert "| lr | 0.01 | 1 | done | 3.00 % | 3 | 1 min 05 s |" in report
    assert json.loads((folder / "environment.json").read_text())["task"]["at"] == "best"
    assert {one["epoch_read"] for one in rows(folder / "mnist_results.csv")} == {"3"}
    assert {one["val_accuracy"] for one in rows(folder / "history.csv")} == {"0.5", "0.8", "0.9", "0.7"}
    assert {one["val_accuracy_mean"] for one in rows(folder / "summary.csv")} == {"0.9"}
    again = read_results(folder, MNIST)
    assert (again.task.at, again.points["epoch_read"].tolist()) == ("best", [3] * 4)


def test_at_the_last_epoch_the_report_says_so_too(folder: Path) -> None:
    planned(Store(folder.parent / "store"), task(), PEAK, **LR).write(folder)
    report = (folder / "report.md").read_text("utf-8")
    assert "means over n seeds, values at the last epoch" in report
    assert "| validation accuracy |" in report


OTHERS: dict[str, tuple[Task, dict[str, Any], str]] = {
    "another epoch": (task(), {}, "values are read at the best epoch, now at the last"),
    "another number": (task(100), {"at": "best"}, "validation was 200, is 100"),
    "none": (mnist(), {}, "validation was 200, is 0"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_folder_does_not_mix_them(folder: Path, name: str) -> None:
    store = Store(folder.parent / "store")
    planned(store, task(), PEAK, **LR, at="best").write(folder, report=False)
    of, options, said = OTHERS[name]
    other = planned(store, of, PEAK, **BATCH, **options)
    with pytest.raises(UserError, match=said):
        other.check(folder)
    with pytest.raises(UserError, match=r"give another --output$"):
        other.write(folder, report=False)


@pytest.mark.parametrize("is_local", [True, False], ids=["here", "on a cluster that is still to be started"])
def test_validation_is_not_added_to_a_folder_without(folder: Path, is_local: bool) -> None:
    store = Store(folder.parent / "store")
    planned(store, mnist(), PEAK, **LR).write(folder, report=False)
    with pytest.raises(UserError, match="validation was 0, is 200"):
        planned(store, task(), PEAK, **BATCH).check(folder, is_local=is_local)


def test_a_sweep_alone_may_be_read_otherwise(folder: Path) -> None:
    store = Store(folder.parent / "store")
    planned(store, task(), PEAK, **LR, at="best").write(folder, report=False)
    planned(store, task(), PEAK, **LR).write(folder, report=False)
    assert "epoch_read" not in rows(folder / "mnist_results.csv")[0]


def test_an_older_record_is_read_at_the_last_epoch() -> None:
    record = MNIST.record()
    del record["at"]
    assert recorded(record).at == "last"


# What is called best


def accuracies(test: dict[Any, list[float]], validation: dict[Any, list[float]]) -> pd.DataFrame:
    """A sweep over lr with these accuracies, one seed each."""
    table = complete(seeded_sweep("lr", test))
    found = [accuracy for listed in validation.values() for accuracy in listed]
    return table.assign(val_accuracy=found, val_loss=[1 - one for one in found], validation=200)


# By test accuracy 0.05 would be the best, by validation 0.01 is.
SPLIT = accuracies({0.01: [0.95, 0.96], 0.05: [0.97, 0.98]}, {0.01: [0.94, 0.95], 0.05: [0.90, 0.91]})


def test_the_best_is_chosen_by_validation_and_told_by_test() -> None:
    assert best_lines(SPLIT, task()) == [
        "best of lr (learning rate) by validation accuracy: lr=0.01, 94.50 %; test accuracy there 95.50 % "
        "(means of 2 seeds)"
    ]
    said = findings.best(summarise(SPLIT, task()), task())
    assert said.startswith("Best by validation accuracy: lr 0.01, 94.50 %; the test accuracy of lr 0.01 is 95.50 % (95")


def test_without_validation_nothing_is_called_best() -> None:
    table = complete(seeded_sweep("lr", {0.01: [0.95], 0.05: [0.97]}))
    assert best_lines(table, MNIST) == ["highest test accuracy of lr (learning rate): lr=0.05, 97.00 %"]
    assert findings.best(summarise(table, MNIST), MNIST) == (
        "lr 0.05 reaches the highest test accuracy, 97.00 % (one seed)."
    )


def doubts(table: pd.DataFrame, of: Task) -> str:
    return " ".join(weaknesses(Results(Path(), of, table, None, {}), summarise(table, of)))


def test_choosing_by_what_is_told_is_a_weakness() -> None:
    plain = complete(seeded_sweep("lr", {0.01: [0.95], 0.05: [0.97]}))
    assert "The highest test accuracy is picked from all: on new images it would be somewhat lower." in doubts(
        plain, MNIST
    )
    assert "picked from all" not in doubts(SPLIT, task())
    assert "chosen by" not in doubts(SPLIT, task())
    curve = curve_sweep("rate", {0.1: [0.2], 1.0: [0.3]})
    assert "The best point is chosen by its validation loss: on new data it would be somewhat higher." in doubts(
        curve, CURVE
    )


def test_folders_with_and_without_them_are_compared(tmp_path: Path, give: Give) -> None:
    """Both ways; what differs, and what each reads, is told, and the best of the one that can tell it."""
    write_folder(tmp_path / "plain", seeded_sweep("lr", {0.01: [0.94, 0.95], 0.05: [0.97, 0.98]}))
    planned(Store(tmp_path / "store"), task(), PEAK, **LR, at="best").write(tmp_path / "held", report=False)
    for first, second in (("plain", "held"), ("held", "plain")):
        code, out, err = give("compare", tmp_path / first, tmp_path / second)
        assert (code, err) == (0, "")
        said = " ".join(out.split())
        a, b = (0, 200) if first == "plain" else (200, 0)
        assert f"validation: A {a}, B {b}" in said
        assert "at the epoch of the highest validation accuracy" in said
        assert f"{'B' if first == 'plain' else 'A'}: best of lr (learning rate) by validation accuracy" in said


# What a user writes


REFUSED: dict[str, tuple[list[str], str]] = {
    "too few": (["--validation", "5"], "validation must be a whole number of at least 10, or 0 for none, not 5"),
    "no number": (["--validation", "many"], "--validation must be a whole number, not 'many'"),
    "too many": (["--validation", "1430"], "choose at most 1428"),
    "best by nothing": (["--at", "best"], "--at=best needs validation data, and mnist has none; hold some out with"),
    "no such epoch": (["--at", "worst"], "unknown --at 'worst'; choose from: last, best"),
    "both in a file": (["--config", "both.yaml"], "both.yaml:4: validation and val_fraction say the same"),
    "option and fraction": (
        ["--config", "fraction.yaml", "--validation", "100"],
        "--validation and fraction.yaml's val_fraction say the same; give one of them",
    ),
    "a fraction above 1": (["--config", "above.yaml"], "above.yaml:3: val_fraction: input should be less than 1"),
    "a loop of one's own": (
        ["--task", "own.py", "--vary", "lr=1,2", "--validation", "100"],
        "--validation is for MNIST; leave it out with --task own.py, because your loop holds data out itself",
    ),
    "a file of such a loop": (
        ["--task", "own.py", "--config", "fraction.yaml"],
        "fraction.yaml:3: a loop of your own holds data out itself and yields val_…; leave val_fraction out",
    ),
}
FILES = {
    "both.yaml": "name: x\nvary: {lr: [1, 2]}\nvalidation: 100\nval_fraction: 0.1\n",
    "fraction.yaml": "name: x\nvary: {lr: [1, 2]}\nval_fraction: 0.1\nat: best\n",
    "above.yaml": "name: x\nvary: {lr: [1, 2]}\nval_fraction: 1.5\n",
    "own.py": "def train(config):\n    while True:\n        yield {'val_loss': config['lr']}\n",
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_one_line(files: Path, name: str, give: Give) -> None:
    options, said = REFUSED[name]
    data = [] if "--task" in options else ["--dataset", "digits"]
    code, _, err = give("run", *data, *options, "--dry-run")
    assert code == 2
    (line,) = err.splitlines()
    assert said in line
    assert not (files / "results").exists()


@pytest.mark.parametrize(
    "options", [["--config", "fraction.yaml"], ["--vary", "lr=1,2", "--validation", "144", "--at", "best"]]
)
def test_a_printed_file_asks_the_same(files: Path, options: list[str], give: Give) -> None:
    asked_twice = []
    (files / "printed.yaml").write_text("")
    for these in (options, ["--config", "printed.yaml"]):
        _, printed, _ = give("run", *these, "--set", "epochs=2", "--print-config")
        (files / "printed.yaml").write_text(printed)
        _, plan, _ = give("run", "--dataset", "digits", *these, "--set", "epochs=2", "--dry-run")
        asked_twice.append((printed, plan.partition("about")[0]))
    assert asked_twice[0] == asked_twice[1]
    assert "at: best" in printed


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_real_sweep_is_extended_read_at_its_best_and_verified(tmp_path: Path) -> None:
    """Two epochs, then four; the same numbers as four at once; and `verify` finds them again."""
    what = ["--dataset", "digits", "--set", "model=linear", "--set", "batch_size=32", "--vary", "lr=1,3"]
    what += ["--validation", "200"]
    for options in (["--set", "epochs=2"], ["--set", "epochs=4", "--at", "best"]):
        done = run(*what, *options, folder=tmp_path)
        assert done.code == 0, done.out + done.err
    assert "best of lr (learning rate) by validation accuracy: lr=" in done.out
    assert "values at the epoch of the highest validation accuracy" in done.out
    history = pd.read_csv(tmp_path / "results" / "digits" / "history.csv")
    for lr, of_run in history.groupby("lr"):
        whole = numbers(Training(LINEAR.but(lr=lr), HELD_OUT))
        assert of_run["val_loss"].tolist() == [one["val_loss"] for one in whole]
        assert of_run["test_loss"].tolist() == [one["test_loss"] for one in whole]
    table = read_points(tmp_path / "results" / "digits", read_results(tmp_path / "results" / "digits", MNIST).task)
    assert (table["val_accuracy"] == history.groupby("run")["val_accuracy"].max()[table["run"]].to_numpy()).all()
    checked = run("verify", "results/digits", folder=tmp_path, module="tune_mnist")
    assert "every number the same to the last bit" in checked.out
