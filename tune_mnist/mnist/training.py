"""One training: iterate it and it yields a result after each epoch. It knows nothing of Ray, files or terminals.

for result in Training(TrainConfig(epochs=3), load("digits", ...)):
    print(result.epoch, result.test_accuracy)
"""

from __future__ import annotations

import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from tune_mnist.mnist.config import TrainConfig, check_fits
from tune_mnist.mnist.datasets import Dataset, Split
from tune_mnist.mnist.networks import network

MEAN, STD = 0.1307, 0.3081  # of MNIST's training pixels; the recipe's constants, for every data set
EVAL_BATCH = 100  # a pass over 10,000 images took 4.2 s; 5.8 s in batches of 250, 8.4 s in batches of 1,000


@dataclass(frozen=True)
class EpochResult:
    """What one epoch gave. Losses are mean negative log-likelihoods; accuracies are fractions; times are seconds.

    Those of training are taken as it goes, with dropout and while the weights change; those of the test after it, as
    are those of validation, if the data have any.
    """

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    train_time_s: float
    eval_time_s: float
    cpu_time_s: float
    val_loss: float | None = None
    val_accuracy: float | None = None


class Training:
    """A training of `config` on `data`, from the start or from another's `state()`; iterating it trains to the end.

    Every random number comes from generators of its own, seeded by `config.seed`, and every epoch runs on `threads`
    CPU threads, so the same arguments give the same results bit for bit on one kind of CPU. Raises UserError if the
    batch or the subset is larger than the training set.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: Dataset,
        device: str = "cpu",
        threads: int = 1,
        state: dict[str, Any] | None = None,
        precision: str = "fp32",
    ) -> None:
        check_fits(vars(config), len(data.train.labels))
        self.config, self.threads, self.epoch = config, threads, 0
        self.device, self.precision = torch.device(device), precision
        self.train_images, self.train_labels = self._place(data.train, config.train_size)
        self.test = self._place(data.test, None)
        self.validation = self._place(data.validation, None) if data.validation else None
        self._shuffling = torch.Generator().manual_seed(config.seed)
        self._dropping = torch.Generator(self.device).manual_seed(config.seed)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        torch.backends.cudnn.allow_tf32 = False  # fp32 means fp32
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model = network(config.model, config.dropout, config.last_dropout, self._dropping)
        # Channels-last: 0.9 of the time of the default layout for the convolutions of a CPU (docs/performance.md).
        self.model.to(self.device).to(memory_format=torch.channels_last)
        self.optimizer = _optimizer(config, self.model)
        self.scheduler = _scheduler(config, self.optimizer)
        if state is not None:
            self._load(state)

    def _place(self, split: Split, size: int | None) -> tuple[torch.Tensor, torch.Tensor]:
        with warnings.catch_warnings():
            # Ray shares one copy among a node's workers, read-only, and nothing here writes to it.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
            images, labels = torch.from_numpy(split.images[:size]), torch.from_numpy(split.labels[:size])
        return images.to(self.device), labels.to(self.device)

    def __iter__(self) -> Iterator[EpochResult]:
        while self.epoch < self.config.epochs:
            yield self.run_epoch()

    def run_epoch(self) -> EpochResult:
        """Train one epoch more and evaluate on the test images, and on those of validation."""
        # Per thread in OpenMP, so set here, in the thread that trains, and not once for the process.
        torch.set_num_threads(self.threads)
        cpu, start = time.process_time(), time.perf_counter()
        lr = self.optimizer.param_groups[0]["lr"]
        train_loss, train_accuracy = self._train()
        trained = time.perf_counter()
        test_loss, accuracy = self._evaluate(*self.test)
        val_loss, val_accuracy = self._evaluate(*self.validation) if self.validation else (None, None)
        end = time.perf_counter()
        self.epoch += 1
        times = trained - start, end - trained, time.process_time() - cpu
        measured = train_loss, train_accuracy, test_loss, accuracy, *times, val_loss, val_accuracy
        return EpochResult(self.epoch, lr, *measured)

    def _train(self) -> tuple[float, float]:
        self.model.train()
        losses, hits, sizes = [], [], []
        for batch in torch.split(self._order(), self.config.batch_size):
            loss, right = self.step(_normalised(self.train_images[batch]), self.train_labels[batch])
            losses.append(loss)
            hits.append(right)
            sizes.append(len(batch))
        self.scheduler.step()
        # One transfer an epoch: reading each loss would make an accelerator wait at every step.
        return _weighted_mean(torch.stack(losses).tolist(), sizes), int(torch.stack(hits).sum()) / sum(sizes)

    def _order(self) -> torch.Tensor:
        n = len(self.train_labels)
        order = torch.randperm(n, generator=self._shuffling) if self.config.shuffle else torch.arange(n)
        return order.to(self.device)

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One optimiser step on normalised images, float [N, 1, 28, 28], and labels, int64 [N].

        Returns the loss and how many images were classified right, both from before the step.
        """
        self.optimizer.zero_grad()
        scores = self._scores(images)
        loss = F.nll_loss(scores, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach(), _right(scores, labels)

    def _scores(self, images: torch.Tensor) -> torch.Tensor:
        """Log-probabilities, float [N, 10]; the sums inside in bf16 where that was asked for."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            scores = self.model(images)
        return scores.float()  # type: ignore[no-any-return]

    @torch.no_grad()
    def _evaluate(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
        """Mean loss and accuracy. It draws no random number, so the training goes on as if it had not been."""
        self.model.eval()
        losses, hits = [], []
        for some, answers in zip(torch.split(images, EVAL_BATCH), torch.split(labels, EVAL_BATCH), strict=True):
            scores = self._scores(_normalised(some))
            losses.append(F.nll_loss(scores, answers, reduction="sum"))
            hits.append(_right(scores, answers))
        n = len(labels)
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


def _normalised(images: torch.Tensor) -> torch.Tensor:
    """uint8 [N, 28, 28] -> float [N, 1, 28, 28], as ToTensor and Normalize give it."""
    return images.unsqueeze(1).float().div_(255).sub_(MEAN).div_(STD)


def _right(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """How many of the scores, float [N, 10], are highest at their label."""
    return (scores.argmax(1) == labels).sum()


def _weighted_mean(values: list[float], weights: list[int]) -> float:
    return math.fsum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)


def _optimizer(config: TrainConfig, model: torch.nn.Module) -> torch.optim.Optimizer:
    parameters, lr, decay = model.parameters(), config.lr, config.weight_decay
    if config.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=config.momentum, weight_decay=decay)
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=lr, weight_decay=decay)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=decay)
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=lr, momentum=config.momentum, weight_decay=decay)
    if config.optimizer == "nadam":
        return torch.optim.NAdam(parameters, lr=lr, weight_decay=decay)
    return torch.optim.Adadelta(parameters, lr=lr, weight_decay=decay)


def _scheduler(config: TrainConfig, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    if config.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=config.epochs)
    return torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=config.gamma)


def probe_epoch_seconds(config: TrainConfig, data: Dataset, device: str, threads: int, precision: str) -> float:
    """About how many seconds an epoch of `config` takes, from a few of its steps and evaluation batches."""
    training = Training(config, data, device, threads, precision=precision)
    torch.set_num_threads(threads)
    images, labels = training.train_images[: config.batch_size], training.train_labels[: config.batch_size]
    steps = math.ceil(len(training.train_labels) / config.batch_size)
    step = _seconds(lambda: float(training.step(_normalised(images), labels)[0]))
    parts = [labels for _, labels in filter(None, (training.test, training.validation))]
    evaluations = sum(math.ceil(len(labels) / EVAL_BATCH) for labels in parts)
    some = [one[:EVAL_BATCH] for one in training.test]
    return steps * step + evaluations * _seconds(lambda: training._evaluate(*some))


def _seconds(action: Callable[[], object], repeats: int = 5) -> float:
    """The median of a few calls, after one to warm up."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
