"""What a command sweeps: MNIST, or a user's own training loop (`--task`).

Either becomes a task in two steps: described, to check options against, and prepared, once its data are there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from tune_mnist.errors import UserError
from tune_mnist.mnist import datasets
from tune_mnist.mnist.task import MNIST, TITLES, check_precision, prepared, validated
from tune_mnist.mnist.validation import check_count, counted, without_validation
from tune_mnist.names import plain
from tune_mnist.plan.plan import Plan
from tune_mnist.plan.request import Options
from tune_mnist.plan.sweepfile import WAYS, held_out, is_foreign, named_task, written_conditions, written_values
from tune_mnist.plan.sweeps import split_assignment
from tune_mnist.plan.values import listed
from tune_mnist.task import Task
from tune_mnist.tasks import user
from tune_mnist.tasks.loop import Loop, find

Say = Callable[[str], None]


class Subject(Protocol):
    """What is swept, before and after it is known where."""

    @property
    def described(self) -> Task: ...
    @property
    def named(self) -> Mapping[str, Any]:
        """How a sweep file names it: its keys `task` and `judge`."""

    @property
    def title(self) -> str:
        """What it trains on, or its loop, as a person calls it."""

    def check(self, device: str, local: bool) -> None:
        """Raise UserError for what this machine cannot do."""

    def prepared(self, where: user.Where, say: Say) -> Task: ...
    def confirmed(self, task: Task, plan: Plan, where: user.Where, say: Say) -> Task:
        """The task as it may be planned with: without sharing, where its loop does not keep what that rests on."""

    def files(self) -> Mapping[str, Path]:
        """What a cluster's head needs of it: the path there -> what is here."""

    def options(self) -> Sequence[str]:
        """How a job on the head is told of it."""


@dataclass
class Mnist:
    """MNIST, or one of its relatives."""

    dataset: str
    data_dir: Path
    precision: str
    validation: int = 0  # how many training images are held out to choose by, or
    val_fraction: float = 0.0  # which share of them

    @property
    def described(self) -> Task:
        return validated(MNIST) if self.validation or self.val_fraction else MNIST

    @property
    def named(self) -> Mapping[str, Any]:
        said = {"validation": self.validation, "val_fraction": self.val_fraction}
        return {name: value for name, value in said.items() if value}

    @property
    def title(self) -> str:
        return "MNIST" if self.dataset == "auto" else TITLES.get(self.dataset, self.dataset)

    def check(self, device: str, local: bool) -> None:
        check_precision(self.precision, device, local)

    def prepared(self, where: user.Where, say: Say) -> Task:
        data = datasets.load(self.dataset, self.data_dir, say)
        self.dataset = data.name
        data = without_validation(data, self.validation or counted(self.val_fraction, data))
        return prepared(data, where.device, where.threads, self.precision)

    def confirmed(self, task: Task, _plan: Plan, _where: user.Where, _say: Say) -> Task:
        return task

    def files(self) -> Mapping[str, Path]:
        return datasets.files(self.dataset, self.data_dir)

    def options(self) -> Sequence[str]:
        return ["--dataset", self.dataset, "--data-dir", "data"]


@dataclass
class Own:
    """A training loop of the user's. With `same_code`, what it gave before its last change is used."""

    loop: Loop
    described: Task
    same_code: bool
    trust: bool
    named: Mapping[str, Any]

    @property
    def title(self) -> str:
        return f"{self.described.name} and its data"

    def check(self, _device: str, _local: bool) -> None:
        user.check_names(self.described)

    def prepared(self, where: user.Where, say: Say) -> Task:
        task = user.prepared(self.loop, self.described, where)
        if change := user.changed(self.loop, task, where):
            runs = f"{change.runs} stored run{'s' * (change.runs > 1)}"
            what = "; ".join(change.said)
            if self.same_code:
                say(f"changed since {runs}, which are used as they are (--same-code): {what}")
                task = user.as_stored(task, change.fingerprint)
            else:
                say(f"changed since {runs}: {what}; they are not used. --same-code uses them")
        return task

    def confirmed(self, task: Task, plan: Plan, where: user.Where, say: Say) -> Task:
        if self.trust or not plan.shares:
            return task
        from tune_mnist.checking.confirm import confirmed  # not above: MNIST has no use for it

        return confirmed(self.loop, task, plan.runs[0].config, where, say)

    def files(self) -> Mapping[str, Path]:
        return user.files(self.loop)

    def options(self) -> Sequence[str]:
        return ["--task", user.spec_there(self.loop)]


@dataclass(frozen=True)
class Chosen:
    """The options that say what is swept."""

    task: str | None
    minimize: str | None
    maximize: str | None
    same_code: bool
    trust: bool


def subject(chosen: Chosen, mnist: Mnist, options: Options, given: Sequence[str]) -> Subject:
    """What the options, or their sweep file, name. `given`: options of MNIST's that were given. Raises UserError."""
    spec, judge = chosen.task, _judge(chosen)
    if options.config is not None:
        in_file, judged = named_task(options.config)
        spec = spec or in_file
        judge = judge or (judged if spec or not is_foreign(options.config) else None)
    if spec is None:
        if judge or chosen.same_code or chosen.trust:
            options_of_own = "--minimize, --maximize, --same-code and --trust"
            raise UserError(f"{options_of_own} are for a training loop of your own; give --task FILE.py")
        return _validated(mnist, options.config, "--validation" in given)
    if given:
        own = ", because your loop holds data out itself and yields val_…" if given[0] == "--validation" else ""
        raise UserError(f"{given[0]} is for MNIST; leave it out with --task {spec}{own}")
    loop = find(spec)
    when = written_conditions(options.config) if options.config else {}
    named: dict[str, Any] = {"task": spec}
    if judge:
        named["judge"] = {way: judge[0] for way, better in WAYS.items() if better == judge[1]}
    return Own(loop, user.described(loop, judge, _values(options), when), chosen.same_code, chosen.trust, named)


def _validated(mnist: Mnist, path: Path | None, is_given: bool) -> Mnist:
    """MNIST with the validation data that options or their sweep file ask for. Raises UserError."""
    check_count(mnist.validation)
    if path is None:
        return mnist
    count, share = held_out(path, MNIST)
    if is_given and share:
        raise UserError(f"--validation and {path}'s val_fraction say the same; give one of them")
    return mnist if is_given else replace(mnist, validation=count, val_fraction=share)


def _judge(chosen: Chosen) -> tuple[str, str] | None:
    if chosen.minimize and chosen.maximize:
        raise UserError("--minimize and --maximize choose one measure; give one of them")
    if chosen.minimize:
        return chosen.minimize, "lower"
    return (chosen.maximize, "higher") if chosen.maximize else None


def _values(options: Options) -> dict[str, list[object]]:
    """Name -> every value that the options and their file give it: a dict's parameters are these."""
    found: dict[str, list[object]] = written_values(options.config) if options.config else {}
    for option, texts in (("--set", options.settings), ("--vary", options.vary), ("a word", options.words)):
        for text in texts:
            name, value = split_assignment(text.lstrip("+"), option)
            found.setdefault(plain(name), []).extend([value] if option == "--set" else listed(value))
    return found
