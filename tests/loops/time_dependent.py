"""A fault: the learning rate falls as the clock goes on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter


@dataclass(frozen=True)
class Config:
    lr: float = 0.1
    seed: int = 1


def train(config: Config) -> Iterator[dict[str, float]]:
    drawing, weight, start = random.Random(config.seed), 0.0, perf_counter()
    while True:
        for _ in range(20):
            weight += config.lr / (1 + perf_counter() - start) * (drawing.gauss(3, 1) - weight)
        yield {"loss": abs(weight - 3)}
