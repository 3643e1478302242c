"""How it was done: what was held, planned and trained, on which machine, and the command that does it again."""

from __future__ import annotations

import hashlib
import itertools
import json
import shlex
from typing import Any

import pandas as pd

from tune_mnist.report.document import Block, Bullets, Code, Text
from tune_mnist.results.columns import all_variables
from tune_mnist.results.fixed import data_name, fixed, inactive_lines, seeds_per_point, timed_on
from tune_mnist.results.folder import ENVIRONMENT_JSON, margins, tables_of
from tune_mnist.results.read import Results, commands
from tune_mnist.results.summary import finished, looks_of
from tune_mnist.results.values import texts
from tune_mnist.statistics.margin import VERDICTS
from tune_mnist.statistics.sequential import Looks
from tune_mnist.words import several

SWEEPING = ("--vary", "--sweep")  # the options that name sweeps; each has a value
KEY = 12  # digits of a sum that are shown
# Of environment.json; those that it lacks are named.
EXPECTED = ("command", "started", "ended", "python", "platform", "packages", "cpu", "data_sha256")


def method(results: Results) -> tuple[Block, ...]:
    """The section's blocks."""
    points, task, environment = results.points, results.task, results.environment
    asked = f"Plan: {len(points)} points, {points['run'].nunique()} runs, {points['epochs'].sum()} epochs asked for"
    done = finished(points, task)
    facts = [
        f"Data: {data_name(points, task)}.",
        fixed(points, all_variables(points), task),
        *_baseline(points),
        *(f"{line[:1].upper()}{line[1:]}: its cell is empty there." for line in inactive_lines(points, task)),
        asked + (f", {len(results.history)} trained." if results.history is not None else "."),
        *([timed_on(done) + "."] if len(done) else []),
        *_statistics(results),
        *_sequential(points, environment),
        *dict.fromkeys(fact for one in commands(environment) for fact in _machine(one, _whose(one, environment))),
        *_hosts(done),
        *(f"Data file {file}: SHA-256 {sum_}." for file, sum_ in (environment.get("data_sha256") or {}).items()),
    ]
    blocks: list[Block] = [Bullets(tuple(fact.replace("\xa0", " ") for fact in facts))]
    if given := [one["command"] for one in commands(environment) if one.get("command")]:
        blocks += [Text("The same again, from the store or from nothing:"), Code("\n".join(dict.fromkeys(given)))]
    if not environment:
        lacking = f"There is no {ENVIRONMENT_JSON} here: the machine, the data's sums and the command are missing."
        blocks.append(Text(lacking))
    return tuple(blocks)


def again_with(environment: dict[str, Any], sweep: str, words: str) -> str:
    """The command that made the sweep, with these words instead of its own sweeps: `lr=0.01,0.1 dropout=0,0.25`.

    What was asked from Python is asked there as `cross`. Without a record, it is the words after `tune-mnist run`.
    """
    made = (one for one in commands(environment) if sweep in (one.get("sweeps") or {}))
    command = (next(made, None) or environment).get("command") or "tune-mnist run"
    try:
        parts = shlex.split(command)
    except ValueError:  # of a record that somebody wrote by hand
        return f"tune-mnist run {words}"
    if parts[:2] != ["tune-mnist", "run"]:
        named = {name: values.split(",") for name, _, values in (word.partition("=") for word in words.split())}
        cross = ", ".join(f'"{name}": [{", ".join(map(_literal, values))}]' for name, values in named.items())
        return f"sweep(train, cross={{{cross}}})"
    crossed, kept = {word.partition("=")[0] for word in words.split()}, parts[:2]
    for before, part in itertools.pairwise(parts[1:]):
        name, is_word, value = part.partition("=")
        own = is_word and before != "--set" and not part.startswith("-") and ("," in value or name in crossed)
        if not (own or part.startswith(SWEEPING) or before in SWEEPING):
            kept.append(part)
    return f"{shlex.join(kept)} {words}"


def _literal(value: str) -> str:
    """A value as Python has it."""
    try:
        float(value)
    except ValueError:
        return {"true": "True", "false": "False"}.get(value, json.dumps(value))
    return value


def cite(results: Results, title: str, date: str) -> tuple[Block, ...]:
    """How to refer to the results: their title, day, key and code; nothing where there are no tables.

    The key is of the tables alone, and so stays the same however often the report is made.
    """
    tables = tables_of(results.folder, results.task.name)
    if not tables:
        return ()
    key = hashlib.sha256(b"".join(path.read_bytes() for path in tables)).hexdigest()[:KEY]
    made = commands(results.environment)
    versions = dict.fromkeys((one.get("packages") or {}).get("tune-mnist") for one in made)
    commits = dict.fromkeys(_commit(one.get("git") or {}) for one in made)
    code = [f"tune_mnist {several(filter(None, versions))}".rstrip(), *filter(None, commits)]
    when = [f"results of {date}"] if date else []
    how = shlex.join(["cat", *(path.name for path in tables)])
    return (
        Text(f"“{title}”, {', '.join([*when, f'key {key}'])}. Made by {', '.join(code)}."),
        Text("The key is the beginning of what this command prints in the folder:"),
        Code(f"{how} | sha256sum"),
    )


