"""The compose cluster for real: a head, two workers of one CPU, a sweep; workers killed, all stopped, doors tried."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from composed import Compose, Sweep, project
from conftest import HISTORY, Finished, going_on, numbers, rows, run, succeeded, trained, wait_for
from engine import IMAGE, USER, docker, inspected
from tasks import OWN_SWEEP, walked, write_own_loop

pytestmark = [pytest.mark.alone, pytest.mark.timeout(2400)]

EPOCHS = 6
LRS = ("0.01", "0.02", "0.05", "0.1")
# One CPU trains an epoch in about a second.
SWEEP = ("--dataset", "digits", "--set", "train_size=640", "--set", f"epochs={EPOCHS}", "--vary", f"lr={','.join(LRS)}")


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    with project(tmp_path_factory.mktemp("clone")) as started:
        yield started


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The same sweep by the command on this machine, without containers."""
    return succeeded(run(*SWEEP, folder=tmp_path_factory.mktemp("outside")))


@pytest.fixture(scope="module")
def shared(compose: Compose) -> Sweep:
    """The sweep on two workers, left in peace."""
    sweep = compose.ask("shared", *SWEEP)
    compose.up(2)
    assert sweep.ended() == 0, sweep.said()
    return sweep


def test_trials_run_on_both_workers(shared: Sweep, compose: Compose) -> None:
    assert {row["hostname"] for row in shared.epochs()} == set(compose.hostnames())
    assert {row["concurrent"] for row in shared.epochs()} <= {"0", "1"}


def test_the_accuracies_are_those_of_a_local_run_bit_for_bit(shared: Sweep, outside: Finished) -> None:
    assert numbers(shared.epochs()) == numbers(outside.epochs())


def test_the_results_are_the_callers(shared: Sweep) -> None:
    folders = shared.results, shared.results.with_name(f"{shared.results.name}-store")
    made = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len(made) > 10
    assert {f"{path.stat().st_uid}:{path.stat().st_gid}" for path in made} == {USER}


def test_a_worker_has_what_ray_is_told(shared: Sweep) -> None:
    compose = shared.compose
    limits = [inspected(name)["HostConfig"] for name in compose.containers("worker")]
    assert {(limit["NanoCpus"], limit["Memory"]) for limit in limits} == {(10**9, 4 << 30)}
    code = "import ray; ray.init('auto', log_to_driver=False); print([n['Resources'] for n in ray.nodes()])"
    (head,) = compose.containers("head")
    told = docker("exec", head, "python", "-c", code).stdout
    assert re.findall(r"'CPU': ([\d.]+)", told) == ["1.0", "1.0"]
    assert re.findall(r"'memory': ([\d.]+)", told).count(str(float((4 << 30) - (512 << 20)))) == 2


def test_a_loop_of_ones_own_is_as_outside(shared: Sweep, tmp_path: Path) -> None:
    """The file lies in the folder of data, which the sweep's container mounts; workers mount nothing."""
    compose = shared.compose
    write_own_loop(compose.folder / "data")
    write_own_loop(tmp_path)
    succeeded(run("--task", "walk.py", *OWN_SWEEP, folder=tmp_path))
    sweep = compose.ask("own", "--task", "/data/walk.py", *OWN_SWEEP)
    compose.up(2)
    assert sweep.ended() == 0, sweep.said()
    assert {row["hostname"] for row in rows(sweep.results / HISTORY)} == set(compose.hostnames())
    assert walked(sweep.results) == walked(tmp_path / "results" / "walk")


# A worker that is killed in mid-trial


@dataclass(frozen=True)
class Bereft:
    """A sweep one of whose workers was killed and later replaced."""

    sweep: Sweep
    code: int
    killed: str  # hostname


