"""The image, built and run for real: hardened, limited, interrupted, and asked for what it cannot give."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import HISTORY, LOG, RESULTS, rows, trained, wait_for
from engine import HARDENED, ROOT, USER, built, docker, inspected, need_engine, owned

LOCK = (ROOT / "requirements.txt").read_text("utf-8")
pytestmark = [pytest.mark.alone, pytest.mark.timeout(2400)]  # the first test may have to build the image

# Three runs: one or two so short ones are trained without Ray.
QUICK = ("--set", "model=mlp", "--set", "train_size=320", "--set", "epochs=3", "--vary", "lr=0.01,0.05,0.1")
# One CPU trains an epoch of this in about a second: there is a middle to be stopped in.
SLOW = ("--dataset", "digits", "--set", "train_size=640", "--set", "epochs=8", "--vary", "lr=0.01,0.02,0.05,0.1")


@pytest.fixture(scope="module")
def image() -> str:
    need_engine()
    return built()


@dataclass(frozen=True)
class Ended:
    """A container that has ended, and the folder of its results."""

    results: Path
    code: int
    out: str
    err: str

    @property
    def digits(self) -> Path:
        return self.results / "digits"

    def log(self) -> str:
        return (self.digits / LOG).read_text("utf-8")


def contained(image: str, *arguments: str, results: Path, flags: tuple[str, ...] = ()) -> Ended:
    """`docker run` as the README hardens it, with one CPU of the machine and an empty, read-only data folder."""
    data = owned(results.parent / "data")
    mounts = ("-v", f"{data}:/data:ro", "-v", f"{owned(results)}:/results")
    done = docker("run", "--rm", *HARDENED, "--cpus", "1", *mounts, *flags, image, *arguments, check=False)
    return Ended(results, done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def hardened(image: str, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    return contained(image, "run", *QUICK, results=tmp_path_factory.mktemp("hardened") / "results")


def test_it_runs_read_only_without_capabilities_network_and_a_known_user(hardened: Ended) -> None:
    assert (hardened.code, hardened.err.count("\n")) == (0, 1)  # the line on the digits
    assert {row["status"] for row in rows(hardened.digits / RESULTS)} == {"done"}


def test_the_files_are_the_callers(hardened: Ended) -> None:
    made = [path for path in hardened.results.rglob("*") if path.is_file()]
    assert len(made) > 20
    assert {f"{path.stat().st_uid}:{path.stat().st_gid}" for path in made} == {USER}


def test_without_data_and_network_it_takes_the_digits_and_says_so(hardened: Ended) -> None:
    assert re.search(r"^using scikit-learn's digits instead of MNIST: MNIST is not in /data/\S+, and ", hardened.err)


def test_trials_follow_the_containers_cpus(hardened: Ended) -> None:
    assert {row["concurrent"] for row in rows(hardened.digits / HISTORY)} == {"0"}
    assert json.loads((hardened.digits / "environment.json").read_text("utf-8"))["cpu"]["usable"] == 1


def test_trials_follow_the_containers_memory(image: str, tmp_path: Path) -> None:
    """Two CPUs, and memory for one trial."""
    flags = ("--cpus", "2", "--memory", "1900m")
    tight = contained(image, "run", *QUICK, results=tmp_path / "results", flags=flags)
    assert tight.code == 0, tight.err
    if os.cpu_count() == 1:
        pytest.skip("one CPU has one trial anyhow")
    assert "1.9 GB of memory: 1 trial side by side, not 2\n" in tight.err
    assert {row["concurrent"] for row in rows(tight.digits / HISTORY)} == {"0"}


def test_the_bill_of_materials_names_what_is_inside(image: str, tmp_path: Path) -> None:
    made = tmp_path / "sbom.json"
    script = ROOT / "docker" / "sbom.py"
    subprocess.run([sys.executable, script, image, made], capture_output=True, check=True)
    bill = json.loads(made.read_text("utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    versions = {part["name"]: part["version"] for part in bill["components"]}
    (locked,) = re.findall(r"^torch==(\S+) ; python_full_version >= '3.11'", LOCK, flags=re.MULTILINE)
    assert versions["torch"].partition("+")[0] == locked
    assert {"tini", "rsync", "tune-mnist", "ray"} <= set(versions)


def test_little_shared_memory_is_a_line(hardened: Ended) -> None:
    assert len(re.findall(r"^/dev/shm has \d+ MiB of 512 MiB free: Ray keeps", hardened.out, flags=re.MULTILINE)) == 1


def test_without_a_terminal_it_prints_plain_lines(hardened: Ended) -> None:
    assert "\x1b" not in hardened.out
    assert len(re.findall(r"^\S+: epoch \d/3, test accuracy", hardened.out, flags=re.MULTILINE)) == 9


def test_the_same_job_again_trains_nothing(image: str, hardened: Ended) -> None:
    before = hardened.log()
    again = contained(image, "run", *QUICK, results=hardened.results)
    assert (again.code, again.err) == (0, hardened.err)
    assert trained(again.log().removeprefix(before)).total() == 0
    assert "9 epochs in the store, 0 to train" in again.out


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("run", "--sweep", "lrr"), "error: unknown sweep 'lrr'"),
        (("trian",), "error: unknown command 'trian' (did you mean 'train'?)"),
        (("train", "--epochs=0"), "error: epochs must be a whole number"),
        (
            ("run", "--output", "/opt/mine"),
            "error: output folder '/opt/mine' cannot be written: '/opt' may not be written, because its",
        ),
    ],
)
def test_a_wrong_command_is_a_line_and_2(image: str, tmp_path: Path, arguments: tuple[str, ...], error: str) -> None:
    done = contained(image, *arguments, results=tmp_path / "results")
    lines = [line for line in done.err.splitlines() if not line.startswith("using scikit-learn's digits")]
    assert (done.code, len(lines)) == (2, 1)
    assert lines[0].startswith(error)


def test_one_training_takes_the_originals_options(image: str, tmp_path: Path) -> None:
    options = "--epochs=2", "--batch_size=32", "--model=mlp", "--train-size=320"
    done = contained(image, "train", *options, results=tmp_path / "results")
    assert (done.code, done.err) == (0, "")
    assert "training mlp on digits, cpu, 1 thread" in done.out
    assert "epoch 2/2" in done.out.splitlines()[-1]


def test_no_room_for_ray_is_a_line(image: str, tmp_path: Path) -> None:
    tight = contained(image, "run", *QUICK, results=tmp_path / "results", flags=("--tmpfs", "/tmp:size=64m"))
    assert tight.code == 1
    said = r"^/tmp has 6\d MiB free, and Ray needs 512 MiB there or in /dev/shm; make room in"
    assert re.search(said, tight.err, flags=re.MULTILINE)


def test_the_image_is_labelled_and_runs_as_an_ordinary_user(image: str) -> None:
    found = inspected(image)["Config"]
    assert found["User"] == "1000:1000"
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in found["Labels"].items()}
    assert labels["title"] == "tune-mnist"
    assert labels["licenses"] == "MIT"
    assert {"description", "version", "revision"} <= set(labels)


def test_where_no_commit_was_told_the_code_itself_is(hardened: Ended) -> None:
    """As of a plain `docker build`, which is told none."""
    facts = json.loads((hardened.digits / "environment.json").read_text("utf-8"))
    assert facts["git"] is None
    assert re.fullmatch("[0-9a-f]{64}", facts["code_sha256"])
    told = f"Code: SHA-256 {facts['code_sha256'][:12]}; its commit is not known."
    assert told in (hardened.digits / "report.md").read_text("utf-8").replace("\\", "")


def test_the_image_brings_no_token_no_data_and_no_results(image: str) -> None:
    looked = docker("run", "--rm", "--entrypoint", "find", image, *("/ray-token", "/data", "/results", "/tmp"))
    assert looked.stdout.split() == ["/ray-token", "/data", "/results", "/tmp"]


def test_the_image_has_what_a_report_compares_with(image: str) -> None:
    program = "from tune_mnist.mnist.published import PUBLISHED_CSV as path; print(path.read_text('utf-8'), end='')"
    said = docker("run", "--rm", "--entrypoint", "python", image, "-c", program).stdout
    assert said == (ROOT / "data" / "published.csv").read_text("utf-8")


def test_gpus_are_asked_of_the_engine(image: str) -> None:
    """A GPU may not be here; the request must reach the engine, and the image be open for NVIDIA's runtime."""
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in inspected(image)["Config"]["Env"]
    name = f"tune-mnist-{uuid.uuid4().hex[:8]}"
    docker("create", "--gpus", "all", "--name", name, image)
    try:
        (asked,) = inspected(name)["HostConfig"]["DeviceRequests"]
    finally:
        docker("rm", "--force", name)
    assert (asked["Count"], asked["Capabilities"]) == (-1, [["gpu"]])


