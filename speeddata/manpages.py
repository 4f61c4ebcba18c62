"""The manual pages of section 1, made of the commands: their docstrings, their options, and what click knows.

What no command says of itself (files, variables, what to read next) stands in the tables below.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from speeddata import __version__, options, roff
from speeddata.cli import COMMANDS
from speeddata.errors import DataError, HostError, PartlyDone, PeerError, SpeedDataError, UsageError
from speeddata.verbs import Verbs

_EVERYWHERE = "config quiet verbose version help".split()  # the options of every command, in this order
_EXAMPLES = re.compile(r"Examples?:")

PROGRAM = """
A machine's telemetry is a flow: sources send one UDP packet for each sample, a bare Avro datum. A relay
records every datum unchanged, and serves the flow again over multicast, in full and decimated. The other
commands watch it, cut it, thin it, and hand it on.

What a command reads is its SOURCE, which means the same everywhere:

- `-`: a container on standard input, also where nothing is named and standard input is no terminal.
- `PATH`: with a / in it or .avro at its end: a container file, or a directory, read recursively, each
  channel in the order it was recorded.
- `ADDR:PORT`: datums that arrive there. A multicast group is joined. The schema comes from --schema, else
  from announcements.
- `NAME`: any other word is a live channel, found by what its relay announces.

Between commands flows an Avro object container, so that a pipe is a file is a pipe. Standard output is the
product; standard error is silent when all is well, unless it is a terminal or -v is given. An error is one
line: where, what, how to mend it.

Durations are written like 90s, 10m, 1h, sizes like 50MiB. A moment is RFC 3339 text, `now`, or relative to
now such as -10m.
"""
PROGRAM_EXAMPLES = """\
speeddata demo -d 5 -o sd
speeddata relay & speeddata send --demo --name rig & speeddata tui
speeddata tap rig -d 5 | speeddata decimate - -n 50 -m mean | speeddata pivot - -o slow.h5
speeddata tap rig -f json | jq -c 'select(.sine_wave > 0.99) | [.counter, .sine_wave]'
"""
SETTINGS = """
An option that is not given has the value of its variable, `SPEEDDATA_` and its long name in capitals
(`SPEEDDATA_ROTATE_SIZE` for --rotate-size); else that of `speeddata.toml`; else the default told here.
Options that several commands share may stand at the top of `speeddata.toml`, all others in the table of
their command. What a relay is to know about channels has tables of its own:

    interface = "eth1"

    [relay]
    output = "/srv/rig"
    rotate-size = "100MiB"

    [channels.example]
    listen = 26001
    schema = "example.avsc"
    full = "239.1.1.1:6000"
    decimated = "239.1.1.2:6001"
    factor = 10
    method = "minmax"

