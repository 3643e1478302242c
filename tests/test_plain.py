"""Where lines are plain by themselves: on a terminal that nobody looks at."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest
from conftest import surroundings

SHOW = """
import sys
from tune_mnist.display.log import ConsoleLines, console, listening, log
shown = console("--plain" in sys.argv)
with listening(ConsoleLines(shown)):
    log.error("it failed")
print(shown.is_terminal)
"""


def seen(*arguments: str, columns: int = 120, **more: str) -> bytes:
    """What a program's lines look like on a terminal that is its standard output and error."""
    ours, its = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("4H", 40 if columns else 0, columns, 0, 0))
    around = {name: value for name, value in surroundings().items() if name not in ("COLUMNS", "LINES", "FORCE_COLOR")}
    around |= {"TERM": "xterm-256color", **more}
    try:
        subprocess.run([sys.executable, "-c", SHOW, *arguments], stdout=its, stderr=its, env=around, check=True)
        return os.read(ours, 1000)
    finally:
        os.close(its)
        os.close(ours)


PLAIN, COLOURED = b"it failed\r\n", b"\x1b[31mit failed\x1b[0m\r\n"


def test_a_terminal_with_a_size_is_live_and_coloured() -> None:
    assert seen() == COLOURED + b"True\r\n"


def test_one_without_a_size_is_plain() -> None:
    """As in a container of `docker run -t`, where its output goes into a pipe."""
    assert seen(columns=0) == PLAIN + b"False\r\n"
    assert seen(columns=0, COLUMNS="100") == COLOURED + b"True\r\n"  # whoever says it, looks


@pytest.mark.parametrize(("said", "live"), [("true", False), ("1", False), ("", True), ("false", True)])
def test_a_ci_services_is_plain(said: str, live: bool) -> None:
    assert seen(CI=said) == (COLOURED + b"True\r\n" if live else PLAIN + b"False\r\n")


def test_plain_lines_have_no_colours_on_either_output() -> None:
    assert seen("--plain") == PLAIN + b"False\r\n"


def test_no_color_takes_the_colours_and_leaves_the_display() -> None:
    assert seen(NO_COLOR="1") == PLAIN + b"True\r\n"
