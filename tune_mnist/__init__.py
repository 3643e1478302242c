"""Controlled hyper-parameter sweeps on MNIST with Ray Tune. Start with `python -m tune_mnist.run --help`."""

__version__ = "0.1.0"
