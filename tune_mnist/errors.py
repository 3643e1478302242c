"""What a user did wrong, said in one line: the thing, its value, and the way out. Commands turn it into exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what was asked for. Its text is one line; it never comes with a traceback."""


class ClusterError(Exception):
    """What a command runs on failed it: Ray does not start, a disk is full. One line; commands end with exit code 1."""


class TrainingFailed(Exception):
    """One training that cannot go on (a measure is missing, say); the others are not concerned."""


def unknown(kind: str, value: object, choices: Iterable[str], meant: str | None = None) -> UserError:
    """The error for a name that is not among its choices: `unknown sweep 'lrr'; choose from: epochs, batch, lr`.

    `meant` is the choice that is probably meant, where that is not the one that looks like it.
    """
    names = list(choices)
    small = {name.lower(): name for name in names}
    near = meant or next((small[one] for one in difflib.get_close_matches(str(value).lower(), small, n=1)), None)
    hint = f" (did you mean '{near}'?)" if near else ""
    return UserError(f"unknown {kind} '{value}'{hint}; choose from: {', '.join(names)}")