def _commit(git: dict[str, Any]) -> str:
    changed = " with changes" if git.get("dirty") else ""
    return f"commit {git['commit'][:KEY]}{changed}" if git.get("commit") else ""


def _hosts(done: pd.DataFrame) -> list[str]:
    hosts = texts(done["hostname"].dropna())
    return [f"Trials ran on {len(hosts)} hosts: {several(hosts)}."] if len(hosts) > 1 else []


def _baseline(points: pd.DataFrame) -> list[str]:
    """The value of every swept hyper-parameter where another is swept."""
    rows = points[points["baseline"].astype(bool)]
    swept = all_variables(points)
    if rows.empty or any(len(texts(rows[one])) > 1 for one in swept):
        return []
    return [f"Baseline: {', '.join(f'{one} {texts(rows[one])[0]}' for one in swept)}."]


def _statistics(results: Results) -> list[str]:
    if seeds_per_point(results.points).max() < 2:
        return ["Statistics: none, because there is one seed."]
    margin = "; ".join(f"“{word}”: {meaning}" for word, meaning in VERDICTS.items())
    return [
        "Statistics: means and 95 % intervals by Student’s t over the seeds, each interval for itself alone; "
        "differences to the baseline by the paired t test, seed by seed, resolved where p, corrected by Holm for "
        "the sweep’s other points, is below 0.05. Their intervals are at the level of that correction: together they "
        "hold with 95 %, and one excludes 0 just where its difference is resolved.",
        "“Does better”: how likely a training is to do better than one at the baseline, of any two seeds "
        "(Mann and Whitney’s U by the number of pairs), with Newcombe’s 95 % interval; it decides nothing.",
        *(
            [f"Against the margin, by the interval of the difference: {margin}."]
            if margins(results.environment)
            else []
        ),
    ]


def _sequential(points: pd.DataFrame, environment: dict[str, Any]) -> list[str]:
    """Of the sweeps whose seeds were added until differences were resolved: how, and where that stopped."""
    named: dict[Looks, list[str]] = {}
    for sweep, looks in looks_of(environment).items():
        named.setdefault(looks, []).append(sweep)
    return [f"Seeds of {several(sweeps)}: {_looked(looks, points, sweeps)}" for looks, sweeps in named.items()]


def _looked(looks: Looks, points: pd.DataFrame, sweeps: list[str]) -> str:
    counts = seeds_per_point(points[points["sweep"].isin(sweeps)])
    return (
        f"sequential, {looks.least} at first, then one more for each difference to the baseline that was not resolved, "
        f"up to {looks.most}; {counts.min()} to {counts.max()} were needed. p is the chance, without any effect, of "
        "evidence as strong at any look, and a difference’s interval holds at all looks at once (repeated significance "
        "tests, Wang and Tsiatis’s boundary). A difference that stopped early tends to be overstated."
    )


def _whose(command: dict[str, Any], environment: dict[str, Any]) -> str:
    """Which command it was, where the folder holds the sweeps of several."""
    sweeps = list(command.get("sweeps") or {})
    if not environment.get("earlier") or not sweeps:
        return "This command"
    return f"The command of sweep{'s' * (len(sweeps) > 1)} {several(sweeps)}"


def _machine(environment: dict[str, Any], whose: str) -> list[str]:
    """What environment.json tells of the machine and the code; what it lacks is named, not made up."""
    cpu, packages = environment.get("cpu") or {}, environment.get("packages") or {}
    gpus = environment.get("gpus") or ["no GPU"]
    usable = f"{cpu['usable']} CPUs usable" if cpu.get("usable") else None
    machine = [part for part in (cpu.get("model"), usable, several(gpus), environment.get("platform")) if part]
    python = [f"Python {environment['python']}"] if environment.get("python") else []
    versions = [*python, *(f"{package} {version}" for package, version in packages.items() if version)]
    of_all = () if whose == "This command" else ("data_sha256",)  # which the last one tells
    lacks = [key for key in EXPECTED if key not in of_all and not environment.get(key)]
    return [
        f"{whose} ran on {environment.get('hostname') or 'a machine'}: {', '.join(machine)}.",
        *([f"Versions: {', '.join(versions)}."] if versions else []),
        *_code(environment),
        *_times(environment),
        *([f"{ENVIRONMENT_JSON} does not tell: {several(lacks)}."] if lacks else []),
    ]


def _code(environment: dict[str, Any]) -> list[str]:
    if git := environment.get("git"):
        changed = ", with changes that are in no commit" if git.get("dirty") else ""
        return [f"Code: commit {git.get('commit')}{changed}."]
    digest = environment.get("code_sha256")
    return [f"Code: SHA-256 {digest[:KEY]}; its commit is not known."] if digest else []


def _times(environment: dict[str, Any]) -> list[str]:
    times = ", ".join(f"{what} {environment[what]}" for what in ("started", "ended") if environment.get(what))
    return [f"{times[0].upper()}{times[1:]}."] if times else []
