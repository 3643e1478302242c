"""What is inactive is an empty cell: in tables, figures and words; and folders from before there were such cells."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas as pd
import pytest
from conftest import DIGITS, run, succeeded
from tables import read_folder, seeded_sweep, sweep, write_folder

from tune_mnist.commands.verify import _config
from tune_mnist.figures.gallery import save_figures
from tune_mnist.figures.heatmap import draw_cross
from tune_mnist.mnist.task import MNIST
from tune_mnist.parameter import Parameter
from tune_mnist.report.document import markdown
from tune_mnist.report.sections import compose
from tune_mnist.results.columns import as_one
from tune_mnist.results.fixed import fixed
from tune_mnist.results.folder import HISTORY_CSV, results_csv
from tune_mnist.results.read import read_history
from tune_mnist.results.summary import summarise
from tune_mnist.task import recorded
from tune_mnist.verdicts.compare import differing
from tune_mnist.verdicts.reference import compare_reference

OPTIMIZERS = {"sgd": [0.95, 0.94, 0.96], "adam": [0.97, 0.98, 0.96], "nadam": [0.9, 0.92, 0.91]}


def optimizers() -> pd.DataFrame:
    """A sweep over the optimizer at a baseline with a momentum."""
    table = seeded_sweep("optimizer", OPTIMIZERS, momentum=0.9)
    return table.assign(baseline=table["optimizer"] == "sgd")


def crossed() -> pd.DataFrame:
    """The optimizer crossed with the momentum, which is one point for adam."""
    rows = [("sgd", 0.0, 0.9), ("sgd", 0.9, 0.95), ("adam", float("nan"), 0.97)]
    table = sweep("optimizer", [(name, 1, accuracy, 60.0) for name, _, accuracy in rows], sweep="cross")
    return table.assign(variable="optimizer*momentum", momentum=[momentum for _, momentum, _ in rows])


def zipped() -> pd.DataFrame:
    rows = [(32, 0.01, 0.9), (64, 0.02, 0.95), (128, 0.01, 0.93)]
    table = sweep("batch_size", [(size, 1, accuracy, 60.0 + size) for size, _, accuracy in rows], sweep="zip")
    return table.assign(variable="batch_size+lr", lr=[lr for _, lr, _ in rows], baseline=[False, True, False])


def cells(folder: Path, name: str) -> list[str]:
    with (folder / results_csv("mnist")).open(encoding="utf-8", newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def test_a_table_with_empty_cells_is_read_back(tmp_path: Path) -> None:
    points = read_folder(write_folder(tmp_path / "results", crossed())).points
    assert points["value"].tolist() == ["sgd*0", "sgd*0.9", "adam*–"]
    assert points["momentum"].isna().tolist() == [False, False, True]
    assert cells(tmp_path / "results", "momentum") == ["0.0", "0.9", ""]


def test_a_report_says_where_something_is_inactive(tmp_path: Path) -> None:
    results = read_folder(write_folder(tmp_path / "results", optimizers()))
    text = markdown(compose(results, summarise(results.points, results.task), []))
    assert "- Momentum is inactive with adam and nadam: its cell is empty there." in text
    assert "momentum 0.9" in text.replace("\xa0", " ")


def test_what_is_inactive_everywhere_needs_no_word(tmp_path: Path) -> None:
    results = read_folder(write_folder(tmp_path / "results", seeded_sweep("lr", {0.01: [0.9], 0.1: [0.8]})))
    text = markdown(compose(results, summarise(results.points, results.task), []))
    assert "momentum" not in text.lower()


def test_figures_are_drawn_of_empty_cells_and_of_what_moves_together(tmp_path: Path) -> None:
    results = read_folder(write_folder(tmp_path / "results", optimizers(), crossed(), zipped()))
    made = {path.stem for one in save_figures(results) for path in one.paths}
    assert {"accuracy_vs_optimizer", "heatmap_cross", "accuracy_vs_zip", "time_vs_zip", "learning_zip"} <= made
    assert "heatmap_zip" not in made


def test_what_is_held_beside_things_that_move_together_is_told() -> None:
    """Momentum has an effect with the optimizer, which is one of those that move."""
    rows = [("sgd", 0.01, 0.9), ("rmsprop", 0.02, 0.95)]
    table = sweep("optimizer", [(name, 1, accuracy, 60.0) for name, _, accuracy in rows], sweep="zip", momentum=0.9)
    table = table.assign(variable="optimizer+lr", lr=[lr for _, lr, _ in rows], value=["sgd*0.01", "rmsprop*0.02"])
    single, task = as_one(table, MNIST)
    assert single["optimizer and learning rate"].tolist() == ["sgd, 0.01", "rmsprop, 0.02"]
    said = fixed(single, ["optimizer and learning rate"], task).replace("\xa0", " ")
    assert "momentum 0.9" in said
    assert "sgd" not in said


def test_a_heat_map_tells_what_was_not_asked_from_what_is_not_done() -> None:
    texts = [text.get_text() for text in draw_cross(crossed(), MNIST).texts]
    assert any("Hatched: not asked for (3)." in text for text in texts)


def older(folder: Path) -> Path:
    """A folder as it was before: without the last layer's dropout, and a momentum beside every optimizer."""
    table = seeded_sweep("lr", {0.001: [0.86, 0.87], 0.01: [0.95, 0.94]})
    write_folder(folder, table.assign(momentum=0.0))
    for name in (results_csv("mnist"), HISTORY_CSV):
        frame = pd.read_csv(folder / name, keep_default_na=False, dtype=str)
        frame.drop(columns="dropout_last").to_csv(folder / name, index=False)
    return folder


