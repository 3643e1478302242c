"""Every byte of a store's files, cut, flipped and swapped: what is answered is true, or it is damaged and said so.

No Ray: a store of two runs is written as training writes it, damaged, asked, and trained on.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox import FULL, dice, note, times

from tune_mnist.errors import UserError
from tune_mnist.store.store import Row, Store

pytestmark = [pytest.mark.mishap, pytest.mark.timeout(1800)]
KEYS = "0123456789abcdef", "fedcba9876543210"
EPOCHS = 3


def row(key: str, epoch: int) -> Row:
    return {"epoch": epoch, "val_loss": int(key[0], 16) + 1 / epoch, "hostname": "here"}


def state(key: str, epoch: int) -> bytes:
    return f"state of {key} after {epoch}".encode()


def train(store: Store, key: str) -> list[str]:
    """What a command does: open, go on from the newest checkpoint or begin again, to EPOCHS epochs."""
    with store.claim([key]) as mine:
        assert mine == [key]
        said = store.open(key, {"config": {"lr": key[0]}, "conditions": {}})
        at, content = store.load_checkpoint(key) or (0, b"")
        assert not at or content == state(key, at), "training went on from what is not this run's state"
        for epoch in range(at + 1, EPOCHS + 1):
            store.append(key, row(key, epoch))
            if store.newest_checkpoint(key) < epoch:
                store.save_checkpoint(key, epoch, state(key, epoch))
    return said


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    """At most a gigabyte more than there is now: /dev/zero has no end."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture
def whole(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    for key in KEYS:
        train(store, key)
    return store


def check(whole: Store, copy: Path) -> None:
    """The laws: no false row is answered, and training mends everything."""
    store = Store(copy)
    for key in KEYS:
        truth = whole.held(key).rows
        held = store.held(key)
        assert held.rows == truth[: len(held.rows)], f"{key} answers with what was never trained for it"
        at, content = store.load_checkpoint(key) or (0, b"")
        assert not at or (content == state(key, at) and at <= held.epochs)
        assert set(store.record(key).get("config", {"lr": key[0]}).values()) <= {key[0]}, "a record of another run"
    store.run_keys()
    for key in KEYS:
        train(store, key)
        assert store.held(key).rows == whole.held(key).rows
        assert store.held(key).damage is None


def copied(whole: Store) -> Path:
    copy = whole.folder.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(whole.folder, copy)
    return copy


def files(folder: Path) -> Iterator[Path]:
    """Those of the first run that hold something."""
    yield from sorted(path.relative_to(folder) for path in (folder / KEYS[0]).iterdir() if path.name != "lock")


def test_every_cut_of_every_file(whole: Store) -> None:
    tried = 0
    for name in files(whole.folder):
        content = (whole.folder / name).read_bytes()
        for cut in range(0, len(content), 1 if FULL else 17):
            copy = copied(whole)
            (copy / name).write_bytes(content[:cut])
            check(whole, copy)
            tried += 1
    note(
        "a store's file cut at a byte (history, checkpoint, record)",
        tried,
        "the cut run's later epochs",
        "trained again",
    )


def test_one_bit_flipped_anywhere(whole: Store) -> None:
    tried, chosen = 0, dice("flips")
    for name in files(whole.folder):
        content = (whole.folder / name).read_bytes()
        for byte in range(len(content)) if FULL else chosen.sample(range(len(content)), min(60, len(content))):
            for bit in range(8) if FULL else (chosen.randrange(8),):
                flipped = bytearray(content)
                flipped[byte] ^= 1 << bit
                copy = copied(whole)
                (copy / name).write_bytes(flipped)
                check(whole, copy)
                tried += 1
    note("one bit of a store's file flipped", tried, "that run's epochs, at most", "named, trained again")


def test_files_swapped_between_runs(whole: Store) -> None:
    """Each file of one run put in the place of each of the other's, and all checkpoints, and all of it."""
    mine = [path.name for path in (whole.folder / KEYS[0]).iterdir() if path.name != "lock"]
    theirs = [path.name for path in (whole.folder / KEYS[1]).iterdir() if path.name != "lock"]
    pairs: list[tuple[list[str], list[str]]] = [([a], [b]) for a in mine for b in theirs]
    pairs += [([], [b]) for b in theirs]
    pairs += [
        ([name for name in mine if name.endswith(end)], [name for name in theirs if name.endswith(end)])
        for end in (".pt", ".jsonl")
    ]
    pairs.append((mine, theirs))
    for removed, brought in pairs:
        copy = copied(whole)
        for name in removed:
            (copy / KEYS[0] / name).unlink()
        for name in brought:
            shutil.copy(
                whole.folder / KEYS[1] / name,
                copy / KEYS[0] / (removed[0] if len(removed) == len(brought) == 1 else name),
            )
        check(whole, copy)
    note("files of one run put into another's folder", len(pairs), "that run's epochs, at most", "named, trained again")


@pytest.mark.timeout(60)
def test_other_kinds_of_files(whole: Store, tmp_path: Path) -> None:
    """A folder, a pipe, a loop of links or nothing readable in the place of each file, for reading and for training."""
    outside = tmp_path / "outside.txt"
    tried = 0
    for name in [*files(whole.folder), Path(KEYS[0], "lock")]:
        for kind in ("folder", "pipe", "loop", "link", "zero"):
            copy = copied(whole)
            path = copy / name
            path.unlink(missing_ok=True)
            outside.write_text("the user's own")
            if kind == "folder":
                path.mkdir()
            elif kind == "pipe":
                os.mkfifo(path)
            else:
                targets = {"loop": Path(path.name), "link": outside, "zero": Path("/dev/zero")}
                path.symlink_to(targets[kind])
            store = Store(copy)
            for key in KEYS:
                held = store.held(key)
                assert held.rows == whole.held(key).rows[: len(held.rows)]
                store.record(key)
            try:
                for key in KEYS:
                    train(store, key)
                    assert store.held(key).rows == whole.held(key).rows
            except UserError as refused:
                assert str(copy) in str(refused)
            assert outside.read_text() == "the user's own"
            tried += 1
    note("another kind of file in a store (folder, pipe, link, device)", tried, "nothing outside", "named")


def test_random_damage(whole: Store) -> None:
    """Several faults at once: cuts, flips, zeros, repeated and dropped lines."""
    chosen, tries = dice("random damage"), times(300, 2000)
    for _ in range(tries):
        copy = copied(whole)
        for _ in range(chosen.randint(1, 3)):
            path = chosen.choice([one for one in copy.rglob("*") if one.is_file() and one.name != "lock"])
            path.write_bytes(damaged(path.read_bytes(), chosen))
        check(whole, copy)
    note(
        "several faults in a store at once (cut, flipped, zeroed, repeated)",
        tries,
        "those runs' epochs",
        "trained again",
    )


def damaged(content: bytes, chosen: random.Random) -> bytes:
    at, end = sorted(chosen.randrange(len(content) + 1) for _ in range(2))
    lines = content.splitlines(keepends=True)
    return chosen.choice(
        [
            content[:at],
            content[:at] + b"\0" * (end - at) + content[end:],
            content[:at] + content[end:],
            content + content,
            b"".join(reversed(lines)),
            b"".join(lines[1:]),
            content[:at] + json.dumps({"epoch": 1}).encode() + b"\n" + content[at:],
        ]
    )
