"""Bad input by the thousand: valid input, altered, and what a hostile hand would write; the seed replays every case.

    python tests/fuzz.py TARGET SEED FIRST LAST

It runs the cases FIRST to LAST of a target (see TARGETS) and prints what came of them as JSON. The laws: a mistake in
the input is a UserError of one line, or no mistake; nothing takes 5 s or a gigabyte; nothing outside of the case's own
folder is written or removed. `tests/test_fuzz.py` runs all targets.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz_input as given

from tune_mnist.errors import ClusterError, TrainingFailed, UserError

SECONDS, PATIENCE, MEMORY = 5.0, 60.0, 1 << 30  # of CPU, of a clock on a busy machine, bytes
Case = Callable[[random.Random, Path], None]
EXPECTED = (UserError, ClusterError, TrainingFailed)
WRITES = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
IN_FOLDERS = {"os.remove", "os.rmdir", "os.mkdir", "os.rename", "os.chmod"}  # their last argument is an open folder
STARTS = {
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "socket.connect",
    "pickle.find_class",
}


class Hang(BaseException):
    """A case took too long; no `except Exception` of the program's may take it for its own."""


def sweep_file(dice: random.Random, folder: Path) -> None:
    from tune_mnist.mnist.task import MNIST
    from tune_mnist.plan import sweepfile
    from tune_mnist.plan.request import Options, build

    path = folder / "sweep.yaml"
    path.write_bytes(given.altered(dice, given.SWEEP_FILE))
    sweepfile.named_task(path)
    sweepfile.written_values(path)
    assert len(build(MNIST, Options(config=path)).points) <= 100_000


def options(dice: random.Random, folder: Path) -> None:  # noqa: ARG001
    from tune_mnist.mnist.task import MNIST
    from tune_mnist.plan.request import Options, build
    from tune_mnist.tuning.resources import Asked, choose

    try:
        asked = given.parser().make_context("run", given.words(dice)).params
    except Exception as error:
        if hasattr(error, "format_message"):  # of the parser's own, as `options.start` knows them
            return
        raise
    lists: dict[str, Any] = {name: asked[name] or () for name in ("sweep", "vary", "settings")}
    assert len(build(MNIST, Options(None, seed=asked["seed"], seeds=asked["seeds"], **lists)).points) <= 100_000
    number = {name: asked[name] for name in ("cpus_per_trial", "gpus_per_trial", "max_concurrent", "exclusive")}
    choose(Asked("cpu", *number.values()), True)


def tables(dice: random.Random, folder: Path) -> None:
    name = dice.choice(["mnist_results.csv", "history.csv"])
    for file, content in given.results_folder().items():
        (folder / file).write_bytes(given.altered_table(dice, content) if file == name else content)
    _report(folder)


def environment(dice: random.Random, folder: Path) -> None:
    for file, content in given.results_folder().items():
        (folder / file).write_bytes(given.altered_json(dice, content) if file == "environment.json" else content)
    _report(folder)


def _report(folder: Path) -> None:
    """All of the report but its figures and its PDF, which take a second."""
    from tune_mnist.mnist.task import MNIST
    from tune_mnist.report.document import markdown
    from tune_mnist.report.sections import compose
    from tune_mnist.results.read import read_results
    from tune_mnist.results.summary import summarise

    results = read_results(folder, MNIST)
    markdown(compose(results, summarise(results.points, results.task), [])).encode()


def data_files(dice: random.Random, folder: Path) -> None:
    from tune_mnist.mnist import datasets

    name = dice.choice(["mnist", "fashion-mnist", "kmnist", "qmnist"])
    raw = folder / datasets.FOLDERS[name] / "raw"
    raw.mkdir(parents=True)
    for file in datasets.FILES[name]:
        given.write_idx(dice, raw / file)
    datasets.load(name, folder, lambda _: None)


def variables(dice: random.Random, folder: Path) -> None:  # noqa: ARG001
    from tune_mnist.display.log import ConsoleLines, console
    from tune_mnist.machine.environment import command_line
    from tune_mnist.tuning.cluster import Cluster

    before = dict(os.environ)
    try:
        os.environ |= given.variables(dice)
        given.parser().make_context("run", [])
        command_line()
        Cluster(os.environ.get("RAY_ADDRESS") if dice.random() < 0.5 else None).objects_note()
        ConsoleLines(console())
    finally:
        os.environ.clear()
        os.environ |= before


