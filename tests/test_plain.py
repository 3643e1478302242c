"""Where lines are plain by themselves: on a terminal that nobody looks at."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import sys
import termios
from collections.abc import Iterator

import pytest

from tune_mnist.display.log import ConsoleLines, console, listening, log


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal of 120 columns that is standard output and error; the end that a person looks at."""
    ours, its = pty.openpty()
    resize(ours, 120)
    for name in ("COLUMNS", "LINES", "CI", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    with os.fdopen(its, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        yield ours
    os.close(ours)


def resize(terminal: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 40 if columns else 0, columns, 0, 0))


def test_a_terminal_with_a_size_is_live(terminal: int) -> None:  # noqa: ARG001
    assert console().is_terminal


def test_one_without_a_size_is_plain(terminal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container of `docker run -t`, where its output goes into a pipe."""
    resize(terminal, 0)
    assert not console().is_terminal
    monkeypatch.setenv("COLUMNS", "100")  # whoever says it, looks
    assert console().is_terminal


@pytest.mark.parametrize(("said", "live"), [("true", False), ("1", False), ("", True), ("false", True), ("0", True)])
def test_a_ci_services_is_plain(said: str, live: bool, terminal: int, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    monkeypatch.setenv("CI", said)
    assert console().is_terminal == live


@pytest.mark.parametrize(("plain", "shown"), [(True, b"it failed\r\n"), (False, b"\x1b[31mit failed\x1b[0m\r\n")])
def test_plain_lines_have_no_colours_on_either_output(plain: bool, shown: bytes, terminal: int) -> None:
    with listening(ConsoleLines(console(plain))):
        log.error("it failed")
    sys.stdout.flush()
    assert os.read(terminal, 100) == shown


def test_no_color_takes_the_colours_and_leaves_the_display(terminal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with listening(ConsoleLines(console())):
        log.error("it failed")
    sys.stdout.flush()
    assert os.read(terminal, 100) == b"it failed\r\n"
    assert console().is_terminal
