"""Keeps every promise, without torch: its state is bytes, and its config a plain dict."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any


def train(config: dict[str, Any], state: bytes | None = None) -> Iterator[tuple[dict[str, float], bytes]]:
    drawing, weight = random.Random(config["seed"]), 0.0
    if state is not None:
        weight, (version, inner, pair) = json.loads(state)
        drawing.setstate((version, tuple(inner), pair))
    while True:
        for _ in range(20):
            weight += config.get("lr", 0.1) * (drawing.gauss(3, 1) - weight)
        yield {"loss": abs(weight - 3)}, json.dumps([weight, drawing.getstate()]).encode()
