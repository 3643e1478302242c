"""What a command says before and after: its plan and forecast, the points it found, the best of each sweep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from tune_mnist.measure import Measure
from tune_mnist.plan.plan import Plan
from tune_mnist.plan.sweeps import CROSS
from tune_mnist.results.columns import TIME, variables
from tune_mnist.results.values import said, values_of
from tune_mnist.statistics.intervals import estimate
from tune_mnist.statistics.sequential import Looks
from tune_mnist.task import Task
from tune_mnist.words import duration, plural, several

if TYPE_CHECKING:
    import pandas as pd


def plan_lines(plan: Plan, unit: str) -> list[str]:
    """The plan in two lines: what is asked, and what there is to train."""
    asked = f"{plural(len(plan.points), 'point')}, {plan.distinct} distinct, {plural(len(plan.runs), 'run')}"
    asked += f", {plural(plan.epochs_asked, unit)} asked for"
    stored = f"{plural(plan.epochs_stored, unit)} in the store, {plan.epochs_to_train} to train"
    again = f", {plan.epochs_again} of them again because their checkpoint is gone" if plan.epochs_again else ""
    return [asked, stored + again]


def plan_table(plan: Plan, names: Mapping[str, str]) -> Table:
    """One row per run, in the order of their start."""
    table = Table("run", "differs from the baseline in", "epochs", "in the store", "to train", box=None, pad_edge=False)
    for run in plan.runs:
        stored = min(run.held.epochs, run.config.epochs)
        table.add_row(run.key, names[run.key], str(run.config.epochs), str(stored), str(run.to_train))
    return table


def points_table(points: pd.DataFrame, task: Task) -> Table:
    """One row per point over its seeds: what was varied, and what came of it, as means with 95 % intervals."""
    seeded = points["seed"].nunique() > 1
    measures = task.headline
    table = Table("sweep", "value", box=None, pad_edge=False)
    for words in (*(["seeds"] if seeded else []), *(one.words for one in measures), "train time", "status"):
        table.add_column(words, no_wrap=True)
    for (sweep, value), rows in _points(points):
        done = rows[rows["status"] == "done"]
        told = ["-"] * (len(measures) + 1)
        if len(done):
            told = [_spread(one, done[one.name]) for one in measures] + [duration(done[TIME.name].mean())]
        table.add_row(sweep, value, *([str(len(done))] if seeded else []), *told, _status(rows["status"]))
    return table


def _points(points: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """(sweep, value in words) and the rows, one a seed, of each point, in the order asked."""
    for sweep, rows in points.groupby("sweep", sort=False):
        for value, of in rows.groupby(values_of(rows), sort=False):
            yield (str(sweep), said(value)), of


def _spread(one: Measure, values: pd.Series) -> str:
    """A mean with its 95 % interval: "95.09 ± 0.21%"; the value alone of one seed."""
    found = estimate(values.dropna().astype(float).tolist())
    if not found.n:
        return "-"
    if found.n == 1:
        return one.brief(found.mean)
    half = (found.high - found.low) / 2
    if one.unit == "%":
        return f"{100 * found.mean:.2f} ± {100 * half:.2f}%"
    return f"{one.brief(found.mean).removesuffix(one.unit)} ± {half:.2g}{one.unit}"


def _status(statuses: pd.Series) -> str:
    """ "done", or of several seeds that are not alike how many are what: "2 done, 1 failed"."""
    counts = statuses.value_counts(sort=False)
    return counts.index[0] if len(counts) == 1 else ", ".join(f"{count} {status}" for status, count in counts.items())


def best_lines(points: pd.DataFrame, task: Task) -> list[str]:
    """For each sweep the value of the best mean, or those that tie. It describes the sweep; it selects nothing."""
    lines, judged = [], task.judged
    for sweep, rows in points[points["status"] == "done"].groupby("sweep", sort=False):
        means = rows.groupby(values_of(rows), sort=False)[judged.name].mean()
        best = means.max() if judged.better == "higher" else means.min()
        shown = [str(value) for value in means.index[means.map(judged.brief) == judged.brief(best)]]
        names, seeds = variables(rows), rows["seed"].nunique()
        told = f"{_settings(names, shown)}, {judged.words} {judged.brief(best)}"
        of_seeds = f" (mean of {seeds} seeds)" if seeds > 1 else ""
        lines.append(f"best of {_called(str(sweep), names, task)}: {told}{of_seeds}")
    return lines


def _settings(names: Sequence[str], values: Sequence[str]) -> str:
    """The values as they are set: "lr=0.05"; "lr=0.05 and 0.1 tie"; those of a cross "lr=0.05, dropout=0"."""
    crossed = [", ".join(map("=".join, zip(names, value.split(CROSS), strict=True))) for value in values]
    if len(values) == 1:
        return crossed[0]
    return f"{names[0]}={several(values)} tie" if len(names) == 1 else f"{'; '.join(crossed)} tie"


def _called(sweep: str, names: Sequence[str], task: Task) -> str:
    """The sweep with its variable's label, which is said once."""
    label = task.words(names[0])
    return sweep if len(names) > 1 or label == names[0].replace("_", " ") else f"{sweep} ({label})"


def stages_line(most: Plan, looks: Mapping[str, Looks], unit: str) -> str:
    """What may be asked beside the plan, where seeds are added until differences are resolved."""
    one = next(iter(looks.values()))
    limit = f"{plural(len(most.points), 'point')}, {plural(most.epochs_to_train, unit)} to train"
    return f"{one.least} to {one.most} seeds, until the difference to the baseline is resolved: at most {limit}"


def forecast_line(seconds: Sequence[float], slots: int, measured: str) -> str:
    """How long the training will take, or at least and at most, and what that was reckoned from."""
    told = " to ".join(dict.fromkeys(map(duration, seconds)))
    return f"about {told} of training with {plural(slots, 'trial')} side by side ({measured})"
