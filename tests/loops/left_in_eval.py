"""A fault: after the first evaluation, the network stays in eval mode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from parts import DATA, evaluated, network, trained


@dataclass(frozen=True)
class Config:
    lr: float = 0.01
    seed: int = 1


def train(config: Config, state: dict[str, Any] | None = None) -> Iterator[tuple[dict[str, float], dict[str, Any]]]:
    torch.manual_seed(config.seed)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=config.lr)
    if state is not None:
        model.load_state_dict(state["model"])
        torch.set_rng_state(state["rng"])
        model.train(state["mode"])
    while True:
        loss = trained(model, optimizer, [list(DATA.tensors)])
        model.eval()
        metrics = {"loss": loss, "val_loss": evaluated(model, [list(DATA.tensors)])}
        yield metrics, {"model": model.state_dict(), "rng": torch.get_rng_state(), "mode": model.training}
