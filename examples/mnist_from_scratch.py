"""MNIST, trained as pytorch/examples does, on images that two DataLoader workers move about.

tune-mnist run --task examples/mnist_from_scratch.py --vary shift=0,0.1,0.2 --maximize test_accuracy

TUNE_MNIST_DATA names the folder of torchvision's MNIST (default: data); without it, scikit-learn's digits are used.
"""

import os
from functools import partial

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy, interpolate
from torch.utils.data import DataLoader, TensorDataset
from torchvision import datasets, transforms

MEASURES = {"test_accuracy": "%"}
EPOCHS = 5


def data():
    try:
        parts = [datasets.MNIST(os.environ.get("TUNE_MNIST_DATA", "data"), train) for train in (True, False)]
        return [each for part in parts for each in (part.data[:, None].float() / 255, part.targets)]
    except RuntimeError:
        x, y = (torch.tensor(each) for each in load_digits(return_X_y=True))
        x = interpolate(x.view(-1, 1, 8, 8).float() / 16, size=28)
        return [x[:1400], y[:1400], x[1400:], y[1400:]]


def moved(pairs, move):
    return torch.stack([move(image) for image, _ in pairs]), torch.stack([label for _, label in pairs])


def train(config: dict, data, state=None):
    device, size, shift = torch.get_default_device(), config.get("images", 60_000), config.get("shift", 0.1)
    x, y, test_x, test_y = data
    move = partial(moved, move=transforms.RandomAffine(0, translate=(shift, shift)))
    loader = DataLoader(TensorDataset(x[:size], y[:size]), 64, shuffle=True, num_workers=2, collate_fn=move)
    torch.manual_seed(config["seed"])
    layers = nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))
    optimizer = torch.optim.Adadelta(model.parameters(), config.get("lr", 1.0))
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.7)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    for name, saved in (state or {}).items():
        parts[name].load_state_dict(saved)
    while True:
        torch.manual_seed(1000 * config["seed"] + schedule.last_epoch)  # for the order, the moves and dropout
        with torch.device("cpu"):  # where a DataLoader works
            for image, label in loader:
                cross_entropy(model.train()(image.to(device)), label.to(device)).backward()
                optimizer.step()
                optimizer.zero_grad()
        schedule.step()
        with torch.no_grad():
            out = torch.cat([model.eval()(part.to(device)).cpu() for part in test_x.split(1000)])
        measures = {"test_loss": cross_entropy(out, test_y), "test_accuracy": (out.argmax(1) == test_y).float().mean()}
        yield measures, {name: part.state_dict() for name, part in parts.items()}
