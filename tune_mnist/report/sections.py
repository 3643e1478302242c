"""The report's sections, composed of what the tables, the summary and environment.json say.

document = compose(results, summarise(results.points, results.task), save_figures(results))
"""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from tune_mnist.figures.gallery import Drawn
from tune_mnist.measure import Measure
from tune_mnist.plan.sweeps import CROSS, crossing, untuned
from tune_mnist.report import findings
from tune_mnist.report.advice import advice, by_sweep
from tune_mnist.report.document import Block, Bullets, Code, Document, Grid, Picture, Section, Text, Views
from tune_mnist.report.method import again_with, cite, method
from tune_mnist.report.weaknesses import gaps, untuned_lines, weaknesses
from tune_mnist.results.columns import TIME, all_variables, variables
from tune_mnist.results.fixed import data_name
from tune_mnist.results.folder import HISTORY_CSV, find_results
from tune_mnist.results.interaction import interactions, told
from tune_mnist.results.read import Results
from tune_mnist.results.summary import chosen_measure, without_stem
from tune_mnist.results.values import rows_of, said, text, texts, values_of
from tune_mnist.task import Task
from tune_mnist.verdicts.differences import changes, span
from tune_mnist.verdicts.reference import compare_reference
from tune_mnist.words import seconds, several

NONE = "–"  # in a cell that has nothing to say
VERDICTS = {"yes": "resolved", "no": "not resolved"}
TESTS, BETTER, MARGIN = "± test set", "does better", "to the margin"  # columns that not every table has


def compose(results: Results, summary: pd.DataFrame, drawn: list[Drawn]) -> Document:
    """The whole report."""
    points, task, together = results.points, results.task, interactions(results.points, results.task)
    doubts = Bullets((*gaps(results), *weaknesses(results, summary)))
    sections = (
        Section("What to do", _to_do(results, summary)),
        Section("The answer", _answer(points, summary, together, task)),
        *(
            section
            for sweep, rows in _by_sweep(summary)
            for section in (
                Section(
                    f"Sweep {sweep}",
                    (*_sweep(rows, sweep, drawn, _failed(points, sweep), task), *_untuned(results, sweep)),
                ),
                *_together(together[together["sweep"] == sweep], task),
            )
        ),
        Section("All points", _all_points(points, drawn, task)),
        *_published(points, task),
        Section("How it was done", method(results)),
        Section("What would weaken it", (doubts,)),
    )
    swept = all_variables(points)
    verb = "do" if len(swept) > 1 or swept == ["epochs"] else "does"
    usual = f"What {several(map(task.words, swept))} {verb} on {data_name(points, task)}"
    title, date = results.environment.get("title") or usual, _date(results.environment)
    history = [HISTORY_CSV] if results.history is not None else []
    made_from = (find_results(results.folder, task.name).name, *history)
    sections += (Section("Cite this", found),) if (found := cite(results, title, date)) else ()
    return Document(title, sections, made_from, date, usual if title != usual else "")


def _date(environment: dict[str, Any]) -> str:
    """The day on which the command ended; of a clock's time, nothing else is told apart from the facts."""
    found = re.match(r"\d{4}-\d\d-\d\d", str(environment.get("ended") or environment.get("started")))
    return found[0] if found else ""


def _by_sweep(summary: pd.DataFrame) -> Any:
    return summary.groupby("sweep", sort=False)


def _answer(points: pd.DataFrame, summary: pd.DataFrame, together: pd.DataFrame, task: Task) -> tuple[Block, ...]:
    swept = several(map(task.words, all_variables(points)))
    question = f"How do {task.judged.words} and {TIME.words} change with {swept}, one thing changed and the rest held?"
    answers = [f"{key}: {' '.join(findings.answer(rows, task).sentences)}" for key, rows in _by_sweep(summary)]
    answers += [f"{sweep}, interaction: {told(rows, task)}" for sweep, rows in _by_sweep(together)]
    return Text(question), Bullets(tuple(answers)), Text(findings.best(summary, task))


def _to_do(results: Results, summary: pd.DataFrame) -> tuple[Block, ...]:
    """The advice, and the commands that do what it says, each under the words of its sweep."""
    found = advice(results, summary)
    given = [f"# {one.about}\n{one.command}" for one in found if one.command]
    return Bullets(tuple(by_sweep(found))), *([Code("\n".join(given))] if given else [])


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
    judged, known, by = task.judged, without_stem(rows, task), chosen_measure(task)
    cells = [_line(row, _missing(row, failed), judged, by) for row in rows_of(known)]
    # What is known of no point has no column.
    head = [
        name
        for name in cells[0]
        if name not in (TESTS, BETTER, MARGIN) or any(line[name] not in (NONE, "") for line in cells)
    ]
    differences = f"differences{' in percentage points' * (judged.unit == '%')}"
    caption = f"Sweep {sweep}: means over n seeds, values {task.reading}; "
    caption += f"{differences}, paired by seed, with intervals that hold together"
    if MARGIN in head:
        caption += f"; the margin is {known['margin'].iloc[0]:g}{' points' * (judged.unit == '%')}"
    return Grid(caption, tuple(head), tuple(tuple(line[name] for name in head) for line in cells))


