"""Any training loop as trials of a real Ray: how often it is asked, what is stored of it, what it goes on from."""

from __future__ import annotations

import platform
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from tune_mnist.measure import Measure
from tune_mnist.plan.plan import Run
from tune_mnist.store.checkpoint import ZIP, packed, unpacked
from tune_mnist.store.store import Held, Row, Store
from tune_mnist.task import Config, Epochs, Task
from tune_mnist.tuning.cluster import Cluster
from tune_mnist.tuning.resources import Asked, choose

TIMES = ["train_time_s", "eval_time_s", "cpu_time_s"]
pytestmark = pytest.mark.timeout(600)


def counting() -> Task:
    """A loop that counts epochs, in the way that its config says, and has no other epoch than is asked for."""

    def train(config: Config, state: Any = None) -> Epochs:
        begin = state["epoch"] if isinstance(state, dict) else int(state or 0)
        for epoch in range(begin + 1, config["ends"] + 1):
            if epoch > config.epochs:
                raise ValueError("asked for an epoch too many")
            metrics: dict[str, Any] = {"score": epoch / 10, "begin": begin, "torch": "torch" in sys.modules}
            if config["way"] == "clocked":
                metrics |= dict.fromkeys(TIMES, 7.0)
            if config["way"] == "nan":
                metrics["score"] = float("nan")
            if config["way"] == "other":
                metrics["steps"] = float("nan")
            if config["way"] == "unmeasured":
                del metrics["score"]
            states = {"bytes": str(epoch).encode(), "dict": {"epoch": epoch}}
            yield metrics, states.get(config["way"])

    return Task("counting", train, measures=(Measure("score"),), conditions={"device": "a slower CPU"})


def run(way: str, epochs: int = 3, ends: int = 100) -> Run:
    return Run(way, Config({"way": way, "ends": ends, "epochs": epochs, "seed": 1}), Held())


@dataclass
class Heard:
    """A listener that keeps what it hears."""

    events: list[tuple[Any, ...]] = field(default_factory=list)

    def started(self, key: str, trained: int, hostname: str) -> None:
        self.events.append(("started", key, trained, hostname))

    def epoch(self, key: str, row: Row) -> None:
        self.events.append(("epoch", key, row["epoch"]))

    def diverged(self, key: str, row: Row) -> None:
        self.events.append(("diverged", key, row["epoch"]))

    def lost(self, key: str, cause: str) -> None:
        self.events.append(("lost", key, cause))

    def failed(self, key: str, error: str, trace: str) -> None:
        self.events.append(("failed", key, error, trace))

    def printed(self, key: str, text: str) -> None:
        self.events.append(("printed", key, text))

    def said(self, key: str, text: str) -> None:
        self.events.append(("said", key, text))


@dataclass(frozen=True)
class Trained:
    """Runs of all kinds, and two of them that were asked for more epochs afterwards."""

    store: Store
    errors: dict[str, str]
    heard: Heard
    longer: Heard

    def rows(self, key: str) -> tuple[Row, ...]:
        return self.store.held(key).rows


def train_all(folder: Path) -> Trained:
    """One Ray: every kind of loop, the one with torch at the end of a worker's life; then three of them for longer."""
    store, heard, longer = Store(folder), Heard(), Heard()
    short = [
        run("bytes"),
        run("none"),
        run("clocked"),
        run("early", ends=2),
        run("nan"),
        run("other"),
        run("unmeasured"),
        run("dict"),
    ]
    long = [run(way, epochs=5) for way in ("bytes", "dict", "none")]
    keys = [one.key for one in short]
    with store.claim(keys), Cluster(cpus=2).started() as connection:
        from tune_mnist.tuning.tuner import Trials, execute

        trials = Trials(choose(Asked("cpu"), local=True), connection)
        for key in keys:
            store.open(key, {})
        errors = execute(short, counting(), trials, store, heard)
        errors |= execute(long, counting(), trials, store, longer)
    return Trained(store, errors, heard, longer)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    with ProcessPoolExecutor(1, get_context("spawn")) as process:  # Ray leaves this one as it was
        return process.submit(train_all, tmp_path_factory.mktemp("tuning") / "store").result()


