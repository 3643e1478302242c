"""What a command says before and after: its plan and forecast, the points it found, the best of each sweep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from tune_mnist.display import listing
from tune_mnist.measure import Measure
from tune_mnist.plan.plan import Plan
from tune_mnist.plan.sweeps import CROSS
from tune_mnist.results.columns import TIME, variables
from tune_mnist.results.summary import diverged
from tune_mnist.results.values import said, values_of
from tune_mnist.statistics.intervals import bounded, estimate
from tune_mnist.statistics.sequential import Looks
from tune_mnist.store.history import DIVERGED
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
    ended = f", {plural(plan.diverged, 'run')} diverged and {'is' if plan.diverged == 1 else 'are'} not trained again"
    return [asked, stored + again + (ended if plan.diverged else "")]


def plan_table(plan: Plan, names: Mapping[str, str], width: int) -> list[str]:
    """One line per run, in the order of their start, after the columns' names; none wider than `width`."""
    rows = [("run", "differs from the baseline in", "epochs", "in the store", "to train")]
    for run in plan.runs:
        stored = min(run.held.epochs, run.config.epochs)
        rows.append((run.key, names[run.key], str(run.config.epochs), str(stored), f"{run.to_train:>8}"))
    return listing.table(rows, width)


def points_table(points: pd.DataFrame, task: Task) -> Table:
    """One row per point over its seeds: what was varied, and what came of it, as means with 95 % intervals."""
    seeded = points["seed"].nunique() > 1
    measures = task.headline
    look: dict[str, Any] = {"caption": f"values {task.reading}", "caption_justify": "left"}
    table = Table("sweep", "value", box=None, pad_edge=False, **look)
    for words in (*(["seeds"] if seeded else []), *(one.words for one in measures), "train time", "status"):
        table.add_column(words, no_wrap=True)
    for (sweep, value), rows in _points(points):
        done = rows[rows["status"] == "done"]
        told = ["-"] * (len(measures) + 1)
        if len(done) and not (rows["status"] == DIVERGED).any():  # those that are left are not the value
            told = [_spread(one, done[one.name]) for one in measures] + [duration(done[TIME.name].mean())]
        table.add_row(sweep, value, *([str(len(done))] if seeded else []), *told, _status(rows["status"]))
    return table


def _points(points: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """(sweep, value in words) and the rows, one a seed, of each point, in the order asked."""
    for sweep, rows in points.groupby("sweep", sort=False):
        for value, of in rows.groupby(values_of(rows), sort=False):
            yield (str(sweep), said(value)), of


def _spread(one: Measure, values: pd.Series) -> str:
    """A mean with its 95 % interval: "95.09 ± 0.21 %"; its ends where it is cut, and the value alone of one seed."""
    whole = estimate(values.dropna().astype(float).tolist())
    found = bounded(whole, *one.bounds)
    if not found.n:
        return "-"
    if found.n == 1:
        return one.text(found.mean)
    if found != whole:
        return f"{one.text(found.mean)} ({one.text(found.low)} to {one.text(found.high)})"
    half = (found.high - found.low) / 2
    unit = f" {one.unit}" if one.unit else ""
    said = f"{100 * half:.2f}" if one.unit == "%" else f"{half:.2g}"
    return f"{one.text(found.mean).removesuffix(unit)} ± {said}{unit}"


def _status(statuses: pd.Series) -> str:
    """ "done", or of several seeds that are not alike how many are what: "2 done, 1 failed"."""
    counts = statuses.value_counts(sort=False)
    return counts.index[0] if len(counts) == 1 else ", ".join(f"{count} {status}" for status, count in counts.items())


def best_lines(points: pd.DataFrame, task: Task) -> list[str]:
    """For each sweep the value that is best by validation data, or those that tie, and its judged measure.

    Without such data it is the value of the highest or lowest mean, and is called no more: nothing is selected.
    """
    lines, judged, by = [], task.judged, task.chosen_by or task.judged
    measured = points[(points["status"] == "done") & points[by.name].notna() & ~diverged(points)]
    for sweep, rows in measured.groupby("sweep", sort=False):
        of = values_of(rows)
        means, others = (rows.groupby(of, sort=False)[one.name].mean() for one in (by, judged))
        top = means.max() if by.better == "higher" else means.min()
        ties = means.index[means.map(by.text) == by.text(top)]
        names, counts = variables(rows), rows.groupby(of, sort=False)["seed"].nunique()[ties]
        told = f"{_settings(names, [*map(str, ties)])}, {by.text(top)}"
        if by.name != judged.name:
            told += f"; {judged.words} there {several(others[ties].map(judged.text))}"
        seeds = " to ".join(dict.fromkeys(str(count) for count in (counts.min(), counts.max())))
        of_seeds = f" (mean{'s' * (by.name != judged.name)} of {seeds} seeds)" if counts.max() > 1 else ""
        called = _called(str(sweep), names, task)
        what = f"best of {called} by {by.words}" if task.chosen_by else f"{by.best} {by.words} of {called}"
        lines.append(f"{what}: {told}{of_seeds}")
    return lines


def diverged_line(points: pd.DataFrame) -> str:
    """How many points diverged, and at which values: "2 of 9 points diverged: lr=1000 (2 of 3 seeds)"; else nothing."""
    if not (count := int((points["status"] == DIVERGED).sum())):
        return ""
    told = []
    for _, rows in points.groupby("sweep", sort=False):
        for value, of in rows.groupby(values_of(rows), sort=False):
            ended = int((of["status"] == DIVERGED).sum())
            seeds = f" ({ended} of {plural(len(of), 'seed')})" if len(of) > 1 else ""
            told += [_settings(variables(rows), [str(value)]) + seeds] if ended else []
    return f"{count} of {plural(len(points), 'point')} diverged: {'; '.join(dict.fromkeys(told))}"


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
