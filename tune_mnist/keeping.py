"""A results folder keeps sweeps side by side: what a command may write into it, and how.

The tables hold the sweeps of all commands, in the order in which they were first asked; a sweep that is asked again
replaces its own rows. Sweeps that would contradict each other, because they hold other values or were trained under
other conditions, are refused: no sentence about both would be true. Seeds may differ, and the report says so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from tune_mnist.display.log import log
from tune_mnist.errors import UserError
from tune_mnist.files import alone
from tune_mnist.machine.environment import package_version
from tune_mnist.results import folder as results_folder
from tune_mnist.results.columns import epoch_columns, later_columns, point_columns
from tune_mnist.results.folder import (
    ENVIRONMENT_JSON,
    HISTORY_CSV,
    INTERACTION_CSV,
    REPORTS,
    SUMMARY_CSV,
    results_csv,
    write_csv,
    write_environment,
)
from tune_mnist.results.read import (
    commands,
    read_environment,
    read_history,
    read_points,
    read_results,
    read_task,
    read_texts,
)
from tune_mnist.results.summary import looks_of
from tune_mnist.results.tables import Tables, join
from tune_mnist.statistics.sequential import Looks
from tune_mnist.task import Config, Task, recorded
from tune_mnist.words import several

# Of what a command leaves in environment.json, this is the folder's.
SHARED = ("task", "conditions", "baseline", "data_sha256", "plan", "files", "earlier", "title")


@dataclass(frozen=True)
class Asked:
    """What a command writes: its sweeps' names, the task, the baseline, the margin that they are held against, the
    report's title, if it gives one, and when sweeps were looked at, if so.
    """

    sweeps: tuple[str, ...]
    task: Task
    baseline: Config
    margin: float | None = None
    title: str = ""
    looks: Mapping[str, Looks] = field(default_factory=dict)

    def elsewhere(self, conditions: Mapping[str, Any] | None = None) -> Asked:
        """The same on another machine, under these conditions; as long as these are not known, under those that are
        not a machine's: of the same data, and what tables name.
        """
        asked = {one.name for one in (*self.task.context, *([self.task.data] if self.task.data else []))}
        here = {name: value for name, value in self.task.conditions.items() if name in asked}
        return replace(self, task=replace(self.task, conditions=here if conditions is None else conditions))


@dataclass(frozen=True)
class Held:
    """What a folder holds: all its sweeps in their order, and of those that a command does not ask for, which are kept,
    the tables' rows as texts, and their task. `replaced`: the runs of the others.
    """

    order: tuple[str, ...] = ()
    kept: Tables = field(default_factory=lambda: Tables(pd.DataFrame(), pd.DataFrame()))
    task: Task | None = None
    replaced: frozenset[str] = frozenset()

    @property
    def sweeps(self) -> list[str]:
        """Those that are kept."""
        return list(dict.fromkeys(self.kept.points["sweep"])) if self.task else []

    @property
    def runs(self) -> dict[str, int]:
        """Of those that are kept: run key -> how many epochs of it are asked for."""
        return _longest(self.kept.points) if self.task else {}


def held(folder: Path, asked: Asked) -> Held:
    """What the folder holds. Raises UserError where that cannot be read, or would contradict what is asked."""
    facts = read_environment(folder)
    _refuse_another_subject(folder, facts, asked.task)
    path = folder / results_csv(asked.task.name)
    if not os.path.lexists(path):
        return Held()
    task = read_task(folder, asked.task)
    points = read_texts(path, point_columns(task), later_columns(task))
    order, mine = tuple(dict.fromkeys(points["sweep"])), points["sweep"].isin(asked.sweeps)
    kept, replaced = points[~mine], frozenset(points.loc[mine, "run"]) - set(points.loc[~mine, "run"])
    if kept.empty:
        return Held(order, replaced=replaced)
    _refuse_contradictions(folder, list(dict.fromkeys(kept["sweep"])), facts, asked)
    read_points(path, task)  # what could not be read at the end is refused at the beginning
    history = pd.DataFrame(columns=epoch_columns(task), dtype=object)
    if read_history(folder, task) is not None:
        history = read_texts(folder / HISTORY_CSV, epoch_columns(task), later_columns(task))
        history = history[history["epoch"].map(_whole) <= history["run"].map(_longest(kept))]
    return Held(order, Tables(kept, history), task, replaced)


def _longest(points: pd.DataFrame) -> dict[str, int]:
    return {str(run): int(most) for run, most in points["epochs"].map(_whole).groupby(points["run"]).max().items()}


def _whole(cell: str) -> int:
    return int(float(cell))  # a spreadsheet may write 5.0


def _refuse_another_subject(folder: Path, facts: Mapping[str, Any], task: Task) -> None:
    """A folder is of one task, and of one set of data: its tables and figures have one name each."""
    tables = [path.name for path in sorted(folder.glob(results_csv("*"))) if path.name != results_csv(task.name)]
    if tables:
        raise UserError(f"'{folder}' holds {several(tables)}, of another task than {task.name}; {_WAY_OUT}")
    data = task.data.name if task.data else ""
    then, now = ((one or {}).get(data) for one in (facts.get("conditions"), task.conditions))
    if then is not None and now is not None and then != now:
        raise UserError(f"'{folder}' holds sweeps on {then}, and this command's are on {now}; {_WAY_OUT}")


_WAY_OUT = "give another --output"


def _refuse_contradictions(folder: Path, sweeps: list[str], facts: Mapping[str, Any], asked: Asked) -> None:
    said = f"'{folder}' holds the sweep{'s' * (len(sweeps) > 1)} {several(sweeps)}"
    conditions, baseline = facts.get("conditions"), facts.get("baseline")
    if not conditions or not baseline:
        raise UserError(f"{said}, and no {ENVIRONMENT_JSON} that tells how they were trained; {_WAY_OUT}")
    now = json.loads(json.dumps({name: value for name, value in asked.baseline.items() if name != "seed"}))
    pairs = _unlike({name: value for name, value in baseline.items() if name != "seed"}, now)
    task = recorded(facts["task"]) if facts.get("task") else None  # of what is read by now
    later = {one.name: one.default for of in (task, asked.task) if of for one in of.context if one.later}
    known = later | json.loads(json.dumps(dict(asked.task.conditions)))
    pairs += _unlike({name: value for name, value in (later | conditions).items() if name in known}, known)
    pairs += _judged(task, asked.task) + _reading(task, asked.task)
    if pairs:
        raise UserError(f"{said}, which this command would contradict: {'; '.join(pairs)}; {_WAY_OUT}")


def _unlike(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    names = [name for name in dict.fromkeys([*then, *now]) if then.get(name) != now.get(name)]
    return [f"{name} was {_said(then.get(name))}, is {_said(now.get(name))}" for name in names]


def _said(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def _reading(then: Task | None, task: Task) -> list[str]:
    """At which epoch values are read, if that differs: a table would mix both."""
    at = then.at if then else "last"
    return [] if at == task.at else [f"values are read at the {at} epoch, now at the {task.at}"]


def _judged(before: Task | None, task: Task) -> list[str]:
    """What the sweeps are judged by, if it differs, and as far as it is known before anything is trained."""
    then = before.measures[:1] if before else ()
    if not then or (task.learns and not task.measures and task.judge is None):
        return []
    pairs = [(f"{one.name} ({one.better} is better)") for one in (*then, task.judged)]
    return [f"judged by {pairs[0]}, now by {pairs[1]}"] if pairs[0] != pairs[1] else []


def measuring(task: Task, others: Task | None) -> Task:
    """The task with what it measures, and what the others in its folder measured: theirs first, each once."""
    if others is None or not task.learns:
        return task
    mine = {one.name: one for one in task.measures}
    theirs = [mine.pop(one.name, replace(one, may_miss=True)) for one in others.measures]
    return replace(task, measures=(*theirs, *mine.values()))


def is_there(folder: Path, asked: Asked, tables: Callable[[Task], Tables]) -> bool:
    """Whether `write` with a report would leave all as it is."""
    with alone(folder):
        before = read_environment(folder)
        task, joined = _joined(held(folder, asked), asked, tables)
        return _is_same(folder, asked, before, task, joined)


def write(
    folder: Path, asked: Asked, tables: Callable[[Task], Tables], facts: Callable[[Task], dict[str, Any]], report: bool
) -> list[Path]:
    """Write the tables and environment.json and, with `report`, all that is made from them; returns what was written:
    nothing where it would be as it is. Raises ClusterError where it cannot be written.

    `tables` and `facts`: what the command has to write, of a task that measures what the folder's other sweeps do, too.
    """
    with results_folder.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)  # which may have been removed under way
        return _write(folder, asked, tables, facts, report)


def _write(
    folder: Path, asked: Asked, tables: Callable[[Task], Tables], facts: Callable[[Task], dict[str, Any]], report: bool
) -> list[Path]:
    with alone(folder):
        found, before = held(folder, asked), read_environment(folder)
        task, joined = _joined(found, asked, tables)
        if _is_same(folder, asked, before, task, joined):
            return []
        written = [write_csv(table, path) for path, table in _paths(folder, task, joined).items()]
        said = facts(task) | _earlier(before, found.sweeps) | {"files": results_folder.products(before)}
        title = asked.title or before.get("title")  # which stays where another command gave it
        said |= {"title": title} if title else {}
        if report:
            return [*written, *_write_report(folder, task, said)]
        results_folder.remove_products(folder, before, but=_drawn_of(found, task))
        left = {name: sum_ for name, sum_ in said["files"].items() if (folder / name).is_file()}
        return [*written, write_environment(folder, said | {"files": left})]


def _joined(found: Held, asked: Asked, tables: Callable[[Task], Tables]) -> tuple[Task, Tables]:
    """The tables with the sweeps that are kept, and the task that measures what all of them do."""
    task = measuring(asked.task, found.task)
    return task, join(tables(task), found.kept, found.order)


def _paths(folder: Path, task: Task, tables: Tables) -> dict[Path, pd.DataFrame]:
    return {folder / results_csv(task.name): tables.points, folder / HISTORY_CSV: tables.history}


def _is_same(folder: Path, asked: Asked, before: dict[str, Any], task: Task, joined: Tables) -> bool:
    """Whether a command, which left the record `before`, wrote these tables and all that is made from them."""
    if not all(results_folder.is_written(table, path) for path, table in _paths(folder, task, joined).items()):
        return False
    margins, looks = results_folder.margins(before), looks_of(before)
    same = all(margins.get(one) == asked.margin for one in asked.sweeps)
    same = same and asked.title in ("", before.get("title"))
    same = same and {name: one for name, one in looks.items() if name in asked.sweeps} == asked.looks
    return same and results_folder.is_complete(folder, before, package_version("tune-mnist"))


def take_in(arrived: Path, folder: Path, asked: Asked) -> None:
    """Write what a command left on another machine into a folder that holds other sweeps, too. Raises UserError where
    they contradict each other, and ClusterError where nothing can be written.
    """
    facts, task = read_environment(arrived), read_task(arrived, asked.task)
    points = read_texts(arrived / results_csv(task.name), point_columns(task), later_columns(task))
    tables = Tables(points, read_texts(arrived / HISTORY_CSV, epoch_columns(task), later_columns(task)))
    there = replace(asked, task=task).elsewhere(facts.get("conditions") or {})
    write(folder, there, lambda _: tables, lambda of: facts | {"task": of.record()}, (arrived / REPORTS[0]).is_file())


def _write_report(folder: Path, task: Task, facts: dict[str, Any]) -> list[Path]:
    from tune_mnist.figures.gallery import overall_files, sweep_files
    from tune_mnist.report.write import write_report

    write_environment(folder, facts)
    results = read_results(folder, task)
    sweeps = dict.fromkeys(results.points["sweep"])
    names = [SUMMARY_CSV, INTERACTION_CSV, *REPORTS, *overall_files(task)]
    names += [name for one in sweeps for name in sweep_files(one, task)]
    for old, new in results_folder.set_aside(folder, facts, names).items():
        log.warning(f"{folder / old} is not as this program left it: it is called {new} from now on")
    # Should the writing be cut short, these are still known as ours.
    write_environment(folder, facts | {"files": dict.fromkeys(names)})
    return [folder / ENVIRONMENT_JSON, *write_report(results)]


def _drawn_of(found: Held, task: Task) -> set[str]:
    """The figures of sweeps whose rows have not changed."""
    from tune_mnist.figures.gallery import sweep_files

    return {name for sweep in found.sweeps for name in sweep_files(sweep, task)}


def _earlier(before: dict[str, Any], sweeps: Iterable[str]) -> dict[str, Any]:
    """What environment.json told of the commands that made these sweeps, each with those alone."""
    found = []
    for one in commands(before):
        mine, points = (
            {name: value for name, value in (one.get(key) or {}).items() if name in sweeps}
            for key in ("sweeps", "points")
        )
        if mine:
            own = {name: value for name, value in one.items() if name not in SHARED}
            found.append(own | {"sweeps": mine, "points": points})
    return {"earlier": found} if found else {}
