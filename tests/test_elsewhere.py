"""A sweep on a cluster, as far as that can be seen without one: what goes there, what comes home, what is known here.

SSH is a stand-in whose machines are folders; rsync, links, stores and commands are real.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, SMALL, Finished, run, succeeded
from tasks import CONDITIONS, asked, mnist

from tune_mnist import keeping
from tune_mnist.errors import ClusterError, UserError
from tune_mnist.launch import boxes
from tune_mnist.launch.arrivals import Arrivals
from tune_mnist.launch.away import Away
from tune_mnist.launch.launch import Job, Launch
from tune_mnist.launch.ray_up import Launcher, _cause
from tune_mnist.store.merge import merge, stage, thin
from tune_mnist.store.store import Row, Store
from tune_mnist.task import Config, run_key

TASK = mnist()
# -l is rsync's word for a user. Without a MACHINE nobody answers.
SSH = """#!/bin/bash
while [[ $1 == -* ]]; do [[ $1 == -[iol] ]] && shift; shift; done
echo "$*" >>"$CALLED"
[[ -n $MACHINE ]] || { echo "ssh: connect to host $1 port 22: No route to host" >&2; exit 255; }
shift
HOME=$MACHINE exec bash -c "$*"
"""


def key_of(config: Config) -> str:
    return run_key(config, CONDITIONS)


def row(epoch: int, **more: Any) -> Row:
    return {"epoch": epoch, "test_accuracy": 90.0 + epoch, **more}


def trained(store: Store, config: Config, epochs: int) -> str:
    """Add a run of so many epochs, or go on with it, each epoch with its checkpoint; returns its key."""
    key = key_of(config)
    with store.claim([key]):
        store.open(key, {"config": config.identity(), "conditions": CONDITIONS})
        for epoch in range(store.held(key).epochs + 1, epochs + 1):
            store.append(key, row(epoch))
            store.save_checkpoint(key, epoch, f"state after {epoch}".encode())
    return key


def files(folder: Path) -> list[str]:
    """What lies in a run's folder, checkpoints without their hash."""
    return sorted(path.name.split(".")[0] for path in folder.iterdir() if path.name not in ("lock", "holder"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


# What is held ready for another store


def test_a_run_is_held_ready_with_its_newest_checkpoint_alone_and_takes_no_room(store: Store, tmp_path: Path) -> None:
    key = trained(store, TASK.config({}), 3)
    stage(store, tmp_path / "out", {key: 0}, {key})
    assert files(tmp_path / "out" / key) == ["epoch-00003", "history", "run"]
    for path in (tmp_path / "out" / key).iterdir():
        assert path.samefile(store.folder / key / path.name)


def test_it_is_kept_up_to_date(store: Store, tmp_path: Path) -> None:
    config = TASK.config({})
    key = trained(store, config, 1)
    stage(store, tmp_path / "out", {key: 0}, {key})
    trained(store, config, 3)
    stage(store, tmp_path / "out", {key: 0}, {key})
    target = Store(tmp_path / "target")
    assert merge(tmp_path / "out", target) == 3
    assert target.load_checkpoint(key) == (3, b"state after 3")
    assert files(tmp_path / "out" / key) == ["epoch-00003", "history", "run"]


def test_a_history_that_was_begun_again_is_held_ready_anew(store: Store, tmp_path: Path) -> None:
    config = TASK.config({})
    key = trained(store, config, 2)
    stage(store, tmp_path / "out", {key: 0}, {key})
    with store.claim([key]):
        store.open(key, {"config": config.identity(), "conditions": CONDITIONS}, fresh=True)
        store.append(key, row(1, again=True))
    stage(store, tmp_path / "out", {key: 0}, {key})
    assert Store(tmp_path / "out").held(key).rows == (row(1, again=True),)


def test_what_the_other_has_already_is_not_held_ready(store: Store, tmp_path: Path) -> None:
    known, longer = trained(store, TASK.config({"lr": 0.1}), 2), trained(store, TASK.config({"lr": 0.2}), 2)
    trained(store, TASK.config({"lr": 0.3}), 2)
    stage(store, tmp_path / "out", {known: 2, longer: 1, "0" * 16: 0}, {known, longer})
    assert Store(tmp_path / "out").run_keys() == [longer]


def test_a_run_that_does_not_go_on_and_one_that_diverged_have_no_checkpoint(store: Store, tmp_path: Path) -> None:
    done, diverged = trained(store, TASK.config({"lr": 0.1}), 2), trained(store, TASK.config({"lr": 0.2}), 2)
    with store.claim([diverged]):
        store.append(diverged, {"epoch": 3, "diverged": "train_loss is nan"})
    stage(store, tmp_path / "out", {done: 0, diverged: 0}, {diverged})
    assert [files(tmp_path / "out" / key) for key in (done, diverged)] == [["history", "run"]] * 2
    assert merge(tmp_path / "out", Store(tmp_path / "target")) == 5


def test_of_what_has_come_the_newest_checkpoint_is_kept(store: Store) -> None:
    key = trained(store, TASK.config({}), 3)
    assert files(store.folder / key) == ["epoch-00002", "epoch-00003", "history", "run"]
    thin(store.folder)
    assert files(store.folder / key) == ["epoch-00003", "history", "run"]


def test_a_jobs_outbox_has_the_runs_of_its_plan_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    head = Store(Path("results/store"))
    mine, known, _ = (trained(head, TASK.config({"lr": lr}), 2) for lr in (0.1, 0.2, 0.3))
    boxes.stage("sweep-1", head)  # it has not said yet which they are
    assert not (boxes.outbox("sweep-1") / boxes.STORE).exists()
    boxes.inbox("sweep-1").mkdir(parents=True)
    boxes.know(boxes.inbox("sweep-1"), {known: 2})
    monkeypatch.setenv(boxes.PLAN_NAME, str(boxes.outbox("sweep-1") / boxes.PLAN))
    boxes.tell([mine, known, "f" * 16], CONDITIONS)
    boxes.stage("sweep-1", head)
    assert Store(boxes.outbox("sweep-1") / boxes.STORE).run_keys() == [mine]
    assert boxes.told(boxes.outbox("sweep-1"))["conditions"] == CONDITIONS


def test_without_a_cluster_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(boxes.PLAN_NAME, raising=False)
    boxes.tell(["f" * 16], CONDITIONS)
    assert not boxes.is_job()
    assert list(tmp_path.iterdir()) == []


def test_what_arrives_goes_to_the_store_and_the_folder(store: Store, tmp_path: Path) -> None:
    place, folder = tmp_path / "arrived", tmp_path / "results"
    key = trained(store, TASK.config({}), 2)
    stage(store, place / boxes.STORE, {key: 0}, {key})
    (place / boxes.RESULTS).mkdir()
    (place / boxes.RESULTS / "mnist_experiments.log").write_text("two\nthree\n")
    (place / boxes.RESULTS / "history.csv").write_text("epochs\n")
    (place / boxes.PLAN).write_text(json.dumps({"runs": [key], "conditions": CONDITIONS}))
    folder.mkdir()
    (folder / "mnist_experiments.log").write_text("one\n")
    home = Store(tmp_path / "home")
    arrivals = Arrivals(place, home, folder, keeping.Asked(("lr",), TASK, TASK.config({})))
    arrivals.take_in()
    arrivals.take_in()
    assert home.held(key) == store.held(key)
    assert (folder / "mnist_experiments.log").read_text() == "one\ntwo\nthree\n"
    assert (folder / "history.csv").read_text() == "epochs\n"
    assert arrivals.conditions == CONDITIONS
    arrivals.end()
    assert not place.exists()


# The way there, without Ray


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another machine's home."""
    if shutil.which("rsync") is None:
        pytest.skip("there is no rsync command")
    home = tmp_path / "machine"
    (home / "tune-mnist").mkdir(parents=True)
    for name, value in standing_in(tmp_path, home).items():
        monkeypatch.setenv(name, value)
    return home


def standing_in(folder: Path, machine: Path | None = None) -> dict[str, str]:
    """The environment in which `ssh` is ours; CALLED names a file of what it was called with."""
    place = folder / "bin"
    place.mkdir(exist_ok=True)
    (place / "ssh").write_text(SSH, "utf-8")
    (place / "ssh").chmod(0o755)
    path = f"{place}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "CALLED": str(folder / "called"), "MACHINE": str(machine or "")}


def launcher(folder: Path, **config: Any) -> Launcher:
    code = folder / "code"
    (code / "__pycache__").mkdir(parents=True, exist_ok=True)
    (code / "a.py").write_text("a = 1\n")
    said: dict[str, Any] = {
        "cluster_name": "there",
        "provider": {"type": "local", "head_ip": "192.0.2.1", "worker_ips": []},
        "auth": {"ssh_user": "me"},
        "file_mounts": {"~/tune-mnist/tune_mnist": str(code)},
        "rsync_exclude": ["__pycache__", "lock", ".*"],
    }
    return Launcher(folder / "there.yaml", said | config)


def test_files_go_and_come_by_rsync_alone(machine: Path, tmp_path: Path) -> None:
    there, sent, fetched = launcher(tmp_path), tmp_path / "sent", tmp_path / "fetched"
    (sent / "in").mkdir(parents=True)
    for name in ("in/one", "lock", ".two"):
        (sent / name).write_text(name)
    there.send(sent, "box")
    there.send(sent / "in" / "one", "one.yaml")
    assert (machine / "tune-mnist" / "one.yaml").read_text() == "in/one"
    there.fetch("box", fetched)
    assert [path.relative_to(fetched).as_posix() for path in sorted(fetched.rglob("*"))] == ["in", "in/one"]


@pytest.mark.usefixtures("machine")
def test_a_call_is_heard_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    heard: list[bytes] = []
    ended = launcher(tmp_path).call("""printf 'a banner\\002said\\003{"code": 7}\\003'""", heard.append)
    assert (heard[0], b"".join(heard), ended) == (b"", b"said", {"code": 7})


@pytest.mark.usefixtures("machine")
def test_a_connection_that_breaks_is_told_in_few_words(tmp_path: Path) -> None:
    heard: list[bytes] = []
    with pytest.raises(ClusterError, match=r"^the head of \S+there\.yaml: it ended without a word$"):
        launcher(tmp_path).call("printf '\\002said'", heard.append)
    assert heard[0] == b""
    with pytest.raises(ClusterError, match=r"^a command on the head of \S+there\.yaml failed: .*no-such-command"):
        launcher(tmp_path).shell("no-such-command")


def test_a_machine_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in standing_in(tmp_path).items():
        monkeypatch.setenv(name, value)
    heard: list[bytes] = []
    with pytest.raises(ClusterError, match=r"the head of \S+: ssh: connect to host \S+ port 22: No route to host$"):
        launcher(tmp_path).call("true", heard.append)
    assert heard == []


def test_a_missing_rsync_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="there is no rsync command on this machine"):
        launcher(tmp_path).fetch("box", tmp_path / "fetched")


def test_of_a_command_that_rays_launcher_repeats_nothing_is_told() -> None:
    """What Ray 2.60 says on stderr of a head that is gone, but for most of a thousand characters of ssh."""
    command = "ssh -tt -i key -o StrictHostKeyChecking=no -o LogLevel=ERROR root@192.0.2.1 bash --login -c -i 'failed'"
    assert _cause(f"Error: Command failed:\n\n  {command}\n\n") == "it ended without a word"
    gone = "client_loop: send disconnect: Broken pipe"
    assert _cause(f"{gone}\r\nError: Command failed:\n\n  {command}\n\n") == gone


@pytest.fixture
def launch(store: Store, tmp_path: Path) -> Launch:
    """A sweep over two learning rates; of one both epochs are stored, of the other one."""
    request = asked(TASK, vary=["lr=0.1,0.2"], settings=["epochs=2"])
    for config, epochs in ((request.points[0].config, 2), (request.points[1].config, 1)):
        trained(store, config, epochs)
    trained(store, TASK.config({"lr": 0.3}), 2)
    (tmp_path / "walk.py").write_text("walk = 1\n")
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    (tmp_path / "MNIST" / "raw" / "images").write_text("bytes")
    (tmp_path / "sweep.yaml").write_text("name: mine\n")
    sent = {"task/walk.py": tmp_path / "walk.py", "data/MNIST": tmp_path / "MNIST"}
    job = Job(["--vary", "lr=0.1,0.2"], sent, request.points, tmp_path / "sweep.yaml")
    question = keeping.Asked(("lr",), TASK, request.baseline)
    return Launch(Away(launcher(tmp_path), store), job, tmp_path / "results", question)


def test_what_goes_up_has_a_checkpoint_where_a_run_goes_on(machine: Path, launch: Launch) -> None:
    launch._send()
    head = machine / "tune-mnist"
    done, going_on = (key_of(point.config) for point in launch.job.points)
    box = head / boxes.inbox(launch.job.name)
    assert Store(box / boxes.STORE).run_keys() == sorted([done, going_on])
    assert files(box / boxes.STORE / done) == ["history", "run"]
    assert files(box / boxes.STORE / going_on) == ["epoch-00001", "history", "run"]
    assert json.loads((box / boxes.KNOWN).read_text()) == {done: 2, going_on: 1}


def test_the_files_of_a_task_its_data_and_the_sweep_file_go_up(machine: Path, launch: Launch, tmp_path: Path) -> None:
    launch._send()
    head = machine / "tune-mnist"
    assert (head / "task" / "walk.py").read_text() == "walk = 1\n"
    assert (head / "data" / "MNIST" / "raw" / "images").read_text() == "bytes"
    assert (head / "jobs" / f"{launch.job.name}.yaml").read_text() == "name: mine\n"
    assert f"jobs/{launch.job.name}.yaml" in launch.job.words
    assert list(launch.away.folder.iterdir()) == []  # what was packed is gone
    once = len((tmp_path / "called").read_text().splitlines())
    assert once == 5  # a folder each, and one to make them


# What is known here of a cluster

THERE = CONDITIONS | {"device": "cpu aarch64", "torch_version": "2.15.0+cpu"}


def test_a_cluster_that_has_never_trained_is_taken_to_be_like_this_machine(store: Store, tmp_path: Path) -> None:
    assert Away(launcher(tmp_path), store).conditioned(TASK).conditions == CONDITIONS


def learned(store: Store, folder: Path) -> None:
    away = Away(launcher(folder), store)
    away.conditioned(TASK)
    away.learn(TASK.name, THERE)


def test_what_differed_on_the_cluster_differs_still(store: Store, tmp_path: Path) -> None:
    learned(store, tmp_path)
    again = Away(launcher(tmp_path), store)
    assert again.conditioned(mnist(threads=2, dataset="mnist")).conditions == THERE | {"threads": 2, "dataset": "mnist"}


def test_a_second_task_is_known_beside_the_first(store: Store, tmp_path: Path) -> None:
    learned(store, tmp_path)
    away = Away(launcher(tmp_path), store)
    away.conditioned(TASK)
    away.learn("another", CONDITIONS)
    assert Away(launcher(tmp_path), store).conditioned(TASK).conditions == THERE


@pytest.mark.parametrize("changed", ["the file", "the code", "this machine", "the note"])
def test_what_was_known_is_forgotten_once_it_may_have_changed(changed: str, store: Store, tmp_path: Path) -> None:
    learned(store, tmp_path)
    there, task = launcher(tmp_path), TASK
    if changed == "the file":
        there = launcher(tmp_path, setup_commands=["pip install torch==3"])
    elif changed == "the code":
        (tmp_path / "code" / "b.py").write_text("b = 1\n")
    elif changed == "this machine":
        task = mnist(torch_version="2.16.0")
    else:
        (store.folder / ".there" / "conditions.json").write_text('{"differing": [1]')
    assert Away(there, store).conditioned(task).conditions == task.conditions


def test_what_is_not_copied_to_the_machines_changes_nothing(store: Store, tmp_path: Path) -> None:
    before = Away(launcher(tmp_path), store).started
    (tmp_path / "code" / "__pycache__" / "a.pyc").write_text("compiled")
    assert Away(launcher(tmp_path), store).started == before


# The command


@pytest.fixture
def home(standard: Finished, tmp_path: Path) -> Path:
    """A folder like the repository's root, with a cluster file, and the standard sweeps stored and told."""
    folder = tmp_path / "home"
    shutil.copytree(standard.folder, folder)
    for name in ("tune_mnist", "docker", "data", "cluster"):
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)
    config = yaml.safe_load((ROOT / "cluster" / "onprem.yaml").read_text("utf-8"))
    config["provider"] |= {"head_ip": "192.0.2.1", "worker_ips": []}
    config["auth"] = {"ssh_user": "me"}
    config["file_mounts"]["~/tune-mnist/data/published.csv"] = str(ROOT / "data" / "published.csv")
    (folder / "own.yaml").write_text(yaml.safe_dump(config), "utf-8")
    return folder


