"""One training alone, without Ray and without the store: `tune-mnist train --epochs=10 --batch_size=32`."""

from __future__ import annotations

import io
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tune_mnist.commands.options import Version, application, start
from tune_mnist.errors import ClusterError, TrainingFailed, UserError
from tune_mnist.files import write_whole
from tune_mnist.machine.container import ways_out
from tune_mnist.machine.cpu import cpu_count
from tune_mnist.machine.devices import DEVICES, resolve
from tune_mnist.measure import divergence
from tune_mnist.mnist import datasets
from tune_mnist.mnist.config import NAMES, TrainConfig
from tune_mnist.mnist.task import MNIST, check_precision
from tune_mnist.mnist.validation import check_count, without_validation
from tune_mnist.words import percent, plural

if TYPE_CHECKING:
    from tune_mnist.mnist.training import Training


def train(
    epochs: Annotated[str, typer.Option(metavar="N", rich_help_panel="Hyper-parameters")] = str(TrainConfig.epochs),
    batch_size: Annotated[str, typer.Option(metavar="N")] = str(TrainConfig.batch_size),
    lr: Annotated[str, typer.Option(metavar="X", help="Learning rate.")] = str(TrainConfig.lr),
    gamma: Annotated[str, typer.Option(metavar="X", help="Factor of the learning rate after each epoch.")] = str(
        TrainConfig.gamma
    ),
    optimizer: Annotated[
        str, typer.Option(metavar="NAME", help="adadelta, sgd, adam, adamw, rmsprop or nadam.")
    ] = TrainConfig.optimizer,
    momentum: Annotated[str, typer.Option(metavar="X", help="Of sgd and rmsprop.")] = str(TrainConfig.momentum),
    weight_decay: Annotated[str, typer.Option(metavar="X")] = str(TrainConfig.weight_decay),
    dropout: Annotated[str, typer.Option(metavar="X", help="After the convolutions.")] = str(TrainConfig.dropout),
    dropout_last: Annotated[
        str, typer.Option(metavar="X", help="Before the last layer (default: twice the other).")
    ] = "recipe",
    model: Annotated[str, typer.Option(metavar="NAME", help="cnn, mlp or linear.")] = TrainConfig.model,
    schedule: Annotated[str, typer.Option(metavar="NAME", help="step or cosine.")] = TrainConfig.schedule,
    shuffle: Annotated[str, typer.Option(metavar="BOOL", help="false trains in file order.")] = "true",
    train_size: Annotated[str, typer.Option(metavar="N", help="The first N training images.")] = "all",
    seed: Annotated[str, typer.Option(metavar="N")] = str(TrainConfig.seed),
    dataset: Annotated[
        str,
        typer.Option(
            metavar="NAME", rich_help_panel="Where things lie", help="auto, " + ", ".join(datasets.NAMES) + "."
        ),
    ] = "auto",
    data_dir: Annotated[
        Path, typer.Option(metavar="DIR", envvar="TUNE_MNIST_DATA", help="Where the data sets lie.")
    ] = Path("data"),
    validation: Annotated[
        int, typer.Option(metavar="N", help="Hold N training images out, and evaluate on them, too.")
    ] = 0,
    save_model: Annotated[Path | None, typer.Option(metavar="PATH", help="Write the weights there.")] = None,
    device: Annotated[
        str, typer.Option(metavar="NAME", rich_help_panel="How to train", help=", ".join(DEVICES) + ".")
    ] = "auto",
    threads: Annotated[int | None, typer.Option(metavar="N", help="CPU threads (default: every CPU).")] = None,
    precision: Annotated[str, typer.Option(metavar="NAME", help="fp32, or bf16 where the CPU or GPU has it.")] = "fp32",
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", rich_help_panel="What to show", help="One batch and one evaluation, to see that it works."
        ),
    ] = False,
    version: Version = False,
) -> int:
    """Train one MNIST network alone, and print each epoch.

    Without Ray, and without the store. Options take `-` and `_` alike.
    """
    given = locals()
    config = TrainConfig(**{name: given[name] for name in NAMES})
    _check(threads, save_model)
    on = resolve(device)
    check_precision(precision, on, local=True)
    check_count(validation)
    data = without_validation(datasets.load(dataset, data_dir, lambda text: print(text, flush=True)), validation)
    if dry_run:
        config = config.but(epochs=1, train_size=min(config.batch_size, config.train_size or config.batch_size))
    from tune_mnist.mnist.training import Training

    training = Training(config, data, on, threads or cpu_count(), precision=precision)
    print(f"training {config.model} on {data.name}, {on}, {plural(training.threads, 'thread')}", flush=True)
    try:
        _print_epochs(training)
    except TrainingFailed as failure:
        print(failure, flush=True)
        return 1
    if save_model is not None:
        _save(training, save_model)
    return 0


def _check(threads: int | None, save_model: Path | None) -> None:
    """Raise UserError for what would only fail after the training."""
    if threads is not None and threads < 1:
        raise UserError(f"--threads must be a whole number of at least 1, not {threads}")
    if threads is not None and threads > cpu_count():  # some ten thousand of them end the process without a word
        raise UserError(
            f"--threads {threads} is more than this machine has ({plural(cpu_count(), 'CPU')}); choose fewer"
        )
    if save_model is not None and not save_model.absolute().parent.is_dir():
        raise UserError(f"--save-model '{save_model}': there is no folder '{save_model.parent}'")
    is_other = (
        save_model is not None and save_model.exists() and not save_model.is_file()
    )  # /dev/null would be replaced
    if save_model is not None and (is_other or not os.access(save_model.absolute().parent, os.W_OK)):
        raise UserError(f"--save-model '{save_model}' is no plain file or cannot be written; give the path of a file")


def _print_epochs(training: Training) -> None:
    """Raises TrainingFailed at the epoch at which the training diverges: it leaves no network to use."""
    for result in training:
        accuracy = f"test accuracy {percent(result.test_accuracy)}, test loss {result.test_loss:.4f}"
        if result.val_accuracy is not None:
            seen = f"validation accuracy {percent(result.val_accuracy)}, validation loss {result.val_loss:.4f}"
            accuracy += f", {seen}"
        seconds = f"{result.train_time_s:.1f} s to train, {result.eval_time_s:.1f} s to evaluate"
        epoch = f"epoch {result.epoch}/{training.config.epochs}"
        print(f"{epoch}: train loss {result.train_loss:.4f}, {accuracy}; {seconds}", flush=True)
        if shown := divergence(asdict(result), MNIST.judged.name):
            raise TrainingFailed(f"diverged: {shown} at epoch {result.epoch}")


def _save(training: Training, path: Path) -> None:
    """The weights alone, under pytorch/examples' names: `torch.load(path, weights_only=True)` reads them."""
    import torch

    buffer = io.BytesIO()
    torch.save({name: value.cpu().contiguous() for name, value in training.model.state_dict().items()}, buffer)
    try:
        write_whole(path, buffer.getvalue())
    except OSError as error:
        raise ClusterError(f"--save-model '{path}' cannot be written: {error.strerror}") from None
    print("\n".join((f"wrote {path}", *ways_out(path))), flush=True)


def main() -> None:
    """`python -m tune_mnist.train`."""
    start(application(train))


if __name__ == "__main__":
    main()