@pytest.fixture(scope="module")
def bereft(shared: Sweep) -> Bereft:
    compose = shared.compose
    sweep = compose.ask("bereft", *SWEEP)
    compose.up(2)
    wait_for(lambda: len(set(re.findall(r"(\S+): epoch 2/", sweep.log()))) == 2, "two trials in their middle")
    victim = compose.containers("worker")[0]
    killed = inspected(victim)["Config"]["Hostname"]
    docker("kill", victim)
    wait_for(lambda: "its worker was lost" in sweep.log(), "the loss in the log")
    compose.up(2, "--no-recreate", "worker")
    return Bereft(sweep, sweep.ended(), killed)


def test_a_killed_worker_does_not_stop_the_sweep(bereft: Bereft, outside: Finished) -> None:
    assert bereft.code == 0, bereft.sweep.said()
    assert numbers(bereft.sweep.epochs()) == numbers(outside.epochs())


def test_at_most_one_epoch_of_the_lost_trial_is_trained_again(bereft: Bereft) -> None:
    epochs = trained(bereft.sweep.log())
    assert len(LRS) * EPOCHS <= epochs.total() <= len(LRS) * EPOCHS + 1


def test_the_log_says_what_happened(bereft: Bereft) -> None:
    ((name, epoch),) = re.findall(r"(\S+): its worker was lost; it goes on after epoch (\d)", bereft.sweep.log())
    assert going_on(bereft.sweep.log())[name] >= max(0, int(epoch) - 1)
    for noise in ("ray::", "raylet", "SIGKILL", "Traceback", "pid="):
        assert noise not in bereft.sweep.said()


# All of it stopped


def test_after_a_stop_of_all_it_goes_on_where_it_was(bereft: Bereft, outside: Finished) -> None:
    compose = bereft.sweep.compose
    sweep = compose.ask("stopped", *SWEEP)
    compose.up(2)
    wait_for(lambda: ": epoch 3/" in sweep.log(), "a third epoch")
    compose("stop")
    before = trained(sweep.log()).total()
    assert inspected(compose.containers("sweep")[0])["State"]["ExitCode"] == 130
    nodes = *compose.containers("head"), *compose.containers("worker")
    assert [inspected(name)["State"]["ExitCode"] for name in nodes] == [0, 0, 0]
    assert "interrupted; " in sweep.log()
    compose.up(2)
    assert sweep.ended() == 0, sweep.said()
    assert 3 <= before < len(LRS) * EPOCHS
    assert trained(sweep.log()).total() == len(LRS) * EPOCHS
    assert numbers(sweep.epochs()) == numbers(outside.epochs())


# Whoever has no token


