"""Does a loop keep the promises that sharing, resuming and extending its runs rest on? Found out by short trainings.

report = checked(Bench(loop, "spiral.py", packed, unpacked), values)     # `tune-mnist check spiral.py`
verdict = quick(loop, values, packed, unpacked)                          # before its runs are shared
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tune_mnist.checking.causes import Trial, cause_of_difference, cause_of_forgetting
from tune_mnist.checking.generators import moved
from tune_mnist.checking.probe import Bench
from tune_mnist.tasks.loop import Loop
from tune_mnist.words import plural, seconds, several

OK, FAILS, UNKNOWN = "ok", "fails", "not known"
NONE = "yields none"
NOT_TOLD = "cannot be told of a loop that is not deterministic"


@dataclass(frozen=True)
class Line:
    """One promise: whether it is kept (OK, FAILS, UNKNOWN), and what was found."""

    name: str
    mark: str
    said: str


@dataclass(frozen=True)
class Report:
    """What a check found: a line for each promise, and what an epoch costs as (name, words)."""

    lines: tuple[Line, ...]
    costs: tuple[tuple[str, str], ...] = ()

    @property
    def fails(self) -> tuple[str, ...]:
        """The names of the promises that are not kept."""
        return tuple(one.name for one in self.lines if one.mark == FAILS)


@dataclass(frozen=True)
class Verdict:
    """What matters before runs are shared: does the loop go on from its state, and is it deterministic? And why not.

    `forgets`: it yields a state, and going on from it gives other numbers.
    """

    resumes: bool
    deterministic: bool
    lines: tuple[str, ...]
    forgets: bool = False


def checked(bench: Bench, values: Mapping[str, Any]) -> Report:
    """Check the loop with these values; `epochs` among them is how many it is told of. Raises UserError."""
    exam = _Examination(Trial(bench, values))
    if exam.first.failure:
        return Report((Line("training", FAILS, exam.first.failure),))
    return Report(
        (exam.deterministic(), *exam.going_on(), exam.evaluation(), exam.seed(), exam.total(), exam.state()),
        exam.costs(),
    )


def quick(
    loop: Loop, values: Mapping[str, Any], saved: Callable[[Any], bytes | None], loaded: Callable[[bytes], Any]
) -> Verdict:
    """Three epochs of training where all is well: two, and the second again from the state after the first."""
    trial = Trial(Bench(loop, None, saved, loaded), values)
    exam = _Examination(trial)
    if exam.first.failure:
        return Verdict(False, False, (exam.first.failure,))
    if exam.first.states[0] is not None and not trial.unlike(exam.first, trial.resumed(exam.first), shift=1):
        return Verdict(True, True, ())
    lines = (exam.deterministic(), *exam.going_on(), exam.state())
    resumes = any(one.name == "going on" and one.mark == OK for one in lines)
    said = tuple(f"{one.name}: {one.said}" for one in lines if one.mark == FAILS or one.said.startswith(NONE))
    forgets = any(one.name in ("going on", "state") and one.mark == FAILS for one in lines)
    return Verdict(resumes, lines[0].mark == OK, said, forgets)


class _Examination:
    """The promises, one method each; `deterministic` is asked first."""

    def __init__(self, trial: Trial) -> None:
        self.trial, self.loop, self.total_told = trial, trial.bench.loop, trial.total
        self.first = trial.train(searched=True)
        self.second = self.first
        self.repeats = True  # it is deterministic
        self.reproducible = True  # it is so at least when the global generators are seeded alike
        self.paced = ""  # how it differs when it is told of more epochs

    def deterministic(self) -> Line:
        """Trained again, with other global generators and, if nobody asks for it, another total."""
        trial, told = self.trial, self.total_told if self.loop.needs_total else 2 * self.total_told + 1
        self.second = trial.train(seeds=trial.other_seeds, total=told)
        found = trial.unlike(self.first, self.second)
        if found and trial.measures_time(self.first, found):
            found = trial.unlike(self.first, self.second)
        if found and not self.loop.needs_total:
            again = trial.unlike(self.first, trial.train(seeds=trial.other_seeds))
            self.paced, found = ("" if again else found.said), again
        if not found:
            timed = f"; not compared, because it measures time: {several(sorted(trial.timed))}" if trial.timed else ""
            return Line("deterministic", OK, f"the same seed gives the same numbers{timed}")
        self.repeats = False
        why, self.reproducible = cause_of_difference(trial, self.first, found)
        return Line("deterministic", FAILS, f"the same seed gives other numbers ({found.said}): {why}")

    def going_on(self) -> list[Line]:
        """Two epochs, against one and one from the state that was saved and loaded in between."""
        if self.first.states[0] is None:
            return [Line("going on", UNKNOWN, "its state cannot be saved")] if self.first.unsaved else []
        if not self.repeats:
            return [Line("going on", UNKNOWN, NOT_TOLD)]
        resumed = self.trial.resumed(self.first)
        if resumed.failure:
            return [Line("going on", FAILS, f"it does not start from its own state: {resumed.failure}")]
        found = self.trial.unlike(self.first, resumed, shift=1)
        if not found:
            return [Line("going on", OK, "from its saved state it gives the same numbers as without a stop")]
        why = cause_of_forgetting(self.trial, self.first, resumed)
        return [Line("going on", FAILS, f"from its saved state it gives other numbers ({found.said}): {why}")]

    def evaluation(self) -> Line:
        """What was watched; draws are accused only if the training is another one without them."""
        seen, faults = self.first.seen, []
        if seen.left_in_eval:
            kinds = several(seen.left_in_eval)
            faults.append(f"in epoch 2, {kinds} trained in eval mode: call model.train() when each epoch begins")
        if seen.updated:
            kinds = several(seen.updated)
            faults.append(f"{kinds} evaluates in training mode, which changes its statistics: call model.eval() before")
        if seen.shared:
            names = several(seen.shared)
            faults.append(f"it draws from {names}, as the training does: give it a generator of its own")
        if seen.drawn and self.reproducible:
            undone = self.trial.train(undo=True)
            if undone.weights != self.first.weights:
                faults.append(self.trial.drawn(seen.drawn))
        if faults:
            return Line("evaluation", FAILS, f"{'; '.join(faults)}")
        if seen.unclear:
            said = (
                "random numbers are drawn under torch.no_grad() in training mode; to evaluate, call model.eval() before"
            )
            return Line("evaluation", UNKNOWN, said)
        if not seen.evaluations:
            return Line("evaluation", UNKNOWN, "none was seen (a module that runs under torch.no_grad())")
        tail = "; its DataLoader takes a number from torch's global generator; generator=… would spare that"
        return Line("evaluation", OK, f"leaves the training alone{tail if seen.loaders else ''}")

    def seed(self) -> Line:
        """Another seed, all else alike."""
        name = "another seed"
        if not self.loop.settings.takes_seed:
            return Line(name, UNKNOWN, "its config has no `seed`; add `seed: int = 1` to compare several")
        if not self.reproducible:
            return Line(name, UNKNOWN, NOT_TOLD)
        epochs = 1 if self.first.weights[0] else 2
        values = {**self.trial.values, "seed": int(self.trial.values["seed"]) + 1}
        other = self.trial.train(values=values, epochs=epochs)
        if self.trial.unlike(self.first, other):
            return Line(name, OK, "gives other numbers")
        if self.loop.settings.kind is None and not moved(self.first.generators[0], self.first.generators[-1]):
            return Line(name, UNKNOWN, "gives the same numbers, and nothing draws from a global generator")
        return Line(
            name, FAILS, "gives the same numbers: config.seed is not used; seed what draws random numbers by it"
        )

    def total(self) -> Line:
        """Whether the first epochs depend on how many are asked for."""
        name = "number of epochs"
        if self.loop.needs_total:
            return Line(name, OK, "it asks for `epochs`: its runs are resumed, but neither shared nor extended")
        if not self.repeats:
            return Line(name, UNKNOWN, NOT_TOLD)
        if not self.paced:
            return Line(name, OK, "the first epochs do not depend on how many are asked for")
        known = f"{several(self.first.paced)} knows the total" if self.first.paced else "config.epochs is looked at"
        said = f"the first epochs depend on how many are asked for ({self.paced}): {known}"
        return Line(name, FAILS, f"{said}; ask for it instead, train(config, state, epochs)")

    def state(self) -> Line:
        """Whether it can be saved, and what it takes."""
        if not self.first.yields_state:
            return Line("state", OK, f"{NONE}: a run that is stopped or extended starts again from the beginning")
        if self.first.unsaved:
            way = "yield state_dict()s, tensors and plain values"
            return Line("state", FAILS, f"cannot be saved and loaded as weights only: {self.first.unsaved}; {way}")
        return Line("state", OK, f"tensors and plain values, {_size(len(self.first.states[0] or b''))}")

    def costs(self) -> tuple[tuple[str, str], ...]:
        """Of the second training, in its second epoch: there is no start in it."""
        size = self.first.states[0]
        return (
            ("an epoch", f"{seconds(self.second.seconds[-1])} on 1 thread"),
            ("memory", f"{_size(self.second.memory)} more than before the training"),
            ("a checkpoint", "none" if size is None else _size(len(size))),
            (plural(len(self.first.rows[0]), "measure"), ", ".join(self.first.rows[0])),
        )


def _size(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size >= 1e7 else f"{size / 1e6:.2f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
