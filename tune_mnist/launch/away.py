"""A cluster that a command may start, and what is known of it here: from what, and under which conditions it trains.

Numbers of a machine of another kind have other keys, so what the cluster has trained is found in the store only by who
knows what differs there. It is kept from one command to the next, as long as the cluster is started from the same.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tune_mnist.display.log import log
from tune_mnist.files import sha256, write_whole
from tune_mnist.launch.ray_up import DOWN, Launcher
from tune_mnist.store.store import Store
from tune_mnist.task import Task


@dataclass
class Away:
    """The cluster of a file, and the store here that its runs come home to."""

    launcher: Launcher
    store: Store
    _here: dict[str, Any] = field(default_factory=dict, init=False)  # the conditions on this machine

    @property
    def folder(self) -> Path:
        """What is kept here of the cluster."""
        return self.store.folder / f".{self.launcher.name}"

    @cached_property
    def started(self) -> str:
        """A hash of all that it is started from: the cluster file, what that copies to the machines, Ray's version."""
        config = self.launcher.config
        said = [json.dumps(config, sort_keys=True, default=str), version("ray")]
        said += [f"{path} {sha256(file)}" for path, file in sorted(_copied(config))]
        return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]

    def conditioned(self, task: Task) -> Task:
        """The task under the cluster's conditions, as far as these are known; else they are taken to be this machine's.

        What differed when the cluster last trained the task is taken to differ still, unless this machine has changed.
        """
        self._here = json.loads(json.dumps(dict(task.conditions)))
        differing = self._known().get(task.name, {})
        if any(self._here.get(name) != here for name, (here, _) in differing.items()):
            return task
        return replace(task, conditions={**task.conditions, **{name: there for name, (_, there) in differing.items()}})

    def is_needed(self, todo: Sequence[object]) -> bool:
        """Whether there is anything to train on it; where there is not, it is said that it is not started."""
        if not todo:
            may_run = f"if it still runs, {DOWN} {self.launcher.file} ends it"
            log.info(f"everything asked is stored here: {self.launcher.name} is not started; {may_run}")
        return bool(todo)

    def learn(self, task: str, there: Mapping[str, Any]) -> None:
        """Keep in what the cluster's conditions for the task, which it has told, differ from this machine's."""
        both = {name: [here, there[name]] for name, here in self._here.items() if name in there}
        differing = {name: pair for name, pair in both.items() if pair[0] != pair[1]}
        known = {"started": self.started, "differing": {**self._known(), task: differing}}
        with suppress(OSError):  # of a full disk, which says so elsewhere
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, json.dumps(known, indent=2).encode())

    @property
    def _path(self) -> Path:
        return self.folder / "conditions.json"

    def _known(self) -> dict[str, dict[str, list[Any]]]:
        """Task -> name of a condition -> what it was here, and there; empty of a cluster that is started otherwise."""
        with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
            known = json.loads(self._path.read_bytes())
            if known["started"] == self.started:
                return {
                    str(task): {name: [here, there] for name, (here, there) in differing.items()}
                    for task, differing in known["differing"].items()
                }
        return {}


def _copied(config: dict[str, Any]) -> Iterator[tuple[str, Path]]:
    """(path on the machines, file here) of all that is copied to each machine."""
    skipped = config.get("rsync_exclude") or []
    for target, source in (config.get("file_mounts") or {}).items():
        top = Path(os.path.expanduser(source))  # noqa: PTH111
        for file in top.rglob("*") if top.is_dir() else [top]:
            parts = file.relative_to(top).parts
            if file.is_file() and not any(fnmatch(part, pattern) for part in parts for pattern in skipped):
                yield f"{target}/{'/'.join(parts)}", file
