"""What a user did wrong is one line that names the thing, its value and the way out; exit code 2; nothing written."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from conftest import DIGITS, NO_NETWORK, Finished, run

RAW = Path("MNIST") / "raw"
HEADERS = {  # of MNIST's four files: the magic number and the sizes
    "train-images-idx3-ubyte": (0x803, 60_000, 28, 28),
    "train-labels-idx1-ubyte": (0x801, 60_000),
    "t10k-images-idx3-ubyte": (0x803, 10_000, 28, 28),
    "t10k-labels-idx1-ubyte": (0x801, 10_000),
}
TRAIN_IMAGES_SHA256 = "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"


def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


no_gpu = pytest.mark.skipif(has_gpu(), reason="this machine has a GPU")


def case(name: str, arguments: str, *words: str) -> object:
    return pytest.param(arguments.split(), words, id=name)


def refused(done: Finished, before: list[Path], *words: str) -> None:
    """One line with these words, exit code 2, and no file that was not there `before`."""
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    for word in words:
        assert word in done.err
    assert sorted(done.folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        case("sweep", "--sweep lrr", "sweep 'lrr'", "epochs, batch, lr"),
        case("varied variable", "--vary warmup=0.1", "'warmup'", "epochs, batch_size, lr"),
        case("set variable", "--set batchsizes=64", "'batchsizes'", "batch_size"),
        case("dataset", "--dataset mnits", "dataset 'mnits'", "auto, mnist, fashion-mnist, kmnist, qmnist, digits"),
        case("model", "--set model=resnet", "model 'resnet'", "cnn, mlp, linear"),
        case("optimizer", "--set optimizer=adams", "optimizer 'adams'", "adadelta, sgd, adam, adamw"),
        case("lr of 0", "--vary lr=0.1,0", "lr", "'0'", "above 0"),
        case("negative lr", "--set lr=-0.1", "lr", "'-0.1'", "above 0"),
        case("lr that is no number", "--set lr=fast", "lr", "'fast'", "a number"),
        case("lr of NaN", "--vary lr=nan", "lr", "'nan'", "a number"),
        case("no epochs", "--vary epochs=0,1", "epochs", "'0'", "whole number of at least 1"),
        case("half an epoch", "--set epochs=1.5", "epochs", "'1.5'", "whole number of at least 1"),
        case("batch of 0", "--vary batch_size=0", "batch_size", "'0'", "whole number of at least 1"),
        case("batch of 2.5", "--set batch_size=2.5", "batch_size", "'2.5'", "whole number of at least 1"),
        case("empty list", "--vary lr=", "lr", "no values", "--vary lr="),
        case("repeated value", "--vary lr=0.1,1e-1", "lr=0.1", "twice", "once"),
        case("list that is none", "--vary lr", "--vary", "'lr'", "NAME=VALUE"),
        case("batch above the data", "--vary batch_size=64,1439", "batch_size 1439", "training set", "at most 1438"),
        case("batch above train_size", "--set train_size=63", "batch_size", "training set", "at most 63"),
        case("CPUs that are not there", "--cpus-per-trial 5000", "--cpus-per-trial 5000", "CPU", "fewer"),
        case("no CPUs", "--cpus-per-trial 0", "--cpus-per-trial", "not 0", "at least 1"),
        case("device", "--device gpu", "device 'gpu'", "auto, cpu, cuda, mps"),
        case("seeds", "--seeds 0", "seeds", "not 0", "at least 1"),
        case("seed that is no number", "--seed one", "seed", "'one'", "whole number"),
        case("unknown option", "--sweeps lr", "--sweeps", "--sweep"),
        case("address without a port", "--address localhost", "'localhost'", "--address HOST:PORT"),
        case("address where nothing is", "--address 127.0.0.1:9", "'127.0.0.1:9'", "refused", "--address HOST:PORT"),
        case("sweep file that is not there", "--config none.yaml", "'none.yaml'", "No such file"),
    ],
)
def test_wrong_options(arguments: list[str], words: tuple[str, ...], tmp_path: Path) -> None:
    refused(run(*DIGITS, *arguments, folder=tmp_path), [], *words)


@no_gpu
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        case("share of a GPU", "--gpus-per-trial 1", "--gpus-per-trial 1", "no GPU", "leave it out"),
        case("device", "--device cuda", "--device cuda", "no CUDA device", "choose cpu"),
    ],
)
def test_a_gpu_that_is_not_there(arguments: list[str], words: tuple[str, ...], tmp_path: Path) -> None:
    refused(run(*DIGITS, *arguments, folder=tmp_path), [], *words)


@pytest.mark.parametrize("option", ["--output", "--store"])
def test_a_folder_that_cannot_be_written(option: str, tmp_path: Path) -> None:
    """A file stands in the way: that stops root too, which permissions do not."""
    (tmp_path / "taken").touch()
    done = run(*DIGITS, option, "taken/inside", folder=tmp_path)
    refused(done, [tmp_path / "taken"], "'taken/inside'", "cannot be written", f"another with {option}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o555)
    done = run(*DIGITS, "--output", "closed/inside", folder=tmp_path)
    refused(done, [tmp_path / "closed"], "'closed/inside'", "cannot be written", "another with --output")


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        pytest.param("name: mine\nvari: {lr: [0.1]}\n", 2, ("unknown key 'vari'", "vary"), id="unknown key"),
        pytest.param(
            "name: mine\nvary:\n  lr: [0.1]\n  bach: [1]\n", 4, ("'bach'", "batch_size"), id="unknown variable"
        ),
        pytest.param("name: mine\nvary:\n  lr: 0.1\n", 3, ("lr", "list", "0.1"), id="wrong type"),
        pytest.param("name: mine\nvary:\n  lr:\n    - 0.1\n    - -1\n", 5, ("lr", "above 0", "-1"), id="bad value"),
    ],
)
def test_a_wrong_sweep_file_is_named_with_its_line(
    content: str, line: int, words: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(content, "utf-8")
    done = run(*DIGITS, "--config", "mine.yaml", folder=tmp_path)
    refused(done, [tmp_path / "mine.yaml"], f"mine.yaml:{line}: ", *words)


def grey_mnist(folder: Path) -> Path:
    """Files of MNIST's names and sizes that hold nothing but zeros, and take no space; returns the raw folder."""
    raw = folder / "data" / RAW
    raw.mkdir(parents=True)
    for name, header in HEADERS.items():
        content, size = struct.pack(f">{len(header)}I", *header), 1
        for count in header[1:]:
            size *= count
        (raw / name).write_bytes(content)
        os.truncate(raw / name, len(content) + size)
    return raw


