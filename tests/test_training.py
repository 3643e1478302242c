"""Training: the same numbers to the bit whatever happens beside it, and the recipe's own numbers. No Ray, no files."""

from __future__ import annotations

import hashlib
import io
import itertools
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

import tune_mnist
from tune_mnist.errors import UserError
from tune_mnist.machine.devices import resolve
from tune_mnist.mnist.config import TrainConfig, check_fits
from tune_mnist.mnist.datasets import Dataset, Split
from tune_mnist.mnist.networks import Dropout, network
from tune_mnist.mnist.task import MNIST, TRAINING_VERSION, conditions
from tune_mnist.mnist.training import EpochResult, Training, probe_epoch_seconds

# What TRAINING_VERSION was held against last: (version, SHA-256 of networks.py and training.py, one after the other).
MODELS, OPTIMIZERS = (MNIST.parameter(name).choices for name in ("model", "optimizer"))
FINGERPRINT = (2, "c5e4950d8104bf99bc6ba37f97ab5ef5f93043b59b7c96b3038d8a4dc7f26966")
MLP = TrainConfig(model="mlp", batch_size=16, epochs=4)
Step = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
TIMES = ("train_time_s", "eval_time_s", "cpu_time_s")


def split(images: int, seed: int) -> Split:
    """Random images and classes; the images' first pixel counts them."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (images, 28, 28), dtype=np.uint8)
    pixels[:, 0, 0] = np.arange(images) % 256
    return Split(pixels, generator.integers(0, 10, images))


def dataset(train: int = 70, test: int = 30) -> Dataset:
    return Dataset("toy", split(train, 1), split(test, 2), {"toy": "0"})


DATA = dataset()


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The process's thread count and random state are the other tests' too."""
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    yield
    torch.set_num_threads(threads)
    torch.set_rng_state(state)


def numbers(result: EpochResult) -> dict[str, Any]:
    """All of a result that a repetition must meet to the bit: everything but the times."""
    return {name: value for name, value in asdict(result).items() if name not in TIMES}


def trained(config: TrainConfig, data: Dataset = DATA, **options: Any) -> list[dict[str, Any]]:
    """The numbers of each epoch of a training."""
    return [numbers(result) for result in Training(config, data, **options)]


def saved(training: Training) -> dict[str, Any]:
    """The training's state, to a file and back as the store's checkpoints are."""
    buffer = io.BytesIO()
    torch.save(training.state(), buffer)
    buffer.seek(0)
    state: dict[str, Any] = torch.load(buffer, weights_only=True)
    return state


