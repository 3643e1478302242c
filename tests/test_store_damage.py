"""What lies in a store and is not what it should be: another run's numbers, links, pipes and devices, hostile states.

Nothing of it is used, nothing of it is deleted, and nothing outside of the store is touched.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_store import KEY, OTHER, OTHERS, RECORD, checkpoints, filled, history, new_store, row, store, trained

from tune_mnist.errors import UserError
from tune_mnist.store import sealed
from tune_mnist.store.checkpoint import MOST, packed
from tune_mnist.store.store import Held, Store

__all__ = ["store"]  # the fixture
MANY = settings(deadline=None, max_examples=150)


def before_keys(store: Store, key: str = KEY) -> Store:
    """`store`, its run written as it was before rows, records and checkpoints named their run."""
    rows = store.held(key).rows
    history(store, key).write_text("".join(sealed.sealed(one) + "\n" for one in rows))
    record = store.record(key)
    (store.folder / key / "run.json").write_text(json.dumps(record, indent=2) + "\n")
    for path in checkpoints(store, key):
        _, _, state = path.read_bytes().partition(b"\n")
        path.unlink()
        path.with_name(f"{path.name[:11]}.{sealed_name(state)}.pt").write_bytes(state)
    return store


def sealed_name(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()[:16]


def set_aside(store: Store) -> list[str]:
    return sorted(path.name for path in (store.folder / KEY).iterdir() if ".old" in path.name)


def reopened(store: Store, key: str = KEY) -> list[str]:
    with store.claim([key]) as mine:
        assert mine == [key]
        return store.open(key, OTHERS if key == OTHER else RECORD)


# Another run's numbers


def test_the_history_of_another_run_is_named_and_not_used(store: Store) -> None:
    trained(trained(store, 2), 3, OTHER)
    shutil.copy(history(store, OTHER), history(store))
    damage = f"line 1 of {history(store)} is of run {OTHER}"
    assert store.held(KEY) == Held(damage=damage, resume=0)
    assert reopened(store)[0] == f"{damage}; the run is trained again"
    assert store.held(KEY) == Held()


def test_another_runs_history_is_set_aside_with_the_checkpoints(store: Store) -> None:
    trained(trained(store, 2), 3, OTHER)
    foreign = history(store, OTHER).read_bytes()
    history(store).write_bytes(foreign)
    states = {path.read_bytes() for path in checkpoints(store)}
    reopened(store)
    folder = store.folder / KEY
    assert (folder / "history.old1.jsonl").read_bytes() == foreign
    assert {path.read_bytes() for path in folder.glob("*.old1.pt")} == states


def test_a_row_of_another_run_among_ones_own_is_named(store: Store) -> None:
    filled(store, [row(1)])
    with history(store).open("ab") as file:
        file.write(sealed.encode(row(2), OTHER))
    assert store.held(KEY).damage == f"line 2 of {history(store)} is of run {OTHER}"


def test_the_checkpoints_of_another_run_are_named_and_not_used(store: Store) -> None:
    trained(trained(store, 2), 2, OTHER)
    for path in checkpoints(store):
        path.unlink()
    for path in checkpoints(store, OTHER):
        shutil.copy(path, store.folder / KEY)
    foreign = checkpoints(store)
    assert store.load_checkpoint(KEY) is None
    assert reopened(store) == [
        f"checkpoint {path} is of run {OTHER}; training goes on from epoch 0" for path in reversed(foreign)
    ]
    assert (store.held(KEY).epochs, store.held(KEY).resume) == (2, 0)


def test_an_earlier_epochs_state_under_a_later_ones_name_is_not_used(store: Store) -> None:
    old, new = checkpoints(trained(store, 2))
    content = old.read_bytes()
    new.rename(new.with_name(f"epoch-00002.{old.name[12:28]}.pt"))
    checkpoints(store)[-1].write_bytes(content)
    assert store.load_checkpoint(KEY) == (1, b"state after 1")
    assert "is of epoch 1; training goes on from epoch 1" in reopened(store)[0]


def test_a_store_that_was_written_before_runs_were_named_answers(store: Store) -> None:
    before_keys(trained(store, 3))
    again = Store(store.folder)
    assert again.held(KEY) == Held((row(1), row(2), row(3)), resume=3)
    assert again.load_checkpoint(KEY) == (3, b"state after 3")
    assert again.record(KEY).items() >= RECORD.items()
    assert reopened(again) == []


def test_a_run_from_before_goes_on_with_named_rows(store: Store) -> None:
    before_keys(trained(store, 2))
    trained(store, 3)
    assert Store(store.folder).held(KEY) == Held((row(1), row(2), row(3)), resume=3)
    assert b'"run"' not in history(store).read_bytes().splitlines()[1]
    assert b'"run"' in history(store).read_bytes().splitlines()[2]


@pytest.mark.parametrize("old", [False, True], ids=["sealed", "from before"])
@pytest.mark.parametrize(("was", "now"), [('"lr": 0.1', '"lr": 0.2'), ('"digits"', '"mnist"')])
def test_an_edited_record_is_named_and_not_believed(store: Store, was: str, now: str, old: bool) -> None:
    trained(store, 1)
    if old:
        before_keys(store)
    path = store.folder / KEY / "run.json"
    path.write_text(path.read_text().replace(was, now))
    assert store.record(KEY) == {}
    (line,) = reopened(store)
    assert line.startswith(f"{path} is altered") and line.endswith("; it is written anew")
    assert store.record(KEY)["config"] == RECORD["config"]
    assert (store.held(KEY).epochs, set_aside(store)) == (1, ["run.old1.json"])


def test_another_runs_record_is_named(store: Store) -> None:
    trained(trained(store, 1), 1, OTHER)
    shutil.copy(store.folder / OTHER / "run.json", store.folder / KEY / "run.json")
    assert reopened(store) == [f"{store.folder / KEY / 'run.json'} is of run {OTHER}; it is written anew"]


# Every bit of it


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a run of three epochs: syncing it for each example would take a minute."""
    return trained(Store(tmp_path_factory.mktemp("made")), 3).folder


