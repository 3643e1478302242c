"""One training: iterate it and it yields a result an epoch. It knows nothing of Ray, files or terminals.

for result in Training(TrainConfig(epochs=3), load("digits", ...)):
    print(result.epoch, result.test_accuracy)
"""

from __future__ import annotations

import math
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from tune_mnist.config import Conditions, TrainConfig
from tune_mnist.datasets import Dataset, Split
from tune_mnist.errors import TrainingFailed, UserError
from tune_mnist.model import build

# A stored epoch answers for a new one only under the same version. Raise it whenever a change here, in model.py or in
# datasets.py's digits makes any number differ in any bit; a test holds it against the code's fingerprint.
TRAINING_VERSION = 1
MEAN, STD = 0.1307, 0.3081  # of MNIST's training pixels; the recipe's constants, for every data set
EVAL_BATCH = 100  # a pass over 10,000 images took 4.2 s; 5.8 s in batches of 250, 8.4 s in batches of 1,000
DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class EpochResult:
    """What one epoch gave. Losses are mean negative log-likelihoods; accuracy is a fraction; times are seconds."""

    epoch: int
    lr: float
    train_loss: float
    test_loss: float
    test_accuracy: float
    train_time_s: float
    eval_time_s: float
    cpu_time_s: float


class Training:
    """A training of `config` on `data`, from the start or from another's `state()`; iterating trains to `config.epochs`.

    Every random number comes from generators of its own, seeded by `config.seed`, and every epoch runs on `threads`
    CPU threads, so the same arguments give the same results bit for bit on one kind of CPU. Raises UserError if the
    batch or the subset is larger than the training set, TrainingFailed when the loss is no longer a number.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: Dataset,
        device: str = "cpu",
        threads: int = 1,
        state: dict[str, Any] | None = None,
    ) -> None:
        check_fits(config, len(data.train.labels))
        self.config, self.threads, self.epoch = config, threads, 0
        self.device = torch.device(device)
        self.train, self.test = self._place(data.train, config.train_size), self._place(data.test, None)
        self._shuffling = torch.Generator().manual_seed(config.seed)
        self._dropping = torch.Generator(self.device).manual_seed(config.seed)
        torch.backends.cudnn.deterministic = True
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model = build(config.model, config.dropout, self._dropping)
        # Channels-last: 0.9 of the time of the default layout for the convolutions of a CPU (docs/performance.md).
        self.model.to(self.device, memory_format=torch.channels_last)
        self.optimizer = _optimizer(config, self.model)
        self.scheduler = _scheduler(config, self.optimizer)
        if state is not None:
            self._load(state)

    def _place(self, split: Split, size: int | None) -> Split:
        return Split(split.images[:size].to(self.device), split.labels[:size].to(self.device))

    def __iter__(self) -> Iterator[EpochResult]:
        while self.epoch < self.config.epochs:
            yield self.run_epoch()

    def run_epoch(self) -> EpochResult:
        """Train one epoch more and evaluate on the test images."""
        # Per thread in OpenMP, so set here, in the thread that trains, and not once for the process.
        torch.set_num_threads(self.threads)
        cpu, start = time.process_time(), time.perf_counter()
        lr = self.optimizer.param_groups[0]["lr"]
        train_loss = self._train()
        trained = time.perf_counter()
        test_loss, accuracy = self._evaluate()
        end = time.perf_counter()
        self.epoch += 1
        if not (math.isfinite(train_loss) and math.isfinite(test_loss)):
            raise TrainingFailed(
                f"the loss is no longer a number at epoch {self.epoch} (train {train_loss}, test {test_loss})"
            )
        times = trained - start, end - trained, time.process_time() - cpu
        return EpochResult(self.epoch, lr, train_loss, test_loss, accuracy, *times)

    def _train(self) -> float:
        self.model.train()
        losses, sizes = [], []
        for batch in self._order().split(self.config.batch_size):
            losses.append(self.step(_normalised(self.train.images[batch]), self.train.labels[batch]))
            sizes.append(len(batch))
        self.scheduler.step()
        # One transfer an epoch: reading each loss would make an accelerator wait at every step.
        return _weighted_mean(torch.stack(losses).tolist(), sizes)

    def _order(self) -> torch.Tensor:
        n = len(self.train.labels)
        order = torch.randperm(n, generator=self._shuffling) if self.config.shuffle else torch.arange(n)
        return order.to(self.device)

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """One optimiser step on normalised images, float [N, 1, 28, 28], and labels, int64 [N]; returns the loss."""
        self.optimizer.zero_grad()
        loss = F.nll_loss(self.model(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def _evaluate(self) -> tuple[float, float]:
        self.model.eval()
        losses, hits = [], []
        for images, labels in zip(self.test.images.split(EVAL_BATCH), self.test.labels.split(EVAL_BATCH), strict=True):
            scores = self.model(_normalised(images))
            losses.append(F.nll_loss(scores, labels, reduction="sum"))
            hits.append((scores.argmax(1) == labels).sum())
        n = len(self.test.labels)
        return math.fsum(torch.stack(losses).tolist()) / n, int(torch.stack(hits).sum()) / n

    def state(self) -> dict[str, Any]:
        """All that the next epoch depends on, as tensors and plain values; they change when training goes on."""
        return {
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "shuffling": self._shuffling.get_state(),
            "dropping": self._dropping.get_state(),
        }

    def _load(self, state: dict[str, Any]) -> None:
        self.epoch = state["epoch"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self._shuffling.set_state(state["shuffling"])
        self._dropping.set_state(state["dropping"])


def check_fits(config: TrainConfig, images: int) -> None:
    """Raise UserError if `config` asks for more than the `images` of the training set, for a subset or for a batch."""
    if config.train_size is not None and config.train_size > images:
        raise UserError(
            f"train_size {config.train_size} is more than the {images} training images; choose at most {images}"
        )
    size = config.train_size or images
    if config.batch_size > size:
        raise UserError(f"batch_size {config.batch_size} is larger than the training set ({size} images)")


def resolve_device(asked: str) -> str:
    """ "cpu", "cuda" or "mps" for what was asked: auto takes CUDA where it is, else the CPU. UserError if it is not there."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if asked == "auto":
        return "cuda" if there["cuda"] else "cpu"
    if not there[asked]:
        found = ", ".join(name for name, present in there.items() if present)
        raise UserError(f"device '{asked}' is not there for torch {torch.__version__}; found: {found}")
    return asked


