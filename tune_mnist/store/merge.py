"""What one store has and another lacks, carried over: a run's history only grows, so the longer one holds the other."""

from __future__ import annotations

from pathlib import Path

from tune_mnist.store.store import Store


def merge(source: Path, target: Store) -> int:
    """Add to `target` every epoch and newer checkpoint of the store in the folder `source`; returns the epochs added.

    A run that another command is training is left for the next time, a damaged one out. Both stay as they are at any
    instant, for all is written as training writes it.
    """
    arrived = Store(source)
    ahead = [key for key in arrived.run_keys() if _is_ahead(arrived, target, key)]
    with target.claim(ahead) as mine:
        return sum(_merge_run(arrived, target, key) for key in mine)


def _is_ahead(arrived: Store, target: Store, key: str) -> bool:
    theirs, ours = arrived.held(key), target.held(key)
    return bool(arrived.record(key)) and (theirs.epochs, theirs.resume) > (ours.epochs, ours.resume)


def _merge_run(arrived: Store, target: Store, key: str) -> int:
    target.open(key, arrived.record(key))
    added = sum(target.append(key, row) for row in arrived.held(key).rows)
    epoch, state = arrived.newest_checkpoint(key), arrived.load_checkpoint(key)
    if state is not None and target.newest_checkpoint(key) < epoch <= target.held(key).epochs:
        target.save_checkpoint(key, epoch, state)
    return added
