"""`run --cluster` on three machines over SSH: started, lost in parts, brought down. Real SSH, real `ray up`."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import (
    HISTORY,
    ROOT,
    Finished,
    Rows,
    UnderWay,
    mnist_folder,
    numbers,
    rows,
    run,
    succeeded,
    trained,
    under_way,
    wait_for,
)
from engine import IMAGE, docker
from machines import HOST, Machines, machines, need_ssh
from tasks import OWN_SWEEP, walked, write_own_loop

pytestmark = [pytest.mark.alone, pytest.mark.timeout(900)]

# So long that the workers join, and that there is a middle to lose a machine in.
EPOCHS, LRS = 20, ("0.01", "0.02", "0.05")
SWEEP = ("--dataset", "digits", "--set", "model=mlp", "--set", "batch_size=2", "--set", f"epochs={EPOCHS}")
VARIED = (*SWEEP, "--vary", f"lr={','.join(LRS)}")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    need_ssh()
    with machines(tmp_path_factory.mktemp("machines"), 3) as made:
        yield made


def on(hosts: Machines, store: str, *options: str) -> tuple[str, ...]:
    """The options of a sweep on the machines, with a store and a folder of its own."""
    place = ("--store", f"{store}-store", "--output", f"results/{store}")
    return ("--cluster", str(hosts.file), *options, *place)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The same sweep on this machine."""
    return succeeded(run(*VARIED, folder=tmp_path_factory.mktemp("here")))


@pytest.fixture(scope="module")
def away(hosts: Machines) -> Finished:
    """The sweep on the three machines; the cluster stays up."""
    return succeeded(run(*on(hosts, "away", *VARIED, "--keep"), folder=hosts.folder))


def epochs_of(hosts: Machines, name: str) -> Rows:
    return rows(hosts.folder / "results" / name / HISTORY)


@pytest.mark.usefixtures("away")
def test_a_sweep_runs_on_all_machines_and_comes_home_bit_for_bit(hosts: Machines, here: Finished) -> None:
    epochs = epochs_of(hosts, "away")
    assert {row["hostname"] for row in epochs} == {"machine-1", "machine-2", "machine-3"}
    assert numbers(epochs) == numbers(here.epochs())
    assert (hosts.folder / "results" / "away" / "report.html").exists()
    assert len(list((hosts.folder / "away-store").glob("*/run.json"))) == len(LRS)


def test_the_command_shows_what_the_job_says(away: Finished) -> None:
    assert f"epoch {EPOCHS}/{EPOCHS}" in away.out
    assert "stays up (--keep)" in away.out
    assert "report: results/away/report.html" in away.out  # where it comes home
    for noise in ("\x1b", "\x02", "Fetched IP", "Traceback", "raylet", "sdk.py", "job_manager", "entrypoint"):
        assert noise not in away.out


@pytest.mark.usefixtures("away")
def test_every_machine_of_the_file_is_a_node(hosts: Machines) -> None:
    """Version 2 of Ray's autoscaler starts the first worker alone."""
    code = "import ray; ray.init('auto', log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
    said = hosts.on(1, f'RAY_AUTH_MODE=token /opt/venv/bin/python -c "{code}" 2>/dev/null')
    assert said.split()[-1] == "3"


@pytest.mark.usefixtures("away")
def test_nobody_without_the_token_is_answered(hosts: Machines) -> None:
    assert hosts.on(1, "stat -c %a ~/.ray/auth_token") == "600\n"
    status = hosts.on(
        2, f"curl -s -o /dev/null -w %{{http_code}} http://{hosts.address(1)}:8265/api/jobs/ || true", False
    )
    assert status in ("", "000")  # the dashboard is on the head's loopback alone


def in_their_middle(hosts: Machines, started: UnderWay) -> str:
    """Wait until all three trials are in their middle; what the command has shown then."""

    def shown() -> str:
        out = (hosts.folder / "stdout.txt").read_text("utf-8")
        assert started.process.poll() is None, out + (hosts.folder / "stderr.txt").read_text("utf-8")
        return out

    wait_for(lambda: len(set(re.findall(r"(\S+): epoch 1/", shown()))) == len(LRS), "three trials in their middle")
    return shown()


def log_of(hosts: Machines, name: str) -> str:
    """As much of it as has come home, or nothing yet."""
    return "".join(path.read_text("utf-8") for path in (hosts.folder / "results" / name).glob("*_experiments.log"))


@pytest.fixture
def emptied(hosts: Machines, away: Finished) -> Machines:
    """Machines of a cluster that is up, whose head has nothing stored: what it stores is not trained again."""
    assert away.code == 0
    hosts.on(1, "rm -rf ~/tune-mnist/results ~/tune-mnist/inbox")
    return hosts


