"""`run --cluster` again and again on one cluster of two machines: what is started, what travels, what is said here."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator

import pytest
import yaml
from conftest import Finished, going_on, run, succeeded, trained, under_way, wait_for
from machines import Machines, machines, need_ssh

from tune_mnist.store.store import Store

pytestmark = [pytest.mark.alone, pytest.mark.timeout(900)]

QUICK = ("--dataset", "digits", "--set", "model=mlp")
LONG = (*QUICK, "--set", "batch_size=1", "--set", "epochs=60")  # long enough for a middle


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    need_ssh()
    with machines(tmp_path_factory.mktemp("launch"), 2) as made:
        yield made


def on(hosts: Machines, name: str, *options: str) -> tuple[str, ...]:
    """The options of a sweep on the machines, with a store and a folder of its own."""
    return ("--cluster", str(hosts.file), *options, "--store", f"{name}-store", "--output", f"results/{name}")


def ask(hosts: Machines, name: str, *options: str) -> Finished:
    return run(*on(hosts, name, *options), folder=hosts.folder)


def store(hosts: Machines, name: str) -> Store:
    return Store(hosts.folder / f"{name}-store")


def log(hosts: Machines, name: str) -> str:
    return (hosts.folder / "results" / name / "mnist_experiments.log").read_text("utf-8")


def raylets(hosts: Machines) -> list[str]:
    """The processes in which Ray runs: others after a restart."""
    return [hosts.on(number, "pgrep -x raylet || true").strip() for number in range(1, hosts.count + 1)]


ONE, TWO = "lr=0.01,0.02", "lr=0.03,0.04"


@pytest.fixture(scope="module")
def first(hosts: Machines) -> Finished:
    """A sweep, after which the cluster stays up."""
    done = succeeded(ask(hosts, "first", *QUICK, "--set", "epochs=2", "--vary", ONE, "--keep"))
    wait_for(lambda: all(raylets(hosts)), "both machines", 120)
    return done


def test_what_a_command_left_is_told_with_its_paths_here(first: Finished) -> None:
    assert re.search(r"^\d+ files in results/first$", first.out, re.MULTILINE)
    assert "report: results/first/report.html\n" in first.out
    assert "log: results/first/mnist_experiments.log\n" in first.out
    for there in ("outbox", "inbox", "results/sweep-", "results/store"):
        assert there not in first.out


@pytest.fixture(scope="module")
def second(hosts: Machines, first: Finished) -> tuple[Finished, float]:
    """Another sweep on the cluster that was kept, and after how many seconds it began."""
    assert first.code == 0
    before, begun = raylets(hosts), time.monotonic()
    with under_way(
        *on(hosts, "second", *QUICK, "--set", "epochs=2", "--vary", TWO, "--keep"), folder=hosts.folder
    ) as one:
        said = hosts.folder / "stdout.txt"
        wait_for(
            lambda: "sweeps on digits" in said.read_text("utf-8") or one.process.poll() is not None, "a sweep", 120
        )
        seconds = time.monotonic() - begun
        done = succeeded(one.finished())
    assert raylets(hosts) == before
    return done, seconds


def test_a_cluster_that_was_kept_is_not_started_again(second: tuple[Finished, float]) -> None:
    done, seconds = second
    assert "starting the cluster" not in done.out
    assert seconds < 15, f"{seconds:.1f} s"


@pytest.mark.usefixtures("second")
def test_only_the_sweeps_own_runs_come_home(hosts: Machines) -> None:
    of_both = hosts.on(1, "ls -d ~/tune-mnist/results/store/*/run.json | wc -l").strip()
    assert of_both == "4"
    home = store(hosts, "second")
    assert [home.held(key).epochs for key in home.run_keys()] == [2, 2]
    assert [home.held(key).resume for key in home.run_keys()] == [2, 2]


@pytest.mark.usefixtures("second")
def test_what_is_stored_here_starts_and_asks_nothing(hosts: Machines) -> None:
    """Also where the machines' PyTorch is not this machine's, as that of the image may not be."""
    table = hosts.folder / "results" / "second" / "mnist_results.csv"
    before = table.read_bytes()
    done = succeeded(ask(hosts, "second", *QUICK, "--set", "epochs=2", "--vary", TWO))
    assert "everything asked is stored here: tune-mnist-test is not started" in done.out
    assert table.read_bytes() == before
    assert all(raylets(hosts))


@pytest.mark.usefixtures("second")
def test_a_run_goes_on_from_what_had_come_home(hosts: Machines) -> None:
    """The head has lost it: the checkpoint that goes up is the one that came."""
    hosts.on(1, "rm -rf ~/tune-mnist/results ~/tune-mnist/outbox")
    succeeded(ask(hosts, "second", *QUICK, "--set", "epochs=3", "--vary", TWO, "--keep"))
    assert set(going_on(log(hosts, "second")).values()) == {2}
    assert {epoch for (_, epoch), count in trained(log(hosts, "second")).items() if count > 1} == set()
    home = store(hosts, "second")
    assert [home.held(key).resume for key in home.run_keys()] == [3, 3]


@pytest.mark.usefixtures("second")
def test_an_interrupted_sweep_comes_home_and_says_what_is_kept(hosts: Machines) -> None:
    with under_way(*on(hosts, "cut", *LONG, "--vary", ONE, "--keep"), folder=hosts.folder) as started:
        out = hosts.folder / "stdout.txt"
        wait_for(lambda: len(set(re.findall(r"(\S+): epoch 2/", out.read_text("utf-8")))) == 2, "two middles", 120)
        started.process.send_signal(signal.SIGINT)
        done = started.finished(120)
    assert done.code == 130, done.out + done.err
    home = store(hosts, "cut")
    epochs = sum(home.held(key).epochs for key in home.run_keys())
    assert epochs >= 4
    kept = f"interrupted; {epochs} finished epochs are kept in cut-store; the same command again trains the remaining "
    assert done.err.splitlines()[-1].startswith(kept), done.err
    assert "outbox" not in done.out + done.err


@pytest.mark.chaos
@pytest.mark.usefixtures("second")
def test_a_cluster_whose_file_has_changed_is_started_again(hosts: Machines) -> None:
    before = raylets(hosts)
    config = yaml.safe_load(hosts.file.read_text("utf-8"))
    hosts.file.write_text(yaml.safe_dump(config | {"idle_timeout_minutes": 6}), "utf-8")
    for name, is_started in (("changed", True), ("again", False)):
        done = succeeded(ask(hosts, name, *QUICK, "--set", "epochs=1", "--vary", ONE, "--keep"))
        assert ("starting the cluster" in done.out) is is_started
    assert raylets(hosts)[0] != before[0]


@pytest.mark.chaos
@pytest.mark.usefixtures("second")
def test_a_lost_head_is_told_in_few_words(hosts: Machines) -> None:
    """The last test: the cluster is not what it was."""
    with under_way(*on(hosts, "lost", *LONG, "--vary", TWO, "--keep"), folder=hosts.folder) as started:
        home = store(hosts, "lost")
        wait_for(lambda: any(home.held(key).epochs for key in home.run_keys()), "an epoch that came home", 120)
        hosts.kill(1)
        done = started.finished(90)
    assert done.code == 1
    (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    told = (
        r"error: the head of tune-mnist-test is lost, or the way to it \((.*)\); what had come home is in lost-store; "
    )
    assert re.match(told, line), done.err
    assert len(re.match(told, line)[1]) < 100  # type: ignore[index]
    assert "StrictHostKeyChecking" not in done.err + done.out
