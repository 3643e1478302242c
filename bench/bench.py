"""Ours against the usual way, in turns (A B A B …) on images of MNIST: `make bench`, or `make bench FULL=1` on all.

Prints a table and writes bench/results.json, or bench/full.json: for each measure n, the medians, their spread, and the
ratio usual/ours. The ratios are what counts, because the seconds belong to the machine. Run nothing beside it.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from scipy.stats import ttest_ind

from tune_mnist.errors import UserError
from tune_mnist.files import now, write_whole
from tune_mnist.machine import environment
from tune_mnist.machine.cpu import cpu_flags
from tune_mnist.mnist import datasets
from tune_mnist.mnist.task import BF16_FLAGS, MNIST
from tune_mnist.plan.request import Options, build
from tune_mnist.results.folder import results_csv

HERE = Path(__file__).parent
RESULTS_CSV = results_csv(MNIST.name)
Seconds = Callable[[], float]
SEEDS, EPOCHS = 5, 5  # of the accuracies that are compared
TWO = 0.01, 0.05  # learning rates
Measure = tuple[str, Seconds, Seconds, int]  # what, the usual way, ours, how often


class Bench:
    """The commands that are compared, on the first `size` training images of MNIST, and on all 10,000 for testing."""

    def __init__(self, data: Path, scratch: Path, size: int) -> None:
        self.data, self.scratch, self.size, self.count = data, scratch, size, 0

    def usual(self, **options: Any) -> list[dict[str, float]]:
        """One training the usual way; its epochs."""
        options |= {"data": self.data, "size": self.size}
        arguments = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        return [json.loads(line) for line in _run([sys.executable, str(HERE / "usual.py"), *arguments]).splitlines()]

    def ours(self, *arguments: str, store: Path | None = None, size: int | None = None) -> Path:
        """One command of ours, with a store and a folder of its own unless the store is given; its results folder."""
        self.count += 1
        store = store or self.scratch / f"store{self.count}"
        output = store.with_name(f"{store.name}-results")
        places = ["--store", str(store), "--output", str(output)]
        data = ["--dataset", "mnist", "--data-dir", str(self.data), "--set", f"train_size={size or self.size}"]
        _run([sys.executable, "-m", "tune_mnist.run", *data, *places, *arguments])
        return output

    def usual_job(self) -> None:
        """The thirteen points of the standard sweeps, one process after another."""
        for point in build(MNIST, Options()).points:
            self.usual(**{name: point.config[name] for name in ("epochs", "batch_size", "lr")})

    def usual_epochs(self) -> float:
        """Seconds of training and evaluating two trainings of one epoch, one after the other."""
        return sum(epoch["train_s"] + epoch["eval_s"] for _ in range(2) for epoch in self.usual(epochs=1))

    def our_epochs(self, *precision: str) -> float:
        """Seconds until two trainings of one epoch, side by side, are both trained and evaluated."""
        import pandas as pd

        rows = pd.read_csv(self.our_two(*precision) / RESULTS_CSV)
        seconds = rows["train_time_s"] + rows["eval_time_s"]
        return float(seconds.max() if rows["concurrent"].min() else seconds.sum())

    def usual_two(self) -> None:
        """Two trainings of one epoch, one process after the other."""
        for lr in TWO:
            self.usual(epochs=1, lr=lr)

    def our_two(self, *precision: str) -> Path:
        """The same two, with all that the command leaves; its results folder."""
        return self.ours("--vary", f"lr={','.join(map(str, TWO))}", "--set", "epochs=1", *precision)

    def our_job(self, *precision: str) -> None:
        """The standard sweeps in one command, on one store: the first call trains, the next have everything stored."""
        self.ours(*precision, store=self.scratch / "store")

    def our_job_elsewhere(self, *precision: str) -> None:
        """The same, stored by now, into another folder: all tables, figures and the report are made anew."""
        elsewhere = self.scratch / f"elsewhere{self.count}"
        self.ours(*precision, "--output", str(elsewhere), store=self.scratch / "store")

    def usual_accuracies(self) -> list[float]:
        """Test accuracies after some epochs the usual way, one for each seed."""
        return [self.usual(epochs=EPOCHS, seed=seed)[-1]["test_accuracy"] for seed in range(1, SEEDS + 1)]

    def our_accuracies(self, *precision: str) -> list[float]:
        """The same of ours."""
        import pandas as pd

        folder = self.ours("--vary", "lr=0.01", "--set", f"epochs={EPOCHS}", "--seeds", str(SEEDS), *precision)
        return pd.read_csv(folder / RESULTS_CSV)["test_accuracy"].tolist()

    def bare_tune(self, trials: int) -> None:
        """So many trials of bare Ray Tune that train next to nothing, actors reused."""
        _run([sys.executable, str(HERE / "bare_tune.py"), str(trials), str(self.data)])

    def our_trials(self, trials: int) -> None:
        """As many of ours, with all that they leave: the bare trials draw no figures and no report."""
        values = ",".join(str(round(0.001 * i, 3)) for i in range(1, trials + 1))
        tiny = ["--set", "epochs=1", "--set", "batch_size=1", "--set", "model=linear"]
        self.ours("--vary", f"lr={values}", *tiny, size=1)


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE.parent)
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def timed(action: Callable[[], object]) -> Seconds:
    """The action, giving the seconds that it took as a whole."""

    def run() -> float:
        start = time.perf_counter()
        action()
        return time.perf_counter() - start

    return run


def in_turns(name: str, usual: Seconds, ours: Seconds, n: int) -> dict[str, Any]:
    """n times the one and the other; medians, spreads, and the median of the ratios pair by pair."""
    pairs = []
    for _ in range(n):
        pairs.append((usual(), ours()))
        print(f"{name}: {pairs[-1][0]:.1f} s against {pairs[-1][1]:.1f} s", file=sys.stderr, flush=True)
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    ratios = [a / b for a, b in pairs]
    return {"measure": name, "n": n, "usual_s": _spread(first), "ours_s": _spread(second), "ratio": _spread(ratios)}


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def measures(bench: Bench, n: int, precisions: list[str]) -> Iterator[Measure]:
    """Every measure of time there is; the usual way's whole job is done once."""
    for precision in precisions:
        how = "--precision", precision
        yield f"two trainings of one epoch, {precision}", bench.usual_epochs, partial(bench.our_epochs, *how), n
        whole = timed(partial(bench.our_two, *how))
        yield f"two trainings of one epoch, whole processes, {precision}", timed(bench.usual_two), whole, n
    for count in (1, 100):
        name = f"{count} trial{'s' * (count > 1)} of next to nothing (usual: bare Ray Tune)"
        yield name, timed(partial(bench.bare_tune, count)), timed(partial(bench.our_trials, count)), n
    job = functools.cache(timed(bench.usual_job))
    for precision in precisions:
        yield f"the three sweeps, {precision}", job, timed(partial(bench.our_job, "--precision", precision)), 1
    last = "--precision", precisions[-1]  # whose results lie in the folder by then
    yield "the three sweeps, asked again into another folder", job, timed(partial(bench.our_job_elsewhere, *last)), n
    yield "the three sweeps, asked again into the same folder", job, timed(partial(bench.our_job, *last)), n


