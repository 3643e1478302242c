"""`python -m tune_mnist.train`: the same as `tune-mnist train`."""

from __future__ import annotations

from tune_mnist.commands.train import main

if __name__ == "__main__":
    main()