# Stopped in the middle


@contextmanager
def started(image: str, results: Path) -> Iterator[str]:
    """A container in the background; its name."""
    name = f"tune-mnist-{uuid.uuid4().hex[:8]}"
    mounts = "-v", f"{owned(results)}:/results"
    docker("run", "--detach", "--name", name, *HARDENED, "--cpus", "1", *mounts, image, "run", *SLOW)
    try:
        yield name
    finally:
        docker("rm", "--force", name, check=False)


def test_docker_stop_ends_it_within_10_seconds_and_keeps_the_work(image: str, tmp_path: Path) -> None:
    results = tmp_path / "results"
    with started(image, results) as name:
        log = results / "digits" / LOG
        wait_for(lambda: log.exists() and ": epoch 2/8" in log.read_text("utf-8"), "a second epoch")
        before = time.monotonic()
        docker("stop", name)  # kills after 10 s
        seconds = time.monotonic() - before
        state, said = inspected(name)["State"], docker("logs", name).stderr
    assert state["ExitCode"] == 130, said
    assert seconds < 10
    kept = re.search(r"interrupted; (\d+) finished epochs? .*kept in results/store", said.splitlines()[-1])
    assert kept
    assert int(kept[1]) == trained(log.read_text("utf-8")).total() >= 2


def test_a_terminal_gets_a_live_display_and_ctrl_c_ends_it(image: str, tmp_path: Path) -> None:
    results, ours, theirs = tmp_path / "results", *pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("4H", 40, 120, 0, 0))  # rows, columns: else nobody looks
    mounts = "-v", f"{owned(results)}:/results"
    command = ["docker", "run", "-it", "--rm", *HARDENED, "--cpus", "1", *mounts, image, "run", *SLOW]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        screen = ""
        end = time.monotonic() + 240
        while "epoch 3/8" not in screen and time.monotonic() < end:
            screen += os.read(ours, 65536).decode(errors="replace")
        os.write(ours, b"\x03")
        before = time.monotonic()
        with suppress(OSError):  # the terminal goes away with the container
            while text := os.read(ours, 65536).decode(errors="replace"):
                screen += text
        code = process.wait(60)
    os.close(ours)
    assert code == 130, screen[-3000:]
    assert time.monotonic() - before < 10
    assert "\x1b[" in screen
    assert "0/4 points" in screen
    assert "interrupted; " in screen
