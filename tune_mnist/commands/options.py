"""What the commands of `tune-mnist` share. What a user did wrong is one line and exit code 2."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import typer

from tune_mnist.errors import ClusterError, UserError
from tune_mnist.exits import LeaveAtOnce, Output, interrupt, lasting_output, leave_at_once

INTERRUPTED = 130
# `-` and `_` are one letter in every option's name: --batch-size and --batch_size.
CONTEXT = {"token_normalize_func": lambda name: name.replace("_", "-"), "help_option_names": ["-h", "--help"]}


def application(*commands: Callable[..., Any], help: str | None = None) -> typer.Typer:  # noqa: A002
    """An application of these commands; of one alone, its options come without the command's name."""
    app = typer.Typer(
        add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=CONTEXT, help=help
    )
    for command in commands:
        app.command(context_settings=CONTEXT)(command)
    return app


def start(app: typer.Typer) -> None:
    """Run the application and end the process with its exit code. SIGTERM, as from `docker stop`, acts like Ctrl-C."""
    signals, output = _received(), lasting_output()
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        fail(str(error))
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 1
    except LeaveAtOnce as ended:
        leave_at_once(_final(int(ended.code or 0), output))
    except (typer.Exit, typer.Abort, KeyboardInterrupt) as ended:
        code = getattr(ended, "exit_code", INTERRUPTED)
        if code == INTERRUPTED:
            signals.append(signal.SIGINT)
    except Exception as error:
        if not hasattr(error, "format_message"):  # a bug; only what the parser of options raises has one
            raise
        fail(error.format_message())
    if signals and code == INTERRUPTED:  # of Ctrl-C, typer makes an exit code without a word
        print("interrupted", file=sys.stderr)
    sys.exit(_final(int(code or 0), output))


def _final(code: int, output: Output | None) -> int:
    """The exit code, once all is said. Who closes a pipe has read enough (`run | head`); a full disk is a failure."""
    sys.stdout.flush()
    failure = output.failure if output else None
    if failure is None or isinstance(failure, BrokenPipeError):
        return code
    print(f"error: standard output cannot be written: {failure.strerror}", file=sys.stderr)
    return code or 1


def _received() -> list[int]:
    """The signals that ask for an end, in the order in which they come; each raises KeyboardInterrupt."""
    signals: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        interrupt(number, frame)

    signal.signal(signal.SIGTERM, stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)
    return signals


def given(ctx: typer.Context, names: Sequence[str]) -> list[str]:
    """Which of these options were given on the command line, as they are written."""
    return [
        option.opts[0]
        for option in ctx.command.params
        if option.name in names and str(ctx.get_parameter_source(str(option.name))).endswith("COMMANDLINE")
    ]


def travelling(ctx: typer.Context, here: str) -> list[str]:
    """The options that a job on a cluster is told, as words again: those that were given and are not about `here`."""
    words: list[str] = []
    for option in ctx.command.params:
        value = ctx.params[str(option.name)]
        if getattr(option, "rich_help_panel", here) == here or value == option.get_default(ctx):
            continue
        for one in value if isinstance(value, (list, tuple)) else [value]:
            words += [option.opts[0]] if one is True else [option.opts[0], str(one)]
    return words


def check_folder(folder: Path) -> None:
    """Raise UserError if there is no such folder."""
    if not folder.is_dir():
        raise UserError(f"there is no folder '{folder}'; give one that a sweep left, such as results/mnist")


def fail(line: str) -> None:
    """Say what was wrong and end with exit code 2."""
    print(f"error: {' '.join(line.split())}", file=sys.stderr)
    sys.exit(2)
