"""Machines of one's own, without an engine: what they say of themselves, what is said of them, and their set-up."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Finished, run, wait_for

from tune_mnist.commands.cluster import status_lines
from tune_mnist.errors import ClusterError, UserError
from tune_mnist.remote import joining
from tune_mnist.remote.ending import end
from tune_mnist.remote.hosts import Host, ask, check, doubts, faults, heard
from tune_mnist.remote.joining import News
from tune_mnist.remote.preflight import side_by_side, table, would_start
from tune_mnist.remote.ssh import Way
from tune_mnist.tuning.resources import Asked, choose

RAY, GB = version("ray"), 1 << 30
READY = Host("10.0.0.1", RAY, "3.11.9", cpus=8, memory=32 * GB, disk=100 * GB)
NEW = Host("10.0.0.2", None, "3.11.9", makes_venv=True, cpus=8, memory=32 * GB, disk=100 * GB)
# In ssh's place, for machines that are folders here: an address is the name of one, which is home there.
SSH = """#!/bin/sh
for one; do case $one in *@*) address=${one#*@} ;; esac; done
test -d "$MACHINES/$address" || { echo "ssh: connect to host $address port 22: No route to host" >&2; exit 255; }
if [ -e "$MACHINES/$address/other" ]; then echo '@@@' >&2; echo 'Host key verification failed.' >&2; exit 255; fi
HOME=$MACHINES/$address exec bash -s
"""
PIP = "#!/bin/sh\necho Collecting torch\n{}\n"
PYTHON = """#!/bin/sh
case "$*" in
"-m venv "*) mkdir -p "$3/bin"; cp "$HOME/pip" "$3/bin/pip"; printf '#!/bin/sh\\n' >"$3/bin/ray"; chmod +x "$3"/bin/* ;;
*platform*) echo 'python 3.11.9'; test -e "$HOME/no-ensurepip" || echo venv ;;
*ensurepip*) test ! -e "$HOME/no-ensurepip" || { echo "ModuleNotFoundError: No module named 'ensurepip'"; exit 1; } ;;
esac
"""


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine at the address `one` that has been sent a cluster's files; what its pip does is to be said."""
    executable(tmp_path / "bin" / "ssh", SSH)
    executable(tmp_path / "bin" / "python3", PYTHON)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("MACHINES", str(tmp_path / "machines"))
    home = tmp_path / "machines" / "one"
    (home / "tune-mnist").mkdir(parents=True)
    (home / "tune-mnist" / "setup.sh").write_bytes((ROOT / "cluster" / "setup.sh").read_bytes())
    return home


@pytest.fixture
def way(tmp_path: Path) -> Way:
    return Way({"ssh_user": "somebody", "ssh_private_key": "~/key"}, tmp_path / "known_hosts")


@contextmanager
def set_up(home: Path, pip: str) -> Iterator[subprocess.Popen[bytes]]:
    """The machine's set-up, with a pip that does this; in a process group of its own, as a terminal's shell has it."""
    executable(home / "pip", PIP.format(pip))
    around = {**os.environ, "HOME": str(home)}
    script = str(home / "tune-mnist" / "setup.sh")
    process = subprocess.Popen(["bash", script], env=around, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


# A machine's set-up


def test_a_set_up_makes_an_environment_once(machine: Path, way: Way) -> None:
    assert ask("one", way).state.startswith("has not joined")  # whether some Ray runs here or not
    with set_up(machine, "exit 0") as process:
        assert process.wait(10) == 0
    executable(machine / "pip", PIP.format("exit 1"))
    with set_up(machine, "exit 1") as process:  # there is nothing to be done
        assert process.wait(10) == 0


@pytest.mark.long
def test_a_set_up_tells_how_far_it_is_and_can_be_ended(machine: Path, way: Way) -> None:
    with set_up(machine, "sleep 600") as process:
        wait_for(lambda: "Collecting" in ask("one", way).said, "its first line", 20)
        assert ask("one", way).state.startswith("is installing (")
        assert ask("one", way).state.endswith("s): Collecting torch")
        end("one", way)
        assert process.wait(10) != 0
    found = ask("one", way)
    assert (found.installing, found.failed, found.ray) == (None, False, None)  # half an environment is none
    with set_up(machine, "exit 0") as process:
        assert process.wait(10) == 0
    assert not (machine / "tune-mnist" / ".venv" / "unfinished").exists()


def test_a_set_up_that_fails_says_why(machine: Path, way: Way) -> None:
    with set_up(machine, "echo 'ERROR: no space left'; exit 1") as process:
        assert process.wait(10) == 1
    assert ask("one", way).state == "failed to install: Collecting torch / ERROR: no space left"
    with set_up(machine, "exit 0") as process:
        assert process.wait(10) == 0
    assert not ask("one", way).failed


@pytest.mark.long
def test_the_end_removes_what_is_to_be_forgotten(machine: Path, way: Way) -> None:
    """Unless some Ray of this user's goes on here, as in another test; then it is told."""
    key = machine / "key.pem"
    key.touch()
    ended = end("one", way, str(key))
    assert ended.wrong == key.exists()
    assert ended.line == "one: ended" if not ended.wrong else "would not end" in ended.line


# What a machine says


def test_a_machine_without_ensurepip_says_so(machine: Path, way: Way) -> None:
    assert ask("one", way).makes_venv
    (machine / "no-ensurepip").touch()
    found = ask("one", way)
    assert (found.python, found.makes_venv) == ("3.11.9", False)
    (fault,) = faults([found])
    assert fault == (
        "one has a Python without ensurepip, which makes ~/tune-mnist/.venv; "
        "apt install python3-venv there, or what has it in its Linux"
    )


@pytest.mark.usefixtures("machine")
def test_this_machine_says_what_it_has(way: Way) -> None:
    found = ask("one", way)
    assert 1 <= found.cpus <= (os.cpu_count() or 1)
    assert 0 < found.memory <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert found.disk > 0
    assert abs(found.ahead) < 5


def test_a_machine_has_the_cpus_and_the_memory_of_its_control_group() -> None:
    said = "cpus 16\nmemory 33554432\nquota 150000 100000\nlimit 4294967296\nlimit max\ngpus 2\ndisk 1024\n"
    found = heard("a", said, 0.0)
    assert (found.cpus, found.memory, found.gpus, found.disk) == (1, 4 * GB, 2, 1 << 20)
    free = heard("a", said.replace("150000", "max").replace("4294967296", "max"), 0.0)
    assert (free.cpus, free.memory) == (16, 32 * GB)


def test_a_clock_is_ahead_by_what_it_says_more_than_ours() -> None:
    assert heard("a", "clock 1060.500000000\n", 1000.0).ahead == 60.5
    assert heard("a", "clock 1060.%N\n", 1000.0).ahead == 0.0


def test_noise_of_a_login_is_no_answer() -> None:
    assert heard("a", "Welcome to a\n\nRay of light\n", 0.0) == Host("a")


def test_a_machine_that_is_away_says_why(machine: Path, way: Way) -> None:
    away = ask("two", way)
    assert away.state == "cannot be reached by SSH: ssh: connect to host two port 22: No route to host"
    (machine / "other").touch()
    other = ask("one", way)
    assert other.is_other
    assert other.error == (
        f"its host key is not the one of before; if it was made anew: ssh-keygen -R one -f {way.known_hosts}"
    )
    assert "is not known" in end("two", way).line
    assert end("two", way).wrong


# What is refused, and what is doubted


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (replace(NEW, ray="2.0.0"), f"10.0.0.2 has Ray 2.0.0, this machine Ray {RAY}; install one version everywhere"),
        (replace(NEW, python="3.12.1"), "10.0.0.2 has Python 3.12.1, 10.0.0.1 Python 3.11.9; use one version on all"),
        (replace(NEW, python="3.9.2"), "10.0.0.2 has Python 3.9.2; install one of 3.10 to 3.13 there"),
        (replace(NEW, python=None), "10.0.0.2 has no python3; install one of 3.10 to 3.13 there"),
        (
            replace(NEW, makes_venv=False),
            "10.0.0.2 has a Python without ensurepip, which makes ~/tune-mnist/.venv; apt",
        ),
        (Host("10.0.0.2", error="it is another", is_other=True), "10.0.0.2: it is another"),
    ],
)
def test_what_no_cluster_is_made_with_is_one_line(host: Host, said: str, tmp_path: Path) -> None:
    (fault,) = faults([READY, host])
    assert fault.startswith(said)
    assert not list(faults([READY, NEW]))
    config = {"cluster_name": "none-of-this-name", "provider": {"head_ip": "10.0.0.1"}}
    with pytest.raises(UserError) as error:
        check([READY, host], config, tmp_path / "a.yaml")
    assert str(error.value) == fault


def test_a_worker_may_be_away_and_the_head_may_not(tmp_path: Path) -> None:
    away = Host("10.0.0.2", error="no answer in 20 s")
    config = {"cluster_name": "none-of-this-name", "provider": {"head_ip": "10.0.0.1"}}
    check([READY, away], config, tmp_path / "a.yaml")
    with pytest.raises(ClusterError, match=r"the head 10\.0\.0\.2 of .*a\.yaml cannot be reached by SSH: no answer"):
        check([away, READY], config, tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (
            replace(NEW, disk=3 * GB),
            "has 3.0 GB of disk free, and ~/tune-mnist/.venv takes up to 8 GB; free some there",
        ),
        (replace(NEW, memory=GB), "has 1.0 GB of memory, and Ray and one trial take 2 GB; leave it out of the file"),
        (replace(NEW, ahead=61.2), "clock is 61 s ahead of this machine's; set them by the network"),
        (replace(NEW, ahead=-8.0), "clock is 8 s behind this machine's; set them by the network"),
    ],
)
def test_what_a_cluster_may_fail_for_is_named_with_the_way_out(host: Host, said: str) -> None:
    (doubt,) = doubts([READY, host])
    assert said in doubt
    assert doubt.startswith("10.0.0.2")
    assert not list(doubts([READY, NEW, replace(READY, disk=3 * GB), Host("10.0.0.3", error="away")]))


# Before it starts


def test_the_table_has_a_line_for_each_machine() -> None:
    lines = table([READY, NEW, Host("10.0.0.3", error="No route to host")])
    assert [" ".join(line.split()) for line in lines] == [
        "machine Python Ray CPUs GPUs memory disk free clock",
        f"10.0.0.1 3.11.9 {RAY} 8 0 32.0 GB 100 GB +0.0 s",
        "10.0.0.2 3.11.9 to install 8 0 32.0 GB 100 GB +0.0 s",
        "10.0.0.3 cannot be reached by SSH: No route to host",
    ]
    assert len({line.index("3.11.9") for line in lines[1:3]}) == 1


def test_trials_fit_each_machine_by_cpus_and_memory() -> None:
    asked = choose(Asked(device="cpu", cpus=2), local=False)
    small, away = replace(NEW, memory=4 * GB), Host("10.0.0.3", cpus=64, error="away")
    assert side_by_side([READY, NEW, away], asked) == (8, [])
    assert side_by_side([READY, small], asked) == (7, ["10.0.0.2: 4.0 GB of memory: 3 trials side by side, not 4"])
    assert side_by_side([READY, NEW], replace(asked, max_concurrent=5)) == (5, [])
    lone = replace(NEW, cpus=1)
    assert side_by_side([READY, lone], asked) == (4, ["10.0.0.2: a trial asks for 2 CPU; none runs there"])
    gpus = choose(Asked(gpus=0.5), local=False)
    count, (said,) = side_by_side([READY, replace(NEW, gpus=2)], gpus)
    assert (count, said) == (4, "10.0.0.1: a trial asks for 1 CPU and 0.5 GPU; none runs there")


@pytest.mark.parametrize(
    ("cloud", "said"),
    [
        (
            "aws",
            "would start on aws in us-west-2: m6i.large as the head, up to 8 × c6i.4xlarge (16 CPU) "
            "and up to 8 × g4dn.xlarge (4 CPU, 1 GPU); 8 workers at the most",
        ),
        (
            "gcp",
            "would start on gcp in us-west1: n2-standard-2 as the head, up to 8 × n2-standard-16 (16 CPU) "
            "and up to 8 × n1-standard-4 (4 CPU, 1 GPU); 8 workers at the most",
        ),
    ],
)
def test_of_a_cloud_it_is_said_what_would_start(cloud: str, said: str) -> None:
    assert would_start(yaml.safe_load((ROOT / "cluster" / f"{cloud}.yaml").read_text("utf-8"))) == said


# Who joins


def test_each_machine_that_joins_is_named_with_the_count() -> None:
    news = News(3)
    assert news.lines([], [NEW, replace(NEW, address="10.0.0.3")]) == ["1 of 3 machines"]
    assert news.lines([], [NEW, replace(NEW, address="10.0.0.3")]) == []
    assert news.lines(["10.0.0.2"], [replace(NEW, address="10.0.0.3")]) == ["10.0.0.2 has joined: 2 of 3 machines"]
    assert news.lines(["10.0.0.2", "10.0.0.3"], []) == ["10.0.0.3 has joined: 3 of 3 machines"]
    assert News(3).lines(["10.0.0.2", "10.0.0.3"], []) == ["3 of 3 machines"]
    two = News(3)
    two.lines([], [])
    assert two.lines(["10.0.0.3", "10.0.0.2"], []) == ["10.0.0.2 and 10.0.0.3 have joined: 3 of 3 machines"]


def test_who_installs_is_named_at_once_and_then_each_minute() -> None:
    news, said = News(3), list[str]()
    for seconds in range(0, 190, 5):
        said += news.lines(["10.0.0.3"], [replace(NEW, installing=float(seconds), said="Collecting torch")])
    assert said == [
        "2 of 3 machines",
        "2 of 3 machines; 10.0.0.2 is installing (0 s): Collecting torch",
        "2 of 3 machines; 10.0.0.2 is installing (1 min 00 s): Collecting torch",
        "2 of 3 machines; 10.0.0.2 is installing (2 min 00 s): Collecting torch",
        "2 of 3 machines; 10.0.0.2 is installing (3 min 00 s): Collecting torch",
    ]


def test_who_failed_is_named_once_however_often_the_head_tries_again() -> None:
    news, failed = News(2), replace(NEW, failed=True, said="ERROR: no space left")
    assert news.lines([], [failed]) == ["1 of 2 machines", "10.0.0.2 failed to install: ERROR: no space left"]
    assert news.lines([], [replace(NEW, installing=1.0)]) == []
    assert news.lines([], [failed]) == []
    assert news.lines(["10.0.0.2"], []) == ["10.0.0.2 has joined: 2 of 2 machines"]


def test_who_does_not_come_is_named_after_a_minute() -> None:
    news = News(2, begin=time.monotonic() - 61)
    assert news.lines([], [replace(NEW, raylet=True)]) == [
        "1 of 2 machines",
        "1 of 2 machines; 10.0.0.2 has not joined, though Ray runs there (1 min 01 s)",
    ]


def test_a_head_says_who_joins(machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a head: its cluster file in its home, and Ray's answers."""
    (machine.parent / "127.0.0.1").symlink_to(machine)
    config: dict[str, Any] = {"provider": {"type": "local", "head_ip": "127.0.0.2", "worker_ips": ["127.0.0.1"]}}
    config["auth"] = {"ssh_user": "somebody"}
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config), "utf-8")
    monkeypatch.setattr(joining, "CONFIG", file)
    monkeypatch.setattr(joining, "LOOK_S", 0.05)
    there, said = set[str](), list[str]()
    with joining.watched(said.append, lambda: there):
        wait_for(lambda: bool(said), "a first line", 20)
        there.add("127.0.0.1")
        wait_for(lambda: len(said) > 1, "a second line", 20)
    assert said == ["1 of 2 machines", "127.0.0.1 has joined: 2 of 2 machines"]


# What the command says


def test_the_status_of_a_cluster_that_is_up() -> None:
    found = {
        "machines": [
            {"address": "10.0.0.2", "head": False, "seconds": 65.0},
            {"address": "10.0.0.1", "head": True, "seconds": 125.0},
        ],
        "jobs": [{"name": "sweep-0123456789-1", "seconds": 61.0}],
    }
    third = replace(NEW, address="10.0.0.3", installing=80.0, said="Collecting torch")
    assert list(status_lines("mine", [READY, NEW, third], found)) == [
        "mine: 2 of 3 machines",
        "  10.0.0.1  head, for 2 min 05 s",
        "  10.0.0.2  for 1 min 05 s",
        "  10.0.0.3  is installing (1 min 20 s): Collecting torch",
        "1 sweep running",
        "  sweep-0123456789-1  for 1 min 01 s",
    ]
    cloud = list(status_lines("mine", [], {**found, "jobs": []}))
    assert (cloud[0], cloud[-1]) == ("mine: 2 machines", "no sweep is running")


def test_the_status_of_a_cluster_that_is_down_names_what_goes_on_all_the_same() -> None:
    third = Host("10.0.0.3", error="No route to host")
    assert list(status_lines("mine", [READY, replace(NEW, raylet=True), third], None)) == [
        "mine is down: no Ray runs on its head 10.0.0.1",
        "  10.0.0.2  has not joined, though Ray runs there",
        "  10.0.0.3  cannot be reached by SSH: No route to host",
    ]


def refused(folder: Path, *arguments: str) -> str:
    done: Finished = run("cluster", *arguments, folder=folder, module="tune_mnist")
    assert done.code == 2
    return done.err


def test_what_is_wrong_with_the_command_is_one_line(tmp_path: Path) -> None:
    assert refused(tmp_path, "stat", "a.yaml") == (
        "error: unknown action 'stat' (did you mean 'status'?); choose from: status, logs, stop, down\n"
    )
    assert "cluster file 'a.yaml' cannot be read: No such file or directory" in refused(tmp_path, "down", "a.yaml")
    file = tmp_path / "a.yaml"
    file.write_text("cluster_name: a\nprovider: {type: local}\n", "utf-8")
    asked = "a.yaml needs provider.head_ip and auth.ssh_user, as cluster/onprem.yaml has them"
    assert asked in refused(tmp_path, "down", "a.yaml")
    file.write_text("cluster_name: a\nprovider: {type: local, head_ip: b}\nauth: {ssh_user: c}\n", "utf-8")
    assert "needs provider.worker_ips, a list of addresses; [] for none" in refused(tmp_path, "down", "a.yaml")
