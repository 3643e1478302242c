"""A fault: the evaluation looks at a random sample, and shifts the dropout of the next epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from parts import DATA, network, trained
from torch import nn


@dataclass(frozen=True)
class Config:
    lr: float = 0.01
    seed: int = 1


def train(config: Config, state: dict[str, Any] | None = None) -> Iterator[tuple[dict[str, float], dict[str, Any]]]:
    torch.manual_seed(config.seed)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=config.lr)
    x, y = DATA.tensors
    if state is not None:
        model.load_state_dict(state["model"])
        torch.set_rng_state(state["rng"])
    while True:
        model.train()
        loss = trained(model, optimizer, [[x, y]])
        model.eval()
        with torch.no_grad():
            sample = torch.randperm(len(x))[:20]
            val_loss = float(nn.functional.mse_loss(model(x[sample]), y[sample]))
        yield {"loss": loss, "val_loss": val_loss}, {"model": model.state_dict(), "rng": torch.get_rng_state()}
