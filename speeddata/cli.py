"""The table of commands, and the one way out of each."""

from __future__ import annotations

import atexit
import difflib
import errno
import gc
import importlib
import os
import select
import sys

import click

from speeddata import options, report
from speeddata.errors import HostError, SpeedDataError, StdoutClosed, UsageError

COMMANDS = {
    "send": "Send each datum as one packet: from a file, a pipe or demo waveforms.",
    "relay": "Record every datum and serve it again over multicast, in full and decimated.",
    "tap": "Copy a channel, live or recorded, to standard output.",
    "decimate": "Keep one window in N datums: the first, the extremes, the mean or the rms.",
    "pivot": "Cut, pick and thin channels into an HDF5 set: a column for each signal.",
    "tui": "Draw live channels, or a recording, as a stripchart in the terminal.",
    "hxpush": "Stream history into SkySpark, Haxall and every Project Haystack server.",
    "subscribe": "Deliver chosen signals to another system, with nothing lost.",
    "info": "Tell what a channel is, its range, rate and gaps, and what is damaged.",
    "ls": "List the channels that are live, or those in a recording.",
    "doctor": "Say what would go wrong, before it does, with the cure of each.",
    "demo": "Source, relay and summary in one command, on this machine only.",
}

# Of a full disk, mostly.
_REFUSED_WRITES = frozenset((errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT))


class Toolbox(click.Group):
    """A group that imports a command only to run it, so that help is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = importlib.import_module(f"speeddata.commands.{name}").command
        assert isinstance(command, click.Command)
        return options.complete(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1, cutoff=0.5)
            mend = f"did you mean {near[0]}?" if near else f"choose from {', '.join(COMMANDS)}"
            raise UsageError(f"there is no command '{args[0]}'", mend=mend)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


program = options.complete(
    Toolbox(
        help="A toolbox for live telemetry: commands to compose with pipes, files and multicast.",
        context_settings={
            "help_option_names": ["-h", "--help"],
            "max_content_width": 110,
            "show_default": True,
        },
    )
)


def main(argv: list[str] | None = None) -> int:
    """Run a command; return its exit status."""
    _guard_standard_streams()
    atexit.register(gc.freeze)  # the end looks for cycles in all that was ever loaded: a sixth of a short run
    if shell := os.environ.get("_SPEEDDATA_COMPLETE"):  # asked by one of the scripts in completions/
        from speeddata import completing

        completing.answer(program, COMMANDS, shell, sys.argv[1:] if argv is None else argv)
        return 0
    report.start()
    try:
        status = _run(sys.argv[1:] if argv is None else argv)
        _flush_stdout()
    except StdoutClosed:  # `speeddata tap ... | head` is no failure
        return 0
    except SpeedDataError as exc:
        report.error(exc)
        return exc.status
    except click.ClickException as exc:
        report.error(_in_one_line(exc))
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except OSError as exc:
        if isinstance(exc, BrokenPipeError) and _stdout_is_closed():
            return 0
        report.error(_refusal(exc))
        return HostError.status
    finally:
        report.clear_status()
        _settle_stdout()
    return status


def _guard_standard_streams() -> None:
    """Keep sockets and files off the numbers 0 to 2 where the shell closed them (`>&-`)."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # the way round that makes every use of it an error
            os.open(os.devnull, os.O_WRONLY if number == 0 else os.O_RDONLY)


def _run(argv: list[str]) -> int:
    # not `program.main`: that one answers a closed pipe with status 1 before we see it
    try:
        with program.make_context("speeddata", list(argv) or ["--help"]) as ctx:
            program.invoke(ctx)
    except click.exceptions.Exit as exc:
        return exc.exit_code
    return 0


def _in_one_line(exc: click.ClickException) -> SpeedDataError:
    """What click has to say, in the form of our own errors."""
    what = exc.format_message()
    where, mend = "", ""
    if isinstance(exc, click.UsageError) and exc.ctx is not None:
        ctx = exc.ctx
        if ctx.parent is not None and getattr(ctx.parent.command, "plain", None) == ctx.info_name:
            ctx = ctx.parent  # the verb was not said
        where = ctx.command_path.removeprefix("speeddata").strip()
        mend = f"see `{ctx.command_path} --help`"
    if isinstance(exc, click.NoSuchOption):
        what = f"no such option '{exc.option_name}'"
        mend = f"did you mean {exc.possibilities[0]}?" if exc.possibilities else mend
    if isinstance(exc, click.BadParameter) and exc.param is not None and exc.message:
        what, where, mend = exc.message, _origin(exc.param, exc.ctx), ""
    if what[1:2].islower():
        what = what[0].lower() + what[1:]
    return UsageError(what.rstrip("."), where=where, mend=mend)


def _origin(param: click.Parameter, ctx: click.Context | None) -> str:
    """Where the value of *param* came from: `--factor`, `SPEEDDATA_FACTOR`, `SOURCE`."""
    if not isinstance(param, click.Option):
        return param.human_readable_name.strip("[]")
    source = ctx.get_parameter_source(param.name) if ctx is not None and param.name else None
    if source is click.core.ParameterSource.ENVIRONMENT:
        return options.variable(param)
    return f"--{options.long_name(param)}"


def _refusal(exc: OSError) -> HostError:
    if not isinstance(exc.filename, str) and exc.errno in _REFUSED_WRITES:
        # what is written to files is told with their names where that happens
        return HostError(f"cannot write: {exc.strerror}", where="standard output")
    where = exc.filename if isinstance(exc.filename, str) else ""
    return HostError(exc.strerror or str(exc) or type(exc).__name__, where=where)


def _flush_stdout() -> None:
    """Write out what is left, while a failure can still become a status.

    Raises:
        StdoutClosed: its reader left.
        HostError: the system said no, as on a full disk.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise StdoutClosed from None
    except OSError as exc:
        raise HostError(f"cannot write: {exc.strerror or exc}", where="standard output") from exc


def _stdout_is_closed() -> bool:
    """Whether the reader of standard output left; a broken pipe may also be someone else's."""
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), 0)  # errors are told without being asked for
    except (AttributeError, OSError, ValueError):
        return True
    return bool(poll.poll(0))


def _settle_stdout() -> None:
    """Leave nothing behind that could fail when the interpreter flushes standard output at its end."""
    try:
        _flush_stdout()
    except (StdoutClosed, HostError):
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())
