"""What has been trained: for each run, under its key, a record to read, one row per epoch, and checkpoints.

    results/store/<key>/run.json                    config and conditions: why the run is, or is not, reused
    results/store/<key>/history.jsonl               one row per epoch, each with a checksum; appended and synced
    results/store/<key>/epoch-00005.<sha>.pt        the last two checkpoints, each named by its content
    results/store/<key>/lock                        held by the command that is training the run
    results/store/<key>/holder                      and which that is, for whoever waits for it

One process writes a run: whoever holds its lock. A row is synced before its epoch's checkpoint is written, so a crash
at any instant leaves the history as it was before or after the row, and a checkpoint that is at most one epoch behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import resource
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tune_mnist.errors import UserError
from tune_mnist.files import now, sync_folder, write_whole
from tune_mnist.store.holder import named_holder

Row = dict[str, Any]
KEPT_CHECKPOINTS = 2
OTHER_FILES = 256  # that a process opens beside the locks: Ray's sockets, event files, the log
_CHECKPOINT = re.compile(r"epoch-(\d{5,})\.([0-9a-f]{16})\.pt")


@dataclass(frozen=True)
class Held:
    """What the store has of a run: finished epochs, the epoch that training can go on from, and what is damaged."""

    rows: tuple[Row, ...] = ()
    resume: int = 0
    damage: str | None = None

    @property
    def epochs(self) -> int:
        return len(self.rows)


class Store:
    """The runs under one folder. Reading needs no lock; `open`, `append` and `save_checkpoint` need the run's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ends: dict[str, tuple[int, int]] = {}  # of the histories appended to: run key -> (rows, bytes)

    def run_keys(self) -> list[str]:
        """Every run there is, by key."""
        return sorted(path.parent.name for path in self.folder.glob("*/run.json"))

    def record(self, key: str) -> dict[str, Any]:
        """The run's readable record; empty if it is missing or damaged."""
        with contextlib.suppress(OSError, ValueError):
            record = json.loads((self.folder / key / "run.json").read_text("utf-8"))
            if isinstance(record, dict):
                return record
        return {}

    def held(self, key: str) -> Held:
        """What can be used of the run. Damage other than a torn last line leaves nothing of it usable."""
        rows, _, damage = self._read(key)
        epochs = [epoch for epoch, _ in self._checkpoints(key) if epoch <= len(rows)]
        return Held(tuple(rows), max(epochs, default=0), damage)

    def _read(self, key: str) -> tuple[list[Row], int, str | None]:
        """The good rows, how many bytes they take, and what is wrong if anything but the last line's end is."""
        path = self.folder / key / "history.jsonl"
        try:
            lines = path.read_bytes().split(b"\n")
        except (FileNotFoundError, NotADirectoryError):
            return [], 0, None
        rows: list[Row] = []
        for number, line in enumerate(lines[:-1], start=1):  # what follows the last newline was torn off in writing
            row = _decode(line)
            if row is None or row.get("epoch") != number:
                return [], 0, f"line {number} of {path} is damaged"
            rows.append(row)
        return rows, sum(len(line) + 1 for line in lines[:-1]), None

    def _checkpoints(self, key: str) -> list[tuple[int, Path]]:
        """(epoch, file), newest first."""
        found = [
            (match, path)
            for path in (self.folder / key).glob("epoch-*.pt")
            if (match := _CHECKPOINT.fullmatch(path.name))
        ]
        return sorted(((int(match[1]), path) for match, path in found), reverse=True)

    @contextlib.contextmanager
    def claim(self, keys: Sequence[str]) -> Iterator[list[str]]:
        """Take the locks of those runs that nobody else is training, for the length of the `with` block.

        Each lock is an open file: of more runs than this process may open files, only the first are taken.
        """
        with contextlib.ExitStack() as locks:
            mine: list[str] = []
            for key in keys[: _files(len(keys))]:
                with contextlib.suppress(Timeout), self._writing():
                    locks.enter_context(self._lock(key))
                    mine.append(key)
                    locks.enter_context(named_holder(self.folder / key))
            yield mine

    def _lock(self, key: str) -> FileLock:
        folder = self.folder / key
        folder.mkdir(parents=True, exist_ok=True)
        # Any thread of this process may free it: the one that writes rows is not the one that took the lock.
        return FileLock(folder / "lock", timeout=0, thread_local=False)

    def check_writable(self) -> None:
        """Raise UserError if nothing can be written in the store."""
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except Timeout:  # an OSError too, and no fault
            raise
        except OSError as error:
            raise UserError(
                f"store '{self.folder}' cannot be written: {error.strerror}; choose another with --store"
            ) from None

    def open(self, key: str, record: dict[str, Any], fresh: bool = False) -> list[str]:
        """Make the run ready to be trained on; returns what had to be mended, one line each.

        With `fresh`, or where the history is damaged, what there was is set aside as history.old1.jsonl (2, …) and the
        run starts again; a damaged checkpoint is removed, so that the one before it serves.
        """
        folder = self.folder / key
        for left in folder.glob(".*.*"):  # of a write that a crash cut short
            left.unlink()
        damage = self.held(key).damage
        said = [f"{damage}; the run is trained again"] if damage else []
        if damage or fresh:
            self._set_aside(key)
        if self.record(key).get("key") != key:
            record = {"key": key, **record, "created": now()}
            write_whole(folder / "run.json", (json.dumps(record, indent=2) + "\n").encode())
        return said + self._drop_damaged_checkpoints(key)

    def _set_aside(self, key: str) -> None:
        folder = self.folder / key
        history = folder / "history.jsonl"
        if history.exists():
            earlier = len(list(folder.glob("history.old*.jsonl")))
            history.replace(folder / f"history.old{earlier + 1}.jsonl")
        self.prune(key)

    def _drop_damaged_checkpoints(self, key: str) -> list[str]:
        rows, said = self.held(key).epochs, []
        for epoch, path in self._checkpoints(key):
            if epoch > rows or _content(path) is None:
                path.unlink()
                said.append(f"checkpoint {path} is {'ahead of the history' if epoch > rows else 'damaged'}")
        left = self.held(key).resume
        return [f"{what}; training goes on from epoch {left}" for what in said]

    def append(self, key: str, row: Row) -> bool:
        """Add the row of the next epoch, synced to disk; False if the store has that epoch already."""
        rows, size, damage = self._end(key)
        if damage or row["epoch"] > rows + 1:
            raise ValueError(f"run {key}: epoch {row['epoch']} cannot follow {rows} stored ones ({damage or 'a gap'})")
        if row["epoch"] <= rows:
            return False
        line = encode(row)
        with (self.folder / key / "history.jsonl").open("ab") as file:
            file.truncate(size)  # a torn line of an earlier crash
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if not rows:
            sync_folder(self.folder / key)
        self._ends[key] = rows + 1, size + len(line)
        return True

    def _end(self, key: str) -> tuple[int, int, str | None]:
        """How many good rows there are, their bytes, and what is wrong; read again only where the size has changed."""
        if key not in self._ends or self._ends[key][1] != _size(self.folder / key / "history.jsonl"):
            rows, size, damage = self._read(key)
            if damage:
                return len(rows), size, damage
            self._ends[key] = len(rows), size
        return *self._ends[key], None

    def newest_checkpoint(self, key: str) -> int:
        """The epoch of the newest checkpoint, 0 without one."""
        return max((epoch for epoch, _ in self._checkpoints(key)), default=0)

    def save_checkpoint(self, key: str, epoch: int, blob: bytes) -> None:
        """Write the state after `epoch`, whole or not at all, and free all but the last two."""
        name = f"epoch-{epoch:05d}.{hashlib.sha256(blob).hexdigest()[:16]}.pt"
        write_whole(self.folder / key / name, blob)
        for _, path in self._checkpoints(key)[KEPT_CHECKPOINTS:]:
            path.unlink()

    def load_checkpoint(self, key: str) -> tuple[int, bytes] | None:
        """(epoch, state) of the newest checkpoint that has its epoch's row and whose content is what its name says."""
        rows = self.held(key).epochs
        for epoch, path in self._checkpoints(key):
            if epoch <= rows and (content := _content(path)) is not None:
                return epoch, content
        return None

    def prune(self, key: str) -> int:
        """Remove the run's checkpoints, never its history; returns the bytes freed."""
        freed = 0
        for _, path in self._checkpoints(key):
            freed += path.stat().st_size
            path.unlink()
        return freed

    def size(self, key: str) -> int:
        """Bytes on disk."""
        total = 0
        for path in (self.folder / key).iterdir():
            with contextlib.suppress(FileNotFoundError):  # replaced meanwhile, by whoever trains the run
                total += path.stat().st_size
        return total


def encode(row: Row) -> bytes:
    """A history line: the row as JSON, with the CRC-32 of the rest of it at its end."""
    text = json.dumps(row)
    return f'{text[:-1]}, "crc32": "{zlib.crc32(text.encode()):08x}"}}\n'.encode()


def _decode(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
        checksum = row.pop("crc32")
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    return row if f"{zlib.crc32(json.dumps(row).encode()):08x}" == checksum else None


def _size(path: Path) -> int:
    """Bytes; 0 if there is no such file."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _content(path: Path) -> bytes | None:
    """A checkpoint's content, if it is what the file's name says; None if not, or if a newer one has replaced it."""
    match = _CHECKPOINT.fullmatch(path.name)
    with contextlib.suppress(FileNotFoundError):
        content = path.read_bytes()
        if match is not None and hashlib.sha256(content).hexdigest()[:16] == match[2]:
            return content
    return None


def _files(wanted: int) -> int:
    """How many files this process may open beside its others, its limit raised to `wanted` where the system lets it."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit < wanted + OTHER_FILES:
        with contextlib.suppress(ValueError, OSError):
            high = wanted + OTHER_FILES
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (high if most == resource.RLIM_INFINITY else min(high, most), most)
            )
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, limit - OTHER_FILES)