def images_seen(config: TrainConfig, epochs: int = 1) -> list[list[int]]:
    """The batches that the network is trained on, as the images' places in the file."""
    training, batches = Training(config, DATA), list[list[int]]()

    def note(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        if module.training:
            first = inputs[0][:, 0, 0, 0] * 0.3081 + 0.1307
            batches.append((first * 255).round().int().tolist())

    training.model.register_forward_pre_hook(note)
    for _ in range(epochs):
        training.run_epoch()
    return batches


# The same numbers to the bit


@pytest.mark.parametrize("model", MODELS)
def test_the_same_config_gives_the_same_numbers(model: Any) -> None:
    config = TrainConfig(model=model, batch_size=32, epochs=2)
    assert trained(config) == trained(config)


@pytest.mark.parametrize("change", [{"seed": 2}, {"lr": 0.02}, {"batch_size": 8}, {"shuffle": False}, {"dropout": 0.1}])
def test_another_config_gives_other_numbers(change: dict[str, Any]) -> None:
    assert trained(MLP)[0]["train_loss"] != trained(MLP.but(**change))[0]["train_loss"]


@pytest.mark.parametrize("model", ["cnn", "mlp"])
def test_another_training_between_its_epochs_changes_nothing(model: Any) -> None:
    config = TrainConfig(model=model, batch_size=32, epochs=2)
    one, other = Training(config, DATA), Training(config.but(seed=2, lr=0.5), DATA)
    interleaved = [(numbers(a), numbers(b)) for a, b in zip(one, other, strict=True)]
    assert interleaved == list(zip(trained(config), trained(config.but(seed=2, lr=0.5)), strict=True))


def test_trainings_in_threads_beside_each_other_change_nothing() -> None:
    configs = [MLP.but(seed=seed) for seed in (1, 2, 3)]
    trainings = [Training(config, DATA) for config in configs]
    found: dict[int, list[dict[str, Any]]] = {}

    def train(training: Training) -> None:
        found[training.config.seed] = [numbers(result) for result in training]

    threads = [threading.Thread(target=train, args=(training,)) for training in trainings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {config.seed: trained(config) for config in configs}


def test_torchs_own_random_state_changes_nothing() -> None:
    training, found = Training(MLP, DATA), []
    for disturbed in range(4):
        torch.manual_seed(disturbed)
        torch.rand(disturbed)
        found.append(numbers(training.run_epoch()))
    assert found == trained(MLP)


def test_a_training_leaves_torchs_own_random_state() -> None:
    before = torch.get_rng_state()
    trained(MLP)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_evaluated_on_changes_no_training() -> None:
    one, other = trained(MLP), trained(MLP, replace(DATA, test=split(300, 3)))
    assert [result["train_loss"] for result in one] == [result["train_loss"] for result in other]


def test_a_training_that_is_only_built_changes_nothing() -> None:
    training = Training(MLP, DATA)
    Training(MLP.but(seed=9), DATA)
    assert [numbers(result) for result in training] == trained(MLP)


# Precision: a CPU without bf16 instructions imitates it, slowly; no matter for a network of this size


def test_bf16_gives_the_same_numbers_each_time() -> None:
    assert trained(MLP, precision="bf16") == trained(MLP, precision="bf16")


def test_bf16_is_near_fp32_and_not_the_same() -> None:
    """8 bits of precision: a part in 256 at each sum."""
    rough, exact = (trained(MLP, precision=precision)[0]["train_loss"] for precision in ("bf16", "fp32"))
    assert rough != exact
    assert rough == pytest.approx(exact, rel=0.02)


def test_going_on_in_bf16_gives_the_same_numbers() -> None:
    training = Training(MLP, DATA, precision="bf16")
    first = [numbers(training.run_epoch())]
    assert first + trained(MLP, state=saved(training), precision="bf16") == trained(MLP, precision="bf16")


# Prefixes and states


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_short_training_is_the_start_of_a_longer_one(model: Any, optimizer: Any) -> None:
    config = TrainConfig(model=model, optimizer=optimizer, batch_size=32, epochs=1)
    assert trained(config) == trained(config.but(epochs=2))[:1]


def test_a_cosine_schedules_short_training_is_not() -> None:
    config = MLP.but(schedule="cosine")
    assert trained(config.but(epochs=2)) != trained(config.but(epochs=4))[:2]


@pytest.mark.parametrize("shuffle", [True, False], ids=["shuffled", "file order"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_going_on_from_a_saved_state_gives_the_same_numbers(optimizer: str, shuffle: bool) -> None:
    config = MLP.but(optimizer=optimizer, shuffle=shuffle, momentum=0.9 if optimizer in ("sgd", "rmsprop") else 0.0)
    training = Training(config, DATA)
    first = [numbers(training.run_epoch()), numbers(training.run_epoch())]
    assert first + trained(config, state=saved(training)) == trained(config)


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(batch_size=32, epochs=2),
        TrainConfig(batch_size=32, epochs=2, optimizer="sgd", momentum=0.9, weight_decay=0.1),
        TrainConfig(batch_size=32, epochs=2, optimizer="adam"),
        MLP.but(schedule="cosine"),
        MLP.but(epochs=2, train_size=33),
    ],
    ids=["cnn", "cnn sgd", "cnn adam", "cosine", "subset"],
)
def test_going_on_gives_the_same_weights(config: TrainConfig) -> None:
    whole, start = Training(config, DATA), Training(config, DATA)
    start.run_epoch()
    gone_on = Training(config, DATA, state=saved(start))
    for training in (whole, gone_on):
        list(training)
    weights, others = whole.model.state_dict(), gone_on.model.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_a_run_is_extended_from_its_state() -> None:
    """15 epochs grown to 20 train five."""
    short = Training(MLP.but(epochs=2), DATA)
    list(short)
    assert trained(MLP, state=saved(short)) == trained(MLP)[2:]


def test_a_state_says_its_epoch() -> None:
    training = Training(MLP, DATA)
    training.run_epoch()
    assert saved(training)["epoch"] == 1


def test_a_finished_state_trains_nothing() -> None:
    training = Training(MLP, DATA)
    list(training)
    assert trained(MLP, state=saved(training)) == []


# What is trained on


def test_without_shuffling_images_come_in_file_order() -> None:
    seen = images_seen(MLP.but(shuffle=False), epochs=2)
    assert list(itertools.chain(*seen)) == [*range(70), *range(70)]


def test_shuffled_every_image_comes_once_an_epoch() -> None:
    seen = list(itertools.chain(*images_seen(MLP, epochs=2)))
    assert sorted(seen[:70]) == sorted(seen[70:]) == list(range(70))


def test_shuffled_the_order_is_another_in_each_epoch() -> None:
    seen = list(itertools.chain(*images_seen(MLP, epochs=2)))
    assert len({tuple(range(70)), tuple(seen[:70]), tuple(seen[70:])}) == 3


@pytest.mark.parametrize("shuffle", [True, False])
def test_the_last_batch_is_used_though_it_is_not_full(shuffle: bool) -> None:
    assert [len(batch) for batch in images_seen(MLP.but(shuffle=shuffle))] == [16, 16, 16, 16, 6]


def test_a_subset_is_the_first_images() -> None:
    assert sorted(itertools.chain(*images_seen(MLP.but(train_size=33)))) == list(range(33))


def test_a_subset_trains_as_a_data_set_of_that_size() -> None:
    first = Split(DATA.train.images[:33], DATA.train.labels[:33])
    assert trained(MLP.but(train_size=33)) == trained(MLP, replace(DATA, train=first))


def test_the_data_is_left_as_it_was() -> None:
    before = DATA.train.images.copy(), DATA.test.images.copy()
    trained(MLP)
    np.testing.assert_array_equal(DATA.train.images, before[0])
    np.testing.assert_array_equal(DATA.test.images, before[1])


def test_data_that_cannot_be_written_to_trains_without_a_warning() -> None:
    """As Ray lends it to every worker of a node."""
    data = dataset()
    for part in (data.train, data.test):
        part.images.flags.writeable = part.labels.flags.writeable = False
    assert trained(MLP, data) == trained(MLP)


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (TrainConfig(batch_size=71), "batch_size 71 is larger than the training set; choose at most 70"),
        (TrainConfig(batch_size=11, train_size=10), "batch_size 11 is larger than the training set; choose at most 10"),
        (
            TrainConfig(batch_size=1, train_size=71),
            "train_size 71 is more than the 70 training images; choose at most 70",
        ),
    ],
    ids=["batch", "batch of a subset", "subset"],
)
def test_more_than_there_is_is_refused(config: TrainConfig, line: str) -> None:
    with pytest.raises(UserError) as refused:
        Training(config, DATA)
    assert str(refused.value) == line


