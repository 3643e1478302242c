"""The commands that `make bench` holds against each other: that they run, on the real MNIST."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from conftest import ROOT, mnist_folder, surroundings

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def bench(script: str, *arguments: str) -> str:
    data = {"TUNE_MNIST_DATA": str(mnist_folder())}
    command = [sys.executable, str(ROOT / "bench" / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=surroundings(**data)).stdout


def test_the_usual_way_trains_on_the_first_images() -> None:
    said = bench("usual.py", "--data", str(mnist_folder()), "--size", "640", "--epochs", "2")
    epochs = [json.loads(line) for line in said.splitlines()]
    assert [one["epoch"] for one in epochs] == [1, 2]
    assert 0.1 < epochs[-1]["test_accuracy"] < 0.95


def test_ours_and_the_usual_way_are_timed_in_turns() -> None:
    """The others differ in what is trained alone, and take minutes."""
    kept = (ROOT / "bench" / "results.json").read_bytes()
    said = bench("bench.py", "--size", "64", "-n", "1", "--only", "two trainings of one epoch, fp32")
    assert "two trainings" in said
    assert "1 trial of" not in said
    assert "usual, s" in said
    assert (ROOT / "bench" / "results.json").read_bytes() == kept  # one measure alone is not kept
