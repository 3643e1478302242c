"""What the store holds: `tune-mnist runs`, and `tune-mnist runs --prune` to free checkpoints, never histories."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from tune_mnist.display.progress import console, plural
from tune_mnist.mnist.config import TrainConfig
from tune_mnist.store.store import Held, Store


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
    differs = [f"{name}={value}" for name, value in config.items() if value != getattr(TrainConfig, name, None)]
    if record.get("alone"):
        differs.append(f"for the point {record['alone']} alone")
    under = [str(conditions.get(name, "?")) for name in ("dataset", "device", "precision", "torch_version")]
    under.insert(1, f"data {str(conditions.get('data_checksum', '?'))[:6]}")
    under += [plural(conditions.get("threads", 0), "thread"), f"training version {conditions.get('training_version')}"]
    accuracy = f"{held.rows[-1]['test_accuracy']:.2%}" if held.rows else "-"
    return ", ".join(differs) or "defaults", ", ".join(under), "damaged" if held.damage else str(held.epochs), accuracy


def _when(held: Held) -> str:
    return str(held.rows[-1]["finished"]) if held.rows else "-"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
