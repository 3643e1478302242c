"""What has been trained: for each run, under its key, a record to read, one row per epoch, and checkpoints.

    results/store/<key>/run.json                    config and conditions: why the run is, or is not, reused
    results/store/<key>/history.jsonl               one row per epoch, with its run's key and a checksum; synced
    results/store/<key>/epoch-00005.<sha>.pt        the last two checkpoints, each named by its content
    results/store/<key>/lock                        held by the command that is training the run
    results/store/<key>/holder                      who that is, while it is

Each is a regular file that says whose it is (`sealed`). What is not, or is damaged, or is another run's, is set aside
as history.old1.jsonl (2, …) when the run is trained again, and never deleted unless `prune` is asked for.

One process writes a run: whoever holds its lock. A row is synced before its epoch's checkpoint is written, so a crash
at any instant leaves the history as it was before or after the row, and a checkpoint that is at most one epoch behind.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import Timeout

from tune_mnist.files import now, sync_folder, write_whole
from tune_mnist.store import checkpoint, claims, regular, sealed
from tune_mnist.store.history import History, glance, is_end, read_history
from tune_mnist.store.regular import Unfit

Row = sealed.Row
KEPT_CHECKPOINTS = 2
RECORD_MOST = 1 << 20  # bytes
_KEY = re.compile(r"[0-9a-f]{16}")
_SET_ASIDE = re.compile(r"epoch-\d{5,}\.[0-9a-f]{16}\.old\d+\.pt")
_UNFINISHED = re.compile(r"\.(run\.json|epoch-.*\.pt)\..+")  # what `write_whole` writes beside its file


@dataclass(frozen=True)
class Held:
    """What the store has of a run: finished epochs, the epoch that training can go on from, and what is damaged.

    `diverged`: the row of the epoch at which the training diverged, which has no measures and is none of `rows`.
    """

    rows: tuple[Row, ...] = ()
    resume: int = 0
    damage: str | None = None
    diverged: Row | None = None

    @property
    def epochs(self) -> int:
        return len(self.rows)

    @property
    def lines(self) -> tuple[Row, ...]:
        """Every row of the history, that of the epoch at which the training diverged among them."""
        return self.rows if self.diverged is None else (*self.rows, self.diverged)

    def answers(self, epochs: int) -> bool:
        """Whether nothing is left to train of so many epochs: the store has them, or the training diverged before."""
        return self.epochs >= epochs or self.diverged is not None


class Store:
    """The runs under one folder. Reading needs no lock; `open`, `append` and `save_checkpoint` need the run's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, History] = {}  # run key -> its history when it was last read or added to
        self._mended: dict[str, list[str]] = {}  # run key -> what `claim` had to set aside, for `open` to say

    def run_keys(self) -> list[str]:
        """Every run there is, by key."""
        with regular.reading(self.folder):
            try:
                found = [entry for entry in os.scandir(self.folder) if _KEY.fullmatch(entry.name)]
            except (FileNotFoundError, NotADirectoryError):
                return []
            return sorted(entry.name for entry in found if _is_run(entry))

    def record(self, key: str) -> dict[str, Any]:
        """The run's readable record; empty if it is missing or damaged."""
        with contextlib.suppress(Unfit):
            return self.checked_record(key)
        return {}

    def checked_record(self, key: str) -> dict[str, Any]:
        """The run's record, empty if it is missing. Raises Unfit, with what is wrong, if it cannot be believed."""
        path = self.folder.joinpath(key, "run.json")
        with regular.reading(self.folder):
            content = regular.read(path, RECORD_MOST)
        with regular.naming(path):
            return {} if content is None else sealed.decode_record(content, key)

    def held(self, key: str) -> Held:
        """What can be used of the run. Damage other than a torn last line leaves nothing of it usable."""
        history = self._history(key)
        epochs = [epoch for epoch in self._checkpointed(key) if epoch <= len(history.good)]
        return Held(history.good, max(epochs, default=0), history.damage, history.diverged)

    def rows(self, key: str) -> tuple[Row, ...]:
        """The run's good rows as they were last read, or added to, by this process; read now if they never were."""
        return (self._known.get(key) or self._history(key)).good

    def glance(self, key: str) -> tuple[int, Row, str | None]:
        """How many epochs the run has, the last one's row, and what is damaged: a third of the time of `held`."""
        lines, last, damage = glance(self.folder.joinpath(key, "history.jsonl"), key)
        if not lines:
            damage = self._misplaced(key) or damage
        return lines - is_end(last), last, damage

    def _misplaced(self, key: str) -> str | None:
        """What is in the place of the run's folder, if anything else is."""
        with regular.reading(self.folder):
            found = regular.kind(self.folder / key)
        return None if found in (None, "a folder") else f"{self.folder / key} is {found}, not a folder"

    def _history(self, key: str) -> History:
        with regular.reading(self.folder):
            history = read_history(self.folder.joinpath(key, "history.jsonl"), key, self._known.get(key, History()))
        if history.rows:
            self._known[key] = history
        elif damage := self._misplaced(key):
            return History(damage=damage)
        return history

    def _checkpointed(self, key: str) -> list[int]:
        """After which epochs there is what has a checkpoint's name."""
        return [
            int(match[1]) for name in regular.names(self.folder / key) if (match := checkpoint.NAME.fullmatch(name))
        ]

    def _checkpoints(self, key: str) -> list[tuple[int, Path]]:
        """(epoch, what has a checkpoint's name), newest first."""
        names = regular.names(self.folder / key)
        found = [match for name in names if (match := checkpoint.NAME.fullmatch(name))]
        return sorted(((int(match[1]), self.folder / key / match[0]) for match in found), reverse=True)

    @contextlib.contextmanager
    def claim(self, keys: Sequence[str]) -> Iterator[list[str]]:
        """Take the locks of those runs that nobody else is training, for the length of the `with` block.

        Each lock is an open file: of more runs than this process may open files, only the first are taken.
        """
        with contextlib.ExitStack() as locks:
            mine: list[str] = []
            for key in keys[: claims.at_once(len(keys))]:
                with contextlib.suppress(Timeout), self.writing():
                    say = self._mended.setdefault(key, []).append
                    locks.enter_context(claims.claimed(self.folder / key, say))
                    mine.append(key)
            yield mine

    def holder(self, key: str) -> str | None:
        """Who trains the run now, as "pid 123 on host x since 10:02"; None if nobody does."""
        return claims.holder(self.folder / key)

    def grown(self, key: str) -> float:
        """When the run was last claimed or had an epoch, in seconds since 1970; 0 if never."""
        folder = self.folder / key
        return max(regular.changed(folder / name) for name in ("holder", "history.jsonl"))

    def writing(self) -> contextlib.AbstractContextManager[None]:
        """A `with` block in which what keeps the store from being written is told in a line (`regular.writing`)."""
        return regular.writing(self.folder)

    def check_writable(self) -> None:
        """Raise UserError, or ClusterError for its disk, if nothing can be written in the store."""
        with self.writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass

    def open(self, key: str, record: dict[str, Any], fresh: bool = False) -> list[str]:
        """Make the run ready to be trained on; returns what had to be mended, one line each.

        With `fresh`, or where the history is damaged, what there was is set aside as history.old1.jsonl (2, …) and the
        run starts again; a damaged checkpoint is set aside, so that the one before it serves.
        """
        for name in filter(_UNFINISHED.fullmatch, regular.names(self.folder / key)):
            regular.remove(self.folder / key / name)  # a crash cut it short: only who has the lock writes here
        damage, said = self._history(key).damage, self._mended.pop(key, [])
        if damage:
            said.append(f"{damage}; the run is trained again")
        elif fresh:
            self.prune(key)
        if damage or fresh:
            for path in (self.folder.joinpath(key, "history.jsonl"), *(path for _, path in self._checkpoints(key))):
                regular.set_aside(path)
        return said + self._mend_record(key, record) + self._mend_checkpoints(key)

    def _mend_record(self, key: str, record: dict[str, Any]) -> list[str]:
        path, said = self.folder.joinpath(key, "run.json"), []
        try:
            if self.checked_record(key):
                return []
        except Unfit as why:
            said.append(f"{why}; it is written anew")
            regular.set_aside(path)
        write_whole(path, sealed.encode_record({"key": key, "created": now(), **record}))
        return said

    def _mend_checkpoints(self, key: str) -> list[str]:
        rows, said, sound = len(self._history(key).rows), [], 0
        for epoch, path in self._checkpoints(key):
            try:
                with regular.naming(path):
                    if epoch > rows:
                        raise Unfit("ahead of the history")
                state = checkpoint.read_state(path, key)
                if not sound:  # the one before it is loaded where this one fails: it takes 10 ms
                    with regular.naming(path):
                        checkpoint.check(state)
                sound = sound or epoch
            except Unfit as why:
                said.append(f"checkpoint {why}")
                regular.set_aside(path)
        return [f"{what}; training goes on from epoch {sound}" for what in said]

    def append(self, key: str, row: Row) -> bool:
        """Add the row of the next epoch, synced to disk; False if the store has that epoch, or it diverged before.

        Raises OSError if it cannot be written, or cannot follow what is there.
        """
        path, history = self.folder.joinpath(key, "history.jsonl"), self._end(key)
        rows = len(history.rows)
        if row["epoch"] <= rows or history.diverged:
            return False
        if history.damage or row["epoch"] > rows + 1:
            why = history.damage or "a gap"
            raise Unfit(f"run {key}: epoch {row['epoch']} cannot follow {rows} stored ones ({why})")
        line = sealed.encode(row, key)
        with regular.opened(path, "ab") as file:
            file.truncate(history.size)  # a torn line of an earlier crash
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if not rows:
            sync_folder(path.parent)
        self._known[key] = history.extended(sealed.decode(line, key, rows + 1), line)
        return True

    def _end(self, key: str) -> History:
        """What a row is added to; read again only where the size has changed."""
        known = self._known.get(key, History())
        return known if known.size == regular.size(self.folder.joinpath(key, "history.jsonl")) else self._history(key)

    def newest_checkpoint(self, key: str) -> int:
        """The epoch of the newest checkpoint, 0 without one."""
        return max(self._checkpointed(key), default=0)

    def save_checkpoint(self, key: str, epoch: int, blob: bytes) -> None:
        """Write the state after `epoch`, whole or not at all, and free all but the last two."""
        name, content = checkpoint.as_file(blob, key, epoch)
        write_whole(self.folder / key / name, content)
        for _, path in self._checkpoints(key)[KEPT_CHECKPOINTS:]:
            regular.remove(path)

    def load_checkpoint(self, key: str) -> tuple[int, bytes] | None:
        """(epoch, state) of the newest checkpoint that has its epoch's row and is what its name and its head say."""
        rows = len(self._history(key).rows)
        for epoch, path in self._checkpoints(key):
            with contextlib.suppress(Unfit):
                if epoch <= rows:
                    return epoch, checkpoint.read_state(path, key)
        return None

    def prune(self, key: str) -> int:
        """Remove the run's checkpoints, those set aside too, but never a history; returns the bytes freed."""
        names = [
            name
            for name in regular.names(self.folder / key)
            if checkpoint.NAME.fullmatch(name) or _SET_ASIDE.fullmatch(name)
        ]
        return sum(regular.remove(self.folder / key / name) for name in names)

    def size(self, key: str) -> int:
        """Bytes on disk."""
        return regular.folder_size(self.folder / key)


def _is_run(entry: os.DirEntry[str]) -> bool:
    """Whether it is a run's folder, or something else in its place; a folder with a lock alone is none."""
    if not entry.is_dir(follow_symlinks=False) or not os.access(entry.path, os.X_OK):
        return True
    return any(os.path.lexists(f"{entry.path}/{name}") for name in ("run.json", "history.jsonl"))