def conditions(dataset: Dataset, device: str, threads: int) -> Conditions:
    """What is held around a command's trainings on this machine, for the key of each."""
    return Conditions(
        dataset=dataset.name,
        data_checksum=dataset.checksum,
        device=_device_kind(device),
        threads=threads,
        precision="fp32",
        torch_version=torch.__version__,
        training_version=TRAINING_VERSION,
    )


def _device_kind(device: str) -> str:
    """Kernels differ by instruction set and by GPU, and their sums in the last bit."""
    if device == "cuda" and torch.cuda.is_available():  # else it is on the cluster, and not seen from here
        return f"cuda {torch.cuda.get_device_name(0)}"
    return f"{device} {platform.machine()} {torch.backends.cpu.get_cpu_capability()}" if device == "cpu" else device


def _normalised(images: torch.Tensor) -> torch.Tensor:
    """uint8 [N, 28, 28] -> float [N, 1, 28, 28], as ToTensor and Normalize give it."""
    return images.unsqueeze(1).float().div_(255).sub_(MEAN).div_(STD)


def _weighted_mean(values: list[float], weights: list[int]) -> float:
    return math.fsum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)


def _optimizer(config: TrainConfig, model: torch.nn.Module) -> torch.optim.Optimizer:
    parameters = model.parameters()
    shared = {"lr": config.lr, "weight_decay": config.weight_decay}
    if config.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=config.momentum, **shared)
    named = {"adadelta": torch.optim.Adadelta, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return named[config.optimizer](parameters, **shared)


def _scheduler(config: TrainConfig, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    if config.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=config.epochs)
    return torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=config.gamma)


def probe_epoch_seconds(config: TrainConfig, data: Dataset, device: str, threads: int) -> float:
    """About how many seconds an epoch of `config` takes, from a few of its steps and evaluation batches."""
    training = Training(config, data, device, threads)
    torch.set_num_threads(threads)
    images, labels = training.train.images[: config.batch_size], training.train.labels[: config.batch_size]
    steps = math.ceil(len(training.train.labels) / config.batch_size)
    step = _seconds(lambda: training.step(_normalised(images), labels).item())
    batch = Split(training.test.images[:EVAL_BATCH], training.test.labels[:EVAL_BATCH])
    evaluations = math.ceil(len(training.test.labels) / EVAL_BATCH)
    training.test = batch
    return steps * step + evaluations * _seconds(training._evaluate)


def _seconds(action: Callable[[], object], repeats: int = 5) -> float:
    """The median of a few calls, after one to warm up."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
