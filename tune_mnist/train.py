"""`python -m tune_mnist.train`: one training alone, as `tune-mnist train`."""

from __future__ import annotations

from tune_mnist.commands.train import main

if __name__ == "__main__":
    main()
