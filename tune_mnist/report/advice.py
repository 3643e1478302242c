"""What to do after a sweep: which value to set, what it gains and costs, where to look on, and how many more seeds.

    for one in advice(results, summary): print(one.text, one.command)

It is the first that a report says, and the last on a terminal. Gains, intervals and verdicts are those of the table.
"""

from __future__ import annotations

import contextlib
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from tune_mnist.errors import UserError
from tune_mnist.measure import Measure
from tune_mnist.parameter import Parameter
from tune_mnist.report.findings import LIKE, in_order, named, swept_words, top, waiting
from tune_mnist.results.columns import TIME, variables
from tune_mnist.results.read import Results, commands
from tune_mnist.results.summary import finished
from tune_mnist.results.values import said
from tune_mnist.statistics.intervals import LEVEL
from tune_mnist.statistics.power import MOST_PAIRS, POWER, pairs_needed
from tune_mnist.task import Task
from tune_mnist.verdicts.differences import apart, difference, points
from tune_mnist.words import duration, percent, plural, several, typed

FIRST_SEEDS = 5  # advised where there is one: with fewer, an interval is very wide
RUN = ["tune-mnist", "run"]


@dataclass(frozen=True)
class Advice:
    """A sentence on one sweep, which is `about`, and the command that does what it says, if one can be given."""

    text: str
    command: str = ""
    about: str = ""


@dataclass(frozen=True)
class _Sweep:
    """One sweep: its name, its rows of the summary that are done, its points, and what it was asked with."""

    name: str
    rows: pd.DataFrame
    points: pd.DataFrame
    task: Task
    environment: dict[str, Any]

    @property
    def judged(self) -> Measure:
        return self.task.judged

    @property
    def variable(self) -> str:
        """The one hyper-parameter that is varied; nothing where there are several."""
        names = variables(self.points)
        return names[0] if len(names) == 1 else ""

    def gain(self, row: pd.Series) -> float:
        """The difference to the baseline, where more is better."""
        return float(row["difference"]) * (1 if self.judged.better == "higher" else -1)

    def command(self, seeds: int | None = None, more: Sequence[str] = ()) -> str:
        """The command that this sweep was asked by, with other seeds, or more values; nothing if none is known."""
        asked = [one for one in commands(self.environment) if self.name in (one.get("sweeps") or {})]
        given = (asked or [self.environment])[-1].get("command") or ""
        values = [said(value) for value in dict.fromkeys(self.points["value"])]
        if self.variable and any("," in value for value in values):
            return ""
        return again(given, f"{self.variable}={','.join([*values, *more])}" if self.variable else "", seeds)


def advice(results: Results, summary: pd.DataFrame) -> list[Advice]:
    """Of each sweep what its rows of the summary advise."""
    found = []
    for name, rows in summary.groupby("sweep", sort=False):
        mine = results.points[results.points["sweep"] == name]
        done = in_order(named(rows, results.task))
        found += _of_sweep(_Sweep(str(name), done, mine, results.task, results.environment))
    return found


def _of_sweep(sweep: _Sweep) -> list[Advice]:
    rows, words = sweep.rows, swept_words(sweep.points, sweep.task)
    about = sweep.name if sweep.name == words else f"{sweep.name} ({words})"
    if len(rows) < 2:
        what = "One value" if len(rows) else "No point"
        return [Advice(f"{what} is done, so there is nothing to choose.", about=about)]
    if rows["n"].max() == 1:
        found = [_of_one_seed(sweep)]
    elif (rows["resolved"] == "no baseline").any():
        found = [_without_baseline(sweep)]
    else:
        found = [Advice(_setting(sweep)), _more_seeds(sweep)]
    return [replace(one, about=about) for one in (*found, _further(sweep)) if one.text]


def by_sweep(found: Sequence[Advice]) -> list[str]:
    """The sentences on each sweep in a line."""
    texts: dict[str, list[str]] = {}
    for one in found:
        texts.setdefault(one.about, []).append(one.text)
    return [f"{about}: {' '.join(mine)}" for about, mine in texts.items()]


def _of_one_seed(sweep: _Sweep) -> Advice:
    best = top(sweep.rows, sweep.judged)
    reached = f"{sweep.judged.best} at {best['value']} ({sweep.judged.text(best['mean'])})"
    text = (
        f"{_begun(sweep.judged.words)} is {reached}, in one training each: what another seed would give is not known."
    )
    took = _takes(sweep, FIRST_SEEDS - 1)
    return Advice(f"{text} Ask {FIRST_SEEDS} seeds before you choose{took}.", sweep.command(FIRST_SEEDS))


