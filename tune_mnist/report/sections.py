"""The report's sections, composed of what the tables, the summary and environment.json say.

document = compose(results, summarise(results.points, results.task), save_figures(results))
"""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from tune_mnist.figures.gallery import Drawn
from tune_mnist.measure import Measure
from tune_mnist.plan.sweeps import CROSS
from tune_mnist.report import findings
from tune_mnist.report.document import Block, Bullets, Document, Grid, Picture, Section, Text, Views
from tune_mnist.report.findings import changes, span
from tune_mnist.report.method import method
from tune_mnist.report.weaknesses import gaps, weaknesses
from tune_mnist.results.columns import TIME, all_variables
from tune_mnist.results.fixed import data_name
from tune_mnist.results.folder import HISTORY_CSV, find_results
from tune_mnist.results.read import Results
from tune_mnist.results.reference import compare_reference
from tune_mnist.results.summary import apart, without_stem
from tune_mnist.results.values import rows_of, said, text, texts, values_of
from tune_mnist.statistics.intervals import LEVEL
from tune_mnist.task import Task
from tune_mnist.words import seconds, several

NONE = "–"  # in a cell that has nothing to say
VERDICTS = {"yes": "resolved", "no": "not resolved"}


def compose(results: Results, summary: pd.DataFrame, drawn: list[Drawn]) -> Document:
    """The whole report."""
    points, task = results.points, results.task
    doubts = Bullets((*gaps(results), *weaknesses(results, summary)))
    sections = (
        Section("The answer", _answer(points, summary, task)),
        *(
            Section(f"Sweep {sweep}", _sweep(rows, str(sweep), drawn, _failed(points, str(sweep)), task))
            for sweep, rows in _by_sweep(summary)
        ),
        Section("All points", _all_points(points, drawn, task)),
        *_published(points, task),
        Section("How it was done", method(results)),
        Section("What would weaken it", (doubts,)),
    )
    swept = all_variables(points)
    verb = "do" if len(swept) > 1 or swept == ["epochs"] else "does"
    title = f"What {several(map(task.words, swept))} {verb} on {data_name(points, task)}"
    history = [HISTORY_CSV] if results.history is not None else []
    made_from = (find_results(results.folder, task.name).name, *history)
    return Document(title, sections, made_from, _date(results.environment))


def _date(environment: dict[str, Any]) -> str:
    """The day on which the command ended; of a clock's time, nothing else is told apart from the facts."""
    found = re.match(r"\d{4}-\d\d-\d\d", str(environment.get("ended") or environment.get("started")))
    return found[0] if found else ""


def _by_sweep(summary: pd.DataFrame) -> Any:
    return summary.groupby("sweep", sort=False)


def _answer(points: pd.DataFrame, summary: pd.DataFrame, task: Task) -> tuple[Block, ...]:
    swept = several(map(task.words, all_variables(points)))
    question = f"How do {task.judged.words} and {TIME.words} change with {swept}, one thing changed and the rest held?"
    answers = [f"{key}: {' '.join(findings.answer(rows, task).sentences)}" for key, rows in _by_sweep(summary)]
    return Text(question), Bullets(tuple(answers)), Text(findings.best(summary, task))


def _failed(points: pd.DataFrame, sweep: str) -> set[str]:
    """The values of this sweep at which every seed that was tried failed."""
    mine = points[points["sweep"] == sweep]
    status = mine["status"].groupby(values_of(mine)).agg(set)
    return {str(value) for value, found in status.items() if found == {"failed"}}


def _sweep(rows: pd.DataFrame, sweep: str, drawn: list[Drawn], failed: set[str], task: Task) -> tuple[Block, ...]:
    answer = findings.answer(rows, task)
    told = {None: "", task.judged: answer.course, TIME: answer.cost}
    pictures = [_picture(one, told[one.measure]) for one in drawn if one.sweep == sweep]
    return *pictures, _table(rows, sweep, failed, task)


def _picture(one: Drawn, shows: str = "") -> Picture:
    png, svg = one.paths
    return Picture(f"{one.title}. {shows}" if shows else one.title, png, svg)


