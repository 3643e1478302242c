"""What the store holds: `tune-mnist runs`, and `tune-mnist runs --prune` to free checkpoints, never histories."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from tune_mnist.display.log import console
from tune_mnist.measure import Measure
from tune_mnist.mnist.task import MNIST
from tune_mnist.store.store import Held, Row, Store
from tune_mnist.task import Task, learned
from tune_mnist.words import plural

# What a run was trained under, in words; each where it is recorded.
CONDITIONS = {"dataset": "{}", "data_checksum": "data {:.6}", "code": "code {:.6}", "version": "version {}"}
CONDITIONS |= {"device": "{}", "precision": "{}", "torch_version": "{}", "threads": "threads {}"}
CONDITIONS |= {"training_version": "training version {}"}


def runs(
    store: Annotated[Path, typer.Option(metavar="DIR", help="What has been trained.")] = Path("results/store"),
    prune: Annotated[bool, typer.Option("--prune", help="Remove the checkpoints; histories stay.")] = False,
) -> int:
    """List the stored runs: why each is, or is not, reused. A run trained under other conditions has another key."""
    kept, screen = Store(store), console()
    keys = kept.run_keys()
    if prune:
        freed = sum(_prune(kept, key) for key in keys)
        screen.print(f"freed {_megabytes(freed)} of checkpoints of {plural(len(keys), 'run')}; every history is kept")
        return 0
    if not keys:
        screen.print(f"no runs in {store}")
        return 0
    table = Table(
        *("key", "config", "data and device", "epochs", "accuracy", "size", "last trained"), box=None, pad_edge=False
    )
    for key in keys:
        table.add_row(key, *_row(kept.record(key), kept.held(key)), _megabytes(kept.size(key)), _when(kept.held(key)))
    screen.print(table)
    return 0


def _prune(store: Store, key: str) -> int:
    with store.claim([key]) as mine:  # a run that is being trained keeps what it may have to go on from
        return store.prune(key) if mine else 0


def _row(record: dict[str, Any], held: Held) -> tuple[str, str, str, str]:
    config, conditions = record.get("config", {}), record.get("conditions", {})
    differs = [f"{name}={value}" for name, value in config.items() if value != _defaults(record).get(name)]
    if record.get("alone"):
        differs.append(f"for the point {record['alone']} alone")
    said = [words.format(conditions[name]) for name, words in CONDITIONS.items() if name in conditions]
    under = [*([] if "dataset" in conditions else [_task(record)]), *said]
    value = "-"
    if held.rows:
        judged = _judged(record, held.rows)
        value = judged.brief(held.rows[-1][judged.name])
    return ", ".join(differs) or "defaults", ", ".join(under), "damaged" if held.damage else str(held.epochs), value


def _defaults(record: dict[str, Any]) -> dict[str, Any]:
    """What goes without saying: the defaults of MNIST's runs. Another task's are with its code, and not known here."""
    return {one.name: one.default for one in MNIST.parameters} if _task(record) == MNIST.name else {}


def _judged(record: dict[str, Any], rows: Sequence[Row]) -> Measure:
    """The measure that the run is judged by; records that name no task are MNIST's."""
    if _task(record) == MNIST.name:
        return MNIST.judged
    return Measure(**record["judged"]) if record.get("judged") else learned(Task("", learns=True), rows).judged


def _task(record: dict[str, Any]) -> str:
    return str(record.get("task", MNIST.name))


def _when(held: Held) -> str:
    return str(held.rows[-1]["finished"]) if held.rows else "-"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