def test_as_much_as_there_is_is_not_refused() -> None:
    check_fits(vars(TrainConfig(batch_size=70, train_size=70)), 70)


# What comes out


def test_a_result_an_epoch() -> None:
    assert [result.epoch for result in Training(MLP, DATA)] == [1, 2, 3, 4]


def test_losses_and_accuracies_are_means_over_images_not_over_batches() -> None:
    """With a rate that changes no weight, training's loss and accuracy are those of the same images in evaluation."""
    data = replace(DATA, test=DATA.train)
    (result,) = Training(MLP.but(lr=1e-30, dropout=0, epochs=1), data)
    assert result.train_loss == pytest.approx(result.test_loss, rel=1e-6)
    assert result.train_accuracy == result.test_accuracy


def test_accuracy_is_the_share_of_test_images_with_the_right_class() -> None:
    """After learning 70 images by heart, tested on them with the labels of seven made wrong."""
    labels = DATA.train.labels.copy()
    labels[:7] = (labels[:7] + 1) % 10
    data = replace(DATA, test=Split(DATA.train.images, labels))
    results = list(
        Training(TrainConfig(model="mlp", dropout=0, optimizer="adam", lr=0.001, epochs=30, batch_size=10), data)
    )
    assert results[-1].test_accuracy == 0.9