def _table(rows: pd.DataFrame, sweep: str, failed: set[str], task: Task) -> Grid:
    judged, by = task.judged, apart(task)
    head = (
        *("value", "n", judged.words, "sd", "95 % interval", "difference to baseline", "its 95 % interval"),
        *("p, corrected", "verdict", *([by.words] if by else []), TIME.words, "read off the training of"),
    )
    body = tuple(
        _line(row, "failed" if row.value in failed else "not done", judged, by)
        for row in rows_of(without_stem(rows, task))
    )
    differences = "differences in percentage points, paired" if judged.unit == "%" else "differences paired"
    return Grid(f"Sweep {sweep}: means over n seeds, values {task.reading}; {differences} by seed", head, body)


def _line(row: Any, missing: str, judged: Measure, by: Measure | None) -> tuple[str, ...]:
    """A point's cells, from its row of the summary; `missing` where it has no mean. `by`: what else it is chosen by."""
    return (
        said(row.value),
        str(row.n),
        judged.text(row.mean) if row.n else missing,
        judged.text(row.sd) if row.n > 1 else NONE,
        span(judged, row.low, row.high) if row.n > 1 else NONE,
        NONE if pd.isna(row.difference) else judged.change(row.difference),
        NONE if pd.isna(row.difference_low) else changes(judged, row.difference_low, row.difference_high),
        NONE if pd.isna(row.p_holm) else f"{row.p_holm:.4f}",
        missing if row.resolved == "not done" else _verdict(row),
        *([NONE if pd.isna(row.chosen) else by.text(row.chosen)] if by else []),
        seconds(row.time_mean) if row.time_n else NONE,
        row.same_run.replace(" ", "; " if CROSS in row.same_run else ", ").replace(CROSS, ", ") or NONE,
    )


def _verdict(row: Any) -> str:
    """Holm's correction is named where a difference is not resolved although its interval excludes 0."""
    alone = row.resolved == "no" and row.p < 1 - LEVEL
    return str(VERDICTS.get(row.resolved, row.resolved)) + (" (Holm)" if alone else "")


def _all_points(points: pd.DataFrame, drawn: list[Drawn], task: Task) -> tuple[Block, ...]:
    read = ["epoch_read"] if task.at == "best" else []
    head = ("sweep", "value", "seed", "status", task.judged.words, *(f"{task.unit} read" for _ in read), TIME.words)
    head += ("beside", "host", "run")
    rows = tuple(
        (
            *(row.sweep, said(row.value), str(row.seed), row.status),
            NONE if pd.isna(value) else task.judged.text(value),
            *(NONE if pd.isna(getattr(row, one)) else text(getattr(row, one)) for one in read),
            NONE if pd.isna(time) else seconds(time),
            *(NONE if pd.isna(cell) else text(cell) for cell in (row.concurrent, row.hostname or None)),
            str(row.run)[:8],
        )
        for row, value, time in zip(rows_of(points), points[task.judged.name], points[TIME.name], strict=True)
    )
    caption = f"Every point: one row per seed, values {task.reading}; “beside” is how many other trials ran meanwhile"
    pictures = [_picture(one) for one in drawn if not one.sweep]
    return *pictures, Grid(caption, head, rows, sweep=0), Views(points, task)


def _published(points: pd.DataFrame, task: Task) -> list[Section]:
    table = compare_reference(points, task)
    if task.reference is None or table.empty:
        return []
    judged, apart = task.judged, task.reference.apart
    about = f"{task.reference.said} Here {task.words(apart)} is {' or '.join(texts(points[apart]))}."
    head = (
        *("sweep", "value", "published", "measured", "95 % interval"),
        "difference, points" if judged.unit == "%" else "difference",
        *("published time, relative", "measured time, relative"),
    )
    rows = tuple(
        (
            *(row.sweep, said(row.value), judged.text(row.published, 1), judged.text(row.measured)),
            NONE if pd.isna(row.low) else span(judged, row.low, row.high),
            judged.change(row.difference),
            *(NONE if pd.isna(ratio) else f"{ratio:.2f}" for ratio in (row.published_time, row.time)),
        )
        for row in rows_of(table)
    )
    return [
        Section(
            "Published and measured",
            (Text(about), Grid(f"Published against measured, values {task.reading}", head, rows, sweep=0)),
        )
    ]
