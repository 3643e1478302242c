"""A fault: the state of the generator that shuffles is not in the state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from parts import DATA, evaluated, loader, network, trained


@dataclass(frozen=True)
class Config:
    lr: float = 0.01
    seed: int = 1


def train(config: Config, state: dict[str, Any] | None = None) -> Iterator[tuple[dict[str, float], dict[str, Any]]]:
    torch.manual_seed(config.seed)
    model = network()[::2]  # neither batch-norm nor dropout
    optimizer = torch.optim.SGD(model.parameters(), lr=config.lr)
    shuffling = torch.Generator().manual_seed(config.seed)
    batches = loader(DATA, shuffling)
    if state is not None:
        model.load_state_dict(state["model"])
    while True:
        model.train()
        loss = trained(model, optimizer, batches)
        model.eval()
        yield {"loss": loss, "val_loss": evaluated(model, [list(DATA.tensors)])}, {"model": model.state_dict()}