def stored(dice: random.Random, folder: Path) -> None:
    from tune_mnist.store.checkpoint import unpacked
    from tune_mnist.store.store import Store

    key, other = given.KEY, given.KEY[::-1]
    for file, content in given.run_folder().items():
        (folder / key).mkdir(exist_ok=True)
        (folder / key / file).write_bytes(given.altered_json(dice, content) if dice.random() < 0.5 else content)
    if dice.random() < 0.2:
        (folder / key).rename(folder / other)
        key = other
    store = Store(folder)
    store.run_keys()
    held = store.held(key)
    assert all(row["epoch"] == epoch for epoch, row in enumerate(held.rows, start=1))
    store.record(key).get("config", {})
    with store.claim([key]):
        store.open(key, {"config": {}, "conditions": {}})
        if found := store.load_checkpoint(key):
            unpacked(found[1])
        store.append(key, {"epoch": store.held(key).epochs + 1, "val_loss": 1.0})


def yielded(dice: random.Random, folder: Path) -> None:
    """What a trial does with a loop's step; an error of the loop's own kind is caught there, and told in one line."""
    from tune_mnist.store.checkpoint import packed, unpacked
    from tune_mnist.store.store import Store
    from tune_mnist.tasks.loop import Loop
    from tune_mnist.trials.trial import _last_line, _numbers

    loop: Loop
    task, loop = given.own_task(lambda: given.step(dice))
    try:
        for (metrics, state), epoch in zip(loop.steps({"rate": 0.1, "seed": 1}, None, 2), (1, 2), strict=False):
            row = {"epoch": epoch, **_numbers(metrics, task, epoch)}
            content = packed(state)
            store = Store(folder)
            (folder / given.KEY).mkdir(exist_ok=True)
            store.append(given.KEY, row)
            held = store.held(given.KEY)
            assert len(held.lines) == epoch, "a row that was stored is not read back"
            if content is not None:
                unpacked(content)
            if held.diverged:
                break
    except Exception as error:
        assert "\n" not in _last_line(error), _last_line(error)
        if isinstance(error, AssertionError):
            raise


TARGETS: dict[str, Case] = {
    "sweep-files": sweep_file,
    "options": options,
    "tables": tables,
    "environment": environment,
    "data-files": data_files,
    "variables": variables,
    "store-files": stored,
    "yields": yielded,
}


class Watch:
    """Hears what Python is about to do, and names what a case may not: to write elsewhere, to start or unpickle."""

    def __init__(self) -> None:
        self.allowed: str | None = None
        self.heard: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.allowed is None:
            return
        if event in STARTS:
            self.heard.append(f"{event} {arguments[:1]}")
        paths = arguments[: 2 if event in ("os.rename", "os.link", "os.symlink") else 1] if event in WRITES else ()
        if event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
            paths = arguments[:1]
        base = arguments[-1] if event in IN_FOLDERS and arguments[-1] > 2 else None
        for path in paths:
            if isinstance(path, (str, bytes)) and not self._is_allowed(os.fsdecode(path), base):
                self.heard.append(f"{event} {os.fsdecode(path)}")

    def _is_allowed(self, path: str, base: int | None) -> bool:
        """`base`: the open folder that a relative path is meant in, as rmtree's are."""
        folder = Path.cwd() if base is None else Path(f"/proc/self/fd/{base}").readlink()
        whole = os.path.normpath(folder / path)
        return whole == "/dev/null" or f"{whole}/".startswith(f"{self.allowed}/")


def hang(*_: object) -> None:
    raise Hang


def fault(case: Case, dice: random.Random, watch: Watch | None, found: list[str]) -> None:
    """Run one case; what breaks a law is added to `found`."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        try:
            if watch:
                signal.setitimer(signal.ITIMER_PROF, SECONDS)
                signal.setitimer(signal.ITIMER_REAL, PATIENCE)
                watch.allowed, watch.heard = name, []
            case(dice, Path(name))
        except EXPECTED:
            pass
        except BaseException as error:
            where = [one for one in traceback.extract_tb(error.__traceback__) if "tune_mnist/" in one.filename][-1:]
            place = "".join(f" at {one.filename.rpartition('tune_mnist/')[2]}:{one.lineno}" for one in where)
            found.append(f"{type(error).__name__}: {str(error)[:120]}{place}")
        finally:
            if watch:
                watch.allowed = None
                signal.setitimer(signal.ITIMER_PROF, 0)
                signal.setitimer(signal.ITIMER_REAL, 0)
                found += watch.heard


def main(target: str, seed: str, first: str, last: str) -> None:
    signal.signal(signal.SIGALRM, hang)
    signal.signal(signal.SIGPROF, hang)
    warnings.simplefilter("ignore")
    watch, faults = Watch(), list[list[Any]]()
    for number in range(20):  # whatever is imported and made at first use is there then
        fault(TARGETS[target], random.Random(f"warm {target} {number}"), None, [])
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    for number in range(int(first), int(last)):
        found: list[str] = []
        fault(TARGETS[target], random.Random(f"{seed} {target} {number}"), watch, found)
        faults += [[number, what] for what in found]
    print(json.dumps({"cases": int(last) - int(first), "faults": faults}))


if __name__ == "__main__":
    main(*sys.argv[1:])
