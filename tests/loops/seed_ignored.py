"""A fault: whatever the seed, it trains with seed 0. Its state is bytes, and it needs no torch."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    lr: float = 0.1
    seed: int = 1


def train(config: Config, state: bytes | None = None) -> Iterator[tuple[dict[str, float], bytes]]:
    drawing = random.Random(0)
    weight = 0.0
    if state is not None:
        weight, (version, inner, gauss) = json.loads(state)
        drawing.setstate((version, tuple(inner), gauss))
    while True:
        for _ in range(20):
            weight += config.lr * (drawing.gauss(3, 1) - weight)
        yield {"loss": abs(weight - 3)}, json.dumps([weight, drawing.getstate()]).encode()
