"""When seeds have told enough: `--seeds 3..20` asks each value with three seeds, and then one more at a time.

A difference to the baseline that is resolved, or that cannot be tested, gets no further seed. What is asked next
depends on the rows of the seeds before alone, so that a command that was interrupted, or is given again, asks the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from tune_mnist.plan.request import Request
from tune_mnist.plan.sweeps import Point
from tune_mnist.results.values import rows_of
from tune_mnist.statistics.sequential import Looks
from tune_mnist.words import plural, several

Place = tuple[str, int]  # a sweep, and which of its values


@dataclass
class Stages:
    """How many seeds each value is asked with so far: all of them, unless the request says that it depends."""

    request: Request
    reached: int = field(init=False)
    asked: dict[Place, int] = field(init=False)
    said: str = ""

    def __post_init__(self) -> None:
        self.reached = self.request.sequential[0] if self.request.sequential else len(self.request.seeds)
        sweeps = self.request.sweeps
        self.asked = {(sweep.name, place): self.reached for sweep in sweeps for place in range(len(sweep.grid))}

    @property
    def looks(self) -> dict[str, Looks]:
        """By sweep; none where the seeds were settled beforehand."""
        limits = self.request.sequential
        return {sweep.name: Looks(*limits) for sweep in self.request.sweeps} if limits else {}

    @property
    def points(self) -> list[Point]:
        """What is asked so far."""
        seeds = self.request.seeds
        return [
            point
            for sweep in self.request.sweeps
            for place, point in enumerate(sweep.points(seeds))
            if place % len(seeds) < self.asked[sweep.name, place // len(seeds)]
        ]

    def go_on(self, summary: pd.DataFrame) -> bool:
        """Whether something is asked with one seed more. `summary`: of all points so far, of which none is missing.

        The baseline gets as many seeds as any value that is set against it, also from another sweep.
        """
        found = {(name, place): row for name, rows in _by_sweep(summary) for place, row in enumerate(rows_of(rows))}
        compared = {place: row for place, row in found.items() if not row.baseline}
        going = [
            place
            for place, row in compared.items()
            if row.resolved == "no" and row.pairs == self.asked[place] == self.reached
        ]
        resolved = sum(row.resolved == "yes" for row in compared.values())
        self.said = f"{resolved} of {plural(len(compared), 'difference')} resolved"
        self._tell_untested(compared)
        if self.reached == len(self.request.seeds) or not going:
            return False
        self.reached += 1
        for place, row in found.items():
            if place in going or row.baseline:
                self.asked[place] = self.reached
        return True

    def _tell_untested(self, compared: dict[Place, object]) -> None:
        """Names the sweeps of which something cannot be tested: no further seed is spent on it."""
        why: dict[str, dict[str, None]] = {}
        for (sweep, _), row in compared.items():
            if (verdict := str(row.resolved)) not in ("yes", "no"):  # type: ignore[attr-defined]
                why.setdefault(verdict, {})[sweep] = None
        for verdict, sweeps in why.items():
            self.said += f"; not tested in {several(sweeps)}: {verdict}"

    @property
    def lines(self) -> list[str]:
        """The stage in a line, such as "seed 5 of at most 20: 2 of 6 differences resolved"; none if it is all."""
        said = f"seed {self.reached} of at most {len(self.request.seeds)}" + (f": {self.said}" if self.said else "")
        return [said] if self.looks else []


def _by_sweep(summary: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(str(name), rows) for name, rows in summary.groupby("sweep", sort=False)]
