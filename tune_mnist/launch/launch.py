"""Sweeps on a cluster that Ray's launcher starts: `tune-mnist run --cluster cluster/onprem.yaml`.

The pieces are Ray's: `ray up`, a job on the head (`head_job`), `ray rsync-down` for what it stores, `ray down`. The job
goes on without this command; the same command again finds it and attaches. A cluster that is up already, started from
the same files, is not started again.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tune_mnist.background import Background
from tune_mnist.display.log import log
from tune_mnist.display.screen import SCREEN_WIDTH
from tune_mnist.errors import ClusterError, UserError
from tune_mnist.launch.arrivals import Arrivals
from tune_mnist.launch.away import Away
from tune_mnist.launch.boxes import RESULTS, STORE, inbox, know, outbox
from tune_mnist.launch.down import down
from tune_mnist.launch.head_job import ANY, HEAD_JOB, SESSION, STARTED
from tune_mnist.launch.idle import USED
from tune_mnist.launch.prices import most
from tune_mnist.launch.ray_up import CALL_S, DOWN, PLACE, STOP_S, Launcher
from tune_mnist.machine.environment import COMMAND_NAME, COMMIT_NAME, command_line, revision
from tune_mnist.plan.sweeps import Point
from tune_mnist.remote.hosts import look
from tune_mnist.remote.joining import installing
from tune_mnist.store.merge import stage
from tune_mnist.tuning.resources import NODES_S_NAME

if TYPE_CHECKING:
    from rich.console import Console

    from tune_mnist.keeping import Asked

FETCH_S = 5.0  # from the end of one fetch to the next
CLOUD_S = 1200  # for a cloud's first machine to start, and to load an image of gigabytes
BROKEN = "its SSH connection broke"


@dataclass(frozen=True)
class Job:
    """A sweep as it is given to the head.

    `options` of `tune-mnist run`, less those that say where things lie here; `files` that they speak of: path on the
    head below ~/tune-mnist -> file or folder here; `points` that it may use stored runs for.
    """

    options: Sequence[str]
    files: Mapping[str, Path]
    points: Sequence[Point]
    sweep_file: Path | None = None

    @property
    def name(self) -> str:
        """The same for the same question: what a second command attaches to."""
        asked = [*self.options, self.sweep_file.read_text("utf-8") if self.sweep_file else ""]
        asked += [here.read_text("utf-8") for there, here in sorted(self.files.items()) if there.endswith(".py")]
        return f"sweep-{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:10]}"

    @property
    def words(self) -> list[str]:
        """The options on the head."""
        sweep_file = ["--config", f"jobs/{self.name}.yaml"] if self.sweep_file else []
        return [*self.options, "--output", str(outbox(self.name) / RESULTS), *sweep_file]

    @property
    def sent(self) -> dict[str, Path]:
        """All that the head needs of files, the sweep file included."""
        sweep_file = {f"jobs/{self.name}.yaml": self.sweep_file} if self.sweep_file else {}
        return {**self.files, **sweep_file}

    @property
    def epochs(self) -> dict[str, int]:
        """Config, as text, without its epochs -> how many of these are asked for."""
        found: dict[str, int] = {}
        for point in self.points:
            config = _as_text(point.config.identity())
            found[config] = max(found.get(config, 0), point.config.epochs)
        return found


def _as_text(config: Mapping[str, Any]) -> str:
    return json.dumps(dict(config), sort_keys=True)


@dataclass
class Launch:
    """One job on one cluster; what it stores and writes comes home into the store and `folder`, where it is `asked`."""

    away: Away
    job: Job
    folder: Path
    asked: Asked
    keep: bool = False
    _fetching: threading.Lock = field(default_factory=threading.Lock, init=False)
    _has_spoken: bool = field(default=False, init=False)  # the job, or the head of it

    @property
    def launcher(self) -> Launcher:
        return self.away.launcher

    @cached_property
    def arrivals(self) -> Arrivals:
        """What comes from the head, as it lies there."""
        return Arrivals(self.away.folder / self.job.name, self.away.store, self.folder, self.asked)

    def run(self, console: Console) -> int:
        """Start or find the cluster, run the sweep there, bring it home; returns its exit code.

        Raises UserError, and ClusterError where the cluster or the way to it is lost: what came home is stored.
        """
        try:
            ended = self._attach(console, self.away.started) if self._is_up() else {"restart": True}
            if ended.get("restart"):
                self._start()
                ended = self._attach(console)
            if ended.get("lost"):
                raise ClusterError(self._lost(str(ended.get("cause", BROKEN))))
            self._end(ended)
            return int(ended["code"])
        finally:
            if self.arrivals.conditions is not None:
                self.away.learn(self.asked.task.name, self.arrivals.conditions)

    def _is_up(self) -> bool:
        """Whether a head is up, which then has the job's files. What is wrong with the machines is said here."""
        if self.launcher.is_local and not self._head_runs():
            return False
        try:
            self._send()
        except ClusterError:  # of a cloud, this says that there is none
            return False
        return True

    def _head_runs(self) -> bool:
        """Whether a head of Ray's answers on the machine that is to be the head. Raises UserError and ClusterError."""
        head, workers = look(self.launcher.config, self.launcher.file)
        for worker in workers:
            if worker.error:
                log.warning(f"worker {worker.address} cannot be reached by SSH: {worker.error}; going on without")
        return head.head

    def _ask(self, action: str, seconds: float = CALL_S) -> dict[str, Any]:
        """What `head_job` answers about this job."""
        return self.launcher.call(f"{HEAD_JOB} {action} {self.job.name}", seconds=seconds)

    def _start(self) -> None:
        if price := most(self.launcher.config):
            log.info(price)
        log.info(f"starting the cluster {self.launcher.name}: ray up {self.launcher.file}")
        try:
            with installing(self.launcher.config, self.launcher.file, log.info):
                self.launcher.up()
            if not self.launcher.is_local:  # whose machines were asked before
                self._check_image()
        except (KeyboardInterrupt, ClusterError, UserError):
            log.warning(f"{self.launcher.name} may be up in part; {DOWN} {self.launcher.file} ends what was started")
            raise
        self.launcher.shell(f"echo {self.away.started} $(readlink {SESSION}) >{PLACE}/{STARTED}")
        self._send()

    def _check_image(self) -> None:
        there, here = self._ask("find").get("ray"), version("ray")
        if there != here:
            raise UserError(
                f"the image of {self.launcher.file} has Ray {there}, this machine Ray {here}; build it again"
            )

    def _send(self) -> None:
        """To the head: the job's files, and what is stored of the runs that it asks for."""
        self.away.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.away.folder) as name:  # on the store's disk, for links to its files
            folder = Path(name)
            self._pack(folder / inbox(self.job.name))
            sent = {str(inbox(self.job.name)): folder / inbox(self.job.name)}
            for there, here in self.job.sent.items():
                if here.is_dir():
                    sent[there] = here
                else:  # each alone would take a connection
                    top = PurePosixPath(there).parts[0]
                    sent[top] = folder / top
                    (folder / there).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(here, folder / there)
            parents = {str(PurePosixPath(there).parent) for there in sent}
            folders = " ".join(f"{PLACE}/{one}" for one in sorted({"jobs", *parents}))
            self.launcher.shell(f"mkdir -p {folders} && touch {PLACE}/{USED}")
            for there, here in sent.items():
                self.launcher.send(here, there)

    def _pack(self, box: Path) -> None:
        """Into the job's inbox: the stored runs that it asks for, each with a checkpoint if it is to go on."""
        store, asked = self.away.store, self.job.epochs
        configs = {key: _as_text(store.record(key).get("config") or {}) for key in store.run_keys()}
        held = {key: store.held(key) for key, config in configs.items() if config in asked}
        going_on = {key for key, one in held.items() if not one.answers(asked[configs[key]])}
        (box / STORE).mkdir(parents=True)
        know(box, {key: len(one.lines) for key, one in held.items()})
        stage(store, box / STORE, dict.fromkeys(held, 0), going_on)

    def _attach(self, console: Console, started: str = ANY) -> dict[str, Any]:
        """Show what the job shows, and bring home what it stores, until it ends; `restart` if Ray is to be first."""
        try:
            with Background("fetch", self._fetch, FETCH_S, patience=FETCH_S):
                return self._follow(console, started)
        except KeyboardInterrupt:
            return self._interrupt()

    def _follow(self, console: Console, started: str) -> dict[str, Any]:
        passed = {COMMAND_NAME: command_line(), COMMIT_NAME: revision()}
        if not self.launcher.is_local:
            passed[NODES_S_NAME] = str(CLOUD_S)
        if console.is_terminal:
            passed[SCREEN_WIDTH] = str(console.width)
        settings = shlex.join(f"{name}={value}" for name, value in passed.items() if value)
        follow = f"env {settings} {HEAD_JOB} follow {self.job.name} {started} {shlex.join(self.job.words)}"
        plain, has_begun = not console.is_terminal, threading.Event()

        def hear(said: bytes) -> None:
            has_begun.set()
            self._has_spoken = self._has_spoken or bool(said)
            _show(said, plain)

        try:
            return self.launcher.call(follow, hear, seconds=None)
        except ClusterError:
            return {"lost": True, "restart": not has_begun.is_set()}

    def _interrupt(self) -> dict[str, Any]:
        log.warning("interrupting the sweep on the cluster; what is finished is kept")
        try:
            return {"others": 0} | self._ask("stop", STOP_S)
        except ClusterError as error:
            return {"lost": True, "cause": str(error)}

    def _lost(self, cause: str) -> str:
        self.arrivals.take_in()
        kept = f"what had come home is in {self.away.store.folder}"
        again = "the same command again attaches to the sweep if it still runs, or goes on from there"
        if not self.launcher.is_local:
            again += f"; a cloud's machines run on until then, or until {DOWN} {self.launcher.file}"
        return f"the head of {self.launcher.name} is lost, or the way to it ({cause}); {kept}; {again}"

    def _end(self, ended: dict[str, Any]) -> None:
        """Fetch the last of it and, unless it is to be kept, bring the cluster down."""
        try:
            with self._fetching:
                self.launcher.fetch(str(outbox(self.job.name)), self.arrivals.place)
        except ClusterError as error:
            raise ClusterError(self._lost(str(error))) from None
        self.arrivals.take_in()
        self.arrivals.end()
        if cause := ended.get("cause"):
            log.error(str(cause))
        if self.keep or ended.get("others"):
            why = "--keep" if self.keep else "another job runs there"
            log.info(f"the cluster {self.launcher.name} stays up ({why}); {DOWN} {self.launcher.file} ends it")
            return
        log.info(f"bringing the cluster {self.launcher.name} down: {self.launcher.file}")
        for wrong in [one for one in down(self.launcher) if one.wrong]:
            log.warning(f"{wrong.line}; {DOWN} {self.launcher.file} tries again")

    def _fetch(self) -> None:
        """What the job has stored so far comes home, once it has begun: before, an earlier job's may lie there."""
        if not self._has_spoken:
            return
        try:
            with self._fetching:
                try:
                    self.launcher.fetch(str(outbox(self.job.name)), self.arrivals.place)
                finally:  # each file that has come is whole
                    self.arrivals.take_in()
        except (ClusterError, OSError) as error:
            log.debug(f"not all came home: {error}")


def _show(heard: bytes, plain: bool) -> None:
    sys.stdout.buffer.write(heard.replace(b"\r\n", b"\n") if plain else heard)
    sys.stdout.buffer.flush()