def test_a_folder_from_before_is_read(tmp_path: Path) -> None:
    results = read_folder(older(tmp_path / "results"))
    assert set(results.points["dropout_last"]) == {"recipe"}
    assert results.points["momentum"].isna().all()
    history = read_history(tmp_path / "results", MNIST)
    assert history is not None
    assert set(history["dropout_last"]) == {"recipe"}
    text = fixed(results.points, ["lr"], MNIST).replace("\xa0", " ")
    assert text.startswith("Fixed: cnn, adadelta, epochs 5, batch_size 64, gamma 0.7, dropout 0.25, shuffle true")


def test_a_folder_from_before_is_set_beside_the_published_figures_and_beside_a_new_one(tmp_path: Path) -> None:
    old = read_folder(older(tmp_path / "old"))
    new = read_folder(write_folder(tmp_path / "new", seeded_sweep("lr", {0.001: [0.86, 0.87], 0.01: [0.95, 0.94]})))
    for one in (old, new):
        assert compare_reference(one.points, MNIST)["value"].tolist() == ["0.001", "0.01"]
    assert differing(old.points, new.points, MNIST) == []


def test_a_run_of_a_folder_from_before_can_be_verified(tmp_path: Path) -> None:
    results = read_folder(older(tmp_path / "results"))
    assert results.history is not None
    run = results.history[results.history["run"] == results.history["run"].iloc[0]]
    found = _config(run, results.points, MNIST)
    assert (found["momentum"], found["dropout_last"], found["lr"]) == (0.0, None, run["lr"].iloc[0])


def test_a_record_from_before_has_its_condition() -> None:
    record = MNIST.record()
    for one in record["parameters"]:
        if one["name"] == "gamma":
            del one["when"]
            one["only"] = ["schedule", ["step"]]
    of = recorded(json.loads(json.dumps(record)))
    assert of.parameter("gamma").when == (("schedule", ("step",)),)
    assert of.parameter("momentum").when == MNIST.parameter("momentum").when


@pytest.mark.parametrize("one", [one for one in MNIST.parameters if one.when], ids=lambda one: one.name)
def test_a_condition_names_a_parameter_and_values_that_it_can_have(one: Parameter) -> None:
    for by, values in one.when:
        assert [MNIST.parameter(by).read(value) for value in values] == list(values)


WANDB = """\
program: train.py
method: grid
parameters:
  optimizer: {values: [SGD, Adam]}
  momentum: {values: [0, 0.9]}
  epochs: {value: 1}
  model: {value: linear}
"""


def test_a_dry_run_shows_the_values_of_a_range_and_what_is_asked_once(tmp_path: Path) -> None:
    """In the real command: words after it, a range, seeds by their names, other names."""
    words = ("optimizer=sgd,Adam", "momentum=0,0.9", "learning_rate=0.01:1:log3", "model=linear")
    done = succeeded(run("run", *words, *DIGITS, "--seeds", "7,9", "--dry-run", folder=tmp_path, module="tune_mnist"))
    said = " ".join(done.out.split())
    for line in (
        "learning_rate is called lr here",
        "momentum is inactive with adam",
        "3 combinations of cross are trainings of another one, and not asked twice",
        "18 points, 18 distinct, 18 runs",
        "optimizer=adam, lr=0.1, seed=9",
    ):
        assert line in said
    (tmp_path / "sweep.yaml").write_text(WANDB)
    done = succeeded(run("--config", "sweep.yaml", *DIGITS, "model=linear", "--dry-run", folder=tmp_path))
    assert "program of the W&B file means nothing here" in done.out
    assert "3 points, 3 distinct, 3 runs" in done.out