@contextmanager
def copied(made: Path) -> Iterator[Store]:
    with new_store() as store:
        shutil.copytree(made, store.folder, dirs_exist_ok=True)
        yield store


def flipped(content: bytes, data: st.DataObject) -> bytes:
    """One bit of it."""
    changed = bytearray(content)
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@given(st.data())
@MANY
def test_a_flipped_bit_of_a_history_gives_no_wrong_number(made: Path, data: st.DataObject) -> None:
    """Nor where it was read before; the last newline gone is a torn line."""
    rows = (row(1), row(2), row(3))
    with copied(made) as store:
        assert store.held(KEY).rows == rows
        history(store).write_bytes(flipped(history(store).read_bytes(), data))
        held = Store(store.folder).held(KEY)
        assert held.damage or held.rows in (rows[:2], rows)
        assert store.held(KEY) == held
        assert not held.damage or reopened(store)[0] == f"{held.damage}; the run is trained again"


@given(st.data())
@MANY
def test_a_flipped_bit_of_a_record_gives_no_wrong_config(made: Path, data: st.DataObject) -> None:
    with copied(made) as store:
        path = store.folder / KEY / "run.json"
        record = store.record(KEY)
        path.write_bytes(flipped(path.read_bytes(), data))
        found = store.record(KEY)
        assert not found or found.items() >= record.items()  # where the checksum's name is hit, it is one more


@given(st.data())
@MANY
def test_a_flipped_bit_of_a_checkpoint_gives_no_wrong_state(made: Path, data: st.DataObject) -> None:
    with copied(made) as store:
        _, newest = checkpoints(store)
        newest.write_bytes(flipped(newest.read_bytes(), data))
        assert store.load_checkpoint(KEY) == (2, b"state after 2")
        assert reopened(store) == [f"checkpoint {newest} is damaged; training goes on from epoch 2"]


@given(st.sampled_from(["history.jsonl", "run.json"]), st.binary(max_size=80) | st.text(max_size=40), st.data())
@MANY
def test_whatever_follows_a_cut_is_read_without_an_error(
    made: Path, name: str, content: bytes | str, data: st.DataObject
) -> None:
    with copied(made) as store:
        path = store.folder / KEY / name
        whole, record = path.read_bytes(), store.record(KEY)
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut] + (content if isinstance(content, bytes) else content.encode("utf-8", "replace")))
        held, found = store.held(KEY), store.record(KEY)
        assert held.rows == tuple(row(epoch) for epoch in range(1, held.epochs + 1))
        assert not found or found.items() >= record.items()


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b"9" * 6000, b'{"key": ' + b"9" * 6000 + b"}"])
@pytest.mark.parametrize("name", ["history.jsonl", "run.json"])
def test_what_no_parser_takes_is_damaged(store: Store, name: str, content: bytes) -> None:
    (trained(store, 1).folder / KEY / name).write_bytes(content + b"\n")
    assert f"{name} is damaged" in reopened(store)[0]


