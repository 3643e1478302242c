"""Sweeps on a cluster that Ray's launcher starts: `python -m tune_mnist.run --cluster cluster/onprem.yaml`.

The pieces are Ray's: `ray up`, a job on the head (`job`), `ray rsync-down` for what it stores, `ray down`. The job goes
on without this command; the same command again finds it and attaches.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_mnist.display.progress import LOG_NAME, log
from tune_mnist.display.screen import SCREEN_WIDTH
from tune_mnist.errors import ClusterError, UserError
from tune_mnist.launch import hosts as machines
from tune_mnist.launch.ray_up import Launcher
from tune_mnist.machine.environment import command_line, git_state
from tune_mnist.mnist.datasets import FOLDERS
from tune_mnist.store.merge import merge
from tune_mnist.store.store import Store, write_whole
from tune_mnist.tuning.nodes import NODES_S_NAME

if TYPE_CHECKING:
    from rich.console import Console

FETCH_S = 5.0  # from the end of one fetch to the next
CLOUD_S = 1200  # for a cloud's first machine to start, and to load an image of gigabytes
PYTHON = ".venv/bin/python"


@dataclass
class Launch:
    """One sweep on one cluster: `options` of `tune_mnist.run`, less those that say where things lie here."""

    launcher: Launcher
    options: Sequence[str]
    dataset: str
    data_dir: Path
    folder: Path
    store: Store
    wanted: Sequence[dict[str, Any]]  # the configs that the sweep asks for, without their epochs
    sweep_file: Path | None = None
    keep: bool = False

    @property
    def job(self) -> str:
        """The same for the same question: what a second command attaches to."""
        asked = [*self.options, self.dataset, self.sweep_file.read_text("utf-8") if self.sweep_file else ""]
        return f"sweep-{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:10]}"

    @property
    def _find_job(self) -> str:
        return f"{PYTHON} -m tune_mnist.launch.head_job find {self.job}"

    @property
    def arrivals(self) -> Path:
        """What comes from the head, as it lies there."""
        return self.store.folder / f".{self.launcher.name}" / self.job

    def run(self, console: Console) -> int:
        """Start or find the cluster, run the sweep there, bring it home; returns its exit code.

        Raises UserError, and ClusterError where the cluster or the way to it is lost: what came home is stored.
        """
        if not self._find():
            self._start()
        try:
            with self._fetched():
                ended = self._follow(console)
        except KeyboardInterrupt:
            ended = self._interrupt()
        if ended.get("lost"):
            raise ClusterError(self._lost(ended.get("cause", "the connection broke")))
        self._end(ended)
        return int(ended["code"])

    def _find(self) -> bool:
        """Whether a job runs on the cluster, so that it may not be started anew. What is wrong is said here."""
        if self.launcher.is_local:
            head, workers = machines.look(self.launcher.config, self.launcher.file)
            for worker in workers:
                if worker.error:
                    log.warning(f"worker {worker.address} cannot be reached by SSH: {worker.error}; going on without")
            if not head.runs:
                return False
        try:
            found = self.launcher.call(self._find_job)
        except ClusterError:
            return False
        if found.get("running"):
            log.info(f"attaching to the sweep that runs on {self.launcher.name}")
        elif found.get("others"):
            log.warning(f"another job runs on {self.launcher.name}: this one joins it, with the code that is there")
            self._send()
        return bool(found.get("running") or found.get("others"))

    def _start(self) -> None:
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
        there, here = self.launcher.call(self._find_job).get("ray"), version("ray")
        if there != here:
            raise UserError(
                f"the image of {self.launcher.file} has Ray {there}, this machine Ray {here}; build it again"
            )

    def _send(self) -> None:
        """To the head: the data, what is stored of the runs that are asked for, and the sweep file."""
        self.launcher.shell("mkdir -p ~/tune-mnist/data ~/tune-mnist/jobs ~/tune-mnist/results ~/tune-mnist/arrived")
        if self.dataset in FOLDERS:
            name = FOLDERS[self.dataset]
            self.launcher.send(self.data_dir / name, f"data/{name}")
        if self.sweep_file:
            self.launcher.send(self.sweep_file, f"jobs/{self.job}.yaml")
        with tempfile.TemporaryDirectory() as folder:
            if self._collect(Path(folder)):
                self.launcher.send(Path(folder), "arrived")

    def _collect(self, folder: Path) -> int:
        """Copies of the stored runs that the sweep asks for; how many there are."""
        identities = [json.dumps(config, sort_keys=True) for config in self.wanted]
        keys = [
            key
            for key in self.store.run_keys()
            if json.dumps(self.store.record(key).get("config"), sort_keys=True) in identities
        ]
        for key in keys:
            shutil.copytree(self.store.folder / key, folder / key, ignore=shutil.ignore_patterns("lock", ".*"))
        return len(keys)

    def _follow(self, console: Console) -> dict[str, Any]:
        """Show what the job shows, until it ends."""
        options = [*self.options, "--dataset", self.dataset, "--data-dir", "data", "--output", f"results/{self.job}"]
        if self.sweep_file:
            options += ["--config", f"jobs/{self.job}.yaml"]
        passed = {"TUNE_MNIST_COMMAND": command_line(), "TUNE_MNIST_COMMIT": (git_state() or {}).get("commit", "")}
        if not self.launcher.is_local:
            passed[NODES_S_NAME] = str(CLOUD_S)
        if console.is_terminal:
            passed[SCREEN_WIDTH] = str(console.width)
        settings = shlex.join(f"{name}={value}" for name, value in passed.items() if value)
        follow = f"env {settings} {PYTHON} -m tune_mnist.launch.head_job follow {self.job} {shlex.join(options)}"
        plain = not console.is_terminal
        try:
            return self.launcher.call(follow, lambda heard: _show(heard, plain), seconds=None)
        except ClusterError as error:
            return {"lost": True, "cause": str(error)}

    def _interrupt(self) -> dict[str, Any]:
        log.warning("interrupting the sweep on the cluster; what is finished is kept")
        try:
            return {"others": 0} | self.launcher.call(
                f"{PYTHON} -m tune_mnist.launch.head_job stop {self.job}", seconds=120
            )
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
            machines.stop(self.launcher.config)

    @contextmanager
    def _fetched(self) -> Iterator[None]:
        """What the job stores comes home every few seconds, for the length of the `with` block."""
        stop = threading.Event()

        def fetch() -> None:
            while not stop.wait(FETCH_S):
                try:
                    self.launcher.fetch("results", self.arrivals)
                    self._bring_home()
                except (ClusterError, OSError) as error:
                    log.debug(f"nothing came home: {error}")

        thread = threading.Thread(target=fetch, name="fetch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(FETCH_S)

    def _bring_home(self) -> None:
        """From what has arrived into the store and the folder of results."""
        if (self.arrivals / "store").is_dir():
            merge(self.arrivals / "store", self.store)
        arrived = self.arrivals / self.job
        if arrived.is_dir():
            shutil.copytree(arrived, self.folder, ignore=shutil.ignore_patterns(LOG_NAME, ".*"), dirs_exist_ok=True)
        if (arrived / LOG_NAME).is_file():
            _continue_log(arrived / LOG_NAME, self.folder / LOG_NAME)


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
