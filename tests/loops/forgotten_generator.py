"""A fault: dropout draws from torch's global generator, whose state is not in the state."""

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
    optimizer = torch.optim.SGD(model.parameters(), lr=config.lr, momentum=0.9)
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    while True:
        model.train()
        loss = trained(model, optimizer, [list(DATA.tensors)])
        model.eval()
        metrics = {"loss": loss, "val_loss": evaluated(model, [list(DATA.tensors)])}
        yield metrics, {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