def _without_baseline(sweep: _Sweep) -> Advice:
    best = top(sweep.rows, sweep.judged)
    like = [row["value"] for _, row in sweep.rows.iterrows() if row["value"] != best["value"] and not apart(best, row)]
    reached = (
        f"{_begun(sweep.judged.words)} is {sweep.judged.best} at {best['value']} ({sweep.judged.text(best['mean'])})"
    )
    text = f"{reached}{_but(like)}. There is no point at the baseline to tell a gain from"
    base = (sweep.environment.get("baseline") or {}).get(sweep.variable)
    if base is None or not sweep.variable or typed(base) in set(sweep.points["value"].map(said)):
        return Advice(f"{text}.")
    return Advice(f"{text}: ask {typed(base)}, too.", sweep.command(more=[typed(base)]))


def _begun(words: str) -> str:
    return words[:1].upper() + words[1:]


def _but(like: Sequence[str]) -> str:
    return f"; {several(like)} {'is' if len(like) == 1 else 'are'} not told apart from it" if like else ""


def _setting(sweep: _Sweep) -> str:
    """Which value to set: the best of those that are resolved to be better, or the baseline."""
    others = sweep.rows[~sweep.rows["baseline"]]
    resolved = others[others["resolved"] == "yes"]
    better = resolved[[sweep.gain(row) > 0 for _, row in resolved.iterrows()]]
    if better.empty:
        return _keep(sweep, others)
    best = top(better, sweep.judged)
    like = [row["value"] for _, row in others.iterrows() if row["value"] != best["value"] and not apart(best, row)]
    over = f"{difference(best, sweep.judged)} over the baseline ({best['compared_to']})"
    return f"Set {best['value']}: {over}{_cost(sweep, best)}{_but(like)}{_to_margin(best)}."


def _keep(sweep: _Sweep, others: pd.DataFrame) -> str:
    compared = next(iter(others["compared_to"]), "") or "as it is"
    text = f"Keep the baseline ({compared}): no other value is resolved to be better"
    best = top(others, sweep.judged)
    if sweep.gain(best) > 0:
        text += f"; {best['value']} comes {'highest' if sweep.judged.better == 'higher' else 'lowest'}"
        text += f", {difference(best, sweep.judged)}" if best["difference_low"] == best["difference_low"] else ""
    alike = others.loc[others["to_margin"] == "no worse", "value"]
    if len(alike):
        text += f"; no worse by the margin of {others['margin'].iloc[0]:g}: {several(alike)}"
    return f"{text}."


def _to_margin(row: pd.Series) -> str:
    return f"; against the margin of {row['margin']:g} it is {row['to_margin']}" if row["to_margin"] else ""


def _cost(sweep: _Sweep, row: pd.Series) -> str:
    """What the row's training takes against the baseline's, where times can be compared."""
    mean, base = f"{TIME.stem}_mean", sweep.rows[sweep.rows["baseline"]]
    if base.empty:
        return ""
    both = pd.DataFrame([row, base.iloc[0]])
    if not (both[f"{TIME.stem}_n"] > 0).all() or waiting(both):
        return "; what it costs in time is not known, because times are not comparable"
    mine, theirs = both[mean]
    if min(mine, theirs) > LIKE * max(mine, theirs):
        return ", in about the same training time"
    return f", in {duration(mine)} of training instead of {duration(theirs)}"


def _more_seeds(sweep: _Sweep) -> Advice:
    """What it would take to resolve the largest gain that is not resolved."""
    open_ = sweep.rows[sweep.rows["resolved"] == "no"]
    open_ = open_[[sweep.gain(row) > 0 for _, row in open_.iterrows()]]
    if open_.empty:
        return Advice("")
    row, count = top(open_, sweep.judged), int(sweep.rows["p"].notna().sum())
    what = f"To resolve {points(sweep.judged, row['difference'])} at {row['value']}"
    needed = pairs_needed(row["difference"], row["difference_sd"], (1 - LEVEL) / count)
    if needed is None:
        return Advice(f"{what} would take more than {MOST_PAIRS} seeds: take the two for equal.")
    more = max(1, needed - int(row["pairs"]))
    rule = f"with a power of {percent(POWER, 0)}, if the difference and its spread are as they were here"
    text = f"{what} takes about {plural(more, 'more seed')} {rule}{_takes(sweep, more)}."
    return Advice(text, sweep.command(int(row["pairs"]) + more))