# Other kinds of file

Make = Callable[[Path, Path], object]  # of the place, and of a file outside of the store
KINDS: dict[str, Make] = {
    "folder": lambda place, _: (place / "mine").mkdir(parents=True),
    "pipe": lambda place, _: os.mkfifo(place),
    "socket": lambda place, _: bound(place),
    "link": lambda place, outside: place.symlink_to(outside),
    "link to itself": lambda place, _: place.symlink_to(place.name),
    "link to nothing": lambda place, _: place.symlink_to("nothing"),
    "link to a device": lambda place, _: place.symlink_to("/dev/zero"),
}
if os.geteuid() == 0:
    KINDS["device"] = lambda place, _: os.mknod(place, stat.S_IFCHR | 0o600, os.makedev(1, 5))
else:
    KINDS["unreadable"] = lambda place, _: os.close(os.open(place, os.O_CREAT, 0))
NAMES = ("history.jsonl", "run.json", "epoch-00002", "lock", "holder")


def bound(place: Path) -> None:
    """A socket, made where its name is short enough for one."""
    here = Path.cwd()
    os.chdir(place.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(place.name)
    finally:
        os.chdir(here)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file that is none of the store's, beside it."""
    path = tmp_path / "outside.txt"
    path.write_bytes(b"somebody's\n")
    return path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_another_kind_of_file_is_named_set_aside_and_trained_again(
    store: Store, outside: Path, kind: str, name: str
) -> None:
    if (kind, name) == ("unreadable", "lock"):
        pytest.skip("who may not open a lock cannot know whether it is held")
    trained(trained(store, 2), 3, OTHER)
    place = next((store.folder / KEY).glob(f"{name}*")) if name != "holder" else store.folder / KEY / name
    place.unlink(missing_ok=True)
    KINDS[kind](place, outside)
    store = Store(store.folder)
    looked = (store.held(KEY), store.record(KEY), store.load_checkpoint(KEY), store.size(KEY))
    assert looked[0].rows in ((), (row(1), row(2)))
    with store.claim([KEY, OTHER]) as mine:
        assert mine == [KEY, OTHER]
        said = store.open(KEY, RECORD)
        assert store.open(OTHER, OTHERS) == []
        assert [line for line in said if str(place) in line] or name == "holder"
        epochs = store.held(KEY).epochs
        for epoch in range(epochs + 1, 4):
            store.append(KEY, row(epoch))
            store.save_checkpoint(KEY, epoch, f"state after {epoch}".encode())
    assert store.held(KEY) == Held((row(1), row(2), row(3)), resume=3)
    assert store.load_checkpoint(KEY) == (3, b"state after 3")
    assert store.prune(KEY) and store.prune(OTHER)
    assert (outside.read_bytes(), outside.stat().st_nlink) == (b"somebody's\n", 1)


@pytest.mark.parametrize("kind", KINDS)
def test_another_kind_of_thing_in_place_of_a_runs_folder_is_set_aside(store: Store, outside: Path, kind: str) -> None:
    if kind in ("folder", "unreadable"):
        pytest.skip("that is a run")
    trained(store, 2)
    (store.folder / OTHER).unlink(missing_ok=True)
    KINDS[kind](store.folder / OTHER, outside)
    assert store.run_keys() == sorted([KEY, OTHER])
    assert "not a folder" in str(store.held(OTHER).damage)
    (line,) = reopened(store, OTHER)
    assert line.startswith(f"{store.folder / OTHER} is ") and line.endswith("not a folder; it is set aside")
    assert os.path.lexists(store.folder / f"{OTHER}.old1")
    assert trained(store, 1, OTHER).held(OTHER) == Held((row(1),), resume=1)
    assert outside.read_bytes() == b"somebody's\n"


def test_nothing_is_read_written_or_removed_through_a_linked_folder(store: Store, tmp_path: Path) -> None:
    trained(store, 3)
    elsewhere = tmp_path / "elsewhere"
    (store.folder / KEY).rename(elsewhere)
    (store.folder / KEY).symlink_to(elsewhere)
    content = {path.name: path.read_bytes() for path in elsewhere.iterdir()}
    store = Store(store.folder)
    assert store.held(KEY) == Held(damage=f"{store.folder / KEY} is a link, not a folder")
    assert (store.record(KEY), store.load_checkpoint(KEY), store.prune(KEY), store.size(KEY)) == ({}, None, 0, 0)
    reopened(store)
    trained(store, 3).prune(KEY)
    assert {path.name: path.read_bytes() for path in elsewhere.iterdir()} == content


def test_the_stores_own_folder_may_be_a_link(store: Store, tmp_path: Path) -> None:
    trained(store, 2)
    (tmp_path / "link").symlink_to(store.folder)
    assert Store(tmp_path / "link").held(KEY) == store.held(KEY)
    assert reopened(Store(tmp_path / "link")) == []


def test_what_is_larger_than_anything_that_was_written_is_not_read(store: Store) -> None:
    folder = trained(store, 2).folder / KEY
    newest = checkpoints(store)[-1]
    for path, most in ((newest, MOST), (folder / "run.json", 1 << 20), (history(store), 64 << 20)):
        os.truncate(path, most + 1)  # sparse
        damage = f"{path} has {most + 1} bytes, more than any that was written here"
        assert any(line.startswith((damage, f"checkpoint {damage}")) for line in reopened(store))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_store_that_may_not_be_read_is_named(store: Store) -> None:
    trained(store, 1).folder.chmod(0)
    try:
        for look in (store.run_keys, lambda: store.held(KEY), lambda: store.record(KEY)):
            with pytest.raises(UserError, match="cannot be read: Permission denied; choose another with --store"):
                look()
    finally:
        store.folder.chmod(0o700)


# States that do not load


class Bomb:
    def __reduce__(self) -> Any:
        return os.mkdir, ("bombed",)


def archive(path: Path, compression: int, pickled: bytes) -> bytes:
    with zipfile.ZipFile(path, "w", compression) as made:
        made.writestr("archive/data.pkl", pickled)
        made.writestr("archive/version", b"3\n")
        made.writestr("archive/byteorder", b"little")
    return path.read_bytes()


@pytest.mark.parametrize("what", ["bomb", "compressed", "torn"])
def test_a_state_that_does_not_load_counts_as_damaged(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    good = packed({"weights": torch.arange(3)})
    assert good is not None
    hostile = {
        "bomb": lambda: archive(tmp_path / "a.zip", zipfile.ZIP_STORED, pickle.dumps(Bomb(), protocol=2)),
        "compressed": lambda: archive(tmp_path / "a.zip", zipfile.ZIP_DEFLATED, pickle.dumps([0] * 10**6, protocol=2)),
        "torn": lambda: good[: len(good) // 2],
    }[what]()
    trained(store, 2)
    store.append(KEY, row(3))
    store.save_checkpoint(KEY, 3, hostile)  # under its right name
    newest = checkpoints(store)[-1]
    (line,) = reopened(store)
    assert line.startswith(f"checkpoint {newest} is not to be loaded (")
    assert line.endswith("; training goes on from epoch 2")
    assert store.load_checkpoint(KEY) == (2, b"state after 2")
    assert not (tmp_path / "bombed").exists()
    assert set_aside(store) == [newest.name.replace(".pt", ".old1.pt")]


def test_where_no_state_loads_the_run_begins_anew_and_its_history_answers(store: Store) -> None:
    filled(store, [row(1), row(2)])
    for epoch in (1, 2):
        store.save_checkpoint(KEY, epoch, b"PK\x03\x04 and no archive")
    assert [line.rpartition("; ")[2] for line in reopened(store)] == ["training goes on from epoch 0"] * 2
    assert store.held(KEY) == Held((row(1), row(2)))


# Leftovers


def test_what_a_killed_command_left_of_a_write_is_cleared_and_nothing_else(store: Store) -> None:
    folder = trained(store, 1).folder / KEY
    for name in (".run.json.123", ".run.json.abc123", ".epoch-00002.0123456789abcdef.pt.7.k3x", ".mine.txt"):
        (folder / name).write_bytes(b"some of it")
    (folder / ".run.json.folder").mkdir()
    reopened(store)
    assert sorted(path.name for path in folder.glob(".*")) == [".mine.txt", ".run.json.folder"]
