"""A fault: the learning rate follows a cosine over the epochs that were asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from parts import DATA, evaluated, network, trained


@dataclass(frozen=True)
class Config:
    epochs: int = 8
    lr: float = 0.01
    seed: int = 1


def train(config: Config, state: dict[str, Any] | None = None) -> Iterator[tuple[dict[str, float], dict[str, Any]]]:
    torch.manual_seed(config.seed)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=config.lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=config.epochs)
    if state is not None:
        for name, one in (("model", model), ("optimizer", optimizer), ("scheduler", scheduler)):
            one.load_state_dict(state[name])
        torch.set_rng_state(state["rng"])
    while True:
        model.train()
        loss = trained(model, optimizer, [list(DATA.tensors)])
        scheduler.step()
        model.eval()
        metrics = {"loss": loss, "val_loss": evaluated(model, [list(DATA.tensors)])}
        made = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
        yield metrics, {**made, "rng": torch.get_rng_state()}
