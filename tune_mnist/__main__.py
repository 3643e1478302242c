"""`python -m tune_mnist`, and the command `tune-mnist`: run, train, runs, report, compare, verify."""

from __future__ import annotations

from tune_mnist import cli
from tune_mnist.compare import compare
from tune_mnist.report import report
from tune_mnist.run import run
from tune_mnist.runs import runs
from tune_mnist.train import train
from tune_mnist.verify import verify


def main() -> None:
    """The command `tune-mnist`."""
    about = "Controlled hyper-parameter sweeps on MNIST with Ray Tune."
    cli.start(cli.application(run, train, runs, report, compare, verify, help=about))


if __name__ == "__main__":
    main()
