"""What a critic would hold against the results, and what a results folder lacks.

for sentence in weaknesses(results, summary): print(sentence)
"""

from __future__ import annotations

import pandas as pd

from tune_mnist.results.columns import TIMES
from tune_mnist.results.fixed import data_name, is_usual_data
from tune_mnist.results.folder import ENVIRONMENT_JSON, HISTORY_CSV
from tune_mnist.results.read import Results
from tune_mnist.results.summary import finished
from tune_mnist.results.values import rows_of, text
from tune_mnist.task import Task
from tune_mnist.words import percent, several


def weaknesses(results: Results, summary: pd.DataFrame) -> list[str]:
    """What would weaken the results; each only where it is so."""
    points, task = results.points, results.task
    done, seeds = finished(points, task), points["seed"].nunique()
    failed = points[points["status"] == "failed"]
    hosts, left = done["hostname"].nunique(), len(points) - len(done) - len(failed)
    mixed = [one for one in ("device", "threads", *(one.name for one in task.context)) if done[one].nunique() > 1]
    found = {
        "One seed per point: no difference can be told from chance. Run it again with --seeds 3 or more.": seeds == 1,
        f"{seeds} seeds per point: intervals are wide, and a small difference stays unresolved.": 1 < seeds < 5,
        _same_examples(task): seeds > 1,
        f"{len(failed)} of {len(points)} points failed: {_reasons(failed, seeds > 1)}.": len(failed) > 0,
        f"{left} of {len(points)} points are not done or not measured.": left > 0,
        _chosen_by_test(task): len(done) > 0,
        _contention(results.history): bool((done["concurrent"] > 0).any()),
        f"Times come from {hosts} hosts, which may differ in speed.": hosts > 1,
        f"Points were not all trained under the same {several(mixed)}.": bool(mixed),
        "Points that differ only in epochs are read off one training: they rise and fall together.": (
            summary["same_run"].fillna("").ne("").any()
        ),
        _other_data(points, task): not is_usual_data(points, task),
        "The code had changes that are in no commit.": bool((results.environment.get("git") or {}).get("dirty")),
    }
    return [sentence for sentence, so in found.items() if so]


PARTS = {"test": "test", "val": "validation"}  # how a measure's name begins -> the data that it is of


def _same_examples(task: Task) -> str:
    part = next((words for start, words in PARTS.items() if task.judged.name.startswith(start)), "evaluation")
    return f"Intervals are over seeds; the {part} {task.examples} are the same each time, and others would shift all."


def _chosen_by_test(task: Task) -> str:
    worse = "lower" if task.judged.better == "higher" else "higher"
    return f"The best point is named by its {task.judged.words}: on new {task.examples} it would be somewhat {worse}."


def _other_data(points: pd.DataFrame, task: Task) -> str:
    usual = dict(task.data.values).get(task.data.default, task.data.default) if task.data else task.name
    return f"The data are not {usual}: {data_name(points, task)}."


def _reasons(failed: pd.DataFrame, seeded: bool) -> str:
    """Which points failed, and why; those of one sweep and one reason together."""
    named: dict[tuple[str, str], list[str]] = {}
    for row in rows_of(failed):
        value = f"{text(row.value)} (seed {row.seed})" if seeded else text(row.value)
        named.setdefault((row.sweep, row.error), []).append(value)
    return "; ".join(f"{sweep} {several(values)}: {error}" for (sweep, error), values in named.items())


def _contention(history: pd.DataFrame | None) -> str:
    """What running side by side did to the times: the CPU seconds that the epochs had, of the seconds they took."""
    said = "Trials ran side by side and may have taken time from each other; --exclusive gives clean times."
    if history is None or history[[*TIMES]].isna().any(axis=None):
        return said
    cpus = history[history["device"] == "cpu"]
    training, evaluation, used = (cpus[name] for name in TIMES)
    asked = ((training + evaluation) * cpus["threads"]).sum()
    if not asked:
        return said
    had = f"their epochs had {percent(used.sum() / asked, 0)} of the CPU time they asked for"
    return f"Trials ran side by side: on the CPU, {had}; --exclusive gives clean times."


def gaps(results: Results) -> list[str]:
    """What the folder lacks: rows of points that environment.json tells of, epochs of their trainings."""
    points, history, found = results.points, results.history, []
    planned = (results.environment.get("plan") or {}).get("points")
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
