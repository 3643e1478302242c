"""Seeds until resolved: the test that is looked at after every seed, what is asked next, and a real command."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, rows, run, succeeded
from scipy import special, stats
from tasks import asked, mnist

from tune_mnist.errors import UserError
from tune_mnist.experiment import Experiment
from tune_mnist.mnist.task import MNIST
from tune_mnist.plan.written import written
from tune_mnist.statistics.intervals import paired
from tune_mnist.statistics.sequential import SHAPE, Looks
from tune_mnist.stopping import Stages
from tune_mnist.store.store import Store

# Not imported: it would be one of the modules of this project that are loaded, which other tests look at.
SIMULATED = runpy.run_path(str(ROOT / "bench" / "sequential.py"))
differences, sequential = SIMULATED["differences"], SIMULATED["sequential"]

DIFFERENCES = [0.010, 0.014, 0.009, 0.012, 0.011]


@pytest.mark.parametrize(("least", "most"), [(2, 3), (3, 8), (5, 20)])
def test_p_is_how_often_a_null_experiment_has_such_a_look(least: int, most: int) -> None:
    """Against 50,000 simulated experiments, whose t is taken after each pair."""
    x = np.random.default_rng(1).standard_normal((50_000, most))
    looks, strongest = Looks(least, most), np.zeros(len(x))
    for n in range(least, most + 1):
        p = stats.ttest_1samp(x[:, :n], 0, axis=1).pvalue
        strongest = np.maximum(strongest, -special.ndtri(p / 2) * (n / most) ** (0.5 - SHAPE))
    for last in (0.002, 0.01, 0.02, 0.1):
        share = float((strongest >= -special.ndtri(last / 2)).mean())
        assert looks.p(last, most) == pytest.approx(share, abs=4 * (share * (1 - share) / len(x)) ** 0.5)


def test_the_interval_excludes_0_where_p_is_below_5_percent() -> None:
    looks = Looks(3, 20)
    for shift in np.linspace(-0.02, 0.02, 81):
        found = looks.paired([one + shift for one in DIFFERENCES], [0.0] * 5)
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_it_asks_for_more_evidence_than_one_t_test_and_for_less_the_later() -> None:
    looks, once = Looks(3, 20), paired(DIFFERENCES, [0.0] * 5)
    found = looks.paired(DIFFERENCES, [0.0] * 5)
    assert found.p > once.p
    assert found.low < once.low < once.high < found.high
    assert looks.level(3) < looks.level(10) < looks.level(20) < 0.05
    assert (found.low, found.high) == pytest.approx(
        stats.t.interval(1 - looks.level(5), 4, np.mean(DIFFERENCES), stats.sem(DIFFERENCES))
    )


def test_fewer_pairs_than_the_least_are_not_tested() -> None:
    found = Looks(5, 20).paired(DIFFERENCES[:3], [0.0] * 3)
    assert (found.n, np.isnan(found.p), np.isnan(found.low)) == (3, True, True)


def test_overwhelming_evidence_has_a_small_p() -> None:
    assert 0 < Looks(3, 20).p(1e-30, 10) < 1e-10


def test_sweeps_without_an_effect_rarely_claim_one() -> None:
    found = differences(2000, 10, np.zeros(4), np.array([0.1, 0.5, 2, 5]), np.random.default_rng(3))
    claimed, stopped = sequential(found, Looks(3, 10))
    assert claimed.any(axis=1).mean() < 0.05
    assert stopped.mean() > 9.8


def test_an_effect_takes_fewer_seeds_than_a_fixed_plan() -> None:
    found = differences(2000, 20, np.ones(1), np.ones(1), np.random.default_rng(3))
    claimed, stopped = sequential(found, Looks(3, 20))
    power, n = claimed.mean(), np.arange(2, 40)
    fixed = stats.nct.sf(stats.t.isf(0.025, n - 1), n - 1, np.sqrt(n))
    assert stopped.mean() <= 0.7 * np.interp(power, fixed, n)


@pytest.mark.parametrize(
    ("seeds", "said"),
    [("1..5", "give 2..5"), ("5..3", "least"), ("4..4", "larger"), ("3..999", "give 3..200"), ("3..x", "3..x")],
)
def test_limits_that_make_no_sense_are_refused(seeds: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        asked(seeds=seeds, vary=["lr=0.01,0.1"])


def test_a_sweep_file_says_the_same(tmp_path: Path) -> None:
    request = asked(seeds="3..20", seed=5, vary=["lr=0.01,0.1"])
    assert (request.sequential, request.seeds) == ((3, 20), tuple(range(5, 25)))
    (tmp_path / "again.yaml").write_text(written(request, MNIST, {}), "utf-8")
    again = asked(config=tmp_path / "again.yaml")
    assert (again.sequential, again.seeds, again.points) == (request.sequential, request.seeds, request.points)


# By value and seed. Against 0.1: 0.2 is far off, 0.3 is equal, 0.4 differs by as much each time, 0.5 not clearly.
ACCURACY = {
    "0.01": [0.900, 0.902, 0.898, 0.901, 0.899, 0.900],
    "0.2": [0.5001, 0.5022, 0.4980, 0.5010, 0.4991, 0.5002],
    "0.3": [0.900, 0.902, 0.898, 0.901, 0.899, 0.900],
    "0.5": [0.910, 0.890, 0.905, 0.880, 0.925, 0.901],
}


def stored(store: Store, seeds: int = 6) -> Experiment:
    """An experiment whose runs of so many seeds are in the store."""
    request = asked(seeds="3..6", vary=["lr=0.01,0.2,0.3,0.5"], settings=["epochs=1"])
    experiment = Experiment(request, mnist(), store)
    for run_ in experiment.most.runs:
        if run_.config["seed"] <= seeds:
            row: dict[str, Any] = dict.fromkeys(("train_time_s", "eval_time_s", "cpu_time_s"), 1.0)
            accuracy = ACCURACY[f"{run_.config['lr']:g}"][run_.config["seed"] - 1]
            row |= {one.name: accuracy for one in MNIST.measures}
            row |= {"epoch": 1, "concurrent": 0, "hostname": "a", "trial_id": "t", "finished": "2026-01-01T00:00:00"}
            with store.claim([run_.key]):
                store.open(run_.key, {"config": run_.config.identity(), "conditions": {}, "alone": ""})
                store.append(run_.key, row)
    experiment.look()
    return experiment


def counts(experiment: Experiment) -> dict[str, int]:
    points = experiment.plan.points
    return {f"{point.value:g}": sum(one.value == point.value for one in points) for point in points}


def test_resolved_and_untestable_values_stop_and_the_baseline_goes_on_with_the_others(tmp_path: Path) -> None:
    assert counts(stored(Store(tmp_path))) == {"0.01": 6, "0.2": 3, "0.3": 3, "0.5": 6}


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_what_is_asked_next_depends_on_the_stored_rows_alone(tmp_path: Path, seeds: int) -> None:
    experiment = stored(Store(tmp_path), seeds)
    reached = max(seeds + 1, 3)
    assert counts(experiment) == {"0.01": reached, "0.2": 3, "0.3": 3, "0.5": reached}
    assert {one.config["seed"] for one in experiment.plan.todo} == {reached}


def test_a_plan_of_fixed_seeds_has_no_stages() -> None:
    stages = Stages(asked(seeds=4, vary=["lr=0.01,0.2"]))
    assert (stages.looks, stages.lines, len(stages.points)) == ({}, [], 8)


LOOP = """import random

