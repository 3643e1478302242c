"""A sweep of one point on real MNIST, all 10,000 test images; skipped where MNIST is not."""

from __future__ import annotations

import json

import pytest
from conftest import Finished, mnist_folder, run, succeeded

from tune_mnist.mnist.datasets import MNIST_SHA256

pytestmark = pytest.mark.long  # the digits are trained on in every other test


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    options = "--vary", "lr=0.05", "--set", "epochs=1", "--set", "train_size=2000"
    place = mnist_folder()
    folder = tmp_path_factory.mktemp("mnist")
    return succeeded(run("--dataset", "auto", "--data-dir", str(place), *options, folder=folder))


def test_auto_takes_mnist_where_it_is(mnist: Finished) -> None:
    assert mnist.results == mnist.folder / "results" / "mnist"
    assert [row["dataset"] for row in mnist.points()] == ["mnist"]
    assert "instead of MNIST" not in mnist.out + mnist.log()


def test_2000_images_teach_more_than_half_of_the_digits(mnist: Finished) -> None:
    (point,) = mnist.points()
    accuracy = float(point["test_accuracy"])
    assert 0.6 < accuracy < 0.95
    assert round(accuracy * 10_000) == pytest.approx(accuracy * 10_000, abs=1e-6)  # of all 10,000 test images
    assert 0.1 < float(point["test_loss"]) < 1.5


def test_the_datas_checksums_are_those_that_are_known(mnist: Finished) -> None:
    facts = json.loads((mnist.results / "environment.json").read_text("utf-8"))
    assert facts["data_sha256"] == MNIST_SHA256
