"""From a request to what it leaves: plan, train what is missing, write tables and plots. run.py is its command line."""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_mnist.display.progress import LOG_NAME, Progress, log, plural
from tune_mnist.display.tensorboard import FOLDER, TensorBoard
from tune_mnist.errors import UserError
from tune_mnist.machine import environment
from tune_mnist.mnist.config import Conditions, check_fits
from tune_mnist.mnist.datasets import Dataset
from tune_mnist.plan.plan import Plan, Run, make_plan, run_names
from tune_mnist.plan.request import Request
from tune_mnist.results import tables as results
from tune_mnist.store.store import Held, Row, Store, now, write_whole
from tune_mnist.tuning.nodes import Room, check_room

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from tune_mnist.tuning.cluster import Cluster
    from tune_mnist.tuning.resources import Resources

WAIT_S = 1.0  # between two looks at a run that another command is training


@dataclass
class Experiment:
    """The questions of a command, the data and conditions that they are asked under, and the store that answers.

    `fresh` holds the keys of the runs whose stored epochs are not to be used; a run leaves it when it is started again.
    Raises UserError if a point asks for more images than there are.
    """

    request: Request
    data: Dataset
    conditions: Conditions
    store: Store
    share: bool = True
    fresh: set[str] = field(default_factory=set)
    errors: dict[str, str] = field(default_factory=dict)
    started: str = field(default_factory=now)

    def __post_init__(self) -> None:
        for point in self.request.points:
            check_fits(point.config, self.images)

    @property
    def images(self) -> int:
        """The size of the whole training set."""
        return len(self.data.train.labels)

    def plan(self) -> Plan:
        """What the points need, and what the store has of it now."""
        return make_plan(self.request.points, self.conditions, self._held, self.share)

    def _held(self, key: str) -> Held:
        return Held() if key in self.fresh else self.store.held(key)

    def names(self) -> dict[str, str]:
        """Run key -> what a person calls the run."""
        return run_names(self.plan(), self.request.baseline)

    def train(self, folder: Path, resources: Resources, cluster: Cluster, console: Console) -> None:
        """Train what is missing; what another command is training is waited for and used."""
        board = TensorBoard(folder, self.plan(), self.names(), self.images)
        try:
            waiting = False
            while todo := [run for run in self.plan().todo if run.key not in self.errors]:
                with self.store.claim([run.key for run in todo]) as mine:
                    if mine:
                        waiting = False
                        self._train([run for run in todo if run.key in mine], resources, cluster, console, board)
                        continue
                if not waiting:
                    log.info(f"waiting for {plural(len(todo), 'run')} that another command is training")
                waiting = True
                time.sleep(WAIT_S)
        finally:
            board.catch_up(self.plan())

    def _train(
        self, mine: list[Run], resources: Resources, cluster: Cluster, console: Console, board: TensorBoard
    ) -> None:
        keys = {run.key for run in mine}
        if not any(run.key in keys for run in self.plan().todo):
            return  # another command trained it before the locks were ours
        if note := cluster.objects_note():
            log.info(note)
        with cluster.started() as scratch:
            from tune_mnist.tuning.tuner import execute  # Ray is imported now, in the surroundings that it was given

            plan = self.plan()
            todo = [run for run in plan.todo if run.key in keys]
            room = Room(len(todo), resources.max_concurrent or len(todo), resources.asked)
            with room, Progress(plan, self.names(), console) as progress:
                check_room(resources.asked, log.info)
                self._open(mine)
                todo = [run for run in self.plan().todo if run.key in keys]
                how = (resources, self.conditions.device, self.store, _Listener(progress, board, room), scratch)
                self.errors |= execute(todo, self.data, *how)
        for run in todo:
            if run.key not in self.errors and self.store.held(run.key).epochs <= run.held.epochs:
                self.errors[run.key] = "its trial ended without a result"

    def _open(self, mine: list[Run]) -> None:
        """Make the runs ready to be trained on: only now is what is damaged, or not wanted (`fresh`), set aside."""
        names = self.names()
        for run in mine:
            record = {"config": run.config.identity(), "conditions": asdict(self.conditions), "alone": run.alone}
            for said in self.store.open(run.key, record, fresh=run.key in self.fresh):
                log.warning(f"{names[run.key]}: {said}")
            self.fresh.discard(run.key)

    def write(self, folder: Path, report: bool = True) -> tuple[pd.DataFrame, list[Path]]:
        """Write the tables, environment.json and the report; returns the table of points and what was written.

        Where an earlier command left the same tables and all that is made from them, nothing is made again. Without
        `report` it takes a second: drawing takes several, and who stops a container waits no more than 10.
        """
        plan = self.plan()
        points = results.points_frame(plan, self.conditions, self.images, self.errors, self.request.baseline)
        history = results.history_frame(plan, self.conditions, self.images)
        tables = {folder / results.RESULTS_CSV: points, folder / results.HISTORY_CSV: history}
        if all(results.is_written(table, path) for path, table in tables.items()) and _complete(folder):
            return points, []
        earlier = _made_from_tables(folder)
        written = [results.write_csv(table, path) for path, table in tables.items()]
        facts = self._environment(plan)
        written.append(_write_environment(folder, facts))
        if report:
            from tune_mnist.report.sections import write_report

            written += write_report(folder)
            _write_environment(folder, facts | {"files": [path.name for path in written]})
        else:
            for path in earlier:  # figures and a report of other tables than those that stand beside them now
                path.unlink(missing_ok=True)
        return points, [*written, folder / FOLDER, folder / LOG_NAME]

    def _environment(self, plan: Plan) -> dict[str, Any]:
        return environment.describe(self.started, now(), self.data.checksums) | {
            "conditions": asdict(self.conditions),
            "sweeps": {sweep.name: dict(sweep.space) for sweep in self.request.sweeps},
            "baseline": asdict(self.request.baseline),
            "seeds": self.request.seeds,
            "plan": {"points": len(plan.points), "runs": len(plan.runs), "epochs_asked": plan.epochs_asked},
        }


