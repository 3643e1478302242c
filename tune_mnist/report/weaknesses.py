"""What a critic would hold against the results, and what a results folder lacks.

for sentence in weaknesses(results, summary): print(sentence)
"""

from __future__ import annotations

import math

import pandas as pd

from tune_mnist.plan.sweeps import untuned, untuned_line
from tune_mnist.results.columns import variables
from tune_mnist.results.fixed import data_name, is_usual_data, seeds_per_point
from tune_mnist.results.folder import ENVIRONMENT_JSON, HISTORY_CSV
from tune_mnist.results.read import Results, commands
from tune_mnist.results.summary import chosen_measure, cpu_share, finished
from tune_mnist.results.values import rows_of, said, texts
from tune_mnist.store.history import DIVERGED
from tune_mnist.task import Task
from tune_mnist.words import from_to, percent, several

NO_MEAN = "No mean, difference or time is told of a value where any seed did."


def weaknesses(results: Results, summary: pd.DataFrame) -> list[str]:
    """What would weaken the results; each only where it is so."""
    points, task = results.points, results.task
    done, seeds = finished(points, task), seeds_per_point(points)
    failed, ended = (points[points["status"] == status] for status in ("failed", DIVERGED))
    hosts, left = done["hostname"].nunique(), len(points) - len(done) - len(failed) - len(ended)
    seeded = bool((seeds > 1).any())
    mixed = [one for one in ("device", "threads", *(one.name for one in task.context)) if done[one].nunique() > 1]
    found = {
        _one_seed(seeds): bool((seeds == 1).any()),
        _few_seeds(seeds): bool(seeds.between(2, 4).any()),
        _same_examples(summary, task): len(done) > 0,
        f"{len(failed)} of {len(points)} points failed: {_reasons(failed, seeded)}.": len(failed) > 0,
        f"{len(ended)} of {len(points)} points diverged: {_reasons(ended, seeded)}. {NO_MEAN}": len(ended) > 0,
        f"{left} of {len(points)} points are not done or not measured.": left > 0,
        _chosen(task): len(done) > 0 and chosen_measure(task) is None,
        _contention(results.history): bool((done["concurrent"] > 0).any()),
        f"Times come from {hosts} hosts, which may differ in speed.": hosts > 1,
        f"Points were not all trained under the same {several(mixed)}.": bool(mixed),
        "Points that differ only in epochs are read off one training: they rise and fall together.": (
            summary["same_run"].fillna("").ne("").any()
        ),
        _other_data(points, task): not is_usual_data(points, task),
        "The code had changes that are in no commit.": any(
            (one.get("git") or {}).get("dirty") for one in commands(results.environment)
        ),
    }
    return [*(sentence for sentence, so in found.items() if so), *untuned_lines(points, task).values()]


def untuned_lines(points: pd.DataFrame, task: Task) -> dict[str, str]:
    """Sweep -> that it compares what each has to be tuned before, where it does."""
    sweeps = {str(sweep): rows for sweep, rows in points.groupby("sweep", sort=False)}
    found = untuned({sweep: variables(rows) for sweep, rows in sweeps.items()}, task)
    values = {sweep: texts(sweeps[sweep][other.name].dropna()) for sweep, (_, other) in found.items()}
    lines = {
        sweep: untuned_line(sweep, *pair, values[sweep][0]) for sweep, pair in found.items() if len(values[sweep]) == 1
    }
    return {sweep: f"{line[:1].upper()}{line[1:]}." for sweep, line in lines.items()}


def _one_seed(seeds: pd.Series) -> str:
    where = "" if (seeds == 1).all() else f" in {_sweeps(seeds[seeds == 1])}"
    return f"One seed per point{where}: nothing is known of how seeds spread. Run it again with --seeds 3 or more."


def _few_seeds(seeds: pd.Series) -> str:
    few = seeds[seeds.between(2, 4)]
    where = "" if len(few) == len(seeds) else f" in {_sweeps(few)}"
    return f"{from_to(few)} seeds per point{where}: intervals are wide, and a small difference stays unresolved."


def _sweeps(seeds: pd.Series) -> str:
    names = list(dict.fromkeys(str(sweep) for sweep, _ in seeds.index))
    return f"sweep{'s' * (len(names) > 1)} {several(names)}"


PARTS = {"test": "test", "val": "validation"}  # how a measure's name begins -> the data that it is of


def _same_examples(summary: pd.DataFrame, task: Task) -> str:
    judged = task.judged
    part = next((words for start, words in PARTS.items() if judged.name.startswith(start)), "evaluation")
    said = f"The {part} {task.examples} are the same for every seed, and others would shift all"
    least = summary.sort_values("share_error").iloc[0]
    if pd.isna(least["share_error"]):
        return f"{said}."
    mean = least[f"{judged.stem}_mean"]
    error = f"{judged.factor * least['share_error']:.2f}{' points' * (judged.unit == '%')}"
    return f"{said}: {judged.text(mean)} of {judged.examples:,} has a standard error of {error}."


def _chosen(task: Task) -> str:
    """Of a point that is chosen by the values that are told of it."""
    judged = task.judged
    worse = f"on new {task.examples} it would be somewhat {'lower' if judged.better == 'higher' else 'higher'}"
    if task.chosen_by:
        return f"The best point is chosen by its {judged.words}: {worse}."
    found = f"The {judged.best} {judged.words} is picked from all: {worse}."
    return f"{found} Without validation data no point is called the best."


def _other_data(points: pd.DataFrame, task: Task) -> str:
    usual = dict(task.data.values).get(task.data.default, task.data.default) if task.data else task.name
    return f"The data are not {usual}: {data_name(points, task)}."


def _reasons(failed: pd.DataFrame, seeded: bool) -> str:
    """Which points failed, and why; those of one sweep and one reason together."""
    named: dict[tuple[str, str], list[str]] = {}
    for row in rows_of(failed):
        value = f"{said(row.value)} (seed {row.seed})" if seeded else said(row.value)
        named.setdefault((row.sweep, row.error), []).append(value)
    return "; ".join(f"{sweep} {several(values)}: {error}" for (sweep, error), values in named.items())


def _contention(history: pd.DataFrame | None) -> str:
    """What running side by side did to the times: the CPU seconds that the epochs had, of the seconds they took."""
    unknown = "Trials ran side by side and may have taken time from each other; --exclusive gives clean times."
    share = math.nan if history is None else cpu_share(history)
    if math.isnan(share):
        return unknown
    had = f"their epochs had {percent(share, 0)} of the CPU time of their threads"
    return f"Trials ran side by side: on the CPU, {had}; --exclusive gives clean times."


def gaps(results: Results) -> list[str]:
    """What the folder lacks: rows of points that environment.json tells of, epochs of their trainings."""
    points, history, found = results.points, results.history, []
    counted = [(one.get("points") or {}).values() for one in commands(results.environment)]
    planned = sum(map(sum, counted)) if all(counted) else (results.environment.get("plan") or {}).get("points")
    if planned not in (None, len(points)):
        found.append(f"The table has {len(points)} points, where {ENVIRONMENT_JSON} tells of {planned}.")
    if history is None:
        return [*found, f"There is no {HISTORY_CSV} here: learning curves cannot be drawn."]
    done = finished(points, results.task)
    trained = history.groupby("run").size().to_dict()
    short = {run for run, epochs in zip(done["run"], done["epochs"], strict=True) if trained.get(run, 0) < epochs}
    if short:
        found.append(
            f"{HISTORY_CSV} lacks epochs of {len(short)} of {done['run'].nunique()} trainings; so do learning curves."
        )
    return found
