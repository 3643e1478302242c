"""Machines of one's own before `ray up`: can they be reached, do versions agree, are they those that Ray knows?"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from tune_mnist.errors import ClusterError, UserError

ANSWER_S = 20.0
AT_ONCE = 16  # connections
# Lines: Ray's version and Python's, if there is an environment; "known", if `ray up` has set the machine up before;
# "runs", if a Ray head answers there.
_ASK = """
python=~/tune-mnist/.venv/bin/python
test -x $python && $python -c '
import platform; from importlib.metadata import version
print("versions", version("ray"), platform.python_version())'
test -e ~/ray_bootstrap_config.yaml && echo known
(: </dev/tcp/127.0.0.1/6379) 2>/dev/null && echo runs
true
"""
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Host:
    """What a machine said of itself; `error` where it could not be asked."""

    address: str
    ray: str | None = None
    python: str | None = None
    known: bool = False
    runs: bool = False
    error: str | None = None


def look(config: dict[str, Any], file: Path) -> tuple[Host, list[Host]]:
    """The head and the workers of a `local` cluster file, checked.

    Raises ClusterError if the head cannot be reached, and UserError if versions of Ray or Python differ, or if Ray's
    state file on this machine describes a head that has been made anew since.
    """
    head, *workers = _everywhere(config, lambda address: ask(address, config["auth"]))
    if head.error:
        raise ClusterError(f"the head {head.address} of {file} cannot be reached by SSH: {head.error}")
    check_versions([head, *workers])
    if "docker" not in config:  # else Ray's part of the machine is in a container, and goes with it
        _check_state(config["cluster_name"], str(config["provider"]["head_ip"]), head)
    return head, workers


def stop(config: dict[str, Any]) -> None:
    """Stop Ray on every machine: `ray down` stops the head's, and the workers would notice a minute later."""
    _everywhere(config, lambda address: _ssh(address, config["auth"], "~/tune-mnist/.venv/bin/ray stop"))


def _everywhere(config: dict[str, Any], action: Callable[[str], Answer]) -> list[Answer]:
    """What the action gives for the address of the head, and of each worker."""
    provider = config["provider"]
    addresses = [provider.get("external_head_ip") or provider["head_ip"], *provider["worker_ips"]]
    with ThreadPoolExecutor(min(AT_ONCE, len(addresses))) as pool:
        return list(pool.map(action, map(str, addresses)))


def ask(address: str, auth: dict[str, Any]) -> Host:
    """What a machine says of itself."""
    done = _ssh(address, auth, _ASK)
    if isinstance(done, str):
        return Host(address, error=done)
    lines = [line.split() for line in done.stdout.splitlines()]
    ray, python = next((line[1:3] for line in lines if line[:1] == ["versions"]), (None, None))
    return Host(address, ray, python, ["known"] in lines, ["runs"] in lines)


def _ssh(address: str, auth: dict[str, Any], script: str) -> subprocess.CompletedProcess[str] | str:
    """Run a script over SSH with the file's user and key; returns the reason where that cannot be done."""
    command = [*ssh(auth), f"{auth['ssh_user']}@{address}", "bash -s"]
    try:
        done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=ANSWER_S, check=False)
    except FileNotFoundError:
        raise UserError("there is no ssh command on this machine; install OpenSSH's client, and rsync") from None
    except subprocess.TimeoutExpired:
        return f"no answer in {ANSWER_S:g} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"ssh ended with {done.returncode}"])[-1]
    return done


def ssh(auth: dict[str, Any]) -> list[str]:
    """The ssh command with the file's key; user and machine follow. It gives up a machine that is silent for 15 s."""
    key = auth.get("ssh_private_key")
    options = ["-i", os.path.expanduser(key), "-o", "IdentitiesOnly=yes"] if key else []  # noqa: PTH111
    if proxy := auth.get("ssh_proxy_command"):
        options += ["-o", f"ProxyCommand={proxy}"]
    settings = ["BatchMode=yes", "ConnectTimeout=10", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"]
    for setting in (*settings, "LogLevel=ERROR", "ServerAliveInterval=5", "ServerAliveCountMax=3"):
        options += ["-o", setting]
    return ["ssh", *options]


def check_versions(hosts: list[Host]) -> None:
    """Raise UserError if two machines, or one and this one, have different versions of what must be the same."""
    here = version("ray")
    asked = [host for host in hosts if host.ray]
    for host in asked:
        if host.ray != here:
            raise UserError(
                f"{host.address} has Ray {host.ray}, this machine Ray {here}; "
                "install one version everywhere (~/tune-mnist/.venv there)"
            )
        if host.python != asked[0].python:
            raise UserError(
                f"{host.address} has Python {host.python}, {asked[0].address} Python {asked[0].python}; "
                "use one version on all machines of the cluster (~/tune-mnist/.venv there)"
            )


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
