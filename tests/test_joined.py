"""A Ray cluster that is there: what trials ask its nodes for, memory among it, and a signal to all of it at once."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from conftest import (
    DIGITS,
    SLOW,
    SLOW_LRS,
    processes,
    ray_cluster,
    run,
    succeeded,
    surroundings,
    trained,
    under_way,
    wait_for,
)

GB = 1 << 30
pytestmark = pytest.mark.timeout(600)


@pytest.mark.long
def test_no_more_trials_run_on_a_node_than_it_has_memory_for(tmp_path: Path) -> None:
    """As on a node of 2 CPUs and 2 GB, of which the objects take a part."""
    with ray_cluster(memory=GB + GB // 2) as cluster:
        done = succeeded(cluster.run(*SLOW, folder=tmp_path))
    assert {row["concurrent"] for row in done.points()} == {"0"}
    assert len(done.epochs()) == 20


@pytest.mark.long
def test_a_node_without_memory_for_a_trial_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with ray_cluster(memory=GB // 2) as cluster:
        done = cluster.run(*DIGITS, "--vary", "lr=0.01", folder=tmp_path)
    nodes = r"no node has the 1 CPU, 1 GB of memory that a trial asks for; the nodes have: 2 CPU, 0\.5 GB of memory"
    assert done.code == 2
    assert re.fullmatch(rf"error: {nodes}; take nodes with more memory, or .* ray start --memory=BYTES\n", done.err)


# Two nodes on this machine. The first number: trials on the limited one, of three that run; the second: whether a
# fourth runs; the last: how many run on it once all limits are lifted.
LIMITED = """
import ray
from collections import Counter
from ray.cluster_utils import Cluster
from tune_mnist.tuning.limits import Limits

class Trial:
    def node(self):
        return ray.get_runtime_context().get_node_id()

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
cluster.add_node(num_cpus=2)
ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
cluster.wait_for_nodes()
nodes = [node["NodeID"] for node in ray.nodes()]
limits = Limits(1)
limits.set(nodes[0], 1)
trials = [ray.remote(Trial).options(num_cpus=1).remote() for _ in range(4)]
asked = [trial.node.remote() for trial in trials]
placed, waiting = ray.wait(asked, num_returns=3, timeout=60)
fourth, _ = ray.wait(waiting, timeout=5)
found = [Counter(ray.get(placed))[nodes[0]], len(fourth), limits.most(nodes[0])]
limits.lift()
placed, _ = ray.wait(asked, num_returns=4, timeout=60)
print(*found, Counter(ray.get(placed))[nodes[0]], limits.most(nodes[0]))
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.long
def test_a_limit_holds_on_its_node_alone_until_it_is_lifted() -> None:
    folder = Path(tempfile.mkdtemp(prefix="tm-", dir="/tmp"))  # short: Ray's sockets lie in it
    around = surroundings(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32), RAY_TMPDIR=str(folder))
    command = [sys.executable, "-c", LIMITED]
    try:
        done = subprocess.run(command, env=around, capture_output=True, text=True, timeout=240, check=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "1 0 1 2 None"


@pytest.mark.long
def test_a_signal_to_the_command_and_the_cluster_at_once_is_an_interrupt(tmp_path: Path) -> None:
    """As Slurm may send it to all processes of a job, half a minute before it kills what is left of them."""
    with (
        ray_cluster() as cluster,
        under_way(*SLOW, "--address", cluster.address, folder=tmp_path, **cluster.settings) as slow,
    ):
        wait_for(lambda: ": epoch 2/5" in slow.log(), "a second epoch")
        port = cluster.address.rpartition(":")[2]
        (head,) = [pid for pid, (_, line) in processes().items() if "gcs_server" in line and f"_port={port}" in line]
        os.killpg(os.getpgid(head), signal.SIGTERM)
        slow.process.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        done = slow.finished(90)
        seconds = time.monotonic() - begin
    assert done.code == 130, done.err
    assert "interrupted; " in done.err
    assert len(done.points()) == 4
    assert seconds < 30
    assert 20 <= trained(succeeded(run(*SLOW, folder=tmp_path)).log()).total() <= 20 + len(SLOW_LRS)
