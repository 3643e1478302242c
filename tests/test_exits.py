"""The signals that ask for an end, without Ray; with it they are in tests/chaos/test_killed.py."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from conftest import surroundings

from tune_mnist import exits
from tune_mnist.tuning import head

SIGNALLED = """import os, signal
signal.signal(signal.SIGHUP, signal.{before})
from tune_mnist.exits import interruptible, told
try:
    with interruptible():
        os.kill(os.getpid(), signal.SIGHUP)
    print("went on", told.is_set())
except KeyboardInterrupt:
    print("interrupted", told.is_set())
"""


@pytest.mark.parametrize(("before", "said"), [("SIG_DFL", "interrupted True"), ("SIG_IGN", "went on False")])
def test_a_closed_terminal_interrupts_a_command_unless_nohup_started_it(before: str, said: str) -> None:
    words = [sys.executable, "-c", SIGNALLED.format(before=before)]
    done = subprocess.run(words, env=surroundings(), capture_output=True, text=True, check=True)
    assert done.stdout == f"{said}\n"


def test_what_is_missing_after_a_signal_was_told_to_end_and_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is kept from its end for long is ended all the same."""
    monkeypatch.setattr(head, "GRACE_S", 0.01)
    exits.told.set()
    ended = threading.Event()
    with head.Watch(lambda: "the raylet", 1, 0.01, lambda _: ended.set()) as watch:
        assert ended.wait(10)
    exits.told.clear()
    assert watch.lost is None


def test_the_signals_of_one_block_are_forgotten_in_the_next() -> None:
    exits.told.set()
    with exits.interruptible():
        assert not exits.told.is_set()
