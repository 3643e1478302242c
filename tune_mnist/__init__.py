"""Controlled hyper-parameter sweeps of training loops with Ray Tune. Start with `tune-mnist run --help`, or with

from tune_mnist import sweep
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["Parameter", "When", "sweep"]


def __getattr__(name: str) -> Any:
    """What is imported when it is asked for: a command that needs none of it starts sooner."""
    if name == "sweep":
        from tune_mnist.api import sweep

        return sweep
    if name in ("Parameter", "When"):
        from tune_mnist import parameter

        return getattr(parameter, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
