"""Nodes that are short of memory: no more trials on one than it is enough for, and what happens where it runs out."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from composed import Compose, project
from conftest import HISTORY, rows
from tasks import OWN_SWEEP, write_own_loop

pytestmark = [pytest.mark.alone, pytest.mark.timeout(1800)]

# One run's worker takes 64 MB more at each step, four times a second, until it is killed: so slowly that Ray sees it.
HOG = """import time

def train(config, state=None):
    place, kept = state["place"] if state else 1.0, []
    while True:
        for _ in range(4 if config["rate"] < 0.5 else 200):
            time.sleep(0.25)
            if config["rate"] > 0.5:
                kept.append(b"x" * (64 << 20))
        place -= place * config["rate"]
        yield {"val_loss": place * place}, {"place": place}
"""


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    with project(tmp_path_factory.mktemp("clone")) as started:
        yield started


def test_a_worker_of_two_cpus_and_two_gigabytes_trains_one_run_at_a_time(compose: Compose) -> None:
    """`WORKER_CPUS=2 WORKER_GB=2 make cluster N=1`."""
    write_own_loop(compose.folder / "data")
    sweep = compose.ask("narrow", "--task", "/data/walk.py", *OWN_SWEEP)
    compose("up", "--detach", "--scale", "worker=1", WORKER_CPUS="2", WORKER_GB="2")
    assert sweep.ended() == 0, sweep.said()
    assert {row["concurrent"] for row in rows(sweep.results / HISTORY)} == {"0"}


@pytest.mark.chaos
@pytest.mark.long
def test_a_run_that_takes_a_nodes_memory_costs_that_node_alone(compose: Compose) -> None:
    """Two workers with room for two trials each; the run fails once it was killed often enough while it was alone."""
    (compose.folder / "data" / "hog.py").write_text(HOG, "utf-8")
    words = ("--minimize", "val_loss", "--vary", "rate=0.1,0.2,0.3,0.6", "--set", "epochs=30", "--trust")
    sweep = compose.ask("hog", "--task", "/data/hog.py", *words)
    compose("up", "--detach", "--scale", "worker=2", WORKER_CPUS="2", WORKER_GB="3")
    assert sweep.ended() == 1, sweep.said()
    said = sweep.said()
    assert "Traceback" not in said
    limits = re.findall(r"memory ran out on (\S+): 1 trial side by side there from now on", said)
    assert limits
    assert set(limits) <= set(compose.hostnames())
    assert len(limits) == len(set(limits))
    cause = r"its worker ran out of memory \(it held \d\.\d GB; [^\n]*\), 6 times with no other trial beside it"
    assert re.search(rf"failed: rate=0.6: {cause}", said)
    points = {row["value"]: row["status"] for row in rows(sweep.results / "hog_results.csv")}
    assert points == {"0.1": "done", "0.2": "done", "0.3": "done", "0.6": "failed"}
