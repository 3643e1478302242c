"""From a request to what it leaves: plan, train what is missing, write tables, figures and the report."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_mnist import keeping
from tune_mnist.background import Ahead
from tune_mnist.display.listener import Listener, Over
from tune_mnist.display.log import Printed, log, stage
from tune_mnist.display.progress import Progress
from tune_mnist.display.waiting import Waiting
from tune_mnist.files import now
from tune_mnist.learned import learned
from tune_mnist.machine import environment, scratch
from tune_mnist.plan.forecast import is_short, stored_epoch_times
from tune_mnist.plan.plan import Plan, Run, make_plan, run_names
from tune_mnist.plan.request import Request, reading
from tune_mnist.plan.timeleft import TimeLeft
from tune_mnist.results.folder import LOGS, TENSORBOARD, check_place, event_file, log_name
from tune_mnist.results.summary import summarise
from tune_mnist.results.tables import Outcome, Tables, history_frame, points_frame
from tune_mnist.stopping import Stages
from tune_mnist.store.regular import changed
from tune_mnist.store.store import Held, Store
from tune_mnist.task import Task
from tune_mnist.tuning.resources import Resources, Room, check_room, slots
from tune_mnist.words import plural

if TYPE_CHECKING:
    import pandas as pd

    from tune_mnist.display.live import Display
    from tune_mnist.display.tensorboard import TensorBoard
    from tune_mnist.tuning.cluster import Cluster, Connection

REPORT = "tune_mnist.report.write"  # takes two seconds to import
WAIT_S = 1.0  # between two looks at a run that another command is training


@dataclass
class Experiment:
    """The questions of a command, the task that they are asked of, and the store that answers.

    `plan` is what was missing at the last `look`. `fresh` holds the keys of the runs whose stored epochs are not to be
    used; a run leaves it when it is started again. `errors`: run key -> why it failed. Raises UserError for a point
    that the task's data have no room for.
    """

    request: Request
    task: Task
    store: Store
    share: bool = True
    fresh: set[str] = field(default_factory=set)
    errors: dict[str, str] = field(default_factory=dict)
    started: str = field(default_factory=now)
    plan: Plan = field(init=False)
    names: dict[str, str] = field(init=False)
    stages: Stages = field(init=False)
    _connection: Connection | None = field(default=None, init=False)
    _is_there: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        for point in self.request.points:
            self.task.check(point.config)
        self.task = replace(self.task, at=self.request.at)
        self.stages = Stages(self.request)
        self.look()
        self.names = run_names(self.most, self.request.baseline, self.task)

    @property
    def most(self) -> Plan:
        """The plan if every seed is needed that may be."""
        return make_plan(self.request.points, self.task, self._usable, self.share) if self.stages.looks else self.plan

    def look(self) -> Plan:
        """Plan again by what the store has now: every history is read. A task may learn its measures from it."""
        while True:
            self.plan = make_plan(self.stages.points, self.task, self._usable, self.share)
            self.task = learned(self.task, (row for run in self.plan.runs for row in run.held.rows))
            reading(self.task.at, self.task, is_known=any(not run.to_train for run in self.plan.runs))
            if not self._goes_on():
                return self.plan

    def _goes_on(self) -> bool:
        """Whether more seeds are asked, now that there is an answer for those before."""
        missing = any(run.key not in self.errors for run in self.plan.todo)
        if missing or not self.stages.looks or not self.task.measures:
            return False
        points = points_frame(self.plan, self.task, Outcome(self.errors), self.request.baseline)
        return self.stages.go_on(summarise(points, self.task, looks=self.stages.looks))

    def _usable(self, key: str) -> Held:
        return Held() if key in self.fresh else self.store.held(key)

    def check(self, folder: Path, is_local: bool = True) -> None:
        """Raise UserError if nothing can be written there, or where it holds sweeps that these would contradict, and
        ClusterError if nothing can be written in /tmp.

        What is trained on a cluster that is still to be started is under conditions that are not known yet.
        """
        check_place(folder, self.task.name)
        scratch.check()
        keeping.held(folder, self.asked if is_local else self.asked.elsewhere())

    def start_afresh(self) -> None:
        """Use nothing of what is stored; it is set aside when its run is trained again."""
        self.fresh.update(run.key for run in self.most.runs)
        self.stages = Stages(self.request)
        self.look()

    def train(self, folder: Path, resources: Resources, cluster: Cluster, display: Display) -> None:
        """Train what is missing; what another command is training is waited for and used.

        Raises UserError as `check` does.
        """
        self._is_there = not self.plan.todo and self._is_written(folder)
        if self._is_there:
            return
        stage("writing for TensorBoard")
        from tune_mnist.display.tensorboard import TensorBoard  # not above: it takes a while

        found = keeping.held(folder, self.asked)
        board = TensorBoard(folder, self.plan, self.names, self.task, found.runs)
        board.forget(found.replaced - self.names.keys())
        try:
            self._train_all(resources, cluster, _Screen(display, board, folder))
        finally:
            board.catch_up(self.look())

    def _is_written(self, folder: Path) -> bool:
        """Whether the same command before left all that this one would, TensorBoard's files after their last epochs."""
        shown = {run.key: event_file(folder, self.names[run.key], run.key) for run in self.plan.runs}
        known = all(changed(path) >= self.store.grown(key) for key, path in shown.items()) and self.task.measures
        return bool(known) and keeping.is_there(folder, self.asked, partial(self._tables, folder))

    def _train_all(self, resources: Resources, cluster: Cluster, screen: _Screen) -> None:
        waiting = Waiting(self.store, resources.epoch_timeout)
        with ExitStack() as ray:  # started once for all stages, and not there while another command is waited for
            while todo := [run for run in self.plan.todo if run.key not in self.errors]:
                with self.store.claim([run.key for run in todo]) as mine:
                    if mine:
                        waiting = Waiting(self.store, resources.epoch_timeout)
                        self.look()  # another command may have trained some before the locks were ours
                        self._train(set(mine), resources, cluster, screen, ray)
                        continue
                ray.close()
                self._connection = None
                stage("waiting for another command")
                waiting.say(todo)
                time.sleep(WAIT_S)
                self.look()

    def _train(self, mine: set[str], resources: Resources, cluster: Cluster, screen: _Screen, ray: ExitStack) -> None:
        """Train the runs of these keys, whose locks are ours, and look what is stored then."""
        if not (todo := [run for run in self.plan.todo if run.key in mine]):
            return
        for line in self.stages.lines:
            log.info(line)
        side_by_side = slots(resources, cluster) if cluster.address is None else 1
        progress = self._progress(screen.display, min(side_by_side, len(todo)))
        screen.board.catch_up(self.plan)
        if self._connection is None and cluster.is_own and is_short(todo, self.task, self.store):
            self._execute_alone(todo, resources, screen, progress)
        else:
            self._execute(todo, resources, self._connected(cluster, screen, ray), screen, progress)
        reached = {run.key: run.held.epochs for run in todo}
        for run in self.look().runs:
            went_on = run.held.epochs > reached.get(run.key, 0) or not run.to_train
            if run.key in reached and run.key not in self.errors and not went_on:
                self.errors[run.key] = "its trial ended without a result"
        self.look()  # what has failed may end a stage

    def _connected(self, cluster: Cluster, screen: _Screen, ray: ExitStack) -> Connection:
        """To Ray, which is started, or joined, unless it is there."""
        if self._connection is None:
            if note := cluster.objects_note():
                log.info(note)
            started = "starting Ray, about 10 s" if cluster.address is None else f"joining Ray at {cluster.address}"
            stage(started, long=True)
            self._connection = ray.enter_context(cluster.started(lambda: self._last_words(screen.folder)))
            ray.callback(stage, "stopping Ray")
        return self._connection

    def _last_words(self, folder: Path) -> None:
        """The tables of what is stored."""
        self.look()
        self.write(folder, report=False)

    def _progress(self, display: Display, side_by_side: int) -> Progress:
        known = stored_epoch_times(self.store, self.task) if len(self.plan.todo) > 1 else {}
        time_left = TimeLeft(self.plan.runs, self.task, known, side_by_side)
        return Progress(self.plan, self.names, self.task, display, time_left, "".join(self.stages.lines))

    def _execute(
        self, todo: list[Run], resources: Resources, connection: Connection, screen: _Screen, progress: Progress
    ) -> None:
        from tune_mnist.tuning.tuner import Trials, execute  # imports Ray, in the surroundings that it was given

        at_once = resources.max_concurrent or len(todo)
        room = Room(len(todo), at_once, resources.asked, connection.is_lost)
        with room:
            check_room(resources.asked, log.info)
            opened = self._opened(todo)
            with Ahead(REPORT, len(opened), progress.time_left.slots) as ahead:
                listener = self._listener(opened, screen, progress, (room.one_less, ahead.one_less))
                self.errors |= execute(opened, self.task, Trials(resources, connection), self.store, listener)

    def _execute_alone(self, todo: list[Run], resources: Resources, screen: _Screen, progress: Progress) -> None:
        from tune_mnist.trials.process import train_alone  # not above: a command that trains nothing starts sooner

        opened = self._opened(todo)
        log.info(f"{plural(len(opened), 'run')}, over before Ray would have started: trained without it")
        how = resources.cpus, resources.epoch_timeout
        with Ahead(REPORT, len(opened), 2) as ahead:
            listener = self._listener(opened, screen, progress, (ahead.one_less,))
            self.errors |= train_alone(opened, self.task, *how, self.store, listener)

    def _opened(self, todo: list[Run]) -> list[Run]:
        """The runs, ready to be trained on: what is damaged, or not wanted, is set aside by now."""
        with self.store.writing():
            self._open(todo)
        return [run for run in self.look().todo if run.key in {one.key for one in todo}]

    def _listener(self, runs: list[Run], screen: _Screen, progress: Progress, over: Over) -> Listener:
        stage("starting the first trials")
        epochs = {run.key: run.config.epochs for run in runs}
        return Listener(Printed(screen.folder / LOGS), progress, screen.board, over, epochs)

    def _open(self, runs: list[Run]) -> None:
        """Make the runs ready to be trained on; only now is what is damaged, or not wanted (`fresh`), set aside."""
        about = {"task": self.task.name, "judged": next(iter(self.task.record()["measures"]), None), **self.task.about}
        self.task.keep(self.store.folder)
        for run in runs:
            record = {"config": run.config.identity(), "conditions": dict(self.task.conditions), "alone": run.apart}
            for said in self.store.open(run.key, record | about, fresh=run.key in self.fresh):
                log.warning(f"{self.names[run.key]}: {said}")
            self.fresh.discard(run.key)

    def write(self, folder: Path, report: bool = True) -> tuple[pd.DataFrame, list[Path]]:
        """Write the tables, environment.json and the report, beside what other commands left in the folder; returns the
        table of the points that were asked and what was written.

        Where an earlier command left the same tables and all that is made from them, nothing is made again. Without
        `report` it takes a second: drawing takes several, and who stops a container waits no more than 10.
        """
        if self._is_there:
            return self._tables(folder, self.task).points, []
        stage("writing the tables")
        if not self.task.measures:  # nothing has been trained yet that tells them
            self.task = replace(self.task, measures=(self.task.judged,))
        written = keeping.write(folder, self.asked, partial(self._tables, folder), self._environment, report)
        beside = [folder / TENSORBOARD, folder / log_name(self.task.name)] if written else []
        return self._tables(folder, self.task).points, [*written, *beside]

    @property
    def asked(self) -> keeping.Asked:
        """What goes into a results folder, beside what other commands left there."""
        names = tuple(one.name for one in self.request.sweeps)
        request = self.request
        return keeping.Asked(names, self.task, request.baseline, request.margin, request.title, self.stages.looks)

    def _tables(self, folder: Path, task: Task) -> Tables:
        outcome = Outcome(self.errors, self._logs(folder))
        points = points_frame(self.plan, task, outcome, self.request.baseline)
        return Tables(points, history_frame(self.plan, task))

    def _logs(self, folder: Path) -> dict[str, str]:
        """Run key -> the file of what its loop printed, for those that printed something."""
        found = {path.stem[-6:]: f"{LOGS}/{path.name}" for path in (folder / LOGS).glob("*.txt")}
        return {key: found[key[:6]] for key in self.names if key[:6] in found}  # its name may have been another

    def _environment(self, task: Task) -> dict[str, Any]:
        plan = self.plan
        return environment.describe(self.started, now(), dict(task.data_sha256)) | {
            "task": task.record(),
            "conditions": dict(task.conditions),
            "sweeps": {sweep.name: dict(sweep.space) for sweep in self.request.sweeps},
            "baseline": dict(self.request.baseline),
            "seeds": self.request.seeds,
            "margin": self.request.margin,
            **({"sequential": self.request.sequential} if self.request.sequential else {}),
            "points": dict(Counter(point.sweep for point in plan.points)),
            "plan": {"points": len(plan.points), "runs": len(plan.runs), "epochs_asked": plan.epochs_asked},
        }


@dataclass(frozen=True)
class _Screen:
    """Where a person looks while it trains."""

    display: Display
    board: TensorBoard
    folder: Path
