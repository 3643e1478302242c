"""`tune-mnist report DIR` over tables that are not as we left them: one line and exit code 2, or a report that says it.

Everything goes through the command, so that what is asserted is what a person sees.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tables import LRS, seeded_sweep, write_folder
from test_plots import texts as words_of

from tune_mnist.__main__ import main
from tune_mnist.figures.curve import draw
from tune_mnist.mnist.task import MNIST
from tune_mnist.results.read import read_history, read_points

RESULTS, HISTORY = "mnist_results.csv", "history.csv"
Rows = list[list[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sweep over three learning rates, three seeds, all done; 9 points."""
    return write_folder(tmp_path / "results", seeded_sweep("lr", LRS, epochs=2))


def command(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """`tune-mnist report` in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["tune-mnist", "report", *(arguments or [str(folder)])])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def rows_of(path: Path) -> Rows:
    return list(csv.reader(io.StringIO(path.read_text("utf-8"))))


def save(rows: Rows, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def put(path: Path, column: str, line: int, cell: str) -> None:
    """Write the cell; the header is line 1."""
    rows = rows_of(path)
    rows[line - 1][rows[0].index(column)] = cell
    save(rows, path)


def without(path: Path, *columns: str) -> None:
    rows = rows_of(path)
    places = [place for place, name in enumerate(rows[0]) if name not in columns]
    save([[row[place] for place in places] for row in rows], path)


def refused(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that the command ends with; it has written nothing."""
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert command(folder, monkeypatch) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    return err


def reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The report's text, after a command that ended well."""
    assert command(folder, monkeypatch) == 0
    return (folder / "report.md").read_text("utf-8").replace("\\", "")


Damage = Callable[[Path], object]
CELLS = [
    ("test_accuracy", "high", "a number from 0 to 1"),
    ("test_accuracy", "1.5", "a number from 0 to 1"),
    ("test_accuracy", "95.1 %", "a number from 0 to 1"),
    ("test_accuracy", "inf", "a number from 0 to 1"),
    ("test_loss", "-0.1", "a number of at least 0"),
    ("train_time_s", "1 min", "a number of at least 0"),
    ("concurrent", "-1", "a number of at least 0"),
    ("lr", "", "a number"),
    ("lr", "nan", "a number"),
    ("epochs", "2.5", "a whole number above 0"),
    ("epochs", "five", "a whole number above 0"),
    ("batch_size", "0", "a whole number above 0"),
    ("seed", "", "a whole number"),
    ("seed", "nan", "a whole number"),
    ("threads", "inf", "a whole number above 0"),
    ("status", "ok", "one of done, diverged, failed, missing"),
    ("status", "", "one of done, diverged, failed, missing"),
    ("baseline", "perhaps", "True or False"),
    ("shuffle", "1", "True or False"),
    ("run", "", "a name"),
    ("sweep", "", "a name"),
    ("dataset", "", "a name"),
]


@pytest.mark.parametrize(("column", "cell", "rule"), CELLS, ids=[f"{column}={cell}" for column, cell, _ in CELLS])
def test_a_cell_that_cannot_be_is_named_with_its_line(
    folder: Path, column: str, cell: str, rule: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(folder / RESULTS, column, 3, cell)
    assert f"{RESULTS}:3: {column} must be {rule}, not '{cell}'" in refused(folder, monkeypatch, capsys)


def truncate(path: Path, lost: int) -> None:
    path.write_bytes(path.read_bytes()[:-lost])


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def swap_in(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")


FILES: dict[str, tuple[Damage, str]] = {
    "no table": (lambda folder: (folder / RESULTS).unlink(), "there is no table"),
    "nothing in it": (lambda folder: (folder / RESULTS).write_bytes(b""), "is empty"),
    "empty lines": (lambda folder: (folder / RESULTS).write_bytes(b"\n\n"), "is empty"),
    "a header alone": (lambda folder: save(rows_of(folder / RESULTS)[:1], folder / RESULTS), "has no rows"),
    "another table": (lambda folder: (folder / RESULTS).write_text("a,b\n1,2\n"), "has none of our columns"),
    "semicolons": (lambda folder: swap_in(folder / RESULTS, ",", ";"), "has none of our columns"),
    "not UTF-8": (lambda folder: (folder / RESULTS).write_bytes("é".encode("latin-1")), "cannot be read as a table"),
    "a picture": (lambda folder: (folder / RESULTS).write_bytes(b"\x89PNG\r\n\x1a\n\x00"), "cannot be read as a table"),
    "a folder": (
        lambda folder: become_folder(folder / RESULTS),
        "cannot be read as a table",
    ),
    "one column less": (lambda folder: without(folder / RESULTS, "status"), "lacks the column status"),
    "two columns less": (lambda folder: without(folder / RESULTS, "lr", "seed"), "lacks the columns lr, seed"),
    "cut off": (lambda folder: truncate(folder / RESULTS, 60), f"{RESULTS}:10: "),
    "a comma too many": (lambda folder: swap_in(folder / RESULTS, "0.949", "0,949"), "36 fields, not 35"),
    "a point twice": (
        lambda folder: save([*rows_of(folder / RESULTS), rows_of(folder / RESULTS)[1]], folder / RESULTS),
        "the point lr 0.001, seed 1 stands more than once",
    ),
    "a point twice, written otherwise": (
        lambda folder: put(folder / RESULTS, "lr", 8, "1e-3"),
        "the point lr 0.001, seed 1 stands more than once",
    ),
    "two variables in a sweep": (
        lambda folder: put(folder / RESULTS, "variable", 4, "epochs"),
        "sweep lr has several variables: lr, epochs",
    ),
    "an unknown variable": (
        lambda folder: swap_in(folder / RESULTS, "lr,lr,", "lr,lrr,"),
        "unknown variable 'lrr' (did you mean 'lr'?)",
    ),
    "two baselines": (lambda folder: put(folder / RESULTS, "baseline", 2, "True"), "several baselines: 0.001, 0.01"),
    "history without a column": (
        lambda folder: without(folder / HISTORY, "epoch"),
        f"{HISTORY} lacks the column epoch",
    ),
    "history with a hole": (
        lambda folder: put(folder / HISTORY, "test_loss", 4, ""),
        f"{HISTORY}:4: test_loss is missing",
    ),
    "history with nan": (
        lambda folder: put(folder / HISTORY, "test_loss", 4, "nan"),
        f"{HISTORY}:4: test_loss is missing",
    ),
    "history with text": (lambda folder: put(folder / HISTORY, "epoch", 4, "two"), f"{HISTORY}:4: epoch must be"),
    "an epoch twice": (lambda folder: put(folder / HISTORY, "epoch", 3, "1"), "stands more than once"),
    "history cut off": (lambda folder: truncate(folder / HISTORY, 60), f"{HISTORY}:19: "),
    "environment cut off": (lambda folder: truncate(folder / "environment.json", 9), "environment.json cannot be read"),
    "an environment of text": (
        lambda folder: (folder / "environment.json").write_text('"text"'),
        "environment.json is no record",
    ),
    "an environment of other kinds": (
        lambda folder: (folder / "environment.json").write_text('{"git": "main", "cpu": [1]}'),
        "environment.json is no record",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_table_that_cannot_be_read_gets_one_line(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, said = FILES[name]
    damage(folder)
    assert said in refused(folder, monkeypatch, capsys)


@pytest.mark.parametrize(("arguments", "said"), [(["nowhere"], "there is no folder 'nowhere'"), ([], "DIR")])
def test_a_folder_must_be_there(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tune-mnist", "report", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_table_is_not_a_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(folder, monkeypatch, str(folder / RESULTS)) == 2
    assert f"is a file; give the folder that it is in: {folder}" in capsys.readouterr().err


# What a report can be made from, and says


def test_a_failed_point_is_said_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = seeded_sweep("lr", {0.01: [0.95, 0.96], 0.05: [0.98, -1], 0.9: [-1, -1]})
    text = reported(write_folder(tmp_path / "results", table), monkeypatch)
    which = "lr 0.05 (seed 2), 0.9 (seed 1) and 0.9 (seed 2)"
    assert f"3 of 6 points failed: {which}: the loss is no longer a number." in text.replace("\\", "")
    assert "| 0.9 | 0 | failed |" in text
    assert "not done" not in text
    assert "not tested at 0.05 (one seed)" in text
    assert text.count("| failed |") == 5  # three points; and in place of a mean and a verdict at 0.9
    figure = draw(read_points(tmp_path / "results", MNIST), MNIST.judged, MNIST)
    assert "3 failed points (0.05, 0.9)." in words_of(figure)


def test_nothing_done_is_a_report_without_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "results", seeded_sweep("lr", {0.01: [-1], 0.05: [-1]}))
    text = reported(folder, monkeypatch)
    assert "No point of this sweep is done." in text
    assert "No point is done." in text
    assert not list(folder.glob("*.png"))
    assert "<img src" not in (folder / "report.html").read_text("utf-8")


@pytest.mark.parametrize("hole", ["", "nan", "NaN"])
def test_an_accuracy_that_is_missing_is_no_number(folder: Path, hole: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder / RESULTS, "test_accuracy", 3, hole)
    text = reported(folder, monkeypatch)
    assert "1 of 9 points are not done or not measured" in text
    assert "| lr | 0.001 | 2 | done | – |" in text
    assert "1 unmeasured point not shown (0.001)" in words_of(draw(read_points(folder, MNIST), MNIST.judged, MNIST))
    assert "nan" not in text.lower()


def test_a_time_that_is_missing_leaves_the_accuracy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for line in (2, 3, 4):
        put(folder / RESULTS, "train_time_s", line, "")
    text = reported(folder, monkeypatch)
    assert "(no like time at 0.001)" in text
    assert "nan" not in text.lower()


def test_no_time_at_all_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for line in range(2, 11):
        put(folder / RESULTS, "train_time_s", line, "")
    assert "No time was measured under like conditions." in reported(folder, monkeypatch)
    assert not (folder / "time_vs_lr.png").exists()
    assert not (folder / "accuracy_vs_time.png").exists()


def test_what_ran_beside_is_not_guessed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for line in range(2, 11):
        put(folder / RESULTS, "concurrent", line, "")
    assert "1 thread per trial, what ran beside is not known." in reported(folder, monkeypatch)


def test_a_folder_without_history_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / HISTORY).unlink()
    assert "There is no history.csv here: learning curves cannot be drawn." in reported(folder, monkeypatch)
    assert not list(folder.glob("learning_*"))


def test_a_history_without_rows_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(rows_of(folder / HISTORY)[:1], folder / HISTORY)
    assert "history.csv lacks epochs of 9 of 9 trainings" in reported(folder, monkeypatch)


def test_a_history_that_ends_early_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(rows_of(folder / HISTORY)[:-3], folder / HISTORY)
    assert "history.csv lacks epochs of 2 of 9 trainings" in reported(folder, monkeypatch)


def test_a_table_that_ends_early_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(rows_of(folder / RESULTS)[:-1], folder / RESULTS)
    assert "The table has 8 points, where environment.json tells of 9." in reported(folder, monkeypatch)


def test_a_folder_without_environment_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "environment.json").unlink()
    assert "There is no environment.json here" in reported(folder, monkeypatch)


def test_an_environment_with_little_in_it_is_enough(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "environment.json").write_text(json.dumps({"git": None, "plan": None, "packages": None}))
    assert "The answer" in reported(folder, monkeypatch)


def test_what_a_spreadsheet_writes_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte order mark, CR LF, TRUE, 64.0 and a column of one's own."""
    plain = reported(folder, monkeypatch)
    rows = rows_of(folder / RESULTS)
    rows = [[{"True": "TRUE", "False": "FALSE", "64": "64.0"}.get(cell, cell) for cell in row] for row in rows]
    with (folder / RESULTS).open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([*row, "mine"] for row in rows)
    keyless = [re.sub(r"key [0-9a-f]{12}", "key", said) for said in (reported(folder, monkeypatch), plain)]
    assert keyless[0] == keyless[1]  # the key is that of the files' bytes


def test_an_error_of_several_lines_is_one_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "results", seeded_sweep("lr", {0.01: [0.95], 0.05: [-1]}))
    put(folder / RESULTS, "error", 3, "out of\nmemory | *all* <b>of it</b>")
    assert "lr 0.05: out of memory | *all* <b>of it</b>." in reported(folder, monkeypatch)
    page = (folder / "report.html").read_text("utf-8")
    assert "<b>of it" not in page


def test_a_picture_that_is_none_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "mine.png").write_bytes(b"no picture")
    reported(folder, monkeypatch)
    assert (folder / "mine.png").read_bytes() == b"no picture"


def test_a_folder_that_cannot_be_written_gets_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder stands where summary.csv goes; permissions would not stop the superuser."""
    (folder / "summary.csv" / "here").mkdir(parents=True)
    assert command(folder, monkeypatch) == 2
    assert "cannot be written" in capsys.readouterr().err


# To the last bit


def test_numbers_are_read_to_the_last_bit(folder: Path) -> None:
    """0.8672000000000001 and its neighbours are different numbers; so are two large seeds."""
    for line, (loss, seed) in enumerate([("0.10000000000000002", str(2**64 - 1)), ("3.0000000000000004e-05", "7")], 2):
        put(folder / RESULTS, "test_loss", line, loss)
        put(folder / RESULTS, "seed", line, seed)
    points = read_points(folder, MNIST)
    assert points["test_loss"].tolist()[:2] == [float("0.10000000000000002"), float("3.0000000000000004e-05")]
    assert [int(seed) for seed in points["seed"][:2]] == [2**64 - 1, 7]


def test_a_key_of_digits_stays_text(folder: Path) -> None:
    """Sixteen hexadecimal digits may look like a number, even like one with an exponent."""
    key = rows_of(folder / HISTORY)[1][0]
    swap_in(folder / HISTORY, key, "00000012345678e9")
    history = read_history(folder, MNIST)
    assert history is not None
    assert history["run"].iloc[0] == "00000012345678e9"