def test_the_test_set_is_evaluated_whole_though_it_is_not_full_batches() -> None:
    """250 images are two batches of 100 and a half one: the mean of three sets' losses, weighed by their sizes."""
    parts = [split(size, seed) for seed, size in enumerate((100, 100, 50))]
    whole = Split(np.concatenate([part.images for part in parts]), np.concatenate([part.labels for part in parts]))
    losses = [trained(MLP.but(epochs=1), replace(DATA, test=part))[0]["test_loss"] for part in [*parts, whole]]
    assert losses[3] == pytest.approx((2 * losses[0] + 2 * losses[1] + losses[2]) / 5, rel=1e-6)


def test_the_learning_rate_follows_gamma() -> None:
    rates = [result["lr"] for result in trained(MLP.but(lr=0.5, gamma=0.1))]
    assert rates == pytest.approx([0.5, 0.05, 0.005, 0.0005])


def test_a_cosine_schedule_falls_to_nothing_over_the_epochs() -> None:
    rates = [result["lr"] for result in trained(MLP.but(lr=1, schedule="cosine"))]
    assert rates == pytest.approx([1, (2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4])


def test_a_loss_that_is_no_number_is_yielded_as_it_is() -> None:
    """Whoever trains decides what follows from it."""
    result = Training(MLP.but(optimizer="sgd", lr=1e9), DATA).run_epoch()
    assert math.isnan(result.train_loss)
    assert math.isnan(result.test_loss)


def test_times_are_measured_apart() -> None:
    (result,) = Training(MLP.but(epochs=1), DATA)
    assert min(result.train_time_s, result.eval_time_s, result.cpu_time_s) > 0


@pytest.mark.parametrize("threads", [1, 2])
def test_the_threads_are_those_asked_for_in_the_thread_that_trains(threads: int) -> None:
    torch.set_num_threads(3 - threads)
    used: list[int] = []

    def train() -> None:
        Training(MLP, DATA, threads=threads).run_epoch()
        used.append(torch.get_num_threads())

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert used == [threads]


# The networks


class Example(nn.Module):
    """The network of pytorch/examples' MNIST, with its own dropout layers off."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, 1)
        self.conv2 = nn.Conv2d(32, 64, 3, 1)
        self.dropout1 = nn.Dropout(0.0)
        self.dropout2 = nn.Dropout(0.0)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = self.dropout1(F.max_pool2d(x, 2))
        x = F.relu(self.fc1(torch.flatten(x, 1)))
        return F.log_softmax(self.fc2(self.dropout2(x)), dim=1)


def as_torchvision_reads(split: Split) -> tuple[torch.Tensor, torch.Tensor]:
    """Images through pytorch/examples' own transform, and their labels."""
    transforms = torchvision.transforms
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    images = torch.stack([transform(image) for image in split.images[..., np.newaxis]])
    return images, torch.from_numpy(split.labels)


def example(config: TrainConfig) -> tuple[Example, torch.optim.Optimizer]:
    """The plain network with the weights that the config's training starts with, and the recipe's optimiser."""
    model = Example()
    model.load_state_dict(Training(config, DATA).model.state_dict())
    return model, torch.optim.Adadelta(model.parameters(), lr=config.lr)


def plain_step(model: nn.Module, optimizer: torch.optim.Optimizer) -> Step:
    """A step as pytorch/examples takes it."""

    def step(images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        optimizer.zero_grad()
        scores = model(images)
        loss = F.nll_loss(scores, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.detach(), (scores.argmax(1) == labels).sum()

    return step


def losses(step: Step, steps: int, dtype: torch.dtype = torch.float32) -> list[float]:
    """The losses of so many steps on four images each, in file order."""
    torch.set_num_threads(1)
    images, labels = as_torchvision_reads(DATA.train)
    batches = torch.split(torch.arange(4 * steps) % len(labels), 4)
    return [step(images[batch].to(dtype), labels[batch])[0].item() for batch in batches]


def test_a_hundred_steps_are_those_of_pytorchs_example() -> None:
    """Same weights, images and order: the losses agree, so the faster formulation is the same network."""
    config = TrainConfig(dropout=0)
    ours, plain = losses(Training(config, DATA).step, 100), losses(plain_step(*example(config)), 100)
    assert ours == pytest.approx(plain, rel=1e-4)


def test_the_network_is_pytorchs_example_in_double_precision_too() -> None:
    """At the example's own rate rounding grows at every step; where there is next to none no difference is left."""
    config = TrainConfig(dropout=0, lr=1)
    training, (model, optimizer) = Training(config, DATA), example(config)
    ours = losses(plain_step(training.model.double(), training.optimizer), 20, torch.float64)
    assert ours == pytest.approx(losses(plain_step(model.double(), optimizer), 20, torch.float64), rel=1e-9)


def test_two_epochs_are_those_of_pytorchs_example() -> None:
    """The whole recipe: ToTensor, Normalize, file order, Adadelta, StepLR, summed test losses over the images."""
    torch.set_num_threads(1)
    config = TrainConfig(dropout=0, lr=0.5, shuffle=False, batch_size=16, epochs=2)
    model, optimizer = example(config)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    (images, labels), (test_images, test_labels) = as_torchvision_reads(DATA.train), as_torchvision_reads(DATA.test)
    plain = []
    for _ in range(2):
        for batch in torch.split(torch.arange(70), 16):
            optimizer.zero_grad()
            F.nll_loss(model(images[batch]), labels[batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        scheduler.step()
        with torch.no_grad():
            plain.append(F.nll_loss(model(test_images), test_labels).item())
    assert [result["test_loss"] for result in trained(config)] == pytest.approx(plain, rel=1e-4)


def test_the_cnns_parameters_are_named_and_shaped_as_in_pytorchs_example() -> None:
    ours = {name: tuple(value.shape) for name, value in network("cnn", 0.25, 0.5, torch.Generator()).named_parameters()}
    assert ours == {
        "conv1.weight": (32, 1, 3, 3),
        "conv1.bias": (32,),
        "conv2.weight": (64, 32, 3, 3),
        "conv2.bias": (64,),
        "fc1.weight": (128, 9216),
        "fc1.bias": (128,),
        "fc2.weight": (10, 128),
        "fc2.bias": (10,),
    }


@pytest.mark.parametrize("model", MODELS)
def test_every_network_gives_log_probabilities_of_ten_classes(model: Any) -> None:
    scores = network(model, 0.25, 0.5, torch.Generator())(torch.randn(3, 1, 28, 28))
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(3))
    assert scores.shape == (3, 10)


@pytest.mark.parametrize(
    ("optimizer", "kind"),
    {
        "adadelta": torch.optim.Adadelta,
        "sgd": torch.optim.SGD,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "rmsprop": torch.optim.RMSprop,
        "nadam": torch.optim.NAdam,
    }.items(),
)
def test_an_optimizer_gets_the_configs_values(optimizer: str, kind: type[torch.optim.Optimizer]) -> None:
    config = MLP.but(
        optimizer=optimizer, lr=0.3, weight_decay=0.02, momentum=0.9 if optimizer in ("sgd", "rmsprop") else 0.0
    )
    made = Training(config, DATA).optimizer
    given = {name: made.param_groups[0].get(name, 0.0) for name in ("lr", "weight_decay", "momentum")}
    assert type(made) is kind
    assert given == {"lr": 0.3, "weight_decay": 0.02, "momentum": config.momentum}


def dropouts(**values: Any) -> tuple[float, float]:
    """The rates after the convolutions and before the last layer."""
    model = Training(TrainConfig(**values), DATA).model
    rates = [model.get_submodule(name) for name in ("dropout1", "dropout2")]
    assert all(isinstance(one, Dropout) for one in rates)
    return rates[0].rate, rates[1].rate  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("values", "rates"),
    [
        ({}, (0.25, 0.5)),
        ({"dropout": 0.49}, (0.49, 0.98)),
        ({"dropout": 0.5}, (0.5, 0.5)),
        ({"dropout": 0.7}, (0.7, 0.7)),
        ({"dropout": 0.1, "dropout_last": 0.9}, (0.1, 0.9)),
        ({"dropout_last": 0}, (0.25, 0.0)),
    ],
)
def test_the_last_layers_dropout_is_twice_the_first_where_that_leaves_something(
    values: dict[str, Any], rates: tuple[float, float]
) -> None:
    assert dropouts(**values) == rates


# Dropout, of ones: what is left of them is the share kept


def dropped(rate: float, elements: int = 100_001, seed: int = 1) -> torch.Tensor:
    ones: torch.Tensor = Dropout(rate, torch.Generator().manual_seed(seed))(torch.ones(elements))
    return ones


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.8])
def test_dropout_drops_its_share(rate: float) -> None:
    """Within four standard deviations of a fair draw, for this seed."""
    share = (dropped(rate) == 0).double().mean().item()
    assert share == pytest.approx(rate, abs=4 * (rate * (1 - rate) / 100_001) ** 0.5)


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.8])
def test_dropout_scales_what_it_keeps(rate: float) -> None:
    assert np.unique(dropped(rate).numpy()) == pytest.approx([0, 1 / (1 - rate)])