def train(config, state=None):
    epoch = state["epoch"] if state else 0
    while True:
        epoch += 1
        noise = random.Random(f"{config['seed']} {config['rate']} {epoch}").gauss(0, 1)
        yield {"val_loss": 10 + (200 if config["rate"] == 2 else 0) + noise}, {"epoch": epoch}
"""


@pytest.mark.timeout(600)
@pytest.mark.long
def test_a_real_sweep_stops_where_it_is_resolved_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "loop.py").write_text(LOOP, "utf-8")
    sweep = ("run", "--task", "loop.py", "--vary", "rate=1,2,3", "--set", "rate=1", "--set", "epochs=1", "--trust")
    words = (*sweep, "--minimize", "val_loss", "--seeds", "3..6", "--output", "out")
    told = succeeded(run(*words, folder=tmp_path, module="tune_mnist"))
    assert told.out.count("starting Ray") == 1
    assert "seed 6 of at most 6: 1 of 2 differences resolved" in told.out
    found = {row["value"]: row for row in rows(tmp_path / "out" / "summary.csv")}
    assert {value: row["val_loss_n"] for value, row in found.items()} == {"1": "6", "2": found["2"]["pairs"], "3": "6"}
    assert (found["2"]["resolved"], found["3"]["resolved"]) == ("yes", "no")
    assert int(found["2"]["pairs"]) < 6
    assert json.loads((tmp_path / "out" / "environment.json").read_text("utf-8"))["sequential"] == [3, 6]
    report = (tmp_path / "out" / "report.md").read_bytes()
    assert b"sequential, 3 at first" in report
    again = succeeded(run(*words, folder=tmp_path, module="tune_mnist"))
    assert "starting Ray" not in again.out
    assert (tmp_path / "out" / "report.md").read_bytes() == report
    succeeded(run("report", "out", folder=tmp_path, module="tune_mnist"))
    assert (tmp_path / "out" / "report.md").read_bytes() == report
    assert len(list((tmp_path / "results" / "store").glob("*/run.json"))) == 12 + int(found["2"]["pairs"])
