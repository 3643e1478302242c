"""The real command in a real process, and the sweeps that many tests look at: a start of Ray takes ten seconds.

The data are scikit-learn's digits, some of them; Ray, files, signals and sockets are real.
"""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[1]
RESULTS, HISTORY, LOG = "mnist_results.csv", "history.csv", "mnist_experiments.log"
DIGITS = ("--dataset", "digits")
SMALL = (*DIGITS, "--set", "model=mlp", "--set", "train_size=320")  # the batch sweep goes up to 256
# Four runs of 5 epochs, each epoch long enough (0.4 s) that there is a middle to be interrupted in.
SLOW_LRS = ("0.01", "0.02", "0.05", "0.1")
SLOW = (*DIGITS, "--set", "model=mlp", "--set", "batch_size=2", "--vary", f"lr={','.join(SLOW_LRS)}")
# Nothing listens there: a download fails at once, with a network as without one.
NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
NUMBERS = (
    *("model", "optimizer", "schedule", "batch_size", "lr", "gamma", "momentum", "weight_decay", "dropout"),
    *(
        "shuffle",
        "train_size",
        "seed",
        "epoch",
        "epoch_lr",
        "train_loss",
        "train_accuracy",
        "test_loss",
        "test_accuracy",
    ),
)

Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Finished:
    """A command that has ended, and the folder it was given in."""

    folder: Path
    code: int
    out: str
    err: str

    @property
    def results(self) -> Path:
        """The one folder with results."""
        (table,) = self.folder.glob(f"results/*/{RESULTS}")
        return table.parent

    def points(self) -> Rows:
        return rows(self.results / RESULTS)

    def epochs(self) -> Rows:
        return rows(self.results / HISTORY)

    def log(self) -> str:
        return (self.results / LOG).read_text("utf-8")


def command(*arguments: str, module: str = "tune_mnist.run", python: tuple[str, ...] = ("-W", "error")) -> list[str]:
    return [sys.executable, *python, "-m", module, *arguments]