A key that is not known is refused. Secrets are in no option and in no settings.
"""
VARIABLES = {
    "": {
        "SPEEDDATA_<OPTION>": "The value of an option that is not given, such as "
        "`SPEEDDATA_DURATION` for --duration; commas stand between several. See `speeddata(1)`.",
        "SPEEDDATA_CONFIG": "Settings to use instead of ./speeddata.toml.",
        "XDG_CONFIG_HOME": "Where the user's settings are; ~/.config unless set.",
    },
    "doctor": {"NO_COLOR": "Where it is set to anything, states have no colours."},
    "hxpush": {
        "SPEEDDATA_HX_PASSWORD": "The password, where there is no --password-file.",
        "CREDENTIALS_DIRECTORY": "Set by systemd: the password is the credential `hxpush`.",
        "XDG_STATE_HOME": "Where positions and rejects are kept; ~/.local/state unless set.",
    },
    "subscribe": {
        "CREDENTIALS_DIRECTORY": "Set by systemd: a customer's destination is the credential of its name.",
        "XDG_STATE_HOME": "Where customers, positions and the log are kept; ~/.local/state unless set.",
    },
}
FILES = {
    "": {
        "./speeddata.toml, $XDG_CONFIG_HOME/speeddata/speeddata.toml": "Settings; the first that is there. "
        "See `speeddata(1)`.",
    },
    "relay": {
        "DIR/CHANNEL/CHANNEL_YYYYMMDDTHHMMSS.nnnnnnnnnZ.avro": "A recording: an Avro object container.",
        "DIR/CHANNEL/CHANNEL_YYYYMMDDTHHMMSS.nnnnnnnnnZ.index": "Where its blocks lie; may be deleted.",
        "DIR/CHANNEL/ledger.jsonl": "What was received, lost and rejected, and when.",
        "DIR/CHANNEL/rejected.avro": "What arrived and is no datum of the channel, with the reason.",
        "DIR/.endpoints.json": "The ports that channels are served on.",
    },
    "tui": {"DIR/marks.jsonl": "Marks: spans of time with a name."},
    "pivot": {"DIR/marks.jsonl": "The marks that --mark means."},
    "ls": {"DIR/CHANNEL/ledger.jsonl": "What was lost and rejected."},
    "info": {"DIR/CHANNEL/ledger.jsonl": "What was lost and rejected."},
    "hxpush": {"$XDG_STATE_HOME/speeddata/hxpush": "Positions by server, and what was refused."},
    "subscribe": {
        "$XDG_STATE_HOME/speeddata/subscribe.db": "Customers, what they get, and how far they are.",
        "$XDG_STATE_HOME/speeddata/hub.db": "The log that messages go to unless a customer says otherwise.",
        "$XDG_CONFIG_HOME/speeddata/destinations": "Where customers' messages go; for their owner only.",
    },
}
RELATED = {
    "send": "relay tap",
    "relay": "send ls tap tui",
    "tap": "relay decimate pivot ls",
    "decimate": "tap pivot relay",
    "pivot": "tap decimate tui info",
    "tui": "relay pivot",
    "hxpush": "relay tap subscribe",
    "subscribe": "relay hxpush",
    "info": "ls relay",
    "ls": "info relay",
    "doctor": "relay ls info",
    "demo": "send relay tui",
}
STATUSES: dict[str, str] = {
    "0": "Done; also: stopped by Ctrl-C or SIGTERM while live, or the reader of standard output left.",
    **{
        str(kind.status): inspect.cleandoc(kind.__doc__ or "")
        for kind in (HostError, UsageError, DataError, PeerError, PartlyDone)
    },
    "130, 143": "Interrupted by Ctrl-C or SIGTERM with work undone.",
}
assert SpeedDataError.status == HostError.status  # the words of 1 are those of HostError


@dataclass(frozen=True)
class Told:
    """What the docstring of a command says.

    Attributes:
        summary: its first paragraph.
        rest: the others, as roff.
        examples: lines.
    """

    summary: str
    rest: str
    examples: list[str]


def pages(program: click.Group, date: str) -> dict[str, str]:
    """The pages of section 1, by the names of their files.

    Args:
        program: the group of all commands.
        date: of this version, as `roff.title` wants it.
    """
    top = program.make_context("speeddata", [], resilient_parsing=True)
    commands = {name: program.get_command(top, name) for name in program.list_commands(top)}
    found = {"speeddata.1": _program_page(program, top, date)}
    for name, command in commands.items():
        assert command is not None
        context = click.Context(command, info_name=name, parent=top)
        found[f"speeddata-{name}.1"] = _page(name, command, context, COMMANDS[name], date)
    return found


def told(command: click.Command) -> Told:
    """What *command* says of itself."""
    text = inspect.cleandoc(command.help or "").partition("\f")[0]
    summary, rest, examples = "", "", list[str]()
    for paragraph in re.split(r"\n\s*\n", text):
        lines = paragraph.splitlines()
        if lines and lines[0].strip() == "\b":
            if len(lines) > 1 and _EXAMPLES.fullmatch(lines[1].strip()):
                examples += inspect.cleandoc("\n".join(lines[2:])).splitlines()
            else:
                rest += roff.table(lines[1:]) or roff.example(lines[1:])
        elif not summary:
            summary = " ".join(lines)
        else:
            rest += roff.document(paragraph)
    return Told(summary, rest, examples)


def verbs(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """The verbs of *command*, by name; the plain one first and nameless, as is any other command."""
    if not isinstance(command, Verbs):
        yield "", command
        return
    for name in sorted(command.list_commands(context), key=lambda name: name != command.plain):
        verb = command.get_command(context, name)
        assert verb is not None
        yield "" if name == command.plain else name, verb


def examples(program: click.Group) -> list[str]:
    """Every example of the pages, its lines joined where one goes on in the next."""
    top = program.make_context("speeddata", [], resilient_parsing=True)
    lines = PROGRAM_EXAMPLES.splitlines()
    for name in program.list_commands(top):
        command = program.get_command(top, name)
        assert command is not None
        for each in dict.fromkeys([command, *(verb for _, verb in verbs(command, top))]):
            lines += told(each).examples
    return "\n".join(lines).replace("\\\n", " ").splitlines()


def _program_page(program: click.Group, top: click.Context, date: str) -> str:
    return roff.page(
        roff.title("speeddata", 1, date, f"speeddata {__version__}"),
        _name("speeddata", program.help or ""),
        roff.heading("Synopsis"),
        _usage("speeddata", ["COMMAND", "[OPTIONS]", "[ARGS]..."]),
        roff.heading("Description"),
        roff.document(PROGRAM),
        roff.heading("Commands"),
        *(
            roff.definition(rf"\fBspeeddata\-{roff.escape(name)}\fR(1)", summary)
            for name, summary in COMMANDS.items()
        ),
        _options_section(program, top),
        roff.heading("Settings"),
        roff.document(SETTINGS),
        roff.heading("Examples"),
        roff.example(PROGRAM_EXAMPLES.splitlines()),
        _ends("", [f"speeddata-{name}(1)" for name in COMMANDS]),
    )


def _page(name: str, command: click.Command, context: click.Context, summary: str, date: str) -> str:
    many = isinstance(command, Verbs)
    parts = list(verbs(command, context))
    own = told(command if command.help else parts[0][1])
    usages = []
    for verb, each in parts:
        where = click.Context(each, info_name=verb or name, parent=context if verb else context.parent)
        usages.append(_usage(f"speeddata {name} {verb}".rstrip(), each.collect_usage_pieces(where)))
    shown = list(own.examples)
    body = ""
    for verb, each in parts:
        said = told(each)
        if verb:
            body += roff.subheading(f"speeddata {name} {verb}")
            body += roff.paragraph(said.summary) + said.rest + _options(each, context)
            shown += [line for line in said.examples if line not in shown]
    plain = parts[0][1] if not parts[0][0] else command
    return roff.page(
        roff.title(f"speeddata-{name}", 1, date, f"speeddata {__version__}"),
        _name(f"speeddata-{name}", summary),
        roff.heading("Synopsis"),
        ".br\n".join(usages),
        roff.heading("Description"),
        roff.paragraph(own.summary),
        own.rest,
        _options_section(plain, context),
        roff.heading("Verbs" if parts[0][0] else "Other verbs") + body if many else "",
        roff.heading("Examples") + roff.example(shown) if shown else "",
        _ends(name, [f"speeddata-{each}(1)" for each in RELATED.get(name, "").split()]),
    )


def _name(name: str, summary: str) -> str:
    what = summary.rstrip(".")
    what = what[0].lower() + what[1:] if what[1:2].islower() or what[1:2] == " " else what
    return roff.heading("Name") + f"{roff.escape(name)} \\- {roff.inline(what)}\n"


def _usage(command: str, pieces: Sequence[str]) -> str:
    """One way to call it: the words in bold, what stands for something else in italics."""
    shown = " ".join(rf"\fI{roff.escape(piece)}\fR" for piece in pieces)
    return f"\\fB{roff.escape(command)}\\fR {shown}\n"


def _options_section(command: click.Command, context: click.Context) -> str:
    """The options of *command*, then those of every command."""
    every = {options.long_name(option): option for option in _params(command, context, everywhere=True)}
    shown = [*_params(command, context), *(every[name] for name in _EVERYWHERE)]
    return roff.heading("Options") + "".join(map(_option, shown))


def _options(command: click.Command, context: click.Context) -> str:
    return "".join(map(_option, _params(command, context)))


def _params(
    command: click.Command, context: click.Context, *, everywhere: bool = False
) -> Iterator[click.Option]:
    for param in command.get_params(click.Context(command, info_name=command.name, parent=context)):
        if not isinstance(param, click.Option) or param.hidden:
            continue
        if (options.long_name(param) in _EVERYWHERE) == everywhere:
            yield param


def _option(option: click.Option) -> str:
    names = sorted(option.opts, key=len)
    value = "" if option.is_flag else rf" \fI{roff.escape(value_of(option))}\fR"
    if option.secondary_opts:
        names += option.secondary_opts
    term = ", ".join(rf"\fB{roff.escape(name)}\fR" for name in names) + value
    return roff.definition(term, f"{option.help or ''} {_extra(option)}".strip())


def value_of(option: click.Parameter) -> str:
    """What stands for the value of *option*: N, FILE, or the choices that there are."""
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "|".join(map(str, option.type.choices))
    return option.type.name.upper()


def _extra(option: click.Option) -> str:
    """Default and range. Made here, since every version of click has its own words."""
    words = []
    default = option.default
    if isinstance(default, str | int | float) and not isinstance(default, bool) and not option.is_flag:
        words.append(f"default: {default}")
    kind = option.type
    if isinstance(kind, options.Whole | options.Positive):
        words.append(kind.words())
    if option.required:
        words.append("required")
    return f"[{'; '.join(words)}]" if words else ""


def _ends(name: str, related: Sequence[str]) -> str:
    """The sections that every page ends with."""
    files = FILES.get(name, {}) | FILES[""]
    variables = VARIABLES.get(name, {}) | VARIABLES[""]
    also = [*(["speeddata(1)"] if name else []), *related, "speeddata-recipes(7)", "speeddata-formats(7)"]
    return (
        roff.heading("Files")
        + "".join(roff.definition(rf"\fI{roff.escape(path)}\fR", what) for path, what in files.items())
        + roff.heading("Environment")
        + "".join(roff.definition(rf"\fB{roff.escape(key)}\fR", what) for key, what in variables.items())
        + roff.heading("Exit status")
        + "".join(roff.definition(rf"\fB{status}\fR", what) for status, what in STATUSES.items())
        + roff.heading("See also")
        + ",\n".join(rf"\fB{roff.escape(each[:-3])}\fR{each[-3:]}" for each in also)
        + "\n"
    )
