"""`tune-mnist runs`: what the store holds, on a terminal of any width; and what it says of what is wrong there."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import run
from hypothesis import given
from hypothesis import strategies as st

from tune_mnist.commands.runs import runs
from tune_mnist.display.listing import SHORTEST, Listed, listing, short_keys
from tune_mnist.errors import UserError
from tune_mnist.files import write_whole
from tune_mnist.fingerprint.source import CODE
from tune_mnist.mnist.task import MNIST
from tune_mnist.store.merge import merge
from tune_mnist.store.sealed import encode, encode_record
from tune_mnist.store.store import Store
from tune_mnist.task import run_key

CONDITIONS = {"dataset": "digits", "device": "cpu", "precision": "fp32", "torch_version": "2.15.0", "threads": 1}


def stored(store: Path, day: int = 1, conditions: dict[str, Any] | None = None, epochs: int = 2, **config: Any) -> str:
    """A run of MNIST's in the store, trained on that day of November; its key. Not synced, as training would."""
    one = MNIST.config({"model": "mlp", **config})
    under = CONDITIONS | (conditions or {})
    key = run_key(one, under)
    folder = store / key
    folder.mkdir(parents=True)
    record = {"config": one.identity(), "conditions": under, "alone": "", "task": "mnist", "created": "2026-11-01"}
    (folder / "run.json").write_bytes(encode_record({"key": key, **record}))
    finished = f"2026-11-{day:02d}T10:00:00+00:00"
    rows = [{"epoch": epoch, "test_accuracy": 0.9 + day / 1000, "finished": finished} for epoch in range(1, epochs + 1)]
    (folder / "history.jsonl").write_bytes(b"".join(encode(row, key) for row in rows))
    return key


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def told(capsys: pytest.CaptureFixture[str], store: Path, *filters: str, prune: bool = False) -> list[str]:
    """The lines that the command prints."""
    capsys.readouterr()
    assert runs(store, list(filters), prune) == 0
    return capsys.readouterr().out.splitlines()


def table(lines: list[str]) -> dict[str, str]:
    """Short key -> its line."""
    return {line.split()[0]: line for line in lines if re.match(r"[0-9a-f]{7,16} ", line)}


def test_what_is_common_is_said_once_and_each_run_says_what_differs(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [stored(store, day, lr=lr, batch_size=16) for day, lr in enumerate((0.01, 0.05, 0.1), start=1)]
    lines = told(capsys, store)
    assert re.match(r"all: digits, cpu, fp32, torch 2\.15\.0, threads 1, model=mlp, .*batch_size=16", lines[0])
    assert "shuffle=true" in lines[0] and "train_size=all" in lines[0]  # as they are typed
    assert not [line for line in lines[1:] if "batch_size" in line or "digits" in line]
    assert list(table(lines)) == [key[:7] for key in reversed(keys)]  # the newest first
    assert table(lines)[keys[1][:7]].split() == [keys[1][:7], "lr=0.05", "2", "90.20", "%", "2026-11-02"]
    assert re.fullmatch(rf"3 runs; \d+ kB in {re.escape(str(store))}", lines[-1])


def test_conditions_that_differ_are_said_with_each_run(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = [stored(store, conditions={"threads": threads}) for threads in (1, 2)]
    lines = table(told(capsys, store))
    assert ("threads 1" in lines[keys[0][:7]], "threads 2" in lines[keys[1][:7]]) == (True, True)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    settings = {"model": "model=mlp", "batch": "batch_size=256", "lr": "lr=0.0001", "on": "training version 3"}
    found = [
        Listed(
            f"{number:02x}" * 8,
            {**settings, "seed": f"seed={number}", "lr": f"lr={number}"},
            "15",
            "accuracy",
            "95.09 %",
        )
        for number in range(20)
    ]
    lines = listing(found, short_keys([one.key for one in found]), width)
    assert max(map(len, lines)) <= width
    assert sum(line.endswith("95.09 %  -") for line in lines) == 20  # a line each, or more that are indented
    assert "training version 3" in " ".join(lines)  # words that belong together are not parted


def test_a_long_difference_goes_on_below_its_column() -> None:
    settings = [{name: f"{name * 6}={number}" for name in "abcdef"} for number in range(2)]
    found = [
        Listed(str(number) * 16, one, "5", "accuracy", "95.09 %", "2026-11-01") for number, one in enumerate(settings)
    ]
    lines = listing(found, short_keys(["0" * 16, "1" * 16]), 60)[1:4]
    assert lines[0].split() == ["0000000", "aaaaaa=0,", "bbbbbb=0,", "5", "95.09", "%", "2026-11-01"]
    assert [line.index("=0") for line in lines] == [15] * 3


@given(st.sets(st.text("0123", min_size=16, max_size=16), min_size=1, max_size=30))
def test_a_short_key_is_the_shortest_that_no_other_begins_with(keys: set[str]) -> None:
    short = short_keys(list(keys))
    for key, one in short.items():
        assert [other for other in keys if other.startswith(one)] == [key]
        assert len(one) == SHORTEST or sum(other.startswith(one[:-1]) for other in keys) > 1


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        (["lr=0.05"], [1, 2]),
        (["lr=5e-2"], [1, 2]),
        (["lr=0.05", "batch-size=16"], [1]),
        (["lr=0.7"], []),
        (["shuffle=FALSE"], [3]),
        (["train_size=all"], [0, 1, 2, 3]),
        (["threads=1", "epochs=3"], [0]),
    ],
)
def test_a_filter_leaves_the_runs_with_that_value(
    store: Path, capsys: pytest.CaptureFixture[str], filters: list[str], left: list[int]
) -> None:
    keys = [
        stored(store, epochs=3, lr=0.01),
        stored(store, lr=0.05, batch_size=16),
        stored(store, lr=0.05, batch_size=32),
        stored(store, lr=0.1, shuffle=False),
    ]
    lines = told(capsys, store, *filters)
    assert sorted(table(lines)) == sorted(keys[one][:7] for one in left)
    assert lines[-1].startswith("4 runs;" if len(left) == 4 else f"{len(left)} of 4 runs;")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "batchsize=16",
            "unknown name to filter by 'batchsize' (did you mean 'batch_size'?); choose from: task, dataset",
        ),
        ("lr", "--filter takes NAME=VALUE, as in lr=0.05, not 'lr'"),
    ],
)
def test_a_filter_that_no_run_can_be_asked_by_is_refused(store: Path, text: str, said: str) -> None:
    stored(store)
    with pytest.raises(UserError) as refused:
        runs(store, [text])
    assert str(refused.value).startswith(said)


