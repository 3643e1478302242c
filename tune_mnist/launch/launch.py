"""Sweeps on a cluster that Ray's launcher starts: `tune-mnist run --cluster cluster/onprem.yaml`.

The pieces are Ray's: `ray up`, a job on the head (`head_job`), `ray rsync-down` for what it stores, `ray down`. The job
goes on without this command; the same command again finds it and attaches.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_mnist import keeping
from tune_mnist.background import Background
from tune_mnist.display.log import log
from tune_mnist.display.screen import SCREEN_WIDTH
from tune_mnist.errors import ClusterError, UserError
from tune_mnist.files import write_whole
from tune_mnist.launch import hosts
from tune_mnist.launch.prices import most
from tune_mnist.launch.ray_up import CALL_S, Launcher
from tune_mnist.machine.environment import COMMAND_NAME, COMMIT_NAME, command_line, git_state
from tune_mnist.results.folder import is_log, is_made
from tune_mnist.store.merge import merge
from tune_mnist.store.store import Store
from tune_mnist.tuning.resources import NODES_S_NAME

if TYPE_CHECKING:
    from rich.console import Console

FETCH_S = 5.0  # from the end of one fetch to the next
CLOUD_S = 1200  # for a cloud's first machine to start, and to load an image of gigabytes
STOP_S = 120.0
HEAD_JOB = ".venv/bin/python -m tune_mnist.launch.head_job"


@dataclass(frozen=True)
class Job:
    """A sweep as it is given to the head.

    `options` of `tune-mnist run`, less those that say where things lie here; `files` that they speak of: path on the
    head below ~/tune-mnist -> file or folder here; `configs` that the sweep asks for, without their epochs.
    """

    options: Sequence[str]
    files: Mapping[str, Path]
    configs: Sequence[dict[str, Any]]
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
        return [*self.options, "--output", f"results/{self.name}", *sweep_file]

    @property
    def sent(self) -> dict[str, Path]:
        """All that the head needs of files, the sweep file included."""
        sweep_file = {f"jobs/{self.name}.yaml": self.sweep_file} if self.sweep_file else {}
        return {**self.files, **sweep_file}


@dataclass
class Launch:
    """One job on one cluster; what it stores and writes comes home into `store` and `folder`, where it is `asked`."""

    launcher: Launcher
    job: Job
    store: Store
    folder: Path
    asked: keeping.Asked
    keep: bool = False

    @cached_property
    def beside(self) -> bool:
        """Whether the folder at home holds other sweeps; their tables are joined once the job has ended."""
        return bool(keeping.held(self.folder, self.asked.elsewhere()).sweeps)

    @property
    def arrivals(self) -> Path:
        """What comes from the head, as it lies there."""
        return self.store.folder / f".{self.launcher.name}" / self.job.name

    def run(self, console: Console) -> int:
        """Start or find the cluster, run the sweep there, bring it home; returns its exit code.

        Raises UserError, and ClusterError where the cluster or the way to it is lost: what came home is stored.
        """
        if not self._find():
            self._start()
        try:
            with Background("fetch", self._fetch, FETCH_S, patience=FETCH_S):
                ended = self._follow(console)
        except KeyboardInterrupt:
            ended = self._interrupt()
        if ended.get("lost"):
            raise ClusterError(self._lost(ended.get("cause", "the connection broke")))
        self._end(ended)
        return int(ended["code"])

    def _find(self) -> bool:
        """Whether a job runs on the cluster, so that it may not be started anew. What is wrong is said here."""
        if self.launcher.is_local and not self._head_runs():
            return False
        try:
            found = self._ask("find")
        except ClusterError:
            return False
        if found.get("running"):
            log.info(f"attaching to the sweep that runs on {self.launcher.name}")
        elif found.get("others"):
            log.warning(f"another job runs on {self.launcher.name}: this one joins it, with the code that is there")
            self._send()
        return bool(found.get("running") or found.get("others"))

    def _head_runs(self) -> bool:
        """Whether a head of Ray's answers on the machine that is to be the head. Raises UserError and ClusterError."""
        head, workers = hosts.look(self.launcher.config, self.launcher.file)
        for worker in workers:
            if worker.error:
                log.warning(f"worker {worker.address} cannot be reached by SSH: {worker.error}; going on without")
        return head.runs

    def _ask(self, action: str, seconds: float = CALL_S) -> dict[str, Any]:
        """What `head_job` answers about this job."""
        return self.launcher.call(f"{HEAD_JOB} {action} {self.job.name}", seconds=seconds)

    def _start(self) -> None:
        if price := most(self.launcher.config):
            log.info(price)
        log.info(f"starting the cluster {self.launcher.name}: ray up {self.launcher.file}")
        try:
            self.launcher.up()
            if not self.launcher.is_local:  # whose machines were asked before
                self._check_image()
        except (KeyboardInterrupt, ClusterError, UserError):
            log.warning(f"{self.launcher.name} may be up in part; ray down {self.launcher.file} ends what was started")
            raise
        self._send()

    def _check_image(self) -> None:
        there, here = self._ask("find").get("ray"), version("ray")
        if there != here:
            raise UserError(
                f"the image of {self.launcher.file} has Ray {there}, this machine Ray {here}; build it again"
            )

    def _send(self) -> None:
        """To the head: the job's files, and what is stored of the runs that it asks for."""
        parents = {str(Path(there).parent) for there in self.job.sent}
        folders = [shlex.quote(one) for one in sorted({"jobs", "results", "arrived", *parents})]
        self.launcher.shell("mkdir -p " + " ".join(f"~/tune-mnist/{folder}" for folder in folders))
        for there, here in self.job.sent.items():
            self.launcher.send(here, there)
        with tempfile.TemporaryDirectory() as folder:
            if self._collect(Path(folder)):
                self.launcher.send(Path(folder), "arrived")

    def _collect(self, folder: Path) -> int:
        """Into a store in `folder`, the stored runs that the job asks for; how many there are."""
        asked = {json.dumps(config, sort_keys=True) for config in self.job.configs}
        configs = {key: self.store.record(key).get("config") for key in self.store.run_keys()}
        keys = [key for key, config in configs.items() if json.dumps(config, sort_keys=True) in asked]
        merge(self.store.folder, Store(folder), keys)
        return len(keys)

    def _follow(self, console: Console) -> dict[str, Any]:
        """Show what the job shows, until it ends."""
        passed = {COMMAND_NAME: command_line(), COMMIT_NAME: (git_state() or {}).get("commit", "")}
        if not self.launcher.is_local:
            passed[NODES_S_NAME] = str(CLOUD_S)
        if console.is_terminal:
            passed[SCREEN_WIDTH] = str(console.width)
        settings = shlex.join(f"{name}={value}" for name, value in passed.items() if value)
        follow = f"env {settings} {HEAD_JOB} follow {self.job.name} {shlex.join(self.job.words)}"
        plain = not console.is_terminal
        try:
            return self.launcher.call(follow, lambda heard: _show(heard, plain), seconds=None)
        except ClusterError as error:
            return {"lost": True, "cause": str(error)}

    def _interrupt(self) -> dict[str, Any]:
        log.warning("interrupting the sweep on the cluster; what is finished is kept")
        try:
            return {"others": 0} | self._ask("stop", STOP_S)
        except ClusterError as error:
            return {"lost": True, "cause": str(error)}

    def _lost(self, cause: str) -> str:
        self._bring_home()
        kept = f"what had come home is in {self.store.folder}"
        again = "the same command again attaches to the sweep if it still runs, or goes on from there"
        if not self.launcher.is_local:
            again += f"; a cloud's machines run on until then, or until ray down {self.launcher.file}"
        return f"the head of {self.launcher.name} is lost, or the way to it ({cause}); {kept}; {again}"

    def _end(self, ended: dict[str, Any]) -> None:
        """Fetch the last of it and, unless it is to be kept, bring the cluster down."""
        self.launcher.fetch("results", self.arrivals)
        self._bring_home()
        if self._joined():
            shutil.rmtree(self.arrivals, ignore_errors=True)
        if cause := ended.get("cause"):
            log.error(str(cause))
        if self.keep or ended.get("others"):
            why = "--keep" if self.keep else "another job runs there"
            log.info(f"the cluster {self.launcher.name} stays up ({why}); ray down {self.launcher.file} ends it")
            return
        log.info(f"bringing the cluster {self.launcher.name} down: ray down {self.launcher.file}")
        self.launcher.down()
        if self.launcher.is_local:
            hosts.stop(self.launcher.config)

    def _joined(self) -> bool:
        """Join the sweeps with those at home; False where they contradict each other, or where there is no room."""
        arrived = self.arrivals / self.job.name
        if not self.beside or not arrived.is_dir():
            return True
        try:
            keeping.take_in(arrived, self.folder, self.asked)
        except (UserError, ClusterError) as error:
            log.error(f"{error}; what the cluster wrote is in {arrived}")
            return False
        return True

    def _fetch(self) -> None:
        """What the job has stored comes home."""
        try:
            self.launcher.fetch("results", self.arrivals)
            self._bring_home()
        except (ClusterError, OSError) as error:
            log.debug(f"nothing came home: {error}")

    def _bring_home(self) -> None:
        """From what has arrived into the store and the folder of results."""
        if (self.arrivals / "store").is_dir():
            merge(self.arrivals / "store", self.store)
        arrived = self.arrivals / self.job.name
        if not arrived.is_dir():
            return
        names = [path.name for path in arrived.iterdir()]
        logs = [name for name in names if is_log(name)]
        apart = [name for name in names if self.beside and is_made(name)]
        shutil.copytree(arrived, self.folder, ignore=shutil.ignore_patterns(*logs, *apart, ".*"), dirs_exist_ok=True)
        for name in logs:
            _continue_log(arrived / name, self.folder / name)


def _continue_log(arrived: Path, here: Path) -> None:
    """The log of earlier commands stays; that of this one, which may have come in part before, follows it."""
    came = arrived.read_bytes()
    before = here.read_bytes() if here.exists() else b""
    first = came.partition(b"\n")[0]
    found = before.find(first) if first else -1
    write_whole(here, (before if found < 0 else before[:found]) + came)


def _show(heard: bytes, plain: bool) -> None:
    sys.stdout.buffer.write(heard.replace(b"\r\n", b"\n") if plain else heard)
    sys.stdout.buffer.flush()