def test_an_altered_data_file(tmp_path: Path) -> None:
    grey_mnist(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = run("--dataset", "mnist", folder=tmp_path)
    words = ("train-images-idx3-ubyte", f"{TRAIN_IMAGES_SHA256} expected", " found", "remove it", "--data-dir")
    refused(done, before, *words)


def test_a_truncated_data_file(tmp_path: Path) -> None:
    file = grey_mnist(tmp_path) / "train-images-idx3-ubyte"
    os.truncate(file, 1_000_000)
    before = sorted(tmp_path.rglob("*"))
    done = run("--dataset", "mnist", folder=tmp_path)
    refused(done, before, file.name, "47,040,016 bytes expected", "1,000,000 found", "--data-dir")


@pytest.mark.parametrize("dataset", ["mnist", pytest.param("auto", marks=pytest.mark.long)])
def test_a_missing_data_file_that_cannot_be_had(dataset: str, tmp_path: Path) -> None:
    """Also under auto: whoever has three of MNIST's files does not mean the digits."""
    (grey_mnist(tmp_path) / "t10k-labels-idx1-ubyte").unlink()
    done = run("--dataset", dataset, folder=tmp_path, **NO_NETWORK)
    assert done.code == 2
    last = done.err.splitlines()[-1]
    assert last.startswith("error: ")
    for words in ("t10k-labels-idx1-ubyte", "cannot be downloaded", "--data-dir", "--dataset digits"):
        assert words in last
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        case("lr", "--lr=0", "lr", "'0'", "above 0"),
        case("batch above the data", "--batch_size=1439", "batch_size 1439", "at most 1438"),
        case("model", "--model=resnet", "'resnet'", "cnn, mlp, linear"),
        case("threads", "--threads=0", "--threads", "not 0", "at least 1"),
        case("place of the weights", "--save-model=none/weights.pt", "'none/weights.pt'", "no folder 'none'"),
        case("device for the weights", "--save-model=/dev/null", "'/dev/null'", "no plain file"),
        case("value without effect", "--momentum=0.9", "momentum=0.9", "optimizer=adadelta", "change optimizer"),
    ],
)
def test_a_training_alone(arguments: list[str], words: tuple[str, ...], tmp_path: Path) -> None:
    refused(run(*DIGITS, *arguments, folder=tmp_path, module="tune_mnist.train"), [], *words)


def test_an_unknown_command(tmp_path: Path) -> None:
    refused(run("sweep", folder=tmp_path, module="tune_mnist"), [], "'sweep'")