def surroundings(**more: str) -> dict[str, str]:
    """The environment without what would change a command's defaults."""
    changing = "TUNE_MNIST_DATA", "RAY_ADDRESS", "CI", "NO_COLOR"
    kept = {name: value for name, value in os.environ.items() if name not in changing}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def run(*arguments: str, folder: Path, module: str = "tune_mnist.run", **more: str) -> Finished:
    """Give the command in `folder` and wait for its end."""
    done = subprocess.run(
        command(*arguments, module=module),
        cwd=folder,
        env=surroundings(**more),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return Finished(folder, done.returncode, done.stdout, done.stderr)


def on_a_terminal(
    *arguments: str, folder: Path, python: tuple[str, ...] = ("-W", "error"), term: str = "xterm-256color"
) -> Finished:
    """Give the command on a terminal of its own; `out` is all that the terminal got, `err` empty."""
    ours, its = pty.openpty()
    size = {"COLUMNS": "120", "LINES": "40", "TERM": term}
    process = subprocess.Popen(
        command(*arguments, python=python),
        cwd=folder,
        env=surroundings(**size),
        stdin=its,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    shown = b""
    try:
        with suppress(OSError):  # Linux's way to say that nobody has the terminal open any more
            while part := os.read(ours, 65_536):
                shown += part
        return Finished(folder, process.wait(60), shown.decode(), "")
    finally:
        os.close(ours)
        process.kill()


def succeeded(done: Finished) -> Finished:
    assert done.code == 0, f"exit code {done.code}\n{done.out}\n{done.err}"
    return done


@dataclass(frozen=True)
class UnderWay:
    """A command that runs, in a process group of its own as a shell gives it one."""

    folder: Path
    process: subprocess.Popen[bytes]

    def log(self) -> str:
        """What its log says so far."""
        return "".join(path.read_text("utf-8") for path in self.folder.glob("results/*/*_experiments.log"))

    def finished(self, seconds: float = 600) -> Finished:
        """Wait for its end."""
        code = self.process.wait(seconds)
        out, err = (self.folder / name for name in ("stdout.txt", "stderr.txt"))
        return Finished(self.folder, code, out.read_text("utf-8"), err.read_text("utf-8"))


@contextmanager
def under_way(*arguments: str, folder: Path, **more: str) -> Iterator[UnderWay]:
    """Start the command; it is killed if it still runs at the end of the `with` block."""
    with (folder / "stdout.txt").open("wb") as out, (folder / "stderr.txt").open("wb") as err:
        process = subprocess.Popen(
            command(*arguments), cwd=folder, env=surroundings(**more), stdout=out, stderr=err, start_new_session=True
        )
    try:
        yield UnderWay(folder, process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(0.05)


def rows(path: Path) -> Rows:
    """A table's rows, every value as it is written: equal text is an equal number, bit for bit."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def numbers(epochs: Rows) -> set[tuple[str, ...]]:
    """Every epoch's config, losses and accuracy; runs that gave the same numbers fall into one."""
    return {tuple(row[name] for name in NUMBERS) for row in epochs}


def trained(log: str, measure: str = "test") -> Counter[tuple[str, int]]:
    """How often each (run's name, epoch) was trained, as a log tells it; the line of an epoch begins with a measure."""
    return Counter((name, int(epoch)) for name, epoch in re.findall(rf"(\S+): epoch (\d+)/\d+, {measure}", log))


def going_on(log: str) -> dict[str, int]:
    """Run's name -> the epoch after which it was last started."""
    lines = re.findall(r"(\S+): training on \S+?(?: after epoch (\d+))?, to epoch", log)
    return {name: int(epoch or 0) for name, epoch in lines}


def processes() -> dict[int, tuple[int, str]]:
    """Living processes: number -> (its parent's, command line)."""
    listed = subprocess.run(
        ["ps", "-axwwo", "pid=,ppid=,stat=,command="], capture_output=True, text=True, check=True
    ).stdout
    found = [line.split(None, 3) for line in listed.splitlines()]
    return {int(pid): (int(parent), line) for pid, parent, state, line in found if not state.startswith("Z")}


def descendants(ancestor: int) -> dict[int, str]:
    """Number -> command line of every process that this one started, and those started by them."""
    living, found = processes(), {ancestor: ""}
    while new := {pid: line for pid, (parent, line) in living.items() if parent in found and pid not in found}:
        found |= new
    del found[ancestor]
    return found


def ray_folders(lines: dict[int, str]) -> set[Path]:
    """The temporary folders that Ray processes with these command lines keep their session in."""
    return {Path(folder) for line in lines.values() for folder in re.findall(r"--temp[-_]dir=(\S+)", line)}


def mnist_folder() -> Path:
    """Where the real MNIST lies; a test that wants it is skipped without."""
    place = Path(os.environ.get("TUNE_MNIST_DATA", ROOT.parent / "shared" / "mnist")).absolute()
    if not (place / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").is_file():
        pytest.skip(f"no MNIST in {place}: set TUNE_MNIST_DATA to the folder that has MNIST/raw")
    return place


@dataclass(frozen=True)
class Cluster:
    """Where it is, and the environment that a command needs to reach it."""

    address: str
    settings: dict[str, str]

    def run(self, *arguments: str, folder: Path, **more: str) -> Finished:
        return run(*arguments, "--address", self.address, folder=folder, **self.settings, **more)


@contextmanager
def ray_cluster(memory: int = 4 << 30) -> Iterator[Cluster]:
    """A Ray cluster of this machine with 2 CPUs and so many bytes of memory, as Ray counts it, on loopback; one process
    group, killed at the end.
    """
    with socket.socket() as free, socket.socket() as another:
        free.bind(("127.0.0.1", 0))
        another.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        client = another.getsockname()[1]  # 10001 unless it is given, and two clusters may be there at once
    # On loopback Ray needs to be told so, at both ends; and whoever connects gives the cluster's token.
    settings = {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "of-this-test" * 4,
    }
    folder = Path(tempfile.mkdtemp(prefix="tm-", dir="/tmp"))  # short: Ray's sockets lie in it
    head = ["--head", "--block", "--node-ip-address=127.0.0.1", f"--port={address.rpartition(':')[2]}"]
    options = ["--num-cpus=2", "--include-dashboard=false", f"--temp-dir={folder}", "--disable-usage-stats"]
    options += [f"--ray-client-server-port={client}", f"--memory={memory}"]
    with (folder / "said.txt").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", *head, *options],
            env=surroundings(**settings),
            stdout=said,
            stderr=said,
            start_new_session=True,
        )

    def told() -> str:
        return (folder / "said.txt").read_text("utf-8")

    try:
        wait_for(lambda: "Ray runtime started" in told() or process.poll() is not None, "a Ray cluster")
        assert process.poll() is None, told()
        yield Cluster(address, settings)
    finally:
        started = {process.pid, *descendants(process.pid)}
        for pid in started:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(15)
        wait_for(lambda: not set(processes()) & started, "an end of the cluster", 20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def ray() -> Iterator[Cluster]:
    """A Ray that is there: whoever does not ask how a Ray of one's own starts and ends joins it, and is quicker."""
    with ray_cluster() as there:
        yield there


def once(name: str, make: Callable[[Path], Finished], temporary: pytest.TempPathFactory) -> Finished:
    """What `make` gives in a folder of this name; of several test processes, the first that asks makes it for all."""
    own = temporary.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    kept = folder.with_suffix(".json")
    with FileLock(folder.with_suffix(".lock")):
        if not kept.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            kept.write_text(json.dumps(asdict(make(folder)), default=str), "utf-8")
    made = json.loads(kept.read_text("utf-8"))
    return Finished(**made | {"folder": folder})


@pytest.fixture(scope="session")
def standard(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The three standard sweeps on some of the digits, all defaults of output; look, and change nothing."""
    return once("standard", lambda folder: run(*SMALL, folder=folder), tmp_path_factory)


@pytest.fixture(scope="session")
def repeated(standard: Finished, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The same command again over a copy of what the first one left; stderr names all modules it imported."""

    def again(folder: Path) -> Finished:
        shutil.copytree(standard.folder, folder, dirs_exist_ok=True)
        done = subprocess.run(
            command(*SMALL, python=("-X", "importtime")),
            cwd=folder,
            env=surroundings(),
            capture_output=True,
            text=True,
            check=False,
        )
        return Finished(folder, done.returncode, done.stdout, done.stderr)

    return once("repeated", again, tmp_path_factory)


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The slow sweep, left in peace."""
    return once("uninterrupted", lambda folder: succeeded(run(*SLOW, folder=folder)), tmp_path_factory)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that may take long come first, so that of two processes none is left alone with one at the end."""
    longest: dict[Path, float] = {}
    for item in items:
        limit = item.get_closest_marker("timeout")
        longest[item.path] = max(longest.get(item.path, 0), limit.args[0] if limit else 0)
    items.sort(key=lambda item: -longest[item.path])


class Thirds(LoadScopeScheduling):  # type: ignore[misc]
    """Each test for itself, but those of machines over SSH in one process, and those of other containers in another.

    Each of the two shares its names and addresses. What pytest-xdist calls groups has no effect with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        if not nodeid.startswith("tests/containers/"):
            return nodeid
        return "machines" if re.search("/test_(machines|launch|cluster_command)", nodeid) else "containers"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Thirds | None:
    return Thirds(config, log) if config.getvalue("dist") == "loadgroup" else None
