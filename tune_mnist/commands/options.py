"""What the commands of `tune-mnist` share. What a user did wrong is one line and exit code 2."""

from __future__ import annotations

import difflib
import gc
import itertools
import os
import shlex
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from tune_mnist import __version__
from tune_mnist.errors import ClusterError, UserError, unknown
from tune_mnist.exits import INTERRUPTED, LeaveAtOnce, Output, ending, interrupt, lasting_output, leave_at_once

# `-` and `_` are one letter in every option's name: --batch-size and --batch_size.
CONTEXT = {"token_normalize_func": lambda name: name.replace("_", "-"), "help_option_names": ["-h", "--help"]}
MANY = 50  # runs, above which a person at a terminal is asked
EXAMPLES = """\b
Examples:
  tune-mnist run --dataset digits                      # three sweeps in a minute
  tune-mnist run --task train.py --vary lr=0.01,0.1    # your own training

tune-mnist COMMAND --help tells all of a command; --install-completion lets Tab complete commands and options."""


def _say_version(asked: bool) -> None:
    if asked:
        print(f"tune-mnist {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say which version this is, and stop.")
]


class Command(TyperCommand):
    """A command whose help has its options in groups, and which tells what was probably meant by a wrong one."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Each group of options under its title, all in one column. An option that names no group is in the last."""
        groups: dict[str, list[tuple[str, str]]] = {}
        title = "Options"
        for one in self.get_params(ctx):
            panel = getattr(one, "rich_help_panel", None)
            title = str(panel or title)
            if record := one.get_help_record(ctx):
                is_loose = one.param_type_name == "argument" and not panel
                groups.setdefault("Arguments" if is_loose else title, []).append(record)
        width = max(len(name) for records in groups.values() for name, _ in records)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), said) for name, said in records])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:  # as when a shell completes
            return super().parse_args(ctx, args)
        _refuse_pieces(args)
        try:
            values, *_ = self.make_parser(ctx).parse_args(args=list(args))
            _refuse_empty(self, values)
            return super().parse_args(ctx, list(args))  # it takes them out
        except Exception as error:
            raise _told(error, self, ctx, args) from None


class Group(TyperGroup):
    """The commands. An option before the command's name, and an unknown name, are told what they probably mean."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, list(args))
        except Exception as error:
            raise _told(error, self, ctx, args) from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands and not ctx.resilient_parsing:
            raise unknown("command", args[0], self.commands)
        return super().resolve_command(ctx, args)


def _told(error: Exception, command: Command | Group, ctx: Any, args: Sequence[str]) -> Exception:
    """What the parser of options says of a wrong one, with what was probably meant; other errors as they are."""
    kind = type(error).__name__  # typer has them of click, or brings its own
    if kind == "NoSuchOption":
        name, value = _written(str(getattr(error, "option_name", "")), args)
        return UserError(_meant(command, ctx, name, value))
    option, said = getattr(error, "param", None), str(getattr(error, "message", ""))
    if kind != "BadParameter" or option is None:
        return error
    _, value = _written(option.opts[0], args)
    for word, rule in (("integer", "a whole number"), ("number", "a number"), ("float", "a number")):
        if word in said:
            return UserError(f"{option.opts[0]} must be {rule}, not '{value}'")
    return UserError(f"{option.opts[0]} {value}: {said[:1].lower()}{said[1:]}")


def _written(option: str, args: Sequence[str]) -> tuple[str, str]:
    """An option's name as it was written, and the value after it: of an unknown `-seeds`, the parser names `-s`."""
    for word, after in itertools.zip_longest(args, args[1:], fillvalue=""):
        name, _, value = word.partition("=")
        if name.replace("_", "-") == option or (name.startswith(option) and not option.startswith("--")):
            return name, value or ("" if after.startswith("--") else after)
    return option, ""


def _meant(command: Command | Group, ctx: Any, name: str, value: str) -> str:
    """One line on an option that a command does not have."""
    beside = command if isinstance(command, Group) else getattr(ctx.parent, "command", None)
    having = [one for one, other in getattr(beside, "commands", {}).items() if name in _options(other)]
    if isinstance(command, Group):
        there = f"write tune-mnist {having[0]} {name}" if having else "tune-mnist --help lists what there is"
        return f"no option {name} before a command's name; {there}"
    options, plain = _options(command), name.lstrip("-").replace("-", "_")
    said = shlex.quote(value) if value else "VALUE"
    setting = "--vary" if "," in value and "--vary" in options else "--set"
    settable = _hyper_parameters() if "--set" in options else {}
    if plain in settable:
        return f"no option {name}: {settable[plain]} is a hyper-parameter; write {setting} {settable[plain]}={said}"
    if having:
        return f"no option {name}; tune-mnist {having[0]} has it"
    alike = {one.strip("-").replace("-", "_"): one for one in options}
    alike |= {one: f"{setting} {settable[one]}={said}" for one in settable}
    if near := difflib.get_close_matches(plain, alike, n=1):
        return f"no option {name} (did you mean {alike[near[0]]}?)"
    return f"no option {name}; --help lists what there is" + (
        f"; a hyper-parameter is given as {setting} {plain}={said}" if settable else ""
    )


