"""`python -m tune_mnist`, and the command `tune-mnist`: run, report, compare, …"""

from __future__ import annotations

from typing import Any

from tune_mnist.commands.options import application, start
from tune_mnist.display.live import shown


def main() -> None:
    """The command `tune-mnist`."""
    start(shown(loaded), "tune-mnist")


def loaded() -> Any:
    """The application with all its commands."""
    from tune_mnist.commands.check import check  # not above: before they are loaded, something is seen
    from tune_mnist.commands.cluster import cluster
    from tune_mnist.commands.report import compare, report
    from tune_mnist.commands.run import run
    from tune_mnist.commands.runs import runs
    from tune_mnist.commands.train import train
    from tune_mnist.commands.verify import verify

    about = "Controlled hyper-parameter sweeps of training loops with Ray Tune; MNIST comes with it."
    return application(run, report, compare, verify, runs, check, train, cluster, help=about)


if __name__ == "__main__":
    main()