def _takes(sweep: _Sweep, seeds: int) -> str:
    """How long so many more seeds of the sweep take, by the times of its own epochs, one run after the other."""
    done = finished(sweep.points, sweep.task)
    longest = done.sort_values("epochs").drop_duplicates("run", keep="last")
    took = (longest[TIME.name] + longest["eval_time_s"]).groupby(longest["seed"]).sum()
    if took.empty or math.isnan(took.max()):
        return ""
    return f": about {duration(float(took.max()) * seeds)} of training"


def _further(sweep: _Sweep) -> Advice:
    """Where the best value is the first or the last of a sweep over numbers: the next ones beyond it."""
    values = pd.to_numeric(sweep.rows["value"], errors="coerce").tolist()
    if not sweep.variable or any(map(math.isnan, values)) or len(values) < 2:
        return Advice("")
    best = top(sweep.rows, sweep.judged)
    upwards = best["point"] == sweep.rows["point"].iloc[-1]
    if not upwards and best["point"] != sweep.rows["point"].iloc[0]:
        return Advice("")
    neighbour = sweep.rows.iloc[-2 if upwards else 1]
    more = beyond(values if upwards else values[::-1], sweep.task.parameter(sweep.variable))
    if not more or best["mean"] == neighbour["mean"] or not apart(best, neighbour):
        return Advice("")
    text = f"The {sweep.judged.best} {sweep.judged.words} is at an end of the sweep"
    way = "upwards" if upwards else "downwards"
    return Advice(f"{text}, {best['value']}: extend it {way}: {', '.join(more)}.", sweep.command(more=more))


def beyond(values: Sequence[float], parameter: Parameter) -> list[str]:
    """The next two values after the last one, by the spacing of the sweep, that the parameter can have, as texts.

    Where the axis is logarithmic, or the values grow by factors, the last factor is gone on with; else the last step.
    """
    before, last = values[-2:]
    same_sign = before * last > 0
    by_factors = bool(parameter.log) or (len(values) > 2 and same_sign and _is_geometric(values))
    found: list[str] = []
    with contextlib.suppress(UserError, OverflowError):  # what comes next would be out of bounds
        for count in (1, 2):
            value = last * (last / before) ** count if by_factors and same_sign else last + count * (last - before)
            value = round(value) if parameter.kind == "whole" else float(f"{value:.3g}")
            if typed(parameter.read(value)) not in (typed(last), *found):
                found.append(typed(value))
    return found


def _is_geometric(values: Sequence[float]) -> bool:
    """Whether factors from value to value differ less than steps do."""
    if min(np.abs(values)) == 0:
        return False
    steps, factors = np.abs(np.diff(values)), np.abs(np.diff(np.log(np.abs(values))))
    return bool(np.std(factors) / np.mean(factors) < np.std(steps) / np.mean(steps))


def again(command: str, vary: str, seeds: int | None = None) -> str:
    """The command with this sweep alone (`lr=0.1,0.2`; without, all of its own) and so many seeds, if any are given.

    All other options stay; where seeds are added until differences are resolved, so many become the limit. Nothing
    where that cannot be said in a line: of a call from Python, or where sweep or seeds are asked in another way.
    """
    try:
        words = shlex.split(command)
    except ValueError:  # of a record that somebody wrote
        return ""
    kept, seeded = _without_options(words[2:], (*(("--sweep", "--vary") if vary else ()), "--seeds"))
    loose = [word for word in kept if "=" in word and not word.startswith("-") and "," in word]
    least, grows, _ = (seeded or "").partition("..")
    listed = seeded is not None and not seeded.isdecimal() and not grows
    if words[:2] != RUN or loose or (listed and seeds):
        return ""
    asked = f"{least}..{seeds}" if seeds and grows else str(seeds) if seeds else seeded
    return shlex.join([*RUN, *kept, *(["--vary", vary] if vary else []), *(["--seeds", asked] if asked else [])])


def _without_options(words: Sequence[str], names: Sequence[str]) -> tuple[list[str], str | None]:
    """The words without these options and their values; and the value of --seeds, if it is given."""
    kept, seeded, rest = [], None, iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name not in names:
            kept.append(word)
            continue
        value = value if equals else next(rest, "")
        seeded = value if name == "--seeds" else seeded
    return kept, seeded
