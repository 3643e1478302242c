"""Two spirals and a small network: fifty lines of PyTorch that can be stopped, resumed and extended.

tune-mnist run --task examples/spiral.py --vary lr=0.01,0.03,0.1,0.3,1 --seeds 3 --minimize val_loss
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import cross_entropy

MEASURES = {"val_accuracy": "%"}
EPOCHS = 30


@dataclass(frozen=True)
class Config:
    lr: float = 0.1
    width: int = 64
    seed: int = 1


def spirals(points, seed):
    random = torch.Generator(torch.get_default_device()).manual_seed(seed)
    arm = torch.arange(points) % 2
    radius = torch.rand(points, generator=random).sqrt()
    angle = torch.pi * (4 * radius + arm)
    noise = 0.02 * torch.randn(points, 2, generator=random)
    return torch.stack((radius * angle.cos(), radius * angle.sin()), dim=1) + noise, arm


def train(config: Config, state=None):
    (x, y), (val_x, val_y) = spirals(1000, seed=1), spirals(1000, seed=2)
    torch.manual_seed(config.seed)
    w = config.width
    model = nn.Sequential(nn.Linear(2, w), nn.ReLU(), nn.Linear(w, w), nn.ReLU(), nn.Linear(w, 2))
    optimizer = torch.optim.SGD(model.parameters(), config.lr, momentum=0.9)
    shuffling = torch.Generator(torch.get_default_device()).manual_seed(config.seed)
    if state:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        shuffling.set_state(state["shuffling"])
    while True:  # the sweep stops asking
        for batch in torch.randperm(len(x), generator=shuffling).split(50):
            optimizer.zero_grad()
            cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            out, val_out = model(x), model(val_x)
        measures = {"train_loss": cross_entropy(out, y), "val_loss": cross_entropy(val_out, val_y)}
        measures["val_accuracy"] = (val_out.argmax(1) == val_y).float().mean()
        parts = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        yield measures, parts | {"shuffling": shuffling.get_state()}
