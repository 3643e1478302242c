"""`tune-mnist verify DIR`: a run trained again, equal to the last bit or told by how much it is not."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
from conftest import HISTORY, Finished, rows, run

pytestmark = pytest.mark.timeout(1200)  # for the sweeps that a test finds first


def verify(*arguments: object) -> Finished:
    return run(*map(str, arguments), folder=Path.cwd(), module="tune_mnist")


@pytest.fixture
def copy(standard: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what the three sweeps left, to be changed."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(standard.results, tmp_path / "results")


def key_of(folder: Path, **config: str) -> str:
    """The run with this config."""
    (key,) = {row["run"] for row in rows(folder / HISTORY) if all(row[name] == one for name, one in config.items())}
    return key


def change(path: Path, column: str, cell: str, **where: str) -> str:
    """Write the cell in the one row where the columns are these; what it was."""
    table = rows(path)
    (row,) = [row for row in table if all(row[name] == one for name, one in where.items())]
    before, row[column] = row[column], cell
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    return before


def test_a_short_run_at_random_is_equal(copy: Path) -> None:
    done = verify("verify", copy)
    assert done.code == 0, done.out + done.err
    assert done.err == ""
    assert "equal: 5 epochs, every number the same to the last bit" in done.out
    assert len(re.findall(r"^epoch \d: test accuracy .*, equal$", done.out, re.MULTILINE)) == 5


@pytest.mark.long
def test_a_run_can_be_named_by_the_beginning_of_its_key(copy: Path) -> None:
    key = key_of(copy, batch_size="256")
    done = verify("verify", copy, "--run", key[:8])
    assert done.code == 0, done.out + done.err
    assert f"run {key} (" in done.out
    assert "batch_size=256" in done.out


def test_a_number_that_is_off_by_its_last_bit_is_found(copy: Path) -> None:
    """And the environment is looked at: of what it records, one thing is made to differ."""
    key = key_of(copy, batch_size="256")
    before = next(row for row in rows(copy / HISTORY) if (row["run"], row["epoch"]) == (key, "3"))["test_loss"]
    off = float(before) * (1 + 2**-52)
    assert off != float(before)
    change(copy / HISTORY, "test_loss", repr(off), run=key, epoch="3")
    facts = json.loads((copy / "environment.json").read_text("utf-8"))
    facts["conditions"]["torch_version"] = "0.4.1"
    (copy / "environment.json").write_text(json.dumps(facts), "utf-8")
    done = verify("verify", copy, "--run", key)
    assert (done.code, done.err) == (1, "")
    assert re.search(
        rf"^epoch 3 differs: test_loss is {re.escape(before)}, was {re.escape(repr(off))} \(by -", done.out, re.M
    )
    assert "epoch 2: test accuracy" in done.out
    assert len(re.findall("differs:", done.out)) == 1
    assert re.search(r"^torch_version was 0\.4\.1, is \d", done.out, re.MULTILINE)


@pytest.mark.long
def test_where_nothing_known_differs_that_is_said(copy: Path) -> None:
    key = key_of(copy, batch_size="256")
    change(copy / HISTORY, "test_accuracy", "0.5", run=key, epoch="1")
    done = verify("verify", copy, "--run", key)
    assert done.code == 1
    assert re.search(r"^epoch 1 differs: test_accuracy is 0\.\d+, was 0\.5 \(by [+-]0\.\d+\)$", done.out, re.MULTILINE)
    assert done.out.splitlines()[-1] == "nothing that environment.json records differs here"


def test_what_cannot_be_verified_is_told_in_one_line(copy: Path) -> None:
    gone = key_of(copy, batch_size="256")
    for arguments, said in (
        ((copy.parent / "nowhere",), "there is no folder"),
        ((copy.parent,), "has no epochs in history.csv to verify"),
        ((copy, "--run", "zzzz"), f"no run of {copy} has a key that begins with 'zzzz'; its keys are"),
        ((copy, "--run", ""), "the value of --run is empty"),
    ):
        done = verify("verify", *arguments)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert said in done.err
    without = [row for row in rows(copy / HISTORY) if (row["run"], row["epoch"]) != (gone, "2")]
    with (copy / HISTORY).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(without[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(without)
    done = verify("verify", copy, "--run", gone)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"history.csv lacks an epoch of run {gone}" in done.err