def _write_environment(folder: Path, facts: dict[str, Any]) -> Path:
    path = folder / environment.ENVIRONMENT_JSON
    write_whole(path, (json.dumps(facts, indent=2) + "\n").encode())
    return path


def _made_from_tables(folder: Path) -> list[Path]:
    """What an earlier command made from its tables."""
    try:
        names = json.loads((folder / environment.ENVIRONMENT_JSON).read_text("utf-8"))["files"]
        kept = (results.RESULTS_CSV, results.HISTORY_CSV, environment.ENVIRONMENT_JSON)
        return [folder / name for name in names if name == Path(name).name and name not in kept]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _complete(folder: Path) -> bool:
    """Whether all that a command of this version wrote beside the tables is still there."""
    try:
        facts = json.loads((folder / environment.ENVIRONMENT_JSON).read_text("utf-8"))
        same_version = facts["packages"]["tune-mnist"] == environment.package_version("tune-mnist")
        return same_version and all((folder / name).is_file() for name in facts["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


@dataclass(frozen=True)
class _Listener:
    """Passes what happens to the display, each epoch to TensorBoard, and the end of a run to who asks for machines."""

    progress: Progress
    board: TensorBoard
    room: Room

    def started(self, key: str, trained: int, hostname: str) -> None:
        self.progress.started(key, trained, hostname)

    def epoch(self, key: str, row: Row) -> None:
        self.board.epoch(key, row)
        self.progress.epoch(key, row)
        if not self.progress.left[key]:
            self.room.one_less()

    def lost(self, key: str) -> None:
        self.progress.lost(key)

    def failed(self, key: str, error: str, trace: str) -> None:
        self.progress.failed(key, error, trace)
        self.room.one_less()

    def said(self, key: str, text: str) -> None:
        self.progress.said(key, text)


def check_place(folder: Path) -> None:
    """Raise UserError if the folder, or the nearest there is above it, cannot be written; makes nothing."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        cause = "is not a folder" if not there.is_dir() else f"may not be written{_by_whom(there)}"
        raise UserError(f"output folder '{folder}' cannot be written: '{there}' {cause}; choose another with --output")


def _by_whom(folder: Path) -> str:
    """Why not: a read-only container, or a folder that another user made outside of it."""
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return ", for its file system is read-only (docker run -v mounts a folder there)"
    owner, group = folder.stat().st_uid, folder.stat().st_gid
    if owner == os.getuid():
        return ""
    return f" by user {os.getuid()}, for it is user {owner}'s (docker run --user {owner}:{group} writes as that user)"


def prepare_folder(folder: Path) -> None:
    """Make the folder for what a command leaves; UserError if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"output folder '{folder}' cannot be written: {error.strerror}; choose another with --output"
        ) from None
