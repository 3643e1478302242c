"""What fuzz.py gives: valid input, altered at random, and a hostile corpus. All of it follows from the dice given."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import struct
import tempfile
import types
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

KEY = "0123456789abcdef"
SWEEP_FILE = b"""name: fine
baseline: {epochs: 3, optimizer: sgd}
vary:
  lr: [0.01, 5e-2, "0.1"]
  batch_size:
    - 32
    - 64
cross: {dropout: [0.0, 0.25], momentum: [0, 0.9]}
seeds: 3
"""
HOSTILE = [
    *("nan", "inf", "-inf", "-0", "1e999", "-1", "0", "1e-320", "010", "1:30", "0x10", "1_000", "True", "yes", "null"),
    *("~", "", " ", "\t", "\0", "\ufeff", "\u202e", "\u0663", "\ud7ff", "%s%n", "{0.__class__}", "{{7*7}}", "${HOME}"),
    *(
        "../../../etc/passwd",
        "/dev/zero",
        "/proc/self/mem",
        "file:///etc/passwd",
        "a" * 300,
        "9" * 5000,
        "0x" + "f" * 5000,
    ),
    *('=HYPERLINK("http://x")', "<script>alert(1)</script>", "](javascript:alert(1))", "';DROP TABLE", "`id`", "$(id)"),
    *("[" * 900, "{" * 900, "&a [*a, *a]", "*a", "!!python/object/apply:os.system [id]", "!!bool maybe", "!!binary =="),
    *("!!timestamp 2001-01-010.0", "2001-99-99", "!!set {a, b}", "!!omap [a: 1]", "? [a]\n: b", "- - - a", "|\n", ">"),
    *("190:20:30:15", "1" + ":59" * 400, "<<: {a: 1}", "%YAML 9.9", "---\na\n---\nb", "seeds: 100000000000", "\x1b[2J"),
]
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 10**400, 1e308, -0.0, "", "a" * 1000, "\ud800", "\0", [], {}, [[]], {"": None}),
    *("../..", "tensorboard/../../x", ".", "..", "/etc/passwd", ["notes.txt", ".."], {"packages": True}, "=1+1", "<b>"),
]
TOKEN = re.compile(rb"[A-Za-z_0-9.]+|[^A-Za-z_0-9.]")


def altered(dice: random.Random, content: bytes) -> bytes:
    """A few of its tokens or bytes are others; now and then nothing of it is left."""
    if dice.random() < 0.05:
        return dice.randbytes(dice.randrange(200))
    if dice.random() < 0.02:
        return dice.choice([b"[" * 100_000, b"a: " * 10_000, b"- " * 20_000, bombs(), b"x: [" + b"1," * 100_000 + b"]"])
    tokens = TOKEN.findall(content)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(tokens) + 1)
        kind = dice.randrange(5)
        if kind < 2:
            tokens[at : at + 1] = [dice.choice(HOSTILE).encode("utf-8", "surrogatepass")]
        elif kind == 2:
            tokens[at:at] = tokens[: dice.randrange(len(tokens) + 1)]
        elif kind == 3:
            del tokens[at : at + dice.randrange(4)]
        else:
            tokens[at : at + 1] = [dice.randbytes(dice.randrange(4))]
    return b"".join(tokens)


def bombs() -> bytes:
    """Nine levels of nine aliases each."""
    lines = ["a0: &a0 [1]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 10)]
    return "\n".join(lines).encode()


def altered_table(dice: random.Random, content: bytes) -> bytes:
    """A table with other cells, rows or columns."""
    if dice.random() < 0.2:
        return altered(dice, content)
    rows = list(csv.reader(io.StringIO(content.decode())))
    for _ in range(dice.randint(1, 4)):
        row = dice.choice(rows)
        if (kind := dice.randrange(6)) < 3 and row:
            row[dice.randrange(len(row))] = dice.choice([*HOSTILE, dice.choice(dice.choice(rows) or [""])])
        elif kind == 3:
            rows.append(list(row))
        elif kind == 4 and row:
            at = dice.randrange(len(row))
            for each in rows:
                del each[at : at + 1]
        elif len(rows) > 2:
            rows.remove(row)
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue().encode("utf-8", "surrogatepass")


def altered_json(dice: random.Random, content: bytes) -> bytes:
    """A JSON document, or lines of them, with another value somewhere; what is none is altered as bytes."""
    lines = content.splitlines() if content.startswith(b'{"epoch"') else [content]
    at = dice.randrange(len(lines)) if lines else 0
    try:
        value = json.loads(lines[at])
    except (ValueError, IndexError):
        return altered(dice, content or b"x")
    if dice.random() < 0.3:
        return altered(dice, content)
    if dice.random() < 0.03:
        return dice.choice([b"[" * 100_000, b'{"a":' * 100_000, b"9" * 100_000, b'"' + b"a" * 2_000_000 + b'"'])
    for _ in range(dice.randint(1, 3)):
        value = _replaced(dice, value)
    lines[at] = json.dumps(value).encode()
    return b"\n".join([*lines, b""])


def _replaced(dice: random.Random, value: Any) -> Any:
    if isinstance(value, (dict, list)) and value and dice.random() < 0.85:
        at = dice.choice(list(value) if isinstance(value, dict) else range(len(value)))
        value[at] = _replaced(dice, value[at])
        return value
    return deepcopy(dice.choice([*VALUES, *HOSTILE]))  # it is altered in its turn


@cache
def parser() -> Any:
    """The command line of `run`."""
    import typer.main

    from tune_mnist.commands.options import application
    from tune_mnist.commands.run import run

    return typer.main.get_command(application(run))


def words(dice: random.Random) -> list[str]:
    """Options of `run`, most of them with a value that is none."""
    names = ["lr", "batch_size", "epochs", "dropout", "optimizer", "seed", "model", "momentum", "", "LR", "shuffle"]
    single = ["--seed", "--seeds", "--cpus-per-trial", "--gpus-per-trial", "--max-concurrent", "--nodes", "--store"]
    single += ["--sweep", "--dataset", "--device", "--precision", "--config", "--output", "--address"]
    found = []
    for _ in range(dice.randint(1, 4)):
        value = ",".join(dice.choice([*HOSTILE, "0.1", "1", "sgd", "64"]) for _ in range(dice.randint(1, 3)))
        if dice.random() < 0.6:
            found += [
                dice.choice(["--vary", "--set"]),
                f"{dice.choice(names)}{dice.choice(['=', '=', ' ', '=='])}{value}",
            ]
        else:
            found += [dice.choice(single), value] if dice.random() < 0.9 else [dice.choice([*HOSTILE, "--fresh"])]
    return found


@cache
def results_folder() -> dict[str, bytes]:
    """A valid results folder's files."""
    from tables import LRS, OPTIMIZERS, seeded_sweep, write_folder

    with tempfile.TemporaryDirectory() as name:
        from tune_mnist.mnist.task import MNIST

        folder = write_folder(Path(name), seeded_sweep("lr", LRS), seeded_sweep("optimizer", OPTIMIZERS))
        found = {path.name: path.read_bytes() for path in folder.iterdir()}
    facts = json.loads(found["environment.json"]) | {"task": MNIST.record(), "files": ["report.md"]}
    return found | {"environment.json": json.dumps(facts).encode()}


