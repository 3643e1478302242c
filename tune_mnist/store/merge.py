"""Carries over what one store has and another lacks: a run's history only grows, so the longer one holds the other."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Container, Mapping
from contextlib import suppress
from pathlib import Path

from tune_mnist.fingerprint.source import carry
from tune_mnist.store import checkpoint, regular
from tune_mnist.store.store import Store


def merge(source: Path, target: Store, keys: Collection[str] | None = None) -> int:
    """Add to `target` every epoch and newer checkpoint of the store in the folder `source`; returns the epochs added.

    Only of the runs of these `keys`, if they are given. A run that another command is training is left for the next
    time, and a damaged one is left out. Both stores are whole at any instant, because all is written as training
    writes it. The sources that a run's key stands for come with it.
    """
    arrived = Store(source)
    ahead = [key for key in (arrived.run_keys() if keys is None else keys) if _is_ahead(arrived, target, key)]
    with target.claim(ahead) as mine:
        for code in {_code(arrived, key) for key in mine} - {""}:
            carry(code, source, target.folder)
        return sum(_merge_run(arrived, target, key) for key in mine)


def _code(store: Store, key: str) -> str:
    """The fingerprint of the run's code, if it has one."""
    return str((store.record(key).get("conditions") or {}).get("code", ""))


def _is_ahead(arrived: Store, target: Store, key: str) -> bool:
    theirs, ours = arrived.held(key), target.held(key)
    there, here = ((len(one.lines), one.resume) for one in (theirs, ours))
    return bool(arrived.record(key)) and there > here


def _merge_run(arrived: Store, target: Store, key: str) -> int:
    target.open(key, arrived.record(key))
    added = sum(target.append(key, row) for row in arrived.held(key).lines)
    newest = arrived.load_checkpoint(key)
    if newest and target.newest_checkpoint(key) < newest[0] <= target.held(key).epochs:
        target.save_checkpoint(key, *newest)
    return added


def stage(store: Store, folder: Path, rows: Mapping[str, int], going_on: Container[str]) -> None:
    """Hold runs ready in `folder`, to be sent to another store, which has `rows` of them: run key -> how many.

    Those that have more rows here, and of those in `going_on` that did not diverge the newest checkpoint. They are
    links to the store's own files: they take no room, and a history grows there as it does here.
    """
    for key, known in rows.items():
        held = store.held(key)
        if len(held.lines) > known:
            last = held.resume if key in going_on and not held.diverged else 0
            states = [name for epoch, name in _checkpoints(store.folder / key) if epoch == last]
            _link(store.folder / key, folder / key, {"run.json", "history.jsonl", *states})


def thin(folder: Path) -> None:
    """Keep of each run in a store's folder, which nobody trains, the newest checkpoint alone."""
    for key in Store(folder).run_keys():
        for _, name in _checkpoints(folder / key)[1:]:
            regular.remove(folder / key / name)


def _checkpoints(folder: Path) -> list[tuple[int, str]]:
    """(epoch, name), newest first."""
    found = [match for name in regular.names(folder) if (match := checkpoint.NAME.fullmatch(name))]
    return sorted(((int(match[1]), match[0]) for match in found), reverse=True)


def _link(source: Path, target: Path, names: set[str]) -> None:
    """Make `target` hold the files of these names, as they are in `source` now, and nothing else."""
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        with suppress(FileNotFoundError):  # replaced meanwhile by who trains the run: the next time, then
            if not _is_linked(source / name, target / name):
                beside = target / f".{name}.{os.getpid()}"
                beside.unlink(missing_ok=True)
                _copy(source / name, beside)
                beside.replace(target / name)
    for name in set(regular.names(target)) - names:
        (target / name).unlink(missing_ok=True)


def _is_linked(source: Path, target: Path) -> bool:
    with suppress(FileNotFoundError):
        return target.samefile(source)
    return False


def _copy(source: Path, target: Path) -> None:
    """As a link, or, on a disk that knows none, for real."""
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)
