"""The networks: the convolutional one of pytorch/examples' MNIST, and two smaller ones to hold it against.

Each takes normalised images, float [N, 1, 28, 28], and returns log-probabilities, float [N, 10].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class Dropout(nn.Module):
    """nn.Dropout with a random generator of its own, so that a run's numbers depend on nothing else in the process."""

    def __init__(self, rate: float, generator: torch.Generator) -> None:
        super().__init__()
        self.rate = rate
        self.generator = generator

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.rate == 0:
            return x
        return x * self._keep(x).to(x.dtype).mul_(1 / (1 - self.rate))

    def _keep(self, x: torch.Tensor) -> torch.Tensor:
        if x.device.type != "cpu":
            return torch.empty_like(x).bernoulli_(1 - self.rate, generator=self.generator)
        # 16 random bits an element, four from one draw: 1.1 ms for a batch of 64, where bernoulli_ takes 8.6 ms.
        draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None, generator=self.generator)
        bits = draws.view(torch.int16)[: x.numel()].view(x.shape)
        return bits >= min(round(self.rate * 65536), 65535) - 32768


class Cnn(nn.Module):
    """conv 1→32→64 (3×3), max-pool 2, dropout, 9216→128, dropout, 10; parameters are named as in pytorch/examples."""

    def __init__(self, dropout: float, last_dropout: float, generator: torch.Generator) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)
        self.dropout1 = Dropout(dropout, generator)
        self.dropout2 = Dropout(last_dropout, generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.conv1(x))
        # ReLU after the pool: the same function and the same gradient, on a quarter of the elements.
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        x = self.dropout1(x.flatten(1))
        x = self.dropout2(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


class Mlp(nn.Module):
    """784→128, ReLU, dropout at the last layer's rate, 10."""

    def __init__(self, last_dropout: float, generator: torch.Generator) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 128)
        self.fc2 = nn.Linear(128, 10)
        self.dropout2 = Dropout(last_dropout, generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.dropout2(F.relu(self.fc1(x.flatten(1))))
        return F.log_softmax(self.fc2(x), dim=1)


class Linear(nn.Module):
    """784→10: softmax regression."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.log_softmax(self.fc1(x.flatten(1)), dim=1)


def network(name: str, dropout: float, last_dropout: float, generator: torch.Generator) -> nn.Module:
    """The network called `name` (config.MODELS), its weights drawn from torch's global random state."""
    if name == "cnn":
        return Cnn(dropout, last_dropout, generator)
    return Mlp(last_dropout, generator) if name == "mlp" else Linear()
