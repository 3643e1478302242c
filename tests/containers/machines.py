"""Machines to launch a cluster on: containers of the image with addresses, disks and SSH servers of their own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from engine import IMAGE, built, docker, need_engine

NETWORK, SUBNET = "tune-mnist-machines", "10.213.7"
# What a machine that has Docker shares with the engine's host, whose containers are then its own.
HOST = ("/var/run/docker.sock", "/usr/bin/docker", "/tmp/ray_tmp_mount")
MACHINE = f"""
FROM {IMAGE}
USER root
ENV HOME=/root
COPY key.pub /run/key.pub
RUN apt-get update && apt-get install -y --no-install-recommends openssh-server procps sudo \\
 && rm -rf /var/lib/apt/lists/* && mkdir -p /run/sshd ~/.ssh ~/tune-mnist && chmod 700 ~/.ssh \\
 && ln -s /opt/venv ~/tune-mnist/.venv && cp /run/key.pub ~/.ssh/authorized_keys && chmod 600 ~/.ssh/authorized_keys
ENTRYPOINT []
CMD ["/usr/sbin/sshd", "-D", "-e"]
"""


@dataclass(frozen=True)
class Machines:
    """`count` machines; number 1 is the head. `folder` is where the command is given, as in the repository's root."""

    folder: Path
    count: int

    @property
    def file(self) -> Path:
        return self.folder / "cluster" / "onprem.yaml"

    def address(self, number: int) -> str:
        return f"{SUBNET}.{10 + number}"

    def name(self, number: int) -> str:
        return f"tune-mnist-machine-{number}"

    def make(self, number: int, *more: str) -> None:
        docker("rm", "-f", self.name(number), check=False)
        place = "--network", NETWORK, "--ip", self.address(number), "--hostname", f"machine-{number}"
        size = "--cpus", "1", "--memory", "4g", "--shm-size", "1g"
        docker("run", "-d", "--name", self.name(number), *place, *size, *more, f"{IMAGE}-machine")

    def kill(self, number: int) -> None:
        docker("kill", self.name(number))

    def start(self, number: int) -> None:
        docker("start", self.name(number))

    def cut(self, number: int) -> None:
        docker("network", "disconnect", NETWORK, self.name(number))

    def mend(self, number: int) -> None:
        docker("network", "connect", "--ip", self.address(number), NETWORK, self.name(number))

    def on(self, number: int, command: str, check: bool = True) -> str:
        """What a command on the machine prints."""
        return docker("exec", self.name(number), "bash", "-c", command, check=check).stdout

    def ray_processes(self) -> list[str]:
        """Command lines of all that runs of Ray or of a sweep, on all machines."""
        look = "ps -ww -eo args= | grep -E 'ray::|raylet|gcs_server|/ray/|tune_mnist' | grep -v grep || true"
        return [line for number in range(1, self.count + 1) for line in self.on(number, look).splitlines()]


@contextmanager
def machines(folder: Path, count: int) -> Iterator[Machines]:
    """Machines that are removed at the end of the `with` block; skips without an engine."""
    need_engine()
    built()
    made = Machines(folder, count)
    for name in ("tune_mnist", "docker", "data"):
        (folder / name).symlink_to(ROOT / name)
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    context = folder / "machine"
    context.mkdir()
    (context / "key.pub").write_bytes((folder / "key.pub").read_bytes())
    (context / "Dockerfile").write_text(MACHINE, "utf-8")
    docker("build", "-q", "-t", f"{IMAGE}-machine", str(context))
    _write_file(made, key)
    _forget()  # what a run left that was killed
    docker("network", "rm", NETWORK, check=False)
    docker("network", "create", "--subnet", f"{SUBNET}.0/24", NETWORK)
    try:
        for number in range(1, count + 1):
            made.make(number)
        yield made
    finally:
        for number in range(1, count + 1):
            docker("rm", "-f", made.name(number), check=False)
        docker("network", "rm", NETWORK, check=False)
        _forget()


def _forget() -> None:
    """Remove what Ray's launcher keeps here of the machines."""
    for path in Path("/tmp/ray").glob("cluster-tune-mnist-test*"):
        path.unlink()


def _write_file(made: Machines, key: Path) -> None:
    """The repository's file with its values filled in, as a person does it."""
    config = yaml.safe_load((ROOT / "cluster" / "onprem.yaml").read_text("utf-8"))
    config["cluster_name"] = "tune-mnist-test"
    addresses = [made.address(number) for number in range(1, made.count + 1)]
    config["provider"] |= {"head_ip": addresses[0], "worker_ips": addresses[1:]}
    config["auth"] = {"ssh_user": "root", "ssh_private_key": str(key)}
    made.file.parent.mkdir()
    shutil.copy(ROOT / "cluster" / "setup.sh", made.file.parent)  # a link would be copied to the machines as one
    made.file.write_text(yaml.safe_dump(config), "utf-8")


def need_ssh() -> None:
    """Skip where there is no ssh or rsync to call Ray's launcher with."""
    for command in ("ssh", "ssh-keygen", "rsync"):
        if shutil.which(command) is None:
            pytest.skip(f"there is no {command} command")
