"""Machines of one's own as they say they are: can a cluster be made of them, and are they those that Ray knows?"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tune_mnist.display.log import log
from tune_mnist.errors import ClusterError, UserError
from tune_mnist.remote.ssh import OtherMachine, Unreachable, Way, addresses, everywhere, way_of
from tune_mnist.tuning.resources import RAY_BYTES, TRIAL_BYTES
from tune_mnist.words import clock

PYTHONS = ((3, 10), (3, 13))  # that there are locked packages for
VENV_BYTES = 8 << 30  # of ~/tune-mnist/.venv and what it is made from
CLOCK_S = 5.0  # by which clocks may differ: rows and logs have times
GB = 1 << 30
# Each line is a name and its value; "said" is a line of what a set-up says. cluster/setup.sh leaves what is looked for.
# A machine's CPUs and memory are those of its control group, where that has fewer: Ray counts so, too.
_ASK = r"""
{
place=~/tune-mnist
if [ -x $place/.venv/bin/ray ] && [ ! -e $place/.venv/unfinished ]; then
  $place/.venv/bin/python -c '
import platform; from importlib.metadata import version
print("ray", version("ray")); print("python", platform.python_version())'
else
  python3 -c '
import platform; print("python", platform.python_version()); import ensurepip, venv; print("venv")' 2>/dev/null
  if grep -qlzxE "$HOME/tune-mnist/[s]etup\.sh" /proc/[0-9]*/cmdline 2>/dev/null; then
    now=$(date +%s)
    echo "installing $((now - $(stat -c %Y $place/.venv/unfinished 2>/dev/null || echo $now)))"
    tail -n 1 $place/setup.log 2>/dev/null | sed 's/^/said /'
  elif [ "$(tail -n 1 $place/setup.log 2>/dev/null)" = "set-up failed" ]; then
    echo failed
    tail -n 4 $place/setup.log | sed '$d; s/^/said /'
  fi
fi
[ -e ~/ray_bootstrap_config.yaml ] && echo known
(: </dev/tcp/127.0.0.1/6379) 2>/dev/null && echo head
grep -qx raylet /proc/[0-9]*/comm 2>/dev/null && echo raylet
echo "cpus $(nproc)"
groups=/sys/fs/cgroup
echo "quota $(cat $groups/cpu.max 2>/dev/null || cat $groups/cpu/cpu.cfs_{quota,period}_us 2>/dev/null | xargs)"
echo "gpus $(nvidia-smi -L 2>/dev/null | grep -c ^GPU)"
sed -n 's/^MemTotal: *\([0-9]*\) kB/memory \1/p' /proc/meminfo
sed 's/^/limit /' $groups/memory.max $groups/memory/memory.limit_in_bytes 2>/dev/null
echo "disk $(df -Pk ~ | tail -n 1 | xargs | cut -d ' ' -f 4)"
echo "clock $(date +%s.%N)"
} </dev/null
true
"""


@dataclass(frozen=True)
class Host:
    """What a machine said of itself; `error` where it could not be asked. Memory and disk are bytes, times seconds."""

    address: str
    ray: str | None = None  # of ~/tune-mnist/.venv; None: there is none yet
    python: str | None = None  # of that, or of the python3 that it would be made with
    makes_venv: bool = False  # whether that one can
    known: bool = False  # `ray up` has set it up before
    head: bool = False  # a head of Ray's answers there
    raylet: bool = False  # some part of Ray runs there
    installing: float | None = None  # for so long
    failed: bool = False  # its last set-up
    said: str = ""  # the last lines of its set-up
    cpus: int = 0
    gpus: int = 0
    memory: int = 0
    disk: int = 0
    ahead: float = 0.0  # its clock of this machine's
    error: str | None = None
    is_other: bool = False  # than the machine of before

    @property
    def state(self) -> str:
        """How far it is on its way into a cluster, to be read after its address."""
        if self.error:
            return f"cannot be reached by SSH: {self.error}"
        if self.installing is not None:
            return f"is installing ({clock(self.installing)})" + (f": {self.said}" if self.said else "")
        if self.failed:
            return f"failed to install: {self.said or 'its ~/tune-mnist/setup.log is empty'}"
        return "has not joined, though Ray runs there" if self.raylet else "has not joined"


def ask(address: str, way: Way) -> Host:
    """What a machine says of itself."""
    try:
        said = way.ask(address, _ASK)
    except Unreachable as error:
        return Host(address, error=str(error), is_other=isinstance(error, OtherMachine))
    return heard(address, said, time.time())


def heard(address: str, said: str, now: float) -> Host:
    """The machine that said this, which was heard at the time `now`."""
    lines = [line.partition(" ") for line in said.splitlines()]
    told = {name: value.strip() for name, _, value in lines}
    words = ["".join(filter(str.isprintable, value)).strip() for name, _, value in lines if name == "said"]
    limits = [int(value) for name, _, value in lines if name == "limit" and value.isdigit()]
    cpus, quota = _number(told, "cpus"), told.get("quota", "").split()
    if len(quota) == 2 and quota[0].isdigit():
        cpus = min(cpus, max(1, int(quota[0]) // int(quota[1])))
    return Host(
        address,
        ray=told.get("ray"),
        python=told.get("python"),
        makes_venv="venv" in told,
        known="known" in told,
        head="head" in told,
        raylet="raylet" in told,
        installing=float(_number(told, "installing")) if "installing" in told else None,
        failed="failed" in told,
        said=" / ".join(filter(None, words)),
        cpus=cpus,
        gpus=_number(told, "gpus"),
        memory=min([_number(told, "memory") << 10, *limits]),
        disk=_number(told, "disk") << 10,
        ahead=float(told["clock"]) - now if re.fullmatch(r"\d+\.\d+", told.get("clock", "")) else 0.0,
    )


def _number(told: Mapping[str, str], name: str) -> int:
    return int(told[name]) if told.get(name, "").isdigit() else 0


def ask_all(config: Mapping[str, Any], file: Path) -> list[Host]:
    """What every machine of a `local` cluster file says of itself; the head is the first."""
    way = way_of(config, file)
    if not way.known_hosts.exists():
        log.info(f"the machines' host keys are taken on trust this time, and asked for from now on: {way.known_hosts}")
    return everywhere(addresses(config), partial(ask, way=way))


def look(config: dict[str, Any], file: Path) -> tuple[Host, list[Host]]:
    """The head and the workers of a `local` cluster file, asked and checked. Raises as `check` does."""
    hosts = ask_all(config, file)
    check(hosts, config, file)
    for line in doubts(judged(hosts, config)):
        log.warning(line)
    head, *workers = hosts
    return head, workers


def check(hosts: Sequence[Host], config: dict[str, Any], file: Path) -> None:
    """Raise ClusterError if the head cannot be reached, and UserError if no cluster can be made of the machines.

    Also if Ray's state file on this machine describes a head that has been made anew since.
    """
    head = hosts[0]
    if head.error and not head.is_other:
        raise ClusterError(f"the head {head.address} of {file} cannot be reached by SSH: {head.error}")
    for fault in faults(judged(hosts, config)):
        raise UserError(fault)
    if "docker" not in config:  # else Ray's part of the machine is in a container, and goes with it
        _check_state(config["cluster_name"], str(config["provider"]["head_ip"]), head)


def judged(hosts: Sequence[Host], config: Mapping[str, Any]) -> list[Host]:
    """Those whose Python and Ray count: of a file with `docker`, whose image has both, those that have Ray besides."""
    return [host for host in hosts if "docker" not in config or host.ray or host.is_other]


def faults(hosts: Sequence[Host]) -> Iterator[str]:
    """What no cluster can be made with, each in a line with its way out. A worker that is away is none."""
    here, asked = version("ray"), [host for host in hosts if not host.error]
    of = next((host for host in asked if host.python), None)
    yield from (f"{host.address}: {host.error}" for host in hosts if host.is_other)
    for host in asked:
        if host.ray and host.ray != here:
            way_out = "install one version everywhere (~/tune-mnist/.venv there)"
            yield f"{host.address} has Ray {host.ray}, this machine Ray {here}; {way_out}"
        elif not host.ray and not _is_fit(host.python):
            found = f"Python {host.python}" if host.python else "no python3"
            yield f"{host.address} has {found}; install one of 3.10 to 3.13 there"
        elif not host.ray and not host.makes_venv:
            what = "Python without ensurepip, which makes ~/tune-mnist/.venv"
            yield f"{host.address} has a {what}; apt install python3-venv there, or what has it in its Linux"
        elif of and host.python != of.python:
            way_out = "use one version on all machines of the cluster (~/tune-mnist/.venv there)"
            yield f"{host.address} has Python {host.python}, {of.address} Python {of.python}; {way_out}"


def _is_fit(python: str | None) -> bool:
    return bool(python) and PYTHONS[0] <= tuple(map(int, str(python).split(".")[:2])) <= PYTHONS[1]


def doubts(hosts: Sequence[Host]) -> Iterator[str]:
    """What a cluster may fail for, or do badly with, each in a line with its way out."""
    for host in hosts:
        if host.error:
            continue
        if not host.ray and host.disk < VENV_BYTES:
            most = f"~/tune-mnist/.venv takes up to {VENV_BYTES // GB} GB"
            yield f"{host.address} has {host.disk / GB:.1f} GB of disk free, and {most}; free some there"
        if host.memory < RAY_BYTES + TRIAL_BYTES:
            least = f"Ray and one trial take {(RAY_BYTES + TRIAL_BYTES) // GB} GB"
            yield f"{host.address} has {host.memory / GB:.1f} GB of memory, and {least}; leave it out of the file"
        if abs(host.ahead) > CLOCK_S:
            which = "ahead of" if host.ahead > 0 else "behind"
            way_out = "set them by the network (timedatectl set-ntp true)"
            yield f"{host.address}'s clock is {abs(host.ahead):.0f} s {which} this machine's; {way_out}"


def state_file(cluster: str) -> Path:
    """Where Ray keeps what it knows of a `local` cluster, on the machine that calls `ray up`."""
    base = os.environ.get("RAY_TMPDIR") or ("/tmp" if os.name == "posix" else tempfile.gettempdir())
    return Path(base) / "ray" / f"cluster-{cluster}.state"


def _check_state(cluster: str, head_ip: str, head: Host) -> None:
    """Raise UserError where Ray would take a new machine at an old address for the one that it has set up before.

    It would start Ray there without its configuration.
    """
    path = state_file(cluster)
    try:
        tags = json.loads(path.read_text("utf-8"))[head_ip]["tags"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if tags.get("ray-node-status") == "up-to-date" and not head.known:
        raise UserError(
            f"Ray has {head_ip} down as set up, and the machine there is not: it was made anew; "
            f"remove {path} and give the command again"
        )