def test_bad_runs_are_named_and_the_others_listed(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, foreign, piped, edited = (stored(store, day, lr=lr) for day, lr in enumerate((0.1, 0.2, 0.3, 0.4), start=1))
    shutil.copy(store / good / "history.jsonl", store / foreign)
    (store / piped / "history.jsonl").unlink()
    os.mkfifo(store / piped / "history.jsonl")
    record = store / edited / "run.json"
    record.write_text(record.read_text().replace('"lr": 0.4', '"lr": 0.9'))
    (store / ("0" * 16)).symlink_to(store / good)
    lines = told(capsys, store)
    listed = table(lines)
    assert "lr=0.1" in listed[good[:7]]
    assert "damaged" in listed[foreign[:7]] and "damaged" in listed[piped[:7]] and "damaged" in listed["0000000"]
    assert "?" in listed[edited[:7]] and "lr=0.9" not in "".join(lines)
    again = "the run is trained again when it is asked for"
    assert f"line 1 of {store / foreign / 'history.jsonl'} is of run {good}; {again}" in lines
    assert f"{store / piped / 'history.jsonl'} is a pipe, not a file; {again}" in lines
    assert f"{store / ('0' * 16)} is a link, not a folder; {again}" in lines
    assert [line for line in lines if line.startswith(f"{record} is altered")]
    assert lines[-1].startswith("5 runs;")


def test_a_store_that_is_not_there_or_is_a_file_is_an_error_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, said in (("none", "store 'none' is not there; "), ("file", "store 'file' is a file, not a folder; ")):
        done = run("runs", "--store", name, folder=tmp_path, module="tune_mnist")
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert said in done.err and "--store" in done.err


def test_a_store_without_runs_says_that_there_are_none_yet(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.mkdir()
    assert told(capsys, store) == [f"no runs yet in {store}"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_store_that_may_not_be_read_is_an_error_in_one_line(store: Path) -> None:
    stored(store)
    store.chmod(0)
    try:
        with pytest.raises(UserError, match="cannot be read: Permission denied"):
            runs(store)
    finally:
        store.chmod(0o700)


# Sources of a user's code


def with_code(store: Path, name: str) -> str:
    """A stored run of this code, with its sources; the code's fingerprint."""
    from tune_mnist.fingerprint.source import Source, keep

    source = Source(store, {f"{name}.py": f"def {name}(): ...\n".encode()})
    stored(store, conditions={"code": source.fingerprint})
    keep(source, store)
    write_whole(store / CODE / f"{source.fingerprint}.train.resumes", b"")
    return source.fingerprint


def test_pruning_removes_the_sources_that_no_run_is_of(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    used, unused = with_code(store, "spiral"), with_code(store, "circle")
    (key,) = [key for key in Store(store).run_keys() if Store(store).record(key)["conditions"]["code"] == unused]
    shutil.rmtree(store / key)
    (store / CODE / "mine.txt").touch()
    (line,) = told(capsys, store, prune=True)
    assert "the sources of 1 state of code that no run is of are removed" in line
    left = sorted(path.name for path in (store / CODE).iterdir())
    assert [name for name in left if unused in name] == []
    assert {used, f"{used}.train.resumes", "mine.txt"} <= set(left)


def test_merging_carries_the_sources_of_the_runs(store: Path) -> None:
    code = with_code(store, "spiral")
    target = Store(store.with_name("target"))
    assert merge(store, target) == 2
    assert (target.folder / CODE / code / "spiral.py").read_bytes() == (store / CODE / code / "spiral.py").read_bytes()


def test_merging_some_runs_leaves_the_others(store: Path) -> None:
    one, other = stored(store, lr=0.1), stored(store, lr=0.2)
    target = Store(store.with_name("target"))
    assert (merge(store, target, [one]), target.run_keys()) == (2, [one])
    assert target.record(one) == Store(store).record(one)  # also when it was made
    assert other in Store(store).run_keys()


# Many


def test_a_thousand_runs_are_listed_in_a_second(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """10,000 of 10 epochs took 1.4 s of CPU time, and 6.3 when each was read twice and drawn by rich."""
    for number in range(1000):
        stored(store, epochs=10, lr=round(0.001 * (number + 1), 6))
    began = time.process_time()
    assert len(table(told(capsys, store))) == 1000
    assert time.process_time() - began < 1


def test_a_record_is_still_plain_json(store: Path) -> None:
    key = stored(store)
    assert json.loads((store / key / "run.json").read_text())["key"] == key