@pytest.mark.parametrize("way", ["bytes", "dict", "none"])
def test_a_loop_is_asked_for_exactly_the_epochs_that_are_left(trained: Trained, way: str) -> None:
    assert [row["score"] for row in trained.rows(way)] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert way not in trained.errors


def test_a_loop_that_ends_early_fails_its_run_and_keeps_what_it_gave(trained: Trained) -> None:
    assert trained.errors["early"].endswith("ended after 2 of 3 epochs")
    assert len(trained.rows("early")) == 2


@pytest.mark.parametrize("way", ["bytes", "dict"])
def test_a_loop_with_a_state_goes_on_where_it_was(trained: Trained, way: str) -> None:
    assert ("started", way, 3, platform.node()) in trained.longer.events
    assert [row["begin"] for row in trained.rows(way)] == [0, 0, 0, 3, 3]


def test_a_loop_without_a_state_has_no_checkpoint_and_starts_again(trained: Trained) -> None:
    assert trained.store.held("none").resume == 0
    assert ("started", "none", 0, platform.node()) in trained.longer.events
    assert [row["begin"] for row in trained.rows("none")] == [0] * 5


def test_bytes_are_stored_as_they_are(trained: Trained) -> None:
    assert trained.store.load_checkpoint("bytes") == (5, b"5")


def test_a_task_without_torch_does_not_load_it(trained: Trained) -> None:
    assert not any(row["torch"] for way in ("bytes", "none", "clocked") for row in trained.rows(way)[:3])


def test_a_row_is_the_epoch_its_metrics_its_times_and_where_it_was_trained(trained: Trained) -> None:
    (first, *_) = trained.rows("bytes")
    where = ["trial_id", "hostname", "finished", "concurrent"]
    assert list(first) == ["epoch", "score", "begin", "torch", *TIMES, *where]
    assert first["eval_time_s"] == 0.0 <= first["train_time_s"]


def test_times_that_a_loop_takes_itself_are_kept(trained: Trained) -> None:
    assert [trained.rows("clocked")[0][name] for name in TIMES] == [7.0] * 3


@pytest.mark.parametrize(
    ("way", "said"),
    [
        pytest.param("other", "steps is nan at epoch 1, and not a finite number", id="not finite"),
        pytest.param("unmeasured", "epoch 1 has no score; a task yields each of its measures", id="missing"),
    ],
)
def test_a_measure_that_is_no_number_fails_the_run_without_a_traceback(trained: Trained, way: str, said: str) -> None:
    ((error, trace),) = [event[2:] for event in trained.heard.events if event[:2] == ("failed", way)]
    assert said in error == trained.errors[way]
    assert trace == ""


def test_a_run_whose_judged_measure_is_no_number_diverged_and_ended_there(trained: Trained) -> None:
    held = trained.store.held("nan")
    assert held.diverged is not None
    assert held.diverged["diverged"] == "score is nan"
    assert (held.rows, held.resume, held.answers(3)) == ((), 0, True)
    assert [event for event in trained.heard.events if event[1] == "nan"][-1:] == [("diverged", "nan", 1)]
    assert "nan" not in trained.errors


def test_a_worker_with_another_device_than_the_driver_says_so(trained: Trained) -> None:
    said = [event[2] for event in trained.heard.events if event[:2] == ("said", "bytes")]
    assert [text.endswith("the driver a slower CPU: the numbers may differ in their last bits") for text in said] == [
        True
    ]


# Checkpoints


@pytest.mark.parametrize("state", [b"", b"plain", ZIP + b"like torch's", {"epoch": 3, "name": "x"}])
def test_a_state_is_given_back_as_it_was(state: Any) -> None:
    content = packed(state)
    assert content is not None
    assert unpacked(content) == state


def test_the_state_of_a_loop_that_has_none_is_no_checkpoint() -> None:
    assert packed(None) is None


def test_a_checkpoint_is_loaded_as_weights_only(tmp_path: Path) -> None:
    content = packed({"where": tmp_path})  # a class, which a stored file could make do anything
    assert content is not None
    with pytest.raises(Exception, match="Weights only load failed"):
        unpacked(content)
