"""The usual way, to measure against: one training a process, a DataLoader with per-image transforms, every core.

    python bench/usual.py --data DIR --size 6000 --epochs 5 --batch-size 64 --lr 0.01

The network, optimiser and schedule of pytorch/examples' MNIST. Prints one JSON line an epoch.
"""

from __future__ import annotations

import argparse
import json
import time

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms


class Net(nn.Module):
    """As pytorch/examples describes it: ReLU before the pool, nn.Dropout, the default memory layout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        x = self.dropout1(F.max_pool2d(x, 2)).flatten(1)
        x = self.dropout2(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


def loaders(folder: str, size: int, batch_size: int) -> tuple[DataLoader[object], DataLoader[object]]:
    """The first training images of MNIST, where torchvision lays it, and all that are for testing."""
    normalise = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    train = Subset(datasets.MNIST(folder, train=True, transform=normalise), range(size))
    test = datasets.MNIST(folder, train=False, transform=normalise)
    return DataLoader(train, batch_size=batch_size, shuffle=True), DataLoader(test, batch_size=1000)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--size", type=int, default=60_000, help="training images")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    train, test = loaders(options.data, options.size, options.batch_size)
    model = Net()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=options.lr)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
    for epoch in range(1, options.epochs + 1):
        start = time.perf_counter()
        model.train()
        for images, labels in train:
            optimizer.zero_grad()
            F.nll_loss(model(images), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        trained = time.perf_counter()
        scheduler.step()
        accuracy = evaluate(model, test)
        seconds = {"train_s": trained - start, "eval_s": time.perf_counter() - trained}
        print(json.dumps({"epoch": epoch, "test_accuracy": accuracy, **seconds}), flush=True)


@torch.no_grad()
def evaluate(model: Net, test: DataLoader[object]) -> float:
    """The share of test images that are classified right."""
    model.eval()
    right = total = 0
    for images, labels in test:
        right += int((model(images).argmax(1) == labels).sum())
        total += len(labels)
    return right / total


if __name__ == "__main__":
    main()
