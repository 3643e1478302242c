"""Why a loop breaks a promise, found by training it again with one thing held: whatever makes the difference vanish."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tune_mnist.checking import generators
from tune_mnist.checking.probe import ALIKE, COUNT, Bench, Job, Outcome
from tune_mnist.words import several

WAYS = {
    "clock": "it depends on the time; count epochs or steps instead",
    "cudnn": "cuDNN chooses its kernels by speed; set torch.backends.cudnn.deterministic = True and benchmark = False",
}
ADDED = {
    "generator": "its state",
    "optimizer": "its state_dict()",
    "module": "its state_dict()",
    "other": "its state_dict()",
}


@dataclass(frozen=True)
class Unlike:
    """Where two trainings differ: in these measures, in their weights, first in this epoch."""

    epoch: int
    measures: frozenset[str]
    weights: bool
    said: str


class Trial:
    """Short trainings of one loop with one set of values, and how two of them compare."""

    other_seeds: Mapping[str, int] = dict.fromkeys(generators.NAMES, 1001)

    def __init__(self, bench: Bench, values: Mapping[str, Any]) -> None:
        self.bench, self.values = bench, dict(values)
        self.total = max(2, int(self.values.get("epochs", 2)))
        self.timed: set[str] = set()  # measures of time, which are not compared

    def train(self, **changes: Any) -> Outcome:
        """Two epochs from the beginning, with the global generators seeded alike, but for what `changes` says."""
        job = replace(Job({}, self.total, afresh=True), **{"values": self.values, **changes})
        told = {"epochs": job.total} if "epochs" in job.values else {}
        return self.bench.train(replace(job, values={**job.values, **told}))

    def resumed(self, first: Outcome, **changes: Any) -> Outcome:
        """One epoch from the state after the first one, with other global generators."""
        given = {"seeds": self.other_seeds, "state": first.states[0], "epochs": 1, "afresh": False}
        return self.train(**{**given, **changes})

    def unlike(self, one: Outcome, other: Outcome, shift: int = 0) -> Unlike | None:
        """Where `other`, which starts `shift` epochs later, differs from `one`; NaN equals NaN."""
        if other.failure:
            return Unlike(len(other.rows) + shift + 1, frozenset(), True, other.failure)
        pairs = zip(one.rows[shift:], other.rows, one.weights[shift:], other.weights, strict=False)
        for epoch, (then, now, held, has) in enumerate(pairs, start=shift + 1):
            names = [name for name in {**then, **now} if repr(then.get(name)) != repr(now.get(name))]
            names = [name for name in names if name not in self.timed]
            off = next((path for path in held if held[path] != has.get(path)), None)
            if names:
                said = f"epoch {epoch}: {names[0]} {_brief(then.get(names[0]), now.get(names[0]))}"
                return Unlike(epoch, frozenset(names), off is not None, said)
            if off is not None:
                return Unlike(epoch, frozenset(), True, f"epoch {epoch}: {off}")
        return None

    def measures_time(self, first: Outcome, found: Unlike) -> bool:
        """Whether only some measures differ, and no longer do by a clock that counts its looks: those measure time."""
        if found.weights or not found.measures or found.measures == set(first.rows[0]):
            return False
        one, other = (self.train(held="clock", epochs=found.epoch, seeds=seeds) for seeds in (ALIKE, self.other_seeds))
        if self.unlike(one, other):
            return False
        self.timed |= found.measures
        return True

    def drawn(self, names: tuple[str, ...]) -> str:
        """What to do about an evaluation that draws from global generators."""
        return f"it draws from {several(generators.WORDS[one] for one in names)}; give it a generator of its own"


def cause_of_difference(trial: Trial, first: Outcome, found: Unlike) -> tuple[str, bool]:
    """Why two equal trainings differ, and whether they are equal when the global generators are seeded alike."""
    alike = trial.train(epochs=found.epoch)
    if not trial.unlike(first, alike):
        names = generators.moved(first.generators[0], first.generators[found.epoch])
        names = names or tuple(first.generators[0])  # none: it drew while it was imported
        guilty = [name for name in names if len(names) == 1 or _matters(trial, first, found.epoch, name)] or names
        said = several(generators.WORDS[name] for name in guilty)
        ways = several(generators.SEEDED_BY[name] for name in guilty)
        return f"it draws from {said}, which nothing seeds; call {ways}", True
    for held in ("clock", "entropy", *(("cudnn",) if _has_cuda() else ())):
        one, other = (trial.train(held=held, epochs=found.epoch) for _ in range(2))
        if not trial.unlike(one, other):
            asked = several(dict.fromkeys(one.asked)) or "a generator"
            return WAYS.get(held, f"{asked} without a seed; give it config.seed"), False
    return "the cause is not known; neither a global generator, nor the clock, nor a generator without a seed", False


def _matters(trial: Trial, first: Outcome, epochs: int, name: str) -> bool:
    other = {**ALIKE, name: trial.other_seeds[name]}
    return trial.unlike(first, trial.train(epochs=epochs, seeds=other)) is not None


def _has_cuda() -> bool:
    return "torch" in sys.modules and bool(sys.modules["torch"].cuda.is_available())


def cause_of_forgetting(trial: Trial, first: Outcome, resumed: Outcome) -> str:
    """Why a training that goes on from its state differs from one that was not stopped."""
    if "state" not in trial.bench.loop.wants:
        return "it takes no state; write train(config, state=None) and load what it yielded"
    if resumed.rows[0] == first.rows[0] and resumed.weights[0] == first.weights[0]:
        return "it starts again at epoch 1; load the state that it is given"
    names = generators.moved(first.generators[1], first.generators[2])
    last = trial.resumed(first, looks=COUNT).looks if names else 0
    for looks in dict.fromkeys((last, 0)):
        if names and _restored(trial, first, names, looks):
            guilty = next(([one] for one in names if len(names) > 1 and _restored(trial, first, (one,), looks)), names)
            said = several(f"the state of {generators.WORDS[one]}" for one in guilty)
            return f"{said} is not in it; {'; '.join(generators.SAVED_BY[one] for one in guilty)}"
    if first.lost:
        return f"not in it: {several(f'{words}, add {ADDED[kind]}' for kind, words in first.lost)}"
    return "something that the loop keeps between epochs is not in it, or is not loaded from it"


def _restored(trial: Trial, first: Outcome, names: tuple[str, ...], looks: int) -> bool:
    """Whether it goes on as if there had been no stop when these global generators are as they were."""
    kept = {name: first.generators[1][name] for name in names if name in first.generators[1]}
    return trial.unlike(first, trial.resumed(first, restored=kept, looks=looks), shift=1) is None


def _brief(then: float | None, now: float | None) -> str:
    """Two numbers, to as many digits as tell them apart."""
    if then is None or now is None:
        return "is not always there"
    for digits in (4, 7, 12):
        pair = f"{then:.{digits}g}", f"{now:.{digits}g}"
        if pair[0] != pair[1]:
            break
    return f"{pair[0]} and {pair[1]}"
