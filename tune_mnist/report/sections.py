"""What a report says, computed from the tables and environment.json of a results folder; and its files.

    write_report(Path("results/mnist"))

It leaves summary.csv, every figure, report.md, report.html and report.pdf in the folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from tune_mnist.figures.gallery import Drawn, save_figures
from tune_mnist.figures.style import conditions, data_name, held
from tune_mnist.report import findings
from tune_mnist.report.document import Block, Bullets, Code, Document, Grid, Picture, Section, Text, markdown
from tune_mnist.report.findings import percent, points_of, seconds, several
from tune_mnist.results import tables as results
from tune_mnist.results.read import read_environment, read_history, read_points
from tune_mnist.results.reference import compare_published
from tune_mnist.results.summary import SUMMARY_CSV, finished, summarise
from tune_mnist.results.values import combined, name, rows_of, text, texts
from tune_mnist.store.store import write_whole

REPORTS = ("report.md", "report.html", "report.pdf")
EXPECTED = (
    "command",
    "started",
    "ended",
    "python",
    "platform",
    "packages",
    "cpu",
    "data_sha256",
)  # of environment.json
VERDICTS = {"yes": "resolved", "no": "not resolved"}


def write_report(folder: Path) -> list[Path]:
    """Write the summary, the figures and the report of a results folder; returns the paths.

    Raises UserError for tables from which no honest report can be made, before anything is written.
    """
    points, history, environment = read_points(folder), read_history(folder), read_environment(folder)
    summary = summarise(points)
    drawn = save_figures(points, history, folder)
    document = compose(points, history, summary, environment, drawn)
    from tune_mnist.report.pdf import pdf
    from tune_mnist.report.page import html

    contents = markdown(document).encode(), html(document, points).encode(), pdf(document)
    written = [results.write_csv(summary, folder / SUMMARY_CSV), *(path for one in drawn for path in one.paths)]
    for file, content in zip(REPORTS, contents, strict=True):
        write_whole(folder / file, content)
    return [*written, *(folder / file for file in REPORTS)]


def compose(
    points: pd.DataFrame,
    history: pd.DataFrame | None,
    summary: pd.DataFrame,
    environment: dict[str, Any],
    drawn: list[Drawn],
) -> Document:
    """The whole report."""
    dirty = bool((environment.get("git") or {}).get("dirty"))
    lacking = findings.gaps(points, history, (environment.get("plan") or {}).get("points"))
    sections = [
        Section("The answer", tuple(_answer(points, summary))),
        *(Section(f"Sweep {sweep}", tuple(_sweep(rows, str(sweep), drawn))) for sweep, rows in _sweeps(summary)),
        *_overall(points, drawn),
        *_published(points),
        Section("How it was done", tuple(_how(points, history, environment))),
        Section("What would weaken it", (Bullets((*lacking, *findings.weaknesses(points, summary, dirty, history))),)),
    ]
    words = _words(points)
    verb = "do" if len(words) > 1 or words == ["epochs"] else "does"
    return Document(f"What {several(words)} {verb} on {data_name(points)}", tuple(sections))


def _words(points: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(name(part) for variable in texts(points["variable"]) for part in variable.split("*")))


def _sweeps(summary: pd.DataFrame) -> Any:
    return summary.groupby("sweep", sort=False)


def _answer(points: pd.DataFrame, summary: pd.DataFrame) -> list[Block]:
    words = several(_words(points))
    question = f"How do test accuracy and training time change with {words}, one thing changed and the rest held?"
    blocks: list[Block] = [Text(question)]
    answers = [f"{sweep}: {' '.join(findings.answer(rows))}" for sweep, rows in _sweeps(summary)]
    return [*blocks, Bullets(tuple(answers)), Text(f"Best point: {findings.best(summary)}")]


def _sweep(rows: pd.DataFrame, sweep: str, drawn: list[Drawn]) -> list[Block]:
    pictures = [_picture(one, rows) for one in drawn if one.sweep == sweep]
    return [*pictures, _table(rows, sweep)]


def _picture(one: Drawn, rows: pd.DataFrame | None = None) -> Picture:
    said = ""
    if rows is not None and len(sentences := findings.answer(rows)) > 1 and not one.stem.startswith("learning"):
        said = ". " + sentences[one.stem.startswith("time")]
    png, svg = one.paths
    return Picture(one.title + said, png, svg)


def _table(rows: pd.DataFrame, sweep: str) -> Grid:
    head = (
        *("value", "n", "test accuracy", "sd", "95 % interval", "difference to baseline", "its 95 % interval"),
        *("p, corrected", "verdict", "training time", "read off the training of"),
    )
    body = []
    for row in rows_of(rows):
        several_seeds, differs = row.accuracy_n > 1, not pd.isna(row.difference)
        body.append(
            (
                combined(str(row.value)),
                str(row.accuracy_n),
                percent(row.accuracy_mean) if row.accuracy_n else "not done",
                percent(row.accuracy_sd) if several_seeds else "–",
                f"{percent(row.accuracy_low)} to {percent(row.accuracy_high)}" if several_seeds else "–",
                points_of(row.difference) if differs else "–",
                "–" if pd.isna(row.difference_low) else _ends(row),
                "–" if pd.isna(row.p_holm) else f"{row.p_holm:.4f}",
                VERDICTS.get(row.resolved, row.resolved),
                seconds(row.time_mean) if row.time_n else "–",
                row.same_run.replace(" ", ", ") or "–",
            )
        )
    caption = f"Sweep {sweep}: means over n seeds; differences in percentage points, paired by seed"
    return Grid(caption, head, tuple(body))


def _ends(row: Any) -> str:
    return f"{points_of(row.difference_low)} to {points_of(row.difference_high)}"


def _overall(points: pd.DataFrame, drawn: list[Drawn]) -> list[Section]:
    pictures = tuple(_picture(one) for one in drawn if not one.sweep)
    rows = tuple(
        (
            *(row.sweep, combined(text(row.value)), str(row.seed), row.status),
            "–" if pd.isna(row.test_accuracy) else percent(row.test_accuracy),
            "–" if pd.isna(row.train_time_s) else seconds(row.train_time_s),
            *("–" if pd.isna(cell) else text(cell) for cell in (row.concurrent, row.hostname or None)),
            str(row.run)[:8],
        )
        for row in rows_of(points)
    )
    head = ("sweep", "value", "seed", "status", "test accuracy", "training time", "beside", "host", "run")
    caption = "Every point: one row a seed; “beside” is how many other trials ran at the same time"
    return [Section("All points", (*pictures, Grid(caption, head, rows, sweep=0)))]


def _published(points: pd.DataFrame) -> list[Section]:
    table = compare_published(points)
    if table.empty:
        return []
    shuffled = "shuffled" if points["shuffle"].astype(str).str.lower().eq("true").any() else "in file order"
    said = f"The published experiment trained in file order, one run a setting; here the images come {shuffled}. "
    said += "Published accuracies are rounded, most to a whole per cent. "
    said += "Times are relative to the first of the sweep that has a published one."
    head = (
        *("sweep", "value", "published", "measured", "95 % interval", "difference, points"),
        *("published time, relative", "measured time, relative"),
    )
    rows = tuple(
        (
            *(row.sweep, row.value, percent(row.published, 1), percent(row.measured)),
            "–" if pd.isna(row.low) else f"{percent(row.low)} to {percent(row.high)}",
            points_of(row.difference),
            *("–" if pd.isna(ratio) else f"{ratio:.2f}" for ratio in (row.published_time, row.time)),
        )
        for row in rows_of(table)
    )
    return [Section("Published and measured", (Text(said), Grid("Published against measured", head, rows, sweep=0)))]


def _how(points: pd.DataFrame, history: pd.DataFrame | None, environment: dict[str, Any]) -> list[Block]:
    swept = [part for variable in texts(points["variable"]) for part in variable.split("*")]
    done = finished(points)
    facts = [f"Data: {data_name(points)}, {several(texts(points['train_size']))} training images.", held(points, swept)]
    facts += _baseline(points)
    asked = f"Plan: {len(points)} points, {points['run'].nunique()} runs, {points['epochs'].sum()} epochs asked for"
    facts.append(asked + (f", {len(history)} trained." if history is not None else "."))
    if len(done):
        facts.append(conditions(done) + ".")
    facts += [_statistics(points), *_machine(environment)]
    hosts = texts(done["hostname"].dropna())
    facts += [f"Trials ran on {len(hosts)} hosts: {several(hosts)}."] if len(hosts) > 1 else []
    sums = environment.get("data_sha256") or {}
    facts += [f"Data file {file}: SHA-256 {checksum}." for file, checksum in sums.items()]
    blocks: list[Block] = [Bullets(tuple(fact.replace("\xa0", " ") for fact in facts))]
    if environment.get("command"):
        blocks += [Text("The same again, from the store or from nothing:"), Code(environment["command"])]
    if not environment:
        blocks.append(
            Text("There is no environment.json here: the machine, the data's sums and the command are missing.")
        )
    return blocks


def _baseline(points: pd.DataFrame) -> list[str]:
    """The value of every swept hyper-parameter where another is swept."""
    rows = points[points["baseline"].astype(bool)]
    swept = list(dict.fromkeys(part for variable in texts(points["variable"]) for part in variable.split("*")))
    if rows.empty or any(len(texts(rows[part])) > 1 for part in swept):
        return []
    return [f"Baseline: {', '.join(f'{name(part)} {texts(rows[part])[0]}' for part in swept)}."]


def _statistics(points: pd.DataFrame) -> str:
    if points["seed"].nunique() < 2:
        return "Statistics: none, for there is one seed."
    return (
        "Statistics: means and 95 % intervals by Student’s t over the seeds, each interval for itself alone; "
        "differences to the baseline by the paired t test, seed by seed, resolved where p, corrected by Holm for "
        "the sweep’s other points, is below 0.05."
    )


def _machine(environment: dict[str, Any]) -> list[str]:
    """What environment.json tells of the machine and the code; what it lacks is named, not made up."""
    if not environment:
        return []
    cpu, packages = environment.get("cpu") or {}, environment.get("packages") or {}
    gpus = environment.get("gpus") or ["no GPU"]
    versions = [f"{package} {version}" for package, version in packages.items() if version]
    usable = f"{cpu['usable']} CPUs usable" if cpu.get("usable") else None
    machine = [part for part in (cpu.get("model"), usable, several(gpus), environment.get("platform")) if part]
    facts = [f"This command ran on {environment.get('hostname') or 'a machine'}: {', '.join(machine)}."]
    python = [f"Python {environment['python']}"] if environment.get("python") else []
    facts += [f"Versions: {', '.join([*python, *versions])}."] if python or versions else []
    if environment.get("git"):
        changed = ", with changes that are in no commit" if environment["git"].get("dirty") else ""
        facts.append(f"Code: commit {environment['git'].get('commit')}{changed}.")
    times = [f"{what} {environment[what]}" for what in ("started", "ended") if environment.get(what)]
    facts += [f"S{', '.join(times)[1:]}." if environment.get("started") else f"E{times[0][1:]}."] if times else []
    lacks = [key for key in EXPECTED if not environment.get(key)]
    return [*facts, f"environment.json does not tell: {several(lacks)}."] if lacks else facts