def _missing(row: Any, failed: set[str]) -> str:
    """What stands in place of a mean."""
    if row.diverged:
        return f"{row.diverged} of {row.n + row.not_done + row.diverged} diverged"
    return "failed" if row.value in failed else "not done"


def _line(row: Any, missing: str, judged: Measure, by: Measure | None) -> dict[str, str]:
    """A point's cells, from its row of the summary; `missing` where it has no mean. `by`: what else it is chosen by."""
    return {
        "value": said(row.value),
        "n": str(row.n),
        judged.words: missing if pd.isna(row.mean) else judged.text(row.mean),
        TESTS: NONE if pd.isna(row.share_error) else f"{judged.factor * row.share_error:.2f}",
        "sd": NONE if pd.isna(row.sd) else judged.text(row.sd),
        "95 % interval": NONE if pd.isna(row.low) else span(judged, row.low, row.high),
        "difference to baseline": NONE if pd.isna(row.difference) else judged.change(row.difference),
        "its 95 % interval": NONE
        if pd.isna(row.difference_low)
        else changes(judged, row.difference_low, row.difference_high),
        BETTER: NONE if pd.isna(row.improvement) else _improvement(row),
        "p, corrected": NONE if pd.isna(row.p_holm) else f"{row.p_holm:.4f}",
        "verdict": missing if row.resolved == "not done" else str(VERDICTS.get(row.resolved, row.resolved)),
        MARGIN: row.to_margin,
        **({by.words: NONE if pd.isna(row.chosen) else by.text(row.chosen)} if by else {}),
        TIME.words: seconds(row.time_mean) if row.time_n else NONE,
        "read off the training of": _same_run(row),
    }


def _same_run(row: Any) -> str:
    return row.same_run.replace(" ", "; " if CROSS in row.same_run else ", ").replace(CROSS, ", ") or NONE


def _improvement(row: Any) -> str:
    """A probability with its interval: "0.89 (0.42 to 0.98)"."""
    return f"{row.improvement:.2f} ({row.improvement_low:.2f} to {row.improvement_high:.2f})"


def _untuned(results: Results, sweep: str) -> tuple[Block, ...]:
    """Where a sweep compares what has to be tuned first: that it does, and the command that crosses both."""
    mine = results.points[results.points["sweep"] == sweep]
    said = untuned_lines(results.points, results.task).get(sweep)
    if said is None:
        return ()
    one, other = untuned({sweep: variables(mine)}, results.task)[sweep]
    words = crossing(one, texts(mine[one.name]), other, mine[other.name].iloc[0])
    if not words:
        return (Text(said),)
    return Text(f"{said} Cross them before one is called better:"), Code(again_with(results.environment, sweep, words))


def _together(rows: pd.DataFrame, task: Task) -> list[Section]:
    """How the variables of a cross act together; none of another sweep."""
    if rows.empty:
        return []
    judged = task.judged
    head = ("effect of", "beside", "pairs", "effect there", "effect at the base", "difference", "its 95 % interval")
    body = tuple(
        (
            f"{row.variable} {row.base} → {row.value}",
            f"{row.beside} {row.beside_value}, base {row.beside_base}" + (f"; {row.held}" if row.held else ""),
            str(row.pairs),
            *(
                NONE if pd.isna(one) else judged.change(one)
                for one in (row.effect, row.effect_at_base, row.interaction)
            ),
            NONE if pd.isna(row.low) else changes(judged, row.low, row.high),
            NONE if pd.isna(row.p_holm) else f"{row.p_holm:.4f}",
            str(VERDICTS.get(row.resolved, row.resolved)),
        )
        for row in rows_of(rows)
    )
    unit = " in percentage points," if judged.unit == "%" else ""
    caption = f"Does the effect of one depend on the other? Differences{unit} of two effects, paired by seed, with "
    caption += "intervals that hold together"
    grid = Grid(caption, (*head, "p, corrected", "verdict"), body)
    return [Section(f"Interaction in sweep {rows['sweep'].iloc[0]}", (grid,))]


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
