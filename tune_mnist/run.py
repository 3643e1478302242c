"""`python -m tune_mnist.run`: the same as `tune-mnist run`."""

from __future__ import annotations

from tune_mnist.commands.run import main

if __name__ == "__main__":
    main()
