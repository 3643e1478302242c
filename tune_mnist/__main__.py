"""`python -m tune_mnist`, and the command `tune-mnist`: run, train, runs, report, compare, verify."""

from __future__ import annotations

from tune_mnist.commands.compare import compare
from tune_mnist.commands.options import application, start
from tune_mnist.commands.report import report
from tune_mnist.commands.run import run
from tune_mnist.commands.runs import runs
from tune_mnist.commands.train import train
from tune_mnist.commands.verify import verify


def main() -> None:
    """The command `tune-mnist`."""
    about = "Controlled hyper-parameter sweeps on MNIST with Ray Tune."
    start(application(run, train, runs, report, compare, verify, help=about))


if __name__ == "__main__":
    main()
