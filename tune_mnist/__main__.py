"""`python -m tune_mnist`, and the command `tune-mnist`: run, report, compare, …"""

from __future__ import annotations

from tune_mnist.commands.check import check
from tune_mnist.commands.compare import compare
from tune_mnist.commands.options import application, start
from tune_mnist.commands.report import report
from tune_mnist.commands.run import run
from tune_mnist.commands.runs import runs
from tune_mnist.commands.train import train
from tune_mnist.commands.verify import verify


def main() -> None:
    """The command `tune-mnist`."""
    about = "Controlled hyper-parameter sweeps of training loops with Ray Tune; MNIST comes with it."
    start(application(run, report, compare, verify, runs, check, train, help=about), "tune-mnist")


if __name__ == "__main__":
    main()