def test_where_everything_is_stored_nothing_is_started(home: Path, tmp_path: Path) -> None:
    table = (home / "results" / "digits" / "mnist_results.csv").read_bytes()
    shutil.rmtree(home / "results" / "digits")
    done = succeeded(run(*SMALL, "--cluster", "own.yaml", folder=home, **standing_in(tmp_path)))
    assert "everything asked is stored here: tune-mnist is not started; " in done.out
    assert (home / "results" / "digits" / "mnist_results.csv").read_bytes() == table
    assert "report: results/digits/report.html\n" in done.out
    assert "tune-mnist is not started" in done.log()
    assert not (tmp_path / "called").exists()


def test_where_something_is_missing_the_machines_are_asked(home: Path, tmp_path: Path) -> None:
    missing = ("--vary", "lr=0.3", "--cluster", "own.yaml")
    done = run(*SMALL, *missing, folder=home, **standing_in(tmp_path))
    assert done.code == 1
    cause = "ssh: connect to host me@192.0.2.1 port 22: No route to host"
    assert done.err == f"error: the head 192.0.2.1 of own.yaml cannot be reached by SSH: {cause}\n"


def test_a_job_says_what_it_asks_for_and_leaves_it_to_its_caller_to_say_where_things_are(home: Path) -> None:
    done = succeeded(run(*SMALL, folder=home, TUNE_MNIST_PLAN=str(home / "plan.json")))
    told = json.loads((home / "plan.json").read_text())
    store = Store(home / "results" / "store")
    assert sorted(told["runs"]) == store.run_keys()
    assert {json.dumps(store.record(key)["conditions"]) for key in told["runs"]} == {json.dumps(told["conditions"])}
    assert "results/" not in done.out
    assert "results/" in succeeded(run(*SMALL, folder=home)).out