@cache
def run_folder() -> dict[str, bytes]:
    """A valid run's files in a store: one of three epochs, its checkpoint of torch's."""
    import torch

    from tune_mnist.store.checkpoint import packed
    from tune_mnist.store.store import Store

    with tempfile.TemporaryDirectory() as name:
        store = Store(Path(name))
        with store.claim([KEY]):
            store.open(KEY, {"config": {"lr": 0.1}, "conditions": {"device": "cpu"}})
            for epoch in (1, 2, 3):
                store.append(KEY, {"epoch": epoch, "val_loss": 1 / epoch, "hostname": "here"})
                store.save_checkpoint(KEY, epoch, packed({"weight": torch.ones(2)}) or b"")
        return {path.name: path.read_bytes() for path in (Path(name) / KEY).iterdir() if path.name != "lock"}


def write_idx(dice: random.Random, path: Path) -> None:
    """An IDX file: any header, true or false about a size that takes no room on disk."""
    magic = dice.choice([0x801, 0x803, 0xC02, 0, dice.randrange(1 << 32)])
    counts = [
        dice.choice([0, 1, 28, 10_000, 60_000, 3_000_000, 1 << 31, (1 << 32) - 1]) for _ in range(dice.randrange(4))
    ]
    if dice.random() < 0.7:  # the right one, of any number of images
        kind = {"x3-ubyte": (0x803, 28, 28), "x1-ubyte": (0x801,), "idx2-int": (0xC02, 8)}[path.name[-8:]]
        magic, counts = kind[0], [dice.choice([0, 1, 10, 10_000, 60_000, 2_000_000, 1 << 31]), *kind[1:]]
    head = struct.pack(f">{len(counts) + 1}I", magic, *counts)[: dice.choice([100, 100, 100, 7, 3, 0])]
    path.write_bytes(head + dice.randbytes(dice.randrange(100)))
    size = len(head)
    for count in counts:
        size = len(head) + (size - len(head) or 1) * count
    if 0 < size < 1 << 40:
        os.truncate(path, size + dice.choice([0, 0, 0, 1]))


