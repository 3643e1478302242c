"""What the store holds: `tune-mnist runs`, and `tune-mnist runs --prune` to free checkpoints, never histories."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tune_mnist.display.listing import Listed, listing, short_keys
from tune_mnist.display.log import console
from tune_mnist.errors import UserError, unknown
from tune_mnist.fingerprint.source import drop_unused
from tune_mnist.learned import learned
from tune_mnist.measure import Measure
from tune_mnist.mnist.task import MNIST
from tune_mnist.names import plain
from tune_mnist.store.history import is_end
from tune_mnist.store.regular import Unfit
from tune_mnist.store.store import Store
from tune_mnist.task import Task
from tune_mnist.words import plural, typed

# What a run was trained under, in words; each where it is recorded.
CONDITIONS = {"dataset": "{}", "data_checksum": "data {:.6}", "code": "code {:.6}", "version": "version {}"}
CONDITIONS |= {"device": "{}", "precision": "{}", "torch_version": "torch {}", "threads": "threads {}"}
CONDITIONS |= {"validation": "{} for validation", "training_version": "training version {}"}
MNISTS = {one.name for one in MNIST.parameters}
NAMED = 10  # damaged files that are named, each in a line


def runs(
    store: Annotated[Path, typer.Option(metavar="DIR", help="What has been trained.")] = Path("results/store"),
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="NAME=VALUE", help="Only runs with this value, as in lr=0.05. Repeatable."),
    ] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Remove the checkpoints; histories stay.")] = False,
) -> int:
    """List the stored runs: why each is, or is not, reused. A run trained under other conditions has another key."""
    _check(store)
    kept = Store(store)
    keys = kept.run_keys()
    if prune:
        print(_prune(kept, keys))
    elif not keys:
        print(f"no runs yet in {store}")
    else:
        _list(kept, keys, filters or [])
    return 0


def _check(store: Path) -> None:
    if not store.is_dir():
        what = "a file, not a folder" if store.exists() else "not there"
        raise UserError(
            f"store '{store}' is {what}; give the one that a sweep filled with --store, or train some first"
        )


def _prune(store: Store, keys: Sequence[str]) -> str:
    freed = sum(_prune_run(store, key) for key in keys)
    codes = drop_unused(store.folder, {str((store.record(key).get("conditions") or {}).get("code")) for key in keys})
    sources = f"; the sources of {plural(codes, 'state')} of code that no run is of are removed" if codes else ""
    return f"freed {_megabytes(freed)} of checkpoints of {plural(len(keys), 'run')}{sources}; every history is kept"


def _prune_run(store: Store, key: str) -> int:
    try:
        with store.claim([key]) as mine:  # a run that is being trained keeps what it may have to go on from
            return store.prune(key) if mine else 0
    except UserError:  # somebody else's, who may have it
        return 0


def _list(store: Store, keys: Sequence[str], filters: Sequence[str]) -> None:
    damage: list[str] = []
    found = [_Run(store, key, damage) for key in keys]
    wanted = _filtered(found, filters)
    if wanted:
        for line in listing([one.listed() for one in wanted], short_keys(keys), console().width):
            print(line)
        print()
    for line in [*damage[:NAMED], *([f"and {len(damage) - NAMED} more"] if len(damage) > NAMED else [])]:
        print(line)
    of = plural(len(keys), "run") if len(wanted) == len(keys) else f"{len(wanted)} of {plural(len(keys), 'run')}"
    print(f"{of}; {_size(sum(store.size(key) for key in keys))} in {store.folder}")


class _Run:
    """What the store has of a run; what is wrong with it is added to `damage`."""

    def __init__(self, store: Store, key: str, damage: list[str]) -> None:
        self.key, self.record = key, dict[str, Any]()
        self.epochs, self.last, self.wrong = store.glance(key)
        try:
            self.record = store.checked_record(key)
        except Unfit as why:
            if str(why) != self.wrong:
                damage.append(f"{why}; what it was trained with is not known")
        if self.wrong:
            damage.append(f"{self.wrong}; the run is trained again when it is asked for")

    @property
    def config(self) -> dict[str, Any]:
        return self.record.get("config") or {}

    @property
    def conditions(self) -> dict[str, Any]:
        return self.record.get("conditions") or {}

    @property
    def task(self) -> str:
        """Records that name no task are MNIST's."""
        return str(self.record.get("task", MNIST.name))

    @property
    def values(self) -> dict[str, Any]:
        """All that a filter may ask for."""
        return {"task": self.task, **self.conditions, **self.config, "epochs": self.epochs}

    def listed(self) -> Listed:
        settings = {"task": self.task} if self.record and "dataset" not in self.conditions else {}
        under, config = self.conditions, self.config
        settings |= {name: words.format(under[name]) for name, words in CONDITIONS.items() if name in under}
        settings |= {name: f"{name}={_written(name, value)}" for name, value in config.items()}
        if self.record.get("alone"):
            settings["alone"] = f"for the point {self.record['alone']} alone"
        legible = {name: _legible(text) for name, text in settings.items()}
        judged = self._judged() if self.last else None
        result = judged.text(self.last[judged.name]) if judged else "-"
        return Listed(
            self.key,
            legible if self.record else {"": "?"},
            "damaged" if self.wrong else str(self.epochs),
            judged.stem if judged else "",
            f"diverged at {self.last['epoch']}" if is_end(self.last) else result,
            str(self.last.get("finished") or self.record.get("created") or "-"),
        )

    def _judged(self) -> Measure | None:
        """The measure that the run is judged by, if its rows have it."""
        judged = MNIST.judged
        if is_end(self.last):
            return None
        if self.task != MNIST.name:
            said = self.record.get("judged")
            judged = Measure(**said) if said else learned(Task("", learns=True), [self.last]).judged
        return judged if isinstance(self.last.get(judged.name), (int, float)) else None


def _legible(text: str) -> str:
    return text if text.isprintable() else "".join(filter(str.isprintable, text))


def _written(name: str, value: Any) -> str:
    """As it is typed."""
    return typed(MNIST.written(name, value) if value is None and name in MNISTS else value)


def _filtered(found: Sequence[_Run], filters: Sequence[str]) -> list[_Run]:
    """The runs that each filter lets through. Raises UserError for one that no run can be asked by."""
    wanted = list(found)
    names = dict.fromkeys(name for one in found for name in one.values) if filters else {}
    for text in filters:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--filter takes NAME=VALUE, as in lr=0.05, not '{text}'")
        name = plain(name)
        if name not in names:
            raise unknown("name to filter by", name, names)
        wanted = [one for one in wanted if name in one.values and _is(_written(name, one.values[name]), value.strip())]
    return wanted


def _is(said: str, asked: str) -> bool:
    """Equal as words or as numbers: 1e-1 is 0.1."""
    try:
        return float(said) == float(asked)
    except ValueError:
        return said.lower() == asked.lower()


def _size(size: int) -> str:
    return f"{size / 1e3:.0f} kB" if size < 1e6 else _megabytes(size)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
