"""`python -m tune_mnist.run`: the same as `tune-mnist run`."""

from __future__ import annotations

from typing import Any

from tune_mnist.commands.options import application, start
from tune_mnist.display.live import shown


def main() -> None:
    """`python -m tune_mnist.run`."""
    start(shown(loaded))


def loaded() -> Any:
    """The application of this command alone."""
    from tune_mnist.commands.run import run  # not above: before it is loaded, something is seen

    return application(run)


if __name__ == "__main__":
    main()