def lost_at_most(hosts: Machines, name: str, epochs: int) -> None:
    counted = trained(log_of(hosts, name)).total()
    assert EPOCHS * len(LRS) <= counted <= EPOCHS * len(LRS) + epochs


def test_a_killed_and_restarted_machine_costs_an_epoch(emptied: Machines, here: Finished) -> None:
    hosts = emptied
    with under_way(*on(hosts, "killed", *VARIED, "--keep"), folder=hosts.folder) as started:
        in_their_middle(hosts, started)
        hosts.kill(2)
        time.sleep(10)
        hosts.start(2)
        done = started.finished()
    assert done.code == 0, done.out + done.err
    assert "its worker was lost" in log_of(hosts, "killed")
    lost_at_most(hosts, "killed", 1)
    assert numbers(epochs_of(hosts, "killed")) == numbers(here.epochs())


@pytest.mark.chaos
def test_a_lost_connection_does_not_stop_the_job(emptied: Machines, tmp_path: Path) -> None:
    """The loop is one that sleeps: it is under way, on however quick a machine, when the second command gets there."""
    hosts, epochs = emptied, 45
    asked = ("--task", "walk.py", "--set", f"epochs={epochs}", "--vary", "rate=0.1,0.2,0.3")
    write_own_loop(hosts.folder, seconds=2)
    write_own_loop(tmp_path, seconds=0)
    with under_way(*on(hosts, "connection", *asked, "--keep"), folder=hosts.folder) as started:
        in_their_middle(hosts, started)
        started.process.send_signal(signal.SIGKILL)
        started.process.wait()
    assert any("tune_mnist.run" in line for line in hosts.ray_processes())
    done = run(*on(hosts, "connection", *asked, "--keep"), folder=hosts.folder)
    assert done.code == 0, done.out + done.err
    assert "attaching to the sweep that runs" in done.out
    assert trained(log_of(hosts, "connection"), "val loss").total() == epochs * 3
    succeeded(run(*asked, folder=tmp_path))
    assert walked(hosts.folder / "results" / "connection") == walked(tmp_path / "results" / "walk")


@pytest.mark.chaos
def test_a_cut_network_costs_an_epoch(emptied: Machines, here: Finished) -> None:
    hosts = emptied
    with under_way(*on(hosts, "cut", *VARIED, "--keep"), folder=hosts.folder) as started:
        in_their_middle(hosts, started)
        hosts.cut(3)
        time.sleep(60)
        hosts.mend(3)
        done = started.finished()
    assert done.code == 0, done.out + done.err
    lost_at_most(hosts, "cut", 1)
    assert numbers(epochs_of(hosts, "cut")) == numbers(here.epochs())


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_losses_one_after_another_cost_an_epoch_each(hosts: Machines, away: Finished, tmp_path: Path) -> None:
    """Longer: a worker is killed and comes back, another's network is cut and mended, twice each.

    The loop is one that sleeps: what is tried takes minutes, and other tests want the processors.
    """
    assert away.code == 0
    epochs, rates = 120, "0.1,0.2,0.3"
    asked = ("--task", "walk.py", "--set", f"epochs={epochs}", "--vary", f"rate={rates}")
    write_own_loop(hosts.folder, seconds=2)
    write_own_loop(tmp_path, seconds=0)

    def counted() -> int:
        return trained(log_of(hosts, "losses"), "val loss").total()

    def reach(more: int) -> None:
        enough = counted() + more
        wait_for(lambda: counted() >= enough, f"{more} more epochs", 240)

    with under_way(*on(hosts, "losses", *asked, "--keep"), folder=hosts.folder) as started:
        for _ in range(2):
            reach(20)
            hosts.kill(2)
            time.sleep(10)
            hosts.start(2)
            reach(20)
            hosts.cut(3)
            time.sleep(30)
            hosts.mend(3)
        done = started.finished()
    assert done.code == 0, done.out + done.err
    assert epochs * 3 <= counted() <= epochs * 3 + 4
    succeeded(run(*asked, folder=tmp_path))
    assert walked(hosts.folder / "results" / "losses") == walked(tmp_path / "results" / "walk")


def test_a_dead_head_is_named_and_the_command_goes_on_from_there(emptied: Machines, here: Finished) -> None:
    hosts = emptied
    with under_way(*on(hosts, "head", *VARIED), folder=hosts.folder) as started:
        before = trained(in_their_middle(hosts, started)).total()
        hosts.kill(1)
        killed = time.monotonic()
        done = started.finished(90)
    assert time.monotonic() - killed < 60
    assert done.code == 1
    assert re.search(r"^error: the head of tune-mnist-test is lost", done.err, re.MULTILINE), done.err
    assert before >= len(LRS)
    hosts.start(1)
    again = succeeded(run(*on(hosts, "head", *VARIED), folder=hosts.folder))
    assert numbers(epochs_of(hosts, "head")) == numbers(here.epochs())
    assert "epochs in the store" in again.out


