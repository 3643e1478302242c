"""What a job on a cluster sends home: from where it arrives, into the store and the folder of results here."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_mnist.display.log import log
from tune_mnist.errors import ClusterError, UserError
from tune_mnist.files import write_whole
from tune_mnist.launch.boxes import RESULTS, STORE, told
from tune_mnist.results.folder import is_log, is_made
from tune_mnist.store.merge import merge, thin
from tune_mnist.store.store import Store

if TYPE_CHECKING:
    from tune_mnist.keeping import Asked


@dataclass
class Arrivals:
    """A copy of a job's outbox, in `place`, and where that belongs: `store`, and `folder`, where it is `asked`."""

    place: Path
    store: Store
    folder: Path
    asked: Asked
    conditions: dict[str, Any] | None = None  # that the job trains under, once it has told them

    @cached_property
    def beside(self) -> bool:
        """Whether the folder at home holds other sweeps; their tables are joined once the job has ended."""
        from tune_mnist.keeping import held  # not above: a command that joins nothing starts sooner

        return bool(held(self.folder, self.asked.elsewhere()).sweeps)

    def take_in(self) -> None:
        """Bring what has arrived so far to where it belongs."""
        self.conditions = told(self.place).get("conditions", self.conditions)
        if (self.place / STORE).is_dir():
            merge(self.place / STORE, self.store)
            thin(self.place / STORE)
        arrived = self.place / RESULTS
        if not arrived.is_dir():
            return
        names = [path.name for path in arrived.iterdir()]
        logs = [name for name in names if is_log(name)]
        apart = [name for name in names if self.beside and is_made(name)]
        shutil.copytree(arrived, self.folder, ignore=shutil.ignore_patterns(*logs, *apart, ".*"), dirs_exist_ok=True)
        for name in logs:
            _continue_log(arrived / name, self.folder / name)

    def end(self) -> None:
        """The job has ended, and all is here: join its sweeps with the others, and keep nothing twice."""
        if self._joined():
            shutil.rmtree(self.place, ignore_errors=True)

    def _joined(self) -> bool:
        """Join the sweeps with those at home; False where they contradict each other, or where there is no room."""
        arrived = self.place / RESULTS
        if not self.beside or not arrived.is_dir():
            return True
        from tune_mnist.keeping import take_in

        try:
            take_in(arrived, self.folder, self.asked)
        except (UserError, ClusterError) as error:
            log.error(f"{error}; what the cluster wrote is in {arrived}")
            return False
        return True


def _continue_log(arrived: Path, here: Path) -> None:
    """The log of earlier commands stays; that of this one, which may have come in part before, follows it."""
    came = arrived.read_bytes()
    before = here.read_bytes() if here.exists() else b""
    first = came.partition(b"\n")[0]
    found = before.find(first) if first else -1
    write_whole(here, (before if found < 0 else before[:found]) + came)
