"""Lists of values as people write them: `0.1, 0.01`, ranges such as `0.001:0.1:log5`, and lists of seeds.

    listed("0.001:0.1:log5")                        # ["0.001", "0.00316", "0.01", "0.0316", "0.1"]
    entries({"from": 2, "to": 10, "step": 4})       # ["2", "6", "10"]

A range's ends are exact. Between them, values of `log` are rounded to three significant digits and those of `lin` to
six; to more where fewer would make two of them equal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal, InvalidOperation
from typing import Any

from tune_mnist.errors import UserError
from tune_mnist.plan.sweeps import MOST_POINTS, check_count

NUMBER = r"[-+−]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
MOST_LOOKS = 200  # seeds that are added one by one; the chances of more take long to compute
FROM_TO = re.compile(r"\s*(\d{1,9})\s*\.\.\s*(\d{1,9})\s*")  # of seeds
RANGE = re.compile(rf"\s*({NUMBER})\s*:\s*({NUMBER})\s*:\s*(?:(log|lin)\s*(\d{{1,9}})|({NUMBER}))\s*")
CALL = re.compile(r"\s*(choice|range)\s*\((.*)\)\s*")  # as Hydra has them; the end of its range is left out
MOST_LETTERS = 200  # of a title
FORMS = "{from: A, to: B, step: S}, {log: [A, B], n: N} or {lin: [A, B], n: N}"


def listed(text: str, whole: bool = False) -> list[str]:
    """The values of `0.01, 0.05` or of a range; none of an empty text. A comma at the end adds none.

    With `whole` those of a range are rounded to whole numbers.
    """
    if found := RANGE.fullmatch(text):
        low, high, spacing, count, step = found.groups()
        return _spaced(spacing, (low, high), count, whole) if spacing else _steps(low, high, step)
    if found := CALL.fullmatch(text):
        kind, inside = found.groups()
        return listed(inside, whole) if kind == "choice" else _hydra_range(inside)
    inside = text.strip()
    if inside[:1] + inside[-1:] in ("[]", "()"):
        inside = inside[1:-1].strip()
    parts = [value.strip() for value in inside.removesuffix(",").split(",")] if inside else []
    check_count(len(parts))
    return parts


def entries(said: object, whole: bool = False) -> list[Any] | None:
    """The values of an entry of a sweep file: a list, a range as a mapping, or text as an option has it.

    None for what is none of these.
    """
    if isinstance(said, list):
        check_count(len(said))
        return said
    if isinstance(said, str) and ("," in said or RANGE.fullmatch(said)):
        return list(listed(said, whole))
    return _mapped(said, whole) if isinstance(said, Mapping) else None


def _mapped(said: Mapping[str, Any], whole: bool) -> list[Any] | None:
    keys = set(said)
    if keys in ({"values"}, {"value"}):
        return entries(said["values"], whole) if "values" in said else [said["value"]]
    if keys in ({"from", "to"}, {"from", "to", "step"}):
        return list(_steps(said["from"], said["to"], said.get("step", 1)))
    for spacing in ("log", "lin"):
        if keys == {spacing, "n"} and isinstance(said[spacing], list) and len(said[spacing]) == 2:
            return list(_spaced(spacing, said[spacing], said["n"], whole))
    raise UserError(f"a range is {FORMS}, not {_brief(said)}")


def least_and_most(said: object) -> tuple[int, int] | None:
    """(3, 20) of `3..20`: as many seeds as it takes, at least and at most. None of anything else. Raises UserError."""
    found = FROM_TO.fullmatch(said) if isinstance(said, str) else None
    if found is None:
        return None
    least, most = int(found[1]), int(found[2])
    if most > MOST_LOOKS:
        raise UserError(f"seeds {least}..{most}: at most {MOST_LOOKS} are added one by one; give {least}..{MOST_LOOKS}")
    if most <= least:
        raise UserError(
            f"seeds {least}..{most}: the first number is the least and the second the most, which is larger"
        )
    if least < 2:
        raise UserError(f"seeds {least}..{most}: how seeds spread is known from two on; give 2..{most}")
    return least, most


def seeds_of(said: object, first: int, read: Callable[[object], Any]) -> tuple[int, ...]:
    """The seeds of `3` (so many, from the first on), of `77,88,99`, and of a list or a range; of `3..20` all that
    may be needed. Raises UserError.
    """
    if limits := least_and_most(said):
        said = limits[1]
    if isinstance(said, str) and not re.fullmatch(r"\s*[-+−]?\d{1,20}\s*", said):
        said = listed(said)
    if isinstance(said, str):
        said = int(said.replace("−", "-"))
    if isinstance(said, int) and not isinstance(said, bool):
        if said < 1:
            raise UserError(f"seeds must be a whole number of at least 1, not {said}")
        check_count(said)
        return tuple(range(first, first + said))
    found = [read(seed) for seed in entries(said) or ()]
    if not found:
        raise UserError(f"seeds are a number of them, a list such as 77,88,99, or 3..20, not {_brief(said)}")
    for seed in found if len(set(found)) < len(found) else ():
        if found.count(seed) > 1:
            raise UserError(f"seed {seed} stands twice; give each once")
    return tuple(found)


def number(said: object) -> Decimal:
    """The exact number that is written. Raises UserError for what is none."""
    try:
        if isinstance(said, (int, float, str)) and not isinstance(said, bool):
            found = Decimal(str(said).strip().replace("−", "-"))
            if math.isfinite(float(found)):
                return found
    except (InvalidOperation, OverflowError, ValueError):
        pass
    raise UserError(f"a range is of numbers, not {_brief(said)}")


def margin_of(said: object) -> float:
    """The least difference that matters, as the judged measure is shown: points of a share. Raises UserError."""
    try:
        found = float(str(said)) if not isinstance(said, bool) else math.nan
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise UserError(f"margin must be a number above 0, such as 0.2 (of a share, points), not {_brief(said)}")
    return found


def title_of(said: object) -> str:
    """A report's title, in one line. Raises UserError."""
    found = " ".join(said.split()) if isinstance(said, str) else ""
    if not found or len(found) > MOST_LETTERS:
        raise UserError(f"title must be a text of 1 to {MOST_LETTERS} letters, not {_brief(said)}")
    return found