@pytest.mark.parametrize("rate", [0.9999, 2 * 0.499999])
def test_dropout_at_the_end_of_its_range_keeps_next_to_nothing(rate: float) -> None:
    assert (dropped(rate) != 0).double().mean().item() < 0.001


def test_dropout_drops_neighbours_independently() -> None:
    """Four elements share one draw of 64 bits: a quarter of the pairs are both dropped."""
    zero = (dropped(0.5, 100_000) == 0).view(-1, 4).double()
    both = [(zero[:, a] * zero[:, b]).mean().item() for a, b in itertools.combinations(range(4), 2)]
    assert both == pytest.approx([0.25] * 6, abs=4 * (0.25 * 0.75 / 25_000) ** 0.5)


def test_dropout_draws_anew_each_time() -> None:
    dropout = Dropout(0.5, torch.Generator().manual_seed(1))
    assert not torch.equal(dropout(torch.ones(1000)), dropout(torch.ones(1000)))


def test_dropout_draws_from_its_own_generator() -> None:
    torch.manual_seed(1)
    one = dropped(0.5)
    torch.manual_seed(2)
    assert torch.equal(one, dropped(0.5))


def test_dropout_does_nothing_in_evaluation_and_draws_nothing() -> None:
    generator = torch.Generator().manual_seed(1)
    before, dropout = generator.get_state(), Dropout(0.5, generator).eval()
    assert torch.equal(dropout(torch.ones(100)), torch.ones(100))
    assert torch.equal(generator.get_state(), before)


