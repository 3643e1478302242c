"""`tune-mnist cluster` and the pre-flight, on three machines over SSH: who is there, who is not and why, the end."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from conftest import Finished, run, succeeded, surroundings, under_way, wait_for
from machines import Machines, machines, need_ssh

pytestmark = [pytest.mark.alone, pytest.mark.timeout(900)]

NAME = "tune-mnist-test"
EPOCHS = 10  # so many that the second machine joins meanwhile
SWEEP = ("--dataset", "digits", "--set", "model=mlp", "--set", "batch_size=1", "--vary", "lr=0.01,0.02,0.05")
SHORT = ("--dataset", "digits", "--set", "model=mlp", "--set", "epochs=1", "--vary", "lr=0.01")
# In the place of a machine's python3, which has no network to install from: a pip that says and does what it is told.
PYTHON = """#!/bin/sh
case "$*" in
"-m venv "*) mkdir -p "$3/bin" && cp /opt/pip "$3/bin/pip" ;;
*ensurepip*) test -e /opt/no-ensurepip && set -- -c "${2%import*}import a_module_that_is_not_there" ;;
esac
case "$*" in "-m venv "*) ;; *) exec /opt/venv/bin/python3 "$@" ;; esac
"""
SLOW = "#!/bin/sh\necho Collecting torch\nexec sleep 3600\n"
FAILING = "#!/bin/sh\necho Collecting torch\necho 'ERROR: No matching distribution found for torch'\nexit 1\n"


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    need_ssh()
    with machines(tmp_path_factory.mktemp("machines"), 3) as made:
        yield made


def asked(hosts: Machines, action: str) -> Finished:
    return run("cluster", action, str(hosts.file), folder=hosts.folder, module="tune_mnist")


def sweep(hosts: Machines, store: str, *options: str) -> Finished:
    place = ("--store", f"{store}-store", "--output", f"results/{store}")
    return run("--cluster", str(hosts.file), *options, *place, folder=hosts.folder)


def write(hosts: Machines, number: int, path: str, text: str) -> None:
    hosts.on(number, f"cat >{path} <<'END'\n{text}END\nchmod +x {path}")


@contextmanager
def installs(hosts: Machines, number: int, pip: str) -> Iterator[None]:
    """A machine without an environment, which is made with this pip."""
    hosts.on(number, "rm -rf ~/tune-mnist/.venv")
    write(hosts, number, "/opt/pip", pip)
    write(hosts, number, "/usr/local/sbin/python3", PYTHON)
    try:
        yield
    finally:
        gone = "/opt/no-ensurepip /usr/local/sbin/python3 ~/tune-mnist/.venv ~/tune-mnist/setup.log"
        hosts.on(number, f"rm -rf {gone}; ln -s /opt/venv ~/tune-mnist/.venv")


def runs_of_set_ups(hosts: Machines, number: int) -> str:
    return hosts.on(number, "ps -ww -eo args= | grep -E '[s]leep 3600|[s]etup.sh' || true")


def nothing_runs(hosts: Machines) -> bool:
    return not hosts.ray_processes()


def test_before_it_starts_the_machines_are_asked(hosts: Machines) -> None:
    done = succeeded(sweep(hosts, "dry", *SHORT, "--dry-run"))
    lines = [line.split() for line in done.out.splitlines() if re.match(r"10\.213\.7\.1\d ", line)]
    assert [line[0] for line in lines] == [hosts.address(number) for number in (1, 2, 3)]
    for address, python, ray, cpus, gpus, memory, *_ in lines:
        assert re.fullmatch(r"3\.\d+\.\d+", python), address
        assert re.fullmatch(r"2\.\d+\.\d+", ray)
        assert (cpus, gpus, memory) == ("1", "0", "4.0")
    assert "with 3 trials side by side" in done.out
    assert nothing_runs(hosts)


def test_a_machine_that_is_away_is_in_the_table_and_not_in_the_forecast(hosts: Machines) -> None:
    hosts.kill(3)
    try:
        done = succeeded(sweep(hosts, "away", *SHORT, "--dry-run"))
    finally:
        hosts.start(3)
    assert re.search(rf"^{re.escape(hosts.address(3))} +cannot be reached by SSH: \S", done.out, re.MULTILINE)
    assert "with 2 trials side by side" in done.out


def test_a_cluster_that_is_down_is_told_to_be(hosts: Machines) -> None:
    down = f"{NAME} is down: no Ray runs on its head {hosts.address(1)}"
    assert succeeded(asked(hosts, "status")).out.splitlines()[-1] == down
    for action in ("logs", "stop"):
        done = asked(hosts, action)
        assert done.code == 1
        assert done.err.startswith(f"error: {down}; tune-mnist run --cluster {hosts.file} starts it")


@pytest.fixture(scope="module")
def kept(hosts: Machines) -> Iterator[Finished]:
    """A sweep that has ended on a cluster that stays up, one machine of which goes on installing."""
    with installs(hosts, 3, SLOW):
        yield succeeded(sweep(hosts, "kept", *SWEEP, "--set", f"epochs={EPOCHS}", "--keep"))


def test_a_sweep_says_who_joins_and_who_is_still_installing(hosts: Machines, kept: Finished) -> None:
    assert re.search(rf"^({re.escape(hosts.address(2))} has joined: )?2 of 3 machines$", kept.out, re.MULTILINE)
    assert re.search(rf"\d of 3 machines; {re.escape(hosts.address(3))} is installing \(\d", kept.out)
    assert f"tune-mnist cluster down {hosts.file} ends it" in kept.out


@pytest.mark.usefixtures("kept")
def test_the_status_names_machines_and_sweeps(hosts: Machines) -> None:
    out = succeeded(asked(hosts, "status")).out
    head, second, third = (re.escape(hosts.address(number)) for number in (1, 2, 3))
    assert f"{NAME}: 2 of 3 machines\n" in out
    assert re.search(rf"^  {head}  head, for \d", out, re.MULTILINE)
    assert re.search(rf"^  {second}  for \d", out, re.MULTILINE)
    assert re.search(rf"^  {third}  is installing \(\d.*\): Collecting torch$", out, re.MULTILINE)
    assert out.endswith("no sweep is running\n")


@pytest.mark.usefixtures("kept")
def test_the_logs_are_those_of_the_sweep(hosts: Machines) -> None:
    out = succeeded(asked(hosts, "logs")).out
    assert f"epoch {EPOCHS}/{EPOCHS}" in out
    for noise in ("\x1b", "\x02", "\r", "entrypoint", "Fetched IP"):
        assert noise not in out


@pytest.mark.usefixtures("kept")
def test_stop_interrupts_the_sweep_and_keeps_what_is_finished(hosts: Machines) -> None:
    place = ("--store", "stopped-store", "--output", "results/stopped")
    long = (*SWEEP, "--set", "epochs=2000", "--cluster", str(hosts.file), "--keep", *place)
    with under_way(*long, folder=hosts.folder) as started:
        wait_for(lambda: f"epoch {EPOCHS + 2}/" in (hosts.folder / "stdout.txt").read_text("utf-8"), "an epoch")
        assert re.search(r"1 sweep running\n  sweep-\S+  for \d", succeeded(asked(hosts, "status")).out)
        done = succeeded(asked(hosts, "stop"))
        ended = started.finished(60)
    assert re.search(r"^sweep-\S+ is interrupted; what is finished is kept there", done.out, re.MULTILINE)
    assert ended.code == 130, ended.out + ended.err
    assert len(list((hosts.folder / "stopped-store").glob("*/history.jsonl"))) >= 1
    assert f"no sweep is running on {NAME}" in succeeded(asked(hosts, "stop")).out


@pytest.mark.usefixtures("kept")
def test_down_ends_everything_a_set_up_too_and_says_so(hosts: Machines) -> None:
    assert "setup.sh" in runs_of_set_ups(hosts, 3)
    done = succeeded(asked(hosts, "down"))
    for number in (1, 2, 3):  # the third's set-up may have ended already, with the head's connection to it
        assert f"\n{hosts.address(number)}: ended" in done.out
    assert done.out.endswith(f"\n{NAME} is down\n")
    wait_for(lambda: runs_of_set_ups(hosts, 3) == "", "an end of the shell that the set-up ran in", 5)
    wait_for(lambda: nothing_runs(hosts), "an end of the sweeps' own processes", 30)
    assert hosts.on(1, "ls ~/ray_bootstrap_key.pem", check=False) == ""  # which opens every machine


def test_down_is_no_success_while_a_machine_cannot_be_asked(hosts: Machines) -> None:
    hosts.kill(2)
    try:
        done = asked(hosts, "down")
    finally:
        hosts.start(2)
    assert done.code == 1
    assert re.search(
        rf"^{re.escape(hosts.address(2))} cannot be reached by SSH \(.+\): what runs", done.err, re.MULTILINE
    )
    assert done.err.endswith(
        "\nerror: tune-mnist-test is not known to have ended everywhere; the same command tries again\n"
    )


@pytest.mark.chaos
def test_rays_own_command_ends_the_cluster_too(hosts: Machines) -> None:
    succeeded(sweep(hosts, "rays", *SHORT, "--keep"))
    assert not nothing_runs(hosts)
    command = [sys.executable, "-m", "ray.scripts.scripts", "down", "--yes", str(hosts.file)]
    said = subprocess.run(command, cwd=hosts.folder, env=surroundings(), capture_output=True, text=True, check=True)
    assert "Stopped" in said.stdout, said.stdout + said.stderr
    assert hosts.on(1, "pgrep -x 'raylet|gcs_server' || true") == ""
    raylets = "pgrep -x raylet || true"
    wait_for(lambda: not hosts.on(2, raylets), "an end of the worker, which notices that its head is gone", 180)
    succeeded(asked(hosts, "down"))  # what Ray leaves there beside its raylet
    assert nothing_runs(hosts)


def test_a_machine_without_ensurepip_is_refused_before_anything_starts(hosts: Machines) -> None:
    with installs(hosts, 3, SLOW):
        hosts.on(3, "touch /opt/no-ensurepip")
        done = sweep(hosts, "ensurepip", *SHORT)
    assert done.code == 2
    said = rf"error: {re.escape(hosts.address(3))} has a Python without ensurepip.*; apt install python3-venv there"
    assert re.search(f"^{said}", done.err, re.MULTILINE), done.err
    assert nothing_runs(hosts)


@pytest.mark.chaos
def test_a_worker_that_fails_to_install_is_named_with_its_last_lines(hosts: Machines) -> None:
    with installs(hosts, 3, FAILING):
        done = succeeded(sweep(hosts, "failing", *SWEEP, "--set", f"epochs={EPOCHS}"))
    failed = (
        f"{hosts.address(3)} failed to install: Collecting torch / ERROR: No matching distribution found for torch\n"
    )
    assert done.out.count(failed) == 1


def test_a_head_that_fails_to_install_is_named_with_its_last_lines(hosts: Machines) -> None:
    with installs(hosts, 1, FAILING):
        done = sweep(hosts, "head", *SHORT)
    assert done.code == 1
    assert f"error: {hosts.address(1)} failed to install: Collecting torch / ERROR: No matching" in done.err
    assert f"may be up in part; tune-mnist cluster down {hosts.file} ends what was started" in done.err
    succeeded(asked(hosts, "down"))


def test_a_machine_with_another_host_key_is_not_spoken_to(hosts: Machines) -> None:
    known = hosts.file.with_suffix(".known_hosts")
    assert known.is_file()
    hosts.on(3, "rm /etc/ssh/ssh_host_* && ssh-keygen -A && kill -HUP 1")
    done = sweep(hosts, "other", *SHORT)
    assert done.code == 2
    forget = f"ssh-keygen -R {hosts.address(3)} -f {known}"
    assert (
        f"error: {hosts.address(3)}: its host key is not the one of before; if it was made anew: {forget}\n" in done.err
    )
    assert nothing_runs(hosts)
    subprocess.run(forget.split(), capture_output=True, check=True)
    succeeded(sweep(hosts, "other", *SHORT, "--dry-run"))
