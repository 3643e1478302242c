"""A Slurm cluster of three containers that share a folder: slurmctld on the first, slurmd on all, from Debian."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from conftest import ROOT, wait_for
from engine import IMAGE, USER, built, docker, need_engine

NETWORK, COUNT = "tune-mnist-slurm", 3
DOCKERFILE = f"""
FROM {IMAGE}
USER root
RUN apt-get update && apt-get install -y --no-install-recommends munge slurm-wlm && rm -rf /var/lib/apt/lists/* \\
 && install -d -o munge -g munge -m 755 /run/munge && install -d /var/spool/slurmctld /var/spool/slurmd
COPY slurm.conf cgroup.conf /etc/slurm/
COPY node /usr/local/bin/node
ENTRYPOINT ["tini", "-g", "--", "node"]
CMD []
"""
NODE = """#!/bin/bash
set -eu
runuser -u munge -- munged
if [ "$(hostname)" = slurm-1 ]; then slurmctld; fi
exec slurmd -D
"""
# Without control groups, which a container may not make: Slurm then signals and ends the processes that it finds.
CONFIG = """
ClusterName=test
SlurmctldHost=slurm-1
SlurmUser=root
AuthType=auth/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmdParameters=config_overrides
ReturnToService=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=slurm-[1-3] CPUs=1 RealMemory=3000 State=UNKNOWN
PartitionName=low Nodes=slurm-[1-3] Default=YES State=UP PriorityTier=1
PartitionName=high Nodes=slurm-[1-3] State=UP PriorityTier=10
"""


@dataclass(frozen=True)
class Slurm:
    """The cluster; `folder` is the one that its nodes share, as /shared, and jobs are submitted in."""

    folder: Path

    def on(self, number: int, command: str) -> str:
        """What a command on a node prints."""
        return docker("exec", "-w", "/shared", name(number), "bash", "-c", command).stdout

    def submit(self, command: str) -> str:
        """The number of the job."""
        return self.on(1, f"sbatch --parsable {command}").strip()

    def state(self, job: str) -> str:
        """PENDING, RUNNING, COMPLETED, …"""
        return self._told(job, "JobState")

    def restarts(self, job: str) -> int:
        return int(self._told(job, "Restarts"))

    def ended(self, job: str, seconds: float) -> str:
        """Wait for its end; its last state."""
        over = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
        wait_for(lambda: self.state(job) in over, f"an end of job {job}", seconds)
        return self.state(job)

    def said(self, job: str) -> str:
        path = self.folder / f"slurm-{job}.out"
        return path.read_text("utf-8") if path.exists() else ""

    def ray_processes(self) -> list[str]:
        """Those of all nodes, by their command lines."""
        look = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -aoE '(gcs_server|raylet/raylet) ' || true"
        return [line for number in range(1, COUNT + 1) for line in self.on(number, look).splitlines()]

    def _told(self, job: str, field: str) -> str:
        found = re.search(rf"\b{field}=(\S+)", self.on(1, f"scontrol show job {job}"))
        assert found, job
        return found[1]


def name(number: int) -> str:
    return f"tune-mnist-slurm-{number}"


@contextmanager
def slurm(folder: Path) -> Iterator[Slurm]:
    """A cluster whose containers are removed at the end of the `with` block; skips without an engine."""
    need_engine()
    built()
    context = folder / "image"
    context.mkdir()
    for file, text in (("Dockerfile", DOCKERFILE), ("node", NODE), ("slurm.conf", CONFIG), ("cgroup.conf", "")):
        (context / file).write_text(text, "utf-8")
        (context / file).chmod(0o755)
    docker("build", "-q", "-t", f"{IMAGE}-slurm", str(context))
    shared = folder / "shared"
    shared.mkdir()
    shutil.copy(ROOT / "cluster" / "slurm.sbatch", shared)
    made = Slurm(shared)
    docker("network", "rm", NETWORK, check=False)
    docker("network", "create", NETWORK)
    try:
        for number in range(1, COUNT + 1):
            docker("rm", "-f", name(number), check=False)
            place = "--network", NETWORK, "--network-alias", f"slurm-{number}", "--hostname", f"slurm-{number}"
            size = "--cpus", "1", "--memory", "4g", "--shm-size", "1100m", "-v", f"{shared}:/shared"
            docker("run", "-d", "--name", name(number), *place, *size, f"{IMAGE}-slurm")
        wait_for(lambda: made.on(1, "sinfo -h -t idle -o %D || true").strip() == str(COUNT), "three idle nodes", 120)
        yield made
    finally:
        docker("exec", name(1), "chown", "-R", USER, "/shared", check=False)
        for number in range(1, COUNT + 1):
            docker("rm", "-f", name(number), check=False)
        docker("network", "rm", NETWORK, check=False)