def _options(command: Any) -> list[str]:
    return [name for option in command.params for name in option.opts if name.startswith("--")]


def _hyper_parameters() -> dict[str, str]:
    """What MNIST's hyper-parameters and their sweeps are called -> their names. Those of another task are not known."""
    from tune_mnist.mnist.task import MNIST

    names = {one: one for one in MNIST.variables}
    return {one.short: one.name for one in MNIST.parameters if one.short} | names


def _refuse_pieces(args: Sequence[str]) -> None:
    """Raise UserError for what a shell took apart, or an editor made of two hyphens."""
    for word, after in itertools.zip_longest(args, args[1:], fillvalue=""):
        name = word.lstrip("–—-")
        if word[:1] in ("–", "—") and name[:1].isalpha():
            raise UserError(f"'{word}' begins with a dash; an option begins with two hyphens: --{name}")
        apart = "=" in word and ((word.endswith(",") and after[:1] not in ("", "-")) or after.startswith(","))
        if apart or (after.startswith("=") and not word.startswith("-")):
            raise UserError(f"'{word} {after}' is two words to the shell; write it without the space: {word}{after}")


def _refuse_empty(command: Any, values: dict[str, Any]) -> None:
    """Raise UserError for an empty value: of a folder, it would be the one that the command is given in."""
    for one in command.params:
        value = values.get(one.name)
        given = value if isinstance(value, (list, tuple)) else [value]
        if any(isinstance(each, str) and not each.strip() for each in given):
            name = one.opts[0] if one.param_type_name == "option" else one.metavar or one.name
            raise UserError(f"the value of {name} is empty (a shell variable that is not set?); give one")


def application(*commands: Callable[..., Any], help: str | None = None) -> typer.Typer:  # noqa: A002
    """An application of these commands; of one alone, its options come without the command's name."""
    app = typer.Typer(
        cls=Group,
        add_completion=len(commands) > 1,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=CONTEXT,
        help=help,
        epilog=EXAMPLES,
    )
    for command in commands:
        app.command(cls=Command, context_settings=CONTEXT)(command)
    if len(commands) > 1:
        app.callback(invoke_without_command=True)(_about)
    return app


def _about(ctx: typer.Context, version: Version = False) -> None:  # noqa: ARG001
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


def start(app: Callable[..., Any], name: str | None = None) -> None:
    """Run the application and end the process with its exit code. SIGTERM, as from `docker stop`, and SIGHUP, of a
    terminal that is closed, act like Ctrl-C.

    `name` is what it is called, if not as the process was started.
    """
    gc.set_threshold(50_000, 20, 50)  # a plan has many small things, and none to collect: a fifth of its time
    signals, output = _received(), lasting_output()
    try:
        code = app(standalone_mode=False, prog_name=name)
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

    for number in ending():
        if number != signal.SIGINT or signal.getsignal(number) is signal.default_int_handler:
            signal.signal(number, stop)
    return signals


def given(ctx: typer.Context, names: Sequence[str]) -> list[str]:
    """Which of these options were given on the command line, as they are written."""
    return [
        option.opts[0]
        for option in ctx.command.params
        if option.name in names and str(ctx.get_parameter_source(str(option.name))).endswith("COMMANDLINE")
    ]


def travelling(ctx: typer.Context, staying: Collection[str]) -> list[str]:
    """The options that a job on a cluster is told, as words again: those that were given and are not `staying`."""
    words: list[str] = []
    for option in ctx.command.params:
        value = ctx.params.get(str(option.name))
        if option.name in staying or value in (None, option.get_default(ctx)):
            continue
        named = [] if option.param_type_name == "argument" else [option.opts[0]]
        for one in value if isinstance(value, (list, tuple)) else [value]:
            words += named if one is True else [*named, str(one)]
    return words


def check_folder(folder: Path) -> None:
    """Raise UserError if there is no such folder, or if it may not be read."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)  # a folder may be listed, and what is in it kept from others
                break
    except NotADirectoryError:
        raise UserError(f"'{folder}' is a file; give the folder that it is in: {folder.parent}") from None
    except FileNotFoundError:
        raise UserError(f"there is no folder '{folder}'; give one that a sweep left, such as results/mnist") from None
    except (OSError, ValueError) as error:  # the latter of a name with a zero byte
        raise UserError(f"folder '{folder}' cannot be read: {getattr(error, 'strerror', None) or error}") from None


def fail(line: str) -> None:
    """Say what was wrong and end with exit code 2."""
    print(f"error: {' '.join(line.split())}", file=sys.stderr)
    sys.exit(2)
