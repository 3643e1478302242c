"""`python -m tune_mnist`, and the command `tune-mnist`: run, train, runs."""

from __future__ import annotations

from tune_mnist import cli
from tune_mnist.run import run
from tune_mnist.runs import runs
from tune_mnist.train import train


def main() -> None:
    """The command `tune-mnist`."""
    cli.start(cli.application(run, train, runs, help="Controlled hyper-parameter sweeps on MNIST with Ray Tune."))


if __name__ == "__main__":
    main()