def variables(dice: random.Random) -> dict[str, str]:
    names = [
        "TUNE_MNIST_DATA",
        "TUNE_MNIST_COMMIT",
        "RAY_ADDRESS",
        "COLUMNS",
        "LINES",
        "TERM",
        "LANG",
        "LC_ALL",
        "PATH",
    ]
    names += ["NO_COLOR", "FORCE_COLOR", "HOME", "TMPDIR", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "RAY_AUTH_MODE"]
    names += ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "TUNE_MNIST_COMMAND", "http_proxy", "LOKY_MAX_CPU_COUNT"]
    text = [one for one in HOSTILE if "\0" not in one]
    return {dice.choice(names): dice.choice(text) for _ in range(dice.randint(1, 5))}


def own_task(step: Callable[[], Any]) -> tuple[Any, Any]:
    """A task of a loop of one's own, and the loop, which yields what `step` gives."""
    from tune_mnist.tasks.loop import loop_of
    from tune_mnist.tasks.user import described

    def train(config: dict[str, Any], state: Any = None) -> Any:  # noqa: ARG001
        while True:
            yield step()

    loop = loop_of(train, types.ModuleType("fuzzed"), version="1")
    return described(loop, None, {"rate": [0.1], "seed": [1]}), loop


def step(dice: random.Random) -> Any:
    """What a loop may yield, mostly not what it should."""
    import numpy as np
    import torch

    values = [*VALUES, *HOSTILE, 1, 0.5, np.float32(0.5), np.int64(3), np.array([1.0]), np.array([1, 2]), torch.ones(1)]
    values += [torch.ones(3), torch.tensor(float("nan")), 1j, b"x", lambda: 0, object(), np.bool_(True), iter(()), type]
    values += [np.datetime64("2001-01-01"), np.float64("nan"), 10**30, torch.tensor(2**60), np.longdouble(1e400)]
    names = [
        "val_loss",
        "loss",
        "epoch",
        "seed",
        "rate",
        "crc32",
        "hostname",
        "",
        "\ud800",
        "a,b\n",
        "__class__",
        1,
        None,
    ]
    metrics: Any = {dice.choice(names): dice.choice(values) for _ in range(dice.randrange(4))}
    if dice.random() < 0.6:
        metrics["val_loss"] = dice.choice([0.5, 0.25, np.float32(1)])
    if dice.random() < 0.1:
        metrics = dice.choice(values)
    return (metrics, dice.choice([None, *values, {"w": torch.ones(2)}])) if dice.random() < 0.7 else metrics
