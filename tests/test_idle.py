"""A cloud's head ends its cluster once no job has run for long, and never with a job on it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest
from conftest import ROOT, surroundings, wait_for
from mocks import Amazon, launched, mocked_amazon

from tune_mnist.launch.idle import until_idle


def test_the_time_counts_from_the_last_job() -> None:
    """Jobs at the first look and at the fourth."""
    seen = list[float]()

    def runs() -> bool:
        seen.append(time.monotonic())
        return len(seen) in (1, 4)

    until_idle(0.3, runs, look_s=0.1)
    assert len(seen) > 4
    assert seen[-1] - seen[3] > 0.29


def test_the_time_counts_from_the_last_command_too() -> None:
    """Without a job, a command is seen at the third look."""
    seen = list[float]()

    def used() -> int:
        seen.append(time.monotonic())
        return int(len(seen) > 3)

    until_idle(0.3, lambda: False, used, look_s=0.1)
    assert seen[-1] - seen[3] > 0.29


@pytest.fixture(scope="module")
def amazon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Amazon]:
    """A mock of AWS with a cluster of four machines, and one machine of another cluster."""
    with mocked_amazon(tmp_path_factory.mktemp("amazon")) as made:
        launched(made.file, **made.around)
        tags = [{"Key": "ray-cluster-name", "Value": "other"}, {"Key": "ray-node-type", "Value": "worker"}]
        image = made.instances()[0]["ImageId"]
        asked = {"ImageId": image, "MinCount": 1, "MaxCount": 1}
        made.ec2.run_instances(**asked, TagSpecifications=[{"ResourceType": "instance", "Tags": tags}])
        yield made


def states(amazon: Amazon) -> dict[str, set[str]]:
    found = dict[str, set[str]]()
    for one in amazon.instances():
        tags = {tag["Key"]: tag["Value"] for tag in one["Tags"]}
        found.setdefault(tags["ray-cluster-name"], set()).add(one["State"]["Name"])
    return found


@contextmanager
def job_server(status: list[str]) -> Iterator[str]:
    """What Ray's job server says of one job, which is in the last of these states; its address."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            job = {"type": "SUBMISSION", "submission_id": "sweep-1", "status": status[-1], "entrypoint": "sleep"}
            said = {"/api/version": {"ray_version": version("ray")}, "/api/jobs/": [job]}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(said[self.path]).encode())

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@contextmanager
def watching(amazon: Amazon, home: Path, jobs: str) -> Iterator[subprocess.Popen[str]]:
    """The real script on what `ray up` leaves on a head, with a limit of a second."""
    (home / "tune-mnist").mkdir(exist_ok=True)
    (home / "ray_bootstrap_config.yaml").write_text(amazon.file.read_text("utf-8"), "utf-8")
    settings = {"HOME": str(home), "PYTHONPATH": str(ROOT), "RAY_API_SERVER_ADDRESS": jobs}
    command = [sys.executable, "-m", "tune_mnist.launch.idle", str(1 / 3600)]
    around = surroundings(**settings, **amazon.around)
    with subprocess.Popen(command, env=around, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.long
def test_a_ray_that_does_not_answer_keeps_its_cluster(amazon: Amazon, tmp_path: Path) -> None:
    with watching(amazon, tmp_path, "http://127.0.0.1:9") as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(4)]  # a look each, a second apart
        assert process.poll() is None
    assert told == ["Ray does not say what runs (ConnectionError), so the cluster stays\n"] * 4
    assert states(amazon) == {"tune-mnist": {"running"}, "other": {"running"}}


@pytest.mark.long
def test_a_cluster_is_ended_after_its_job_and_no_other_cluster_is(amazon: Amazon, tmp_path: Path) -> None:
    status = ["RUNNING"]
    with job_server(status) as jobs, watching(amazon, tmp_path, jobs) as process:
        wait_for((tmp_path / "tune-mnist" / "used.lock").exists, "the watch", 60)
        time.sleep(6)
        assert process.poll() is None
        with watching(amazon, tmp_path, jobs) as second:
            assert second.wait(60) == 0  # it leaves the watch to the first
        assert states(amazon)["tune-mnist"] == {"running"}
        status.append("SUCCEEDED")
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert "no job has run for so long: the cluster is ended\n" in out
    assert states(amazon) == {"tune-mnist": {"terminated"}, "other": {"running"}}
