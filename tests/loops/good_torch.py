"""Keeps every promise: dropout, batch-norm, Adam, a scheduler, shuffling and evaluation by DataLoaders."""

from __future__ import annotations

import time
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
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.9)
    shuffling = torch.Generator().manual_seed(config.seed)
    train_loader, val_loader = loader(DATA, shuffling), loader(DATA)
    if state is not None:
        for name, one in (("model", model), ("optimizer", optimizer), ("scheduler", scheduler)):
            one.load_state_dict(state[name])
        shuffling.set_state(state["shuffling"])
        torch.set_rng_state(state["rng"])
    while True:
        start = time.perf_counter()
        model.train()
        loss = trained(model, optimizer, train_loader)
        scheduler.step()
        model.eval()
        metrics = {"loss": loss, "val_loss": evaluated(model, val_loader), "seconds": time.perf_counter() - start}
        yield (
            metrics,
            {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "scheduler": scheduler.state_dict(),
                "shuffling": shuffling.get_state(),
                "rng": torch.get_rng_state(),
            },
        )