def inside(compose: Compose, *command: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    """A command in a container of the cluster's network that has no token."""
    network = f"{compose.project}_default"
    return docker("run", "--rm", "--network", network, "--entrypoint", command[0], IMAGE, *command[1:], check=check)


def listening(name: str) -> dict[int, str]:
    """Port -> address, as the kernel writes it, of all that a container listens on beyond loopback."""
    lines = docker("exec", name, "cat", "/proc/net/tcp", "/proc/net/tcp6").stdout.splitlines()
    open_ = [line.split()[1].split(":") for line in lines if " 0A " in line]
    return {int(port, 16): address for address, port in open_ if not address.endswith(("0100007F", "01000000"))}


def test_a_command_without_the_token_is_refused_at_once(shared: Sweep) -> None:
    before = time.monotonic()
    done = inside(shared.compose, "tune-mnist", "run", "--dataset", "digits", "--address", "head:6379")
    assert time.monotonic() - before < 15
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: the Ray cluster at 'head:6379' asks for a token; set RAY_AUTH_MODE=token")


# One call of each of Ray's services; and what a port answers to them and to a browser, without a token.
PROBE = """
import sys, urllib.error, urllib.request, grpc
for port in sys.argv[1:]:
    for path in ("/api/jobs/", "/nodes?view=summary", "/api/v0/tasks", "/logs/", "/metrics"):
        try: print(port, path, urllib.request.urlopen(f"http://head:{port}{path}", timeout=2).status)
        except urllib.error.HTTPError as error: print(port, path, error.code)
        except Exception: print(port, path, "no HTTP")
    for call in CALLS:
        with grpc.insecure_channel(f"head:{port}") as channel:
            try: channel.unary_unary(call)(b"", timeout=2); print(port, call, "OK")
            except grpc.RpcError as error: print(port, call, error.code().name)
"""
CALLS = (
    "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "/ray.rpc.NodeManagerService/GetNodeStats",
    "/ray.rpc.ObjectManagerService/Push",
    "/ray.rpc.CoreWorkerService/PushTask",
    "/ray.rpc.ReporterService/GetTraceback",
    "/ray.rpc.RayletDriver/Schedule",
)


def test_no_port_of_the_head_answers_without_the_token(shared: Sweep) -> None:
    (head,) = shared.compose.containers("head")
    ports = sorted(listening(head))
    assert {6379, 8265} < set(ports)
    program = f"CALLS = {CALLS}\n{PROBE}"
    answers = inside(shared.compose, "python", "-c", program, *map(str, ports), check=True).stdout.splitlines()
    refusals = {answer.split(maxsplit=2)[2] for answer in answers}
    assert (
        {"401", "UNAUTHENTICATED"}
        <= refusals
        <= {"401", "no HTTP"} | {*("UNAUTHENTICATED", "UNIMPLEMENTED", "UNAVAILABLE", "DEADLINE_EXCEEDED")}
    )
    assert "6379 /ray.rpc.NodeInfoGcsService/GetAllNodeInfo UNAUTHENTICATED" in answers
    assert "8265 /api/jobs/ 401" in answers


def test_nothing_but_two_pages_is_open_outside(shared: Sweep) -> None:
    compose = shared.compose
    names = [name for service in ("head", "worker", "sweep", "tensorboard") for name in compose.containers(service)]
    published = "".join(docker("port", name).stdout for name in names)
    assert sorted(published.splitlines()) == ["6006/tcp -> 127.0.0.1:6006", "8265/tcp -> 127.0.0.1:8265"]
    for port in (6379, 10001):
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", port), 3).close()
    # From another network of the engine, by the head's own address.
    (head,) = compose.containers("head")
    (network,) = inspected(head)["NetworkSettings"]["Networks"].values()
    program = f"import socket; socket.create_connection(('{network['IPAddress']}', 6379), 3)"
    done = docker("run", "--rm", "--entrypoint", "python", IMAGE, "-c", program, check=False)
    assert done.returncode != 0
    assert "TimeoutError" in done.stderr or "refused" in done.stderr


def test_the_token_is_the_owners_alone_and_told_nowhere(shared: Sweep, compose: Compose) -> None:
    (head,) = compose.containers("head")
    assert docker("exec", head, "stat", "-c", "%a %u:%g", "/ray-token/token").stdout == f"600 {USER}\n"
    token = docker("exec", head, "cat", "/ray-token/token").stdout
    assert len(token) == 64
    names = [head, *compose.containers("worker"), *compose.containers("sweep")]
    for name in names:
        logged = docker("logs", name)
        assert token not in logged.stdout + logged.stderr
        assert token not in str(inspected(name))
        if name not in compose.containers("sweep"):
            lines = docker("exec", name, "sh", "-c", "cat /proc/[0-9]*/cmdline; grep -rl token= /tmp/ray || true")
            assert token not in lines.stdout
    kept = [path for path in shared.results.parent.rglob("*") if path.is_file()]
    assert [path for path in kept if token.encode() in path.read_bytes()] == []


# At the end, as it stops all


def test_up_ends_with_the_sweep_where_that_is_asked(shared: Sweep) -> None:
    compose = shared.compose
    ending = compose.ask("ending", "--dataset", "digits", "--set", "epochs=1", "--vary", "lr=0.01")
    compose("up", "--exit-code-from", "sweep", "--scale", "worker=1")
    nodes = *compose.containers("head"), *compose.containers("worker")
    assert [inspected(name)["State"]["ExitCode"] for name in nodes] == [0, 0]
    assert {row["epoch"] for row in ending.epochs()} == {"1"}
