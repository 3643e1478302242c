"""What the torch loops of this folder share: tiny data, a network, an epoch of training, an evaluation."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

_first = torch.Generator().manual_seed(0)
DATA = TensorDataset(torch.randn(48, 4, generator=_first), torch.randn(48, 1, generator=_first))

Batches = Iterable[list[torch.Tensor]]


def network() -> nn.Sequential:
    """With all that depends on its mode."""
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1))


def loader(data: Dataset[tuple[torch.Tensor, ...]], shuffling: torch.Generator | None = None) -> Batches:
    """Batches, shuffled by the generator if there is one."""
    return DataLoader(data, batch_size=16, shuffle=shuffling is not None, generator=shuffling)


def trained(model: nn.Module, optimizer: torch.optim.Optimizer, batches: Batches) -> float:
    """An epoch; the loss of its last batch."""
    loss = torch.zeros(())
    for x, y in batches:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return float(loss.detach())


@torch.no_grad()
def evaluated(model: nn.Module, batches: Batches) -> float:
    """The mean loss."""
    losses = [nn.functional.mse_loss(model(x), y) for x, y in batches]
    return float(torch.stack(losses).mean())
