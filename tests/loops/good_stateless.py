"""Keeps every promise that a loop without a state can keep, with numbers from NumPy's global generator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Config:
    lr: float = 0.1
    seed: int = 1


def train(config: Config) -> Iterator[dict[str, float]]:
    np.random.seed(config.seed)
    weight = 0.0
    while True:
        for _ in range(20):
            weight += config.lr * (np.random.normal(3, 1) - weight)
        yield {"loss": abs(weight - 3)}