def agreement(usual: list[float], ours: list[float]) -> dict[str, Any]:
    """Mean accuracies, and their difference with its 95 % interval (Welch's t: the seeds draw other numbers there)."""
    interval = ttest_ind(ours, usual, equal_var=False).confidence_interval(0.95)
    means = {"usual": statistics.mean(usual), "ours": statistics.mean(ours), "n": len(ours)}
    return means | {"difference": means["ours"] - means["usual"], "low": interval.low, "high": interval.high}


def table(results: list[dict[str, Any]]) -> Table:
    """One row per measure: medians (and the lowest to the highest)."""
    shown = Table("measure", "n", "usual, s", "ours, s", "ratio", box=None)
    for row in results:
        cells = [
            f"{row[c]['median']:.2f} ({row[c]['low']:.2f} to {row[c]['high']:.2f})"
            for c in ("usual_s", "ours_s", "ratio")
        ]
        shown.add_row(row["measure"], str(row["n"]), *cells)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=6000, help="training images")
    parser.add_argument("--full", action="store_true", help="all images, and no accuracies: bench/full.json")
    parser.add_argument("--only", default="", metavar="WORDS", help="the measures of this name; writes nothing")
    parser.add_argument("-n", type=int, default=3, help="turns of each measure (the whole job: one)")
    options = parser.parse_args()
    started = now()
    folder = Path(os.environ.get("TUNE_MNIST_DATA", "data")).absolute()
    try:
        source = datasets.load("mnist", folder, lambda text: print(text, file=sys.stderr))
    except UserError as error:
        sys.exit(f"error: {error}")
    size = len(source.train.labels) if options.full else options.size
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(folder, Path(scratch), size)
        precisions = ["fp32", *(["bf16"] if BF16_FLAGS & cpu_flags() else [])]
        asked = [one for one in measures(bench, options.n, precisions) if options.only in one[0]]
        results = [in_turns(*one) for one in asked]
        usual = [] if options.full or options.only else bench.usual_accuracies()
        accuracy = {one: agreement(usual, bench.our_accuracies("--precision", one)) for one in precisions if usual}
    facts = {"images": size, "source": source.name, "results": results, "accuracy": accuracy}
    described = environment.describe(started, now(), source.checksums)
    facts |= {"environment": described | {"command": shlex.join(["python", *sys.argv])}}
    if not options.only:
        kept = HERE / ("full.json" if options.full else "results.json")
        write_whole(kept, (json.dumps(facts, indent=2) + "\n").encode())
    Console().print(table(results))
    for precision, found in accuracy.items():
        print(
            f"accuracy after {EPOCHS} epochs, n = {found['n']}: usual {found['usual']:.2%}, {precision} "
            f"{found['ours']:.2%}; difference {found['difference']:.2%} "
            f"(95 %: {found['low']:.2%} to {found['high']:.2%})"
        )


if __name__ == "__main__":
    main()
