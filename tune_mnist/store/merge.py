"""Carries over what one store has and another lacks: a run's history only grows, so the longer one holds the other."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from tune_mnist.fingerprint.source import carry
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
    checkpoint = arrived.load_checkpoint(key)
    if checkpoint and target.newest_checkpoint(key) < checkpoint[0] <= target.held(key).epochs:
        target.save_checkpoint(key, *checkpoint)
    return added
