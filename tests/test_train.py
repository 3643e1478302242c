"""One training alone, and the commands of `tune-mnist` that start no Ray: train, runs, --help."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from conftest import DIGITS, SMALL, Finished, command, run, succeeded, surroundings

EPOCH = re.compile(r"epoch (\d+)/(\d+): train loss ([\d.]+), test accuracy ([\d.]+) %, test loss ([\d.]+); ")
ALONE = (*DIGITS, "--model=mlp", "--train-size=320", "--threads=1")


def train(*arguments: str, folder: Path) -> Finished:
    return succeeded(run(*arguments, folder=folder, module="tune_mnist.train"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A training that the standard sweeps have too: lr 0.05, all else at the baseline."""
    return train(*ALONE, "--epochs=5", "--batch_size=64", "--lr=0.05", folder=tmp_path_factory.mktemp("alone"))


def test_it_prints_a_line_an_epoch(alone: Finished) -> None:
    first, *lines = alone.out.splitlines()
    assert first.startswith("training mlp on digits, cpu, 1 thread")
    assert [EPOCH.match(line) is not None for line in lines] == [True] * 5
    assert alone.err == ""


def test_it_gives_the_numbers_of_the_sweep(alone: Finished, standard: Finished) -> None:
    trial = [row for row in standard.epochs() if (row["lr"], row["batch_size"]) == ("0.05", "64")]
    assert EPOCH.findall(alone.out) == [
        (
            row["epoch"],
            "5",
            f"{float(row['train_loss']):.4f}",
            f"{100 * float(row['test_accuracy']):.2f}",
            f"{float(row['test_loss']):.4f}",
        )
        for row in trial
    ]


def test_it_writes_nothing_unless_asked(alone: Finished) -> None:
    assert list(alone.folder.iterdir()) == []


def test_the_names_of_options_take_both_dashes(tmp_path: Path) -> None:
    """One by one the two spellings of an option do the same: both set it."""
    spelt = [
        train(*DIGITS, "--model=linear", "--epochs=1", *options, folder=tmp_path).out
        for options in (("--batch_size=32", "--train_size=100"), ("--batch-size=32", "--train-size=100"))
    ]
    numbers = [EPOCH.findall(out) for out in spelt]
    assert numbers[0] == numbers[1] != []


def test_a_dry_run_is_one_batch_of_the_recipe(tmp_path: Path) -> None:
    done = train(*DIGITS, "--epochs=10", "--batch-size=8", "--dry-run", "--save-model=weights.pt", folder=tmp_path)
    assert [found[:2] for found in EPOCH.findall(done.out)] == [("1", "1")]
    weights = torch.load(tmp_path / "weights.pt", weights_only=True)
    assert {name: tuple(tensor.shape) for name, tensor in weights.items()} == {
        "conv1.weight": (32, 1, 3, 3),
        "conv1.bias": (32,),
        "conv2.weight": (64, 32, 3, 3),
        "conv2.bias": (64,),
        "fc1.weight": (128, 9216),
        "fc1.bias": (128,),
        "fc2.weight": (10, 128),
        "fc2.bias": (10,),
    }


def test_the_weights_are_those_that_were_measured(tmp_path: Path) -> None:
    """Read back, a linear model's weights give the accuracy that was printed."""
    from tune_mnist.mnist.datasets import load

    done = train(*DIGITS, "--model=linear", "--epochs=2", "--lr=0.5", "--save-model=weights.pt", folder=tmp_path)
    weights = torch.load(tmp_path / "weights.pt", weights_only=True)
    matrix, offset = sorted(weights.values(), key=torch.Tensor.dim, reverse=True)
    test = load("digits", tmp_path, print).test
    pixels = (torch.from_numpy(test.images).flatten(1) / 255 - 0.1307) / 0.3081
    hits = (pixels @ matrix.T + offset).argmax(1) == torch.from_numpy(test.labels)
    assert f"{100 * hits.double().mean():.2f}" == EPOCH.findall(done.out)[-1][3]


def test_a_training_that_diverges_says_so(tmp_path: Path) -> None:
    options = "--model=linear", "--optimizer=sgd", "--lr=1e38", "--train-size=64", "--save-model=weights.pt"
    done = run(*DIGITS, *options, folder=tmp_path, module="tune_mnist.train")
    assert done.code == 1
    assert done.out.splitlines()[-1] == "diverged: test_loss is nan at epoch 1"
    assert done.err == ""
    assert list(tmp_path.iterdir()) == []


def test_help_names_the_commands(tmp_path: Path) -> None:
    done = succeeded(run("--help", folder=tmp_path, module="tune_mnist"))
    assert [name for name in ("run", "train", "runs") if re.search(rf"^ +{name} ", done.out, re.MULTILINE)] == [
        "run",
        "train",
        "runs",
    ]


def test_help_of_a_sweep_names_its_options(tmp_path: Path) -> None:
    done = succeeded(run("run", "--help", folder=tmp_path, module="tune_mnist"))
    for option in ("--sweep", "--vary", "--set", "--seed", "--dataset", "--cpus-per-trial", "--address", "--dry-run"):
        assert option in done.out


@pytest.fixture
def copy(standard: Finished, tmp_path: Path) -> Path:
    """A copy of what the standard sweeps left."""
    return Path(shutil.copytree(standard.folder, tmp_path / "copy"))


def test_runs_lists_what_is_stored_and_why(standard: Finished) -> None:
    done = succeeded(run("runs", folder=standard.folder, module="tune_mnist"))
    common, *listed = done.out.splitlines()
    for said in ("model=mlp", "train_size=320", "digits", "cpu", "fp32", torch.__version__.partition("+")[0]):
        assert said in common
    lines = {line.split()[0]: line for line in listed if re.match("[0-9a-f]{7}", line)}
    longest = {row["run"][:7]: row for row in sorted(standard.points(), key=lambda row: int(row["epochs"]))}
    assert set(lines) == set(longest)
    for key, row in longest.items():
        assert f"batch_size={row['batch_size']}, lr={float(row['lr'])}" in lines[key]
        assert re.search(rf" {row['epochs']} +{100 * float(row['test_accuracy']):.2f} % +20\d\d-\d\d-\d\d$", lines[key])


def test_pruning_frees_checkpoints_and_keeps_histories(copy: Path) -> None:
    def bytes_of(pattern: str) -> list[bytes]:
        return [path.read_bytes() for path in sorted((copy / "results" / "store").glob(pattern))]

    histories, checkpoints = bytes_of("*/history.jsonl"), bytes_of("*/*.pt")
    assert len(histories) == 7
    assert len(checkpoints) >= 7
    done = succeeded(run("runs", "--prune", folder=copy, module="tune_mnist"))
    assert f"freed {sum(map(len, checkpoints)) / 1e6:.1f} MB" in done.out
    assert bytes_of("*/*.pt") == []
    assert bytes_of("*/history.jsonl") == histories
    assert "0 to train" in succeeded(run(*SMALL, "--dry-run", folder=copy)).out


def test_sigterm_ends_a_training_as_ctrl_c_does(tmp_path: Path) -> None:
    arguments = command("--dataset", "digits", "--epochs", "1000", module="tune_mnist.train")
    with subprocess.Popen(
        arguments, cwd=tmp_path, env=surroundings(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted" in (out + err).splitlines()[-1]
    assert "Traceback" not in err
