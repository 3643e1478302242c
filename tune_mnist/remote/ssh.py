"""Machines of one's own, reached by SSH with a cluster file's user and key, as long as they are those of before."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tune_mnist.errors import UserError

ANSWER_S = 20.0
AT_ONCE = 16  # connections
_OTHER = "Host key verification failed"  # OpenSSH's last line on a machine that is not the one of before
Answer = TypeVar("Answer")


class Unreachable(Exception):
    """A machine that gave no answer, and why, in a line."""


class OtherMachine(Unreachable):
    """One that shows another host key than it did before."""


@dataclass(frozen=True)
class Way:
    """How the machines of a cluster file are reached: its `auth`, and the file with the host keys that are known.

    A machine's key is taken on trust when it is seen for the first time, and asked for ever after.
    """

    auth: Mapping[str, Any]
    known_hosts: Path

    def ask(self, address: str, script: str, seconds: float = ANSWER_S) -> str:
        """What a script of bash's prints there. Raises Unreachable, and UserError where there is no ssh command."""
        command = [*ssh(self.auth, self.known_hosts), f"{self.auth['ssh_user']}@{address}", "bash -s"]
        piped: dict[str, Any] = {"capture_output": True, "encoding": "utf-8", "errors": "replace"}
        try:
            done = subprocess.run(command, input=script, timeout=seconds, check=False, **piped)
        except FileNotFoundError:
            raise UserError("there is no ssh command on this machine; install OpenSSH's client, and rsync") from None
        except subprocess.TimeoutExpired:
            raise Unreachable(f"no answer in {seconds:g} s") from None
        if _OTHER in done.stderr:
            forget = f"ssh-keygen -R {address} -f {self.known_hosts}"
            raise OtherMachine(f"its host key is not the one of before; if it was made anew: {forget}")
        if done.returncode:
            raise Unreachable((done.stderr.strip().splitlines() or [f"ssh ended with {done.returncode}"])[-1].strip())
        return str(done.stdout)


def way_of(config: Mapping[str, Any], file: Path) -> Way:
    """The way to the machines of a cluster file; the host keys lie beside it, in `onprem.known_hosts`."""
    return Way(config["auth"], file.with_suffix(".known_hosts"))


def ssh(auth: Mapping[str, Any], known_hosts: Path) -> list[str]:
    """The ssh command with a file's key; user and machine follow. It gives up a machine that is silent for 15 s."""
    key = auth.get("ssh_private_key")
    options = ["-i", os.path.expanduser(key), "-o", "IdentitiesOnly=yes"] if key else []  # noqa: PTH111
    if proxy := auth.get("ssh_proxy_command"):
        options += ["-o", f"ProxyCommand={proxy}"]
    kept = str(known_hosts.absolute()).replace("%", "%%")
    settings = ["BatchMode=yes", "ConnectTimeout=10", "StrictHostKeyChecking=accept-new"]
    settings += [f'UserKnownHostsFile="{kept}"', "LogLevel=ERROR", "ServerAliveInterval=5", "ServerAliveCountMax=3"]
    for setting in settings:
        options += ["-o", setting]
    return ["ssh", *options]


def addresses(config: Mapping[str, Any]) -> list[str]:
    """Of the head, as it is reached from here, and of each worker."""
    provider = config["provider"]
    return [str(provider.get("external_head_ip") or provider["head_ip"]), *map(str, provider["worker_ips"])]


def resolved(address: str) -> str:
    """The numbers of a name, as Ray's launcher asks for them; the name where there are none."""
    try:
        return socket.gethostbyname(address)
    except OSError:
        return address


def everywhere(machines: Sequence[str], action: Callable[[str], Answer]) -> list[Answer]:
    """What the action gives for each of the addresses."""
    if not machines:
        return []
    with ThreadPoolExecutor(min(AT_ONCE, len(machines))) as pool:
        return list(pool.map(action, machines))
