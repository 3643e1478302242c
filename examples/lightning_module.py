"""A LightningModule, swept as it is: `Trainer` goes on by one epoch whenever the sweep asks for one.

tune-mnist run --task examples/lightning_module.py --vary width=8,16,32,64,128 --seeds 3 --maximize val_accuracy

The state is Lightning's own checkpoint. Each epoch seeds itself, so there is no generator to save.
"""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from lightning import LightningModule, Trainer
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

MEASURES = {"val_accuracy": "%"}
QUIET = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)


class Digits(LightningModule):
    def __init__(self, lr, width):
        super().__init__()
        self.lr = lr
        self.model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, 10))

    def training_step(self, batch):
        loss = cross_entropy(self.model(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch):
        out = self.model(batch[0])
        self.log("val_loss", cross_entropy(out, batch[1]))
        self.log("val_accuracy", (out.argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.lr)


def train(config, state=None):
    images, labels = (torch.tensor(each) for each in load_digits(return_X_y=True))
    parts = [TensorDataset(images[part].float() / 16, labels[part]) for part in (slice(1400), slice(1400, None))]
    torch.manual_seed(config["seed"])
    module = Digits(config.get("lr", 0.003), config.get("width", 32))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "last.ckpt"
        while True:
            epoch = state["epoch"] if state else 0
            torch.save(state, path)
            torch.manual_seed(1000 * config["seed"] + epoch)
            trainer = Trainer(max_epochs=epoch + 1, num_sanity_val_steps=0, **QUIET)
            loaders = DataLoader(parts[0], 32, shuffle=True), DataLoader(parts[1], 400)
            trainer.fit(module, *loaders, ckpt_path=path if state else None, weights_only=True)
            trainer.save_checkpoint(path)
            state = torch.load(path, weights_only=True)
            yield trainer.callback_metrics, state