def test_dropouts_gradient_is_that_of_what_it_kept() -> None:
    x = torch.ones(1000, requires_grad=True)
    kept = Dropout(0.5, torch.Generator().manual_seed(1))(x)
    kept.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, kept.detach())


# Devices, conditions, the probe


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_auto_is_the_cpu_where_there_is_no_gpu() -> None:
    assert resolve("auto") == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_auto_is_cuda_where_there_is_one() -> None:
    assert resolve("auto") == "cuda"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_named_with_the_way_out() -> None:
    with pytest.raises(UserError, match=r"^--device cuda: torch finds no CUDA device here; choose cpu, or auto$"):
        resolve("cuda")


def test_conditions_are_those_of_this_machine_and_data() -> None:
    found = conditions(DATA, "cpu", 2, "fp32")
    assert (found["dataset"], found["data_checksum"], found["threads"]) == ("toy", DATA.checksum, 2)
    assert torch.__version__.startswith(found["torch_version"])  # without its local part, such as +cpu
    assert (found["training_version"], found["precision"]) == (TRAINING_VERSION, "fp32")
    assert found["device"].startswith("cpu ")


def test_a_probe_is_longer_for_more_steps() -> None:
    """Twenty times as many images: even beside a busy neighbour more than three times as long."""
    short, long = (probe_epoch_seconds(MLP, dataset(images), "cpu", 1, "fp32") for images in (64, 1280))
    assert long > 3 * short > 0


def test_a_probe_changes_no_training() -> None:
    training = Training(MLP, DATA)
    probe_epoch_seconds(MLP, DATA, "cpu", 1, "fp32")
    assert [numbers(result) for result in training] == trained(MLP)


# The version


def test_the_training_codes_version_is_that_of_its_fingerprint() -> None:
    """A stored epoch answers for a new one under the same version, so a change must not slip through."""
    package = Path(tune_mnist.__file__).parent / "mnist"
    code = b"".join((package / name).read_bytes() for name in ("networks.py", "training.py"))
    now = (TRAINING_VERSION, hashlib.sha256(code).hexdigest())
    assert now == FINGERPRINT, (
        "networks.py or training.py changed: if any number changed in any bit raise TRAINING_VERSION; "
        f"then record the new fingerprint in {Path(__file__).name}: FINGERPRINT = {now}"
    )