def test_a_loop_of_ones_own_comes_home_as_it_is_here(hosts: Machines, tmp_path: Path) -> None:
    """Its code travels, helper and all; what it printed comes home, too."""
    write_own_loop(hosts.folder)
    write_own_loop(tmp_path)
    succeeded(run("--task", "walk.py", *OWN_SWEEP, folder=tmp_path))
    done = succeeded(run(*on(hosts, "own", "--task", "walk.py", *OWN_SWEEP), folder=hosts.folder))
    assert "val loss" in done.out
    there = hosts.folder / "results" / "own"
    assert walked(there) == walked(tmp_path / "results" / "walk")
    assert len(walked(there)) == 4 * 10
    assert len(list((there / "logs").glob("*.txt"))) == 4


def test_ray_down_leaves_nothing(hosts: Machines) -> None:
    """The command before ended without --keep."""
    wait_for(lambda: not hosts.ray_processes(), "nothing of Ray's left on the machines", 90)


@pytest.mark.chaos
def test_real_mnist_on_three_machines(hosts: Machines, tmp_path: Path) -> None:
    data = mnist_folder()
    asked = ("--dataset", "mnist", "--data-dir", str(data), "--set", "train_size=1024", "--set", "epochs=1", "--vary")
    succeeded(run(*on(hosts, "mnist", *asked, "lr=0.01,0.02,0.05"), folder=hosts.folder))
    local = succeeded(run(*asked, "lr=0.01,0.02,0.05", folder=tmp_path))
    assert numbers(epochs_of(hosts, "mnist")) == numbers(local.epochs())
    assert {row["hostname"] for row in epochs_of(hosts, "mnist")} == {"machine-1", "machine-2", "machine-3"}


def test_two_versions_of_ray_are_named_before_anything_starts(hosts: Machines) -> None:
    found = hosts.on(3, "echo /opt/venv/lib/python3*/site-packages/ray-*.dist-info/METADATA").strip()
    hosts.on(3, f"sed -i.kept 's/^Version: .*/Version: 2.49.0/' {found}")
    done = run(*on(hosts, "versions", *VARIED), folder=hosts.folder)
    hosts.on(3, f"mv {found}.kept {found}")
    assert done.code == 2
    assert re.search(rf"^error: {hosts.address(3)} has Ray 2\.49\.0, this machine Ray \d", done.err), done.err
    assert not hosts.ray_processes()


def test_machines_made_anew_at_the_same_addresses_are_noticed(hosts: Machines) -> None:
    state = Path("/tmp/ray/cluster-tune-mnist-test.state")
    state.write_text(state.read_text().replace('"terminated"', '"running"'))
    hosts.make(1)
    done = run(*on(hosts, "anew", *VARIED), folder=hosts.folder)
    assert done.code == 2
    assert f"it was made anew; remove {state} and give the command again" in done.err


@pytest.mark.chaos
@pytest.mark.parametrize("cloud", ["aws", "gcp"])
def test_what_a_cloud_file_starts_on_its_machines(hosts: Machines, here: Finished, cloud: str) -> None:
    """All of the file but the cloud: its container, set-up and start, on a machine of ours that has Docker."""
    config = yaml.safe_load((ROOT / "cluster" / f"{cloud}.yaml").read_text("utf-8"))
    own = yaml.safe_load(hosts.file.read_text("utf-8"))
    for name in ("available_node_types", "head_node_type", "max_workers", "upscaling_speed", "idle_timeout_minutes"):
        del config[name]
    config |= {"cluster_name": f"tune-mnist-test-{cloud}", "auth": own["auth"], "provider": own["provider"]}
    config["provider"]["worker_ips"] = []
    config["docker"] |= {"image": IMAGE, "pull_before_run": False, "container_name": f"tune-mnist-{cloud}"}
    (install,) = (command for command in config["head_setup_commands"] if "pip" in command)
    config["head_setup_commands"].remove(install)  # of the package for the cloud's API, from the network
    file = hosts.file.with_name(f"{cloud}.yaml")
    file.write_text(yaml.safe_dump(config), "utf-8")
    Path("/tmp/ray_tmp_mount").mkdir(exist_ok=True)
    hosts.make(1, *(f"--volume={path}:{path}" for path in HOST))
    try:
        options = ("--cluster", str(file), *VARIED, "--store", f"{cloud}-store", "--output", f"results/{cloud}")
        succeeded(run(*options, folder=hosts.folder))
        assert numbers(epochs_of(hosts, cloud)) == numbers(here.epochs())
        assert f"tune-mnist-{cloud}" not in docker("ps", "--format", "{{.Names}}").stdout.split()
    finally:
        docker("rm", "-f", f"tune-mnist-{cloud}", check=False)
