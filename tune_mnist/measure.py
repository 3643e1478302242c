"""Measure: a number that a training yields once per epoch: its words, its unit, and which way is better."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LOWER = ("loss", "error", "perplexity", "mse", "mae", "cost", "time")  # in a name: the less the better
UNSEEN = ("val_", "valid", "test_", "eval_")  # a name begins with it: of data that are not trained on
_PART = re.compile(r"(test|eval|val|valid|validation)_")  # how the names of measures of the same thing begin


def usual_way(name: str) -> str:
    """Which way is better, as far as a measure's name tells."""
    return "lower" if any(word in name.lower() for word in LOWER) else "higher"


def of_validation(name: str) -> bool:
    """Whether a measure of that name is of data that are there to choose by."""
    found = _PART.match(name)
    return found is not None and found[1].startswith("val")


def of_same(one: str, other: str) -> bool:
    """Whether two names are of the same thing measured on other data: `test_loss`, `val_loss` and `loss`."""
    return without_part(one) == without_part(other)


def without_part(name: str) -> str:
    """A measure's name without the data that it is of: `test_loss` and `val_loss` are losses."""
    return _PART.sub("", name, count=1)


@dataclass(frozen=True)
class Measure:
    """A number that a training yields once per epoch: its words, its unit, and which way is better."""

    name: str
    label: str = ""  # in words, if not its name
    unit: str = ""  # "%" of a fraction from 0 to 1, which is shown in per cent
    better: str = "higher"  # or "lower"
    short: str = ""  # in the names of files and of a summary's columns, if not its name
    least: float | None = None  # no value is below
    column: str = ""  # in the table of epochs, where a parameter has its name
    in_points: bool = True  # whether the table of points has it, too
    may_miss: bool = False  # whether an epoch may be without it
    examples: int = 0  # of a share of right answers: how many were asked; 0 if unknown
    chance: float | None = None  # what guessing reaches, if known

    @property
    def words(self) -> str:
        """As a person calls it: "test accuracy"."""
        return self.label or self.name.replace("_", " ")

    @property
    def stem(self) -> str:
        """In the names of files and columns: "accuracy"."""
        return self.short or self.name

    @property
    def factor(self) -> int:
        """From the value to what is shown of it."""
        return 100 if self.unit == "%" else 1

    @property
    def bounds(self) -> tuple[float, float]:
        """No value is below the first or above the second."""
        if self.unit == "%":
            return 0.0, 1.0
        return -math.inf if self.least is None else self.least, math.inf

    @property
    def axis(self) -> str:
        """The words of an axis: "test accuracy (%)"."""
        return f"{self.words} ({self.unit})" if self.unit else self.words

    @property
    def best(self) -> str:
        """The word for the best value: "highest", or "lowest"."""
        return "highest" if self.better == "higher" else "lowest"

    @property
    def worst(self) -> str:
        """The word for the worst value."""
        return "lowest" if self.better == "higher" else "highest"

    def text(self, value: float, places: int = 2) -> str:
        """A value, in a sentence and on a terminal: "95.09 %", "0.1532"."""
        return f"{100 * value:.{places}f} %" if self.unit == "%" else " ".join(filter(None, (_plain(value), self.unit)))

    def change(self, value: float) -> str:
        """A difference of two values with its sign, in percentage points of a fraction."""
        said = f"{100 * value:+.2f}" if self.unit == "%" else f"{value:+.4g}"
        return said.replace("-", "−")


@dataclass(frozen=True)
class Reference:
    """Published figures to set a task's own beside: rows with `sweep`, `value`, `measured`, `time_s` (or None), and the
    parameters that a point is matched by. `recipe` is what else a point must have; `apart` may differ, and is told.
    """

    said: str
    recipe: dict[str, Any]
    matched: tuple[str, ...]
    apart: str
    rows: tuple[dict[str, Any], ...]


def divergence(metrics: Mapping[str, Any], judged: str) -> str:
    """What shows that the training has diverged, such as "train_loss is nan"; nothing where it has not.

    It has where a loss, which is a measure with that word in its name, or the measure that is `judged` is NaN or
    infinite: every epoch after it would be, too. Another measure may be, and is then missing.
    """
    telling = {name: value for name, value in metrics.items() if name == judged or "loss" in name.lower()}
    numbers = {name: value for name, value in telling.items() if isinstance(value, (int, float))}
    return next((f"{name} is {value}" for name, value in numbers.items() if not math.isfinite(value)), "")


def _plain(value: float) -> str:
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or not value else f"{value:.4g}"
