"""Names of hyper-parameters as people write them, `learning_rate` or `weight-decay`: which of a task's own is meant."""

from __future__ import annotations

from collections.abc import Sequence

from tune_mnist.errors import UserError, unknown

LONGEST = 100  # letters; a name becomes a column, a file's name and a label
# What the libraries of the field call one thing. Taken where a task has one of the line, and none of that very name.
ALIASES = (
    ("lr", "learning_rate", "learningrate", "lrate"),
    ("batch_size", "batch", "bs", "batchsize", "train_batch_size", "per_device_train_batch_size"),
    ("epochs", "epoch", "n_epochs", "num_epochs", "nepochs", "max_epochs", "num_train_epochs"),
    ("weight_decay", "wd", "weightdecay", "l2"),
    ("optimizer", "optim", "optimiser", "opt"),
    ("dropout", "drop", "dropout_rate", "drop_rate"),
    ("schedule", "scheduler", "lr_scheduler", "lr_schedule"),
    ("gamma", "lr_gamma"),
    ("model", "arch", "network", "model_name"),
    ("train_size", "n_train", "num_train", "training_size"),
    ("seed", "random_seed", "random_state", "manual_seed"),
)


def plain(name: object) -> str:
    """A name without what is no part of it: `-` is `_`. Raises UserError for what can be no name."""
    if not isinstance(name, str):
        raise UserError(f"a hyper-parameter is called by a name, not {str(name)[:LONGEST]}")
    found = name.strip().strip("'\"").replace("-", "_")
    if not 0 < len(found) <= LONGEST:
        raise UserError(f"a name has 1 to {LONGEST} letters, not {len(found)}: '{found[:LONGEST]}'")
    if not found.replace(".", "_").isidentifier():
        raise UserError(f"'{found}' is no name of a hyper-parameter; use letters, digits and _")
    return found


def canonical(name: object, names: Sequence[str], choices: Sequence[str]) -> str:
    """Which of `names` is called `name`, in small letters or large; UserError with the choices if none is."""
    found = plain(name)
    if found in names:
        return found
    small = found.lower()
    alike = [one for one in names if one.lower() == small]
    meant = alike or [one for line in ALIASES if small in line for one in names if one in line]
    if len(meant) != 1:
        raise unknown("hyper-parameter", found, choices)
    return meant[0]


def said_of(name: object, found: str) -> list[str]:
    """What there is to say of a name that is called otherwise here."""
    return [] if plain(name) == found else [f"{str(name).strip()} is called {found} here"]