def _steps(low: object, high: object, step: object) -> list[str]:
    """From `low` on, a step at a time, as far as `high`, which is one of them if a step ends there."""
    start, end, by = number(low), number(high), number(step)
    if not by or (end - start) / by < 0:
        raise UserError(f"no steps of {_plain(by)} lead from {_plain(start)} to {_plain(end)}")
    if (end - start) / by > MOST_POINTS:
        check_count(int((end - start) / by) + 1)
    return [_plain(start + place * by) for place in range(int((end - start) / by) + 1)]


def _spaced(spacing: str, ends: Sequence[object], count: object, whole: bool) -> list[str]:
    """So many values, evenly spaced, the ends among them; with `log` each is the same factor above the last."""
    start, end = map(number, ends)
    if isinstance(count, bool) or not str(count).isdecimal() or int(str(count)) < 2:
        raise UserError(f"a range has at least 2 values, not {_brief(count)}")
    n = int(str(count))
    check_count(n)
    if start == end or (spacing == "log" and min(start, end) <= 0):
        rule = "of two numbers above 0" if spacing == "log" else "of two numbers"
        raise UserError(f"a range is {rule} that differ, not {_plain(start)} and {_plain(end)}")
    inner = [_between(spacing, start, end, place, n) for place in range(1, n - 1)]
    if whole:
        inner = [one.to_integral_value() for one in inner]
    return _rounded([start, *inner, end], 3 if spacing == "log" else 6, whole)


def _between(spacing: str, start: Decimal, end: Decimal, place: int, n: int) -> Decimal:
    if spacing == "lin":
        return start + (end - start) * place / (n - 1)
    share = place / (n - 1)
    return Decimal(10 ** ((1 - share) * float(start.log10()) + share * float(end.log10())))


def _rounded(values: Sequence[Decimal], fewest: int, whole: bool) -> list[str]:
    """As texts, the ends as they are and the others of `fewest` digits, or of as many as tell them apart."""
    start, *inner, end = values
    for digits in range(28 if whole else fewest, 29):
        rounding = Context(prec=digits)
        texts = [_plain(start), *(_plain(rounding.plus(one)) for one in inner), _plain(end)]
        if len(set(texts)) == len(texts):
            return texts
    what = "whole numbers" if whole else "numbers"
    raise UserError(f"there are not {len(values)} different {what} from {_plain(start)} to {_plain(end)}")


def _hydra_range(inside: str) -> list[str]:
    ends = [part.strip() for part in inside.split(",")]
    start, stop, step = [*ends, "1"][:3] if len(ends) > 1 else ("0", ends[0], "1")
    values = _steps(start, stop, step)
    return values[:-1] if values and number(values[-1]) == number(stop) else values


def _plain(value: Decimal) -> str:
    """The shortest way to write it: 0.01, 64, 1e-05."""
    return f"{float(value):.15g}" if value != value.to_integral_value() or abs(value) >= 10**15 else str(int(value))


def _brief(said: object) -> str:
    text = repr(said)
    return text if len(text) <= 60 else f"{text[:60]}…"
