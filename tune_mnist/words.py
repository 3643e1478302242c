"""Numbers and lists as people write them. What a measure's own values look like is the measure's (`task.Measure`)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any


def duration(seconds: float) -> str:
    """`42 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def clock(seconds: float) -> str:
    """Seconds that pass: `7 s`, `1 min 20 s`."""
    return f"{seconds:.0f} s" if seconds < 10 else duration(seconds)


def seconds(value: float) -> str:
    """A time that was measured: `0.512 s`, `42.3 s`, `1 min 01 s`."""
    return f"{value:.3g} s" if value < 59.95 else duration(value)


def percent(value: float, places: int = 2) -> str:
    """A fraction in per cent: `95.09 %`."""
    return f"{100 * value:.{places}f} %"


def legible(text: str) -> str:
    """The text with a mark in place of each letter that XML may not have: control letters, and halves of letters."""
    return re.sub("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\x7f-\x9f]", "\ufffd", text)


def plural(number: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def from_to(counts: Iterable[int]) -> str:
    """The least and the highest of some counts: `3`, `3 to 9`."""
    ordered = sorted({*counts})
    return " to ".join(dict.fromkeys(f"{count}" for count in (*ordered[:1], *ordered[-1:])))


def several(words: Iterable[str]) -> str:
    """a; a and b; a, b and c."""
    listed = list(words)
    return " and ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)


def typed(value: Any) -> str:
    """A hyper-parameter's value as people type it: `0.05`, `1e6`, `1e-5`, `false`."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, float):
        return str(value)
    plain = f"{value:.10g}"  # ten digits: a CSV may give 0.01 back with another last bit
    if "e" not in plain and abs(value) < 1e6:
        return plain
    digits, _, power = f"{value:.9e}".partition("e")
    short = f"{digits.rstrip('0').rstrip('.')}e{int(power)}"
    return min(plain, short, key=len) if "e" not in plain else short
