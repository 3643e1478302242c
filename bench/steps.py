"""One training step, written in several ways and timed in turns on one thread: `python bench/steps.py`.

Prints the median milliseconds of each way and the ratio to the plain one, turn by turn. Each way adds to the one above
it unless it says otherwise. Run it with `--keep-memory` to have glibc keep freed memory, as trials have it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import nn
from usual import Net

from tune_mnist.machine.cpu import WORKER_SETTINGS
from tune_mnist.mnist.networks import Cnn, Dropout

Step = Callable[[torch.Tensor, torch.Tensor], object]


class PoolFirst(Net):
    """ReLU after the pool."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(F.max_pool2d(self.conv2(F.relu(self.conv1(x))), 2))
        x = self.dropout1(x).flatten(1)
        x = self.dropout2(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


class NhwcFlatten(Cnn):
    """Flattened in the order in which channels-last memory lies: no copy, but fc1's columns are permuted."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(F.max_pool2d(self.conv2(F.relu(self.conv1(x))), 2))
        x = self.dropout1(x.permute(0, 2, 3, 1).flatten(1))
        x = self.dropout2(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


class ReluInPlace(Cnn):
    """ReLU writes over its input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu_(F.max_pool2d(self.conv2(F.relu_(self.conv1(x))), 2))
        x = self.dropout1(x.flatten(1))
        x = self.dropout2(F.relu_(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


def step(model: nn.Module, channels_last: bool, foreach: bool | None = None) -> Step:
    """One Adadelta step of `model`."""
    if channels_last:
        model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adadelta(model.parameters(), lr=0.01, foreach=foreach)

    def run(images: torch.Tensor, labels: torch.Tensor) -> None:
        optimizer.zero_grad()
        F.nll_loss(model(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return run


def ways() -> dict[str, Step]:
    """Every way of writing the step."""
    generator = torch.Generator().manual_seed(1)
    own_dropout = PoolFirst()
    own_dropout.dropout1, own_dropout.dropout2 = Dropout(0.25, generator), Dropout(0.5, generator)  # type: ignore[assignment]
    return {
        "plain": step(Net(), channels_last=False),
        "ReLU after the pool": step(PoolFirst(), channels_last=False),
        "dropout from 16 random bits": step(own_dropout, channels_last=False),
        "channels-last (ours)": step(Cnn(0.25, 0.5, generator), channels_last=True),
        "ours, flattened in NHWC order": step(NhwcFlatten(0.25, 0.5, generator), channels_last=True),
        "ours, ReLU in place": step(ReluInPlace(0.25, 0.5, generator), channels_last=True),
        "ours, Adadelta foreach": step(Cnn(0.25, 0.5, generator), channels_last=True, foreach=True),
    }


def measure(turns: int, batch_size: int) -> dict[str, list[float]]:
    """Milliseconds per step of each way, `turns` times five steps, the ways in turns."""
    torch.set_num_threads(1)
    images, labels = torch.rand(batch_size, 1, 28, 28), torch.randint(0, 10, (batch_size,))
    every = ways()
    times: dict[str, list[float]] = {name: [] for name in every}
    for turn in range(-1, turns):
        for name, run in every.items():
            start = time.perf_counter()
            for _ in range(5):
                run(images, labels)
            if turn >= 0:  # the first is to warm up
                times[name].append((time.perf_counter() - start) * 200)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--keep-memory", action="store_true")
    options = parser.parse_args()
    if options.keep_memory and "MALLOC_TOP_PAD_" not in os.environ:  # glibc reads it when a process starts
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | WORKER_SETTINGS)
    times = measure(options.turns, options.batch_size)
    table = Table("way", "ms per step", "ratio to plain (lowest to highest)", box=None)
    for name, values in times.items():
        ratios = [a / b for a, b in zip(values, times["plain"], strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        table.add_row(name, f"{statistics.median(values):.1f}", spread)
    Console().print(table)


if __name__ == "__main__":
    main()
