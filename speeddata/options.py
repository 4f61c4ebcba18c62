"""Every option that commands share, written once: one letter, one meaning.

A value comes from the flag, else from `SPEEDDATA_<OPTION>`, else from speeddata.toml, else from the command.
"""

from __future__ import annotations

import copy
import ipaddress
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from speeddata import __version__, names, report, settings, timerange
from speeddata.avro import schema
from speeddata.errors import SpeedDataError, UsageError
from speeddata.output import STDOUT

METHODS = ("pick", "minmax", "mean", "rms")
COMPRESSIONS = ("none", "gzip", "lzf")
FORMATS = ("avro", "json", "csv")
TIME_UNITS = tuple(schema.TICK_NS)

_PREFIX = "SPEEDDATA_"
_CONFIG, _SETTINGS = "speeddata.config", "speeddata.settings"  # keys of click's own notebook

Function = TypeVar("Function", bound=Callable[..., Any])
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class SchemaFile:
    """An .avsc file that is named, and not read yet: `--time-unit` may still have a say in it."""

    path: str

    def read(self, time_unit: str | None = None) -> schema.Schema:
        """The schema; *time_unit* is the unit of an abscissa that does not tell its own.

        Raises:
            UsageError: the file cannot be read.
            DataError: it holds no schema for telemetry.
        """
        try:
            with open(self.path, "rb") as file:
                text = file.read()
        except OSError as exc:
            raise UsageError(exc.strerror or str(exc), where=self.path) from exc
        return schema.parse(text, where=self.path, time_unit=time_unit)


class Positive(click.FloatRange):
    """A number above zero that is one: `inf` and `nan` are written like numbers, and are none to go by."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except (ValueError, OverflowError):
            self.fail(f"'{str(value)[:80]}' is no number", param, ctx)
        if not 0 < number < math.inf:
            self.fail(f"{value} is no number above 0", param, ctx)
        return number

    def _describe_range(self) -> str:  # click's, for its help
        return self.words()

    def words(self) -> str:
        """The range, for people."""
        return "above 0"


class Whole(click.IntRange):
    """A whole number from *least* on, up to *most* where there is one."""

    def __init__(self, least: int, most: int | None = None) -> None:
        super().__init__(least, most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except ValueError:
            self.fail(f"'{str(value)[:80]}' is no whole number", param, ctx)
        if self.min is not None and number < self.min:
            self.fail(f"{number} is below {self.min}", param, ctx)
        if self.max is not None and number > self.max:
            self.fail(f"{number} is above {self.max}", param, ctx)
        return number

    def _describe_range(self) -> str:  # click's, for its help
        return self.words()

    def words(self) -> str:
        """The range, for people."""
        return f"at least {self.min}" if self.max is None else f"{self.min} to {self.max}"


class Parsed(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions of click
    """What a function of one text makes of an option's text; its errors become usage errors."""

    envvar_list_splitter = ","

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value  # a default that has its type already
        try:
            return self._parse(value)
        except SpeedDataError as exc:
            self.fail(str(exc), param, ctx)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise UsageError(f"'{text}' is no network", mend="write it like 192.168.1.0/24 or 10.0.0.7") from None


def _share(text: str) -> float:
    number = text.strip().removesuffix("%")
    if not number.replace(".", "", 1).isdigit() or not text.strip().endswith("%") or float(number) > 100:
        raise UsageError(f"'{text}' is no percentage", mend="write it like 5%")
    return float(number) / 100


_OWN_ATTRIBUTES = frozenset(("created", "since", "until", "speeddata_version", "mark", "note"))


def _tag(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"'{text}' is no tag", mend="write KEY=VALUE")
    if key.strip() in _OWN_ATTRIBUTES:
        raise UsageError(f"'{key.strip()}' is an attribute that every set has", mend="choose another key")
    return key.strip(), value


DURATION = Parsed("duration", timerange.duration_ns)
SIZE = Parsed("size", timerange.size_bytes)
PERCENT = Parsed("percent", _share)
ENDPOINT = Parsed("addr:port", names.Endpoint.parse)
LISTEN = Parsed("[addr:]port", lambda text: names.Endpoint.parse(text, default_host="0.0.0.0"))
NAME = Parsed("name", names.channel_name)
NETWORK = Parsed("network", _network)
SCHEMA = Parsed("file", SchemaFile)
PLACE = Parsed("path", str)  # of a file or directory that settings name beside themselves
TEXTS = Parsed("name", str.strip)
TAG = Parsed("tag", _tag)


@dataclass(frozen=True)
class Shared:
    """One option of many commands: a decorator as it stands, or called with what differs in a command."""

    declarations: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def long_name(self) -> str:
        """`rotate-size` for `--rotate-size`: its key in speeddata.toml."""
        return next(word for word in self.declarations if word.startswith("--")).removeprefix("--")

    def __call__(self, function: Function) -> Function:
        return click.option(*self.declarations, **self.attributes)(function)

    def but(self, **changes: Any) -> Shared:
        """The same option with other attributes: `@options.output.but(default="data")`."""
        return Shared(self.declarations, {**self.attributes, **changes})


_shared: list[Shared] = []


def _option(*declarations: str, **attributes: Any) -> Shared:
    option = Shared(declarations, attributes)
    _shared.append(option)
    return option


interface = _option(
    "-i",
    "--interface",
    multiple=True,
    type=TEXTS,
    help="Network interface, by name or address; may be repeated.",
)
schema_file = _option("-s", "--schema", type=SCHEMA, help="Avro schema of the datums (.avsc).")
time_unit = _option(
    "--time-unit", type=click.Choice(TIME_UNITS), help="Unit of an abscissa whose schema does not tell it."
)
signal = _option(
    "-S",
    "--signal",
    "signals",
    multiple=True,
    type=TEXTS,
    help="Only signals of this name or glob; may be repeated.",
)
factor = _option(
    "-n",
    "--factor",
    type=Whole(1),
    metavar="N",
    default=5,
    help="Keep one window in so many datums.",
)
method = _option(
    "-m", "--method", type=click.Choice(METHODS), default="pick", help="What is kept of each window."
)
count = _option("-c", "--count", type=Whole(1), metavar="N", help="End after so many datums in all.")
duration = _option(
    "-d", "--duration", "duration_ns", type=DURATION, help="End after this long: 90s, 10m, 1h."
)
output = _option("-o", "--output", metavar="PATH", help="Where to write.")
text_format = _option("-f", "--format", "text_format", type=click.Choice(FORMATS), help="Form of the output.")
ttl = _option(
    "--ttl",
    type=Whole(0, 255),
    metavar="N",
    default=1,
    help="How far multicast goes: 1 is this network, each router takes 1.",
)
decimated = _option("--decimated", is_flag=True, help="Take the decimated stream of a live channel.")
follow = _option("--follow", is_flag=True, help="Go on reading while the recording grows.")
as_json = _option(
    "--json", "as_json", is_flag=True, help="JSON Lines for programs instead of words for people."
)
time = _option(
    "--time", type=click.Choice(("number", "iso")), default="number", help="How the time is written."
)
since = _option(
    "--since", metavar="MOMENT", help="From then on: RFC 3339, now, or relative to now such as -10m."
)
until = _option("--until", metavar="MOMENT", help="Before then: likewise.")
last = _option("--last", metavar="DURATION", help="So long back from the end of the data: 90s, 10m, 1h.")
tag = _option(
    "--tag",
    "tags",
    multiple=True,
    type=TAG,
    metavar="KEY=VALUE",
    help="An attribute of the set; may be repeated.",
)
compress = _option(
    "--compress", type=click.Choice(COMPRESSIONS), default="gzip", help="How columns are compressed."
)
allow = _option(
    "--allow",
    multiple=True,
    type=NETWORK,
    help="Network whose sources are heard; may be repeated.  [default: those directly connected]",
)


def complete(command: click.Command) -> click.Command:
    """*command* with what every command has: -C, -q, -v, --version, and its defaults from outside."""
    completed = copy.copy(command)
    completed.params = [*command.params, *_everywhere()]
    for option in completed.params:
        if isinstance(option, click.Option) and option.envvar is None and option.expose_value:
            option.envvar = variable(option)
    return completed


def long_name(option: click.Option) -> str:
    """`rotate-size` for `--rotate-size`: its key in speeddata.toml."""
    return max(option.opts, key=len).lstrip("-")


def variable(option: click.Option) -> str:
    """`SPEEDDATA_ROTATE_SIZE` for `--rotate-size`."""
    return _PREFIX + long_name(option).upper().replace("-", "_")


def given(name: str) -> bool:
    """Whether the command line itself has the option, rather than a variable, the settings or nobody."""
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


def form_of_output(text_format: str | None) -> str:
    """What standard output gets where no form is named: JSON Lines on a terminal, else a container.

    Raises:
        UsageError: that is a container, and `--time` says how text has its times.
    """
    form = text_format or ("json" if os.isatty(STDOUT) else "avro")
    if form == "avro" and given("time"):
        raise UsageError("--time is for JSON and CSV", mend="say which: --format json")
    return form


def refuse_of_recordings(source: str | None, *flags: str) -> None:
    """Keep a flag from being passed over in silence.

    Args:
        source: as it was given.
        flags: that are for live channels only, by their parameters; --decimated and --schema unless told.

    Raises:
        UsageError: one of them is given, and SOURCE is a file or standard input.
    """
    from speeddata.sources import is_file

    if source and source != "-" and not is_file(source):
        return
    for name in flags or ("decimated", "schema"):
        if given(name):
            where = "standard input" if source in (None, "", "-") else source
            flag = f"--{name.removesuffix('_ns')}"
            raise UsageError(f"{flag} is for what is live", where=where or "", mend="leave it out")


def refuse_of_all_recordings(names: Sequence[str]) -> None:
    """The same where several SOURCEs are named: a flag has its use as soon as one of them is live.

    Raises:
        UsageError: a flag that is for live channels only, and none of *names* is one.
    """
    from speeddata.sources import is_file

    if all(each == "-" or is_file(each) for each in names):
        for each in names:
            refuse_of_recordings(each)


def current_settings() -> settings.Settings:
    """The speeddata.toml of the command that runs."""
    found = click.get_current_context().meta.get(_SETTINGS, settings.Settings())
    assert isinstance(found, settings.Settings)
    return found


def _everywhere() -> list[click.Parameter]:
    def unseen(*declarations: str, callback: Callable[..., None], **attributes: Any) -> click.Option:
        return click.Option(declarations, callback=callback, expose_value=False, is_eager=True, **attributes)

    return [
        unseen(
            "-C",
            "--config",
            callback=_configure,
            envvar="SPEEDDATA_CONFIG",
            metavar="FILE",
            help="Settings to use instead of ./speeddata.toml.",
        ),
        unseen("-q", "--quiet", callback=_be_quiet, is_flag=True, help="Errors only."),
        unseen("-v", "--verbose", callback=_be_verbose, is_flag=True, help="Tell more."),
        unseen("--version", callback=_tell_version, is_flag=True, help="Show the version and exit."),
    ]


def _be_quiet(_ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    if asked:
        report.start(report.QUIET)


def _be_verbose(_ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    if asked:
        report.start(report.VERBOSE)


def _tell_version(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        click.echo(f"speeddata {__version__}")
        ctx.exit()


# The directory that one is in may be a stranger's, and so may its speeddata.toml: it runs nothing.
_NEVER_FROM_A_FILE = ("exec",)


def _configure(ctx: click.Context, _param: click.Parameter, given: str | None) -> None:
    """Find speeddata.toml once the command is known, and let it set the defaults of the options."""
    if given:
        ctx.meta[_CONFIG] = given
    if ctx.parent is None or isinstance(ctx.command, click.Group) or ctx.resilient_parsing:
        return  # a group only hands on what was given before the command's name
    found = settings.load(settings.find(ctx.meta.get(_CONFIG)))
    ctx.meta[_SETTINGS] = found
    accepted = _options_of(ctx.command)
    outermost, group = ctx.find_root(), ctx.parent
    defaults = found.defaults(
        (ctx if group is outermost else group).info_name or "",
        {name: _kind(option) for name, option in accepted.items()},
        shared=[option.long_name for option in _shared],
        commands=_commands_of(outermost),
        # the other verbs have to be imported to be asked: only where settings are there
        others=() if group is outermost or found.path is None else _options_of_verbs(group),
    )
    ctx.default_map = {
        str(accepted[name].name): _checked(ctx, accepted[name], value, found)
        for name, value in defaults.items()
    }


def _options_of(command: click.Command | None) -> dict[str, click.Option]:
    """The options that a file may set, by their long names."""
    params = command.params if command is not None else []
    options = [option for option in params if isinstance(option, click.Option) and option.expose_value]
    named = {long_name(option): option for option in options}
    return {name: option for name, option in named.items() if name not in _NEVER_FROM_A_FILE}


def _commands_of(ctx: click.Context) -> list[str]:
    return ctx.command.list_commands(ctx) if isinstance(ctx.command, click.Group) else []


def _options_of_verbs(ctx: click.Context) -> list[str]:
    assert isinstance(ctx.command, click.Group)
    verbs = [ctx.command.get_command(ctx, name) for name in _commands_of(ctx)]
    return list(dict.fromkeys(name for verb in verbs for name in _options_of(verb)))


def _checked(ctx: click.Context, option: click.Option, value: Any, found: settings.Settings) -> Any:
    if option.type in (SCHEMA, PLACE):
        value = str(found.beside(value))
    try:
        option.type_cast_value(ctx, value)
    except click.BadParameter as exc:
        what = exc.message.rstrip(".")
        raise UsageError(what, where=f"{found.path}: {long_name(option)}") from None
    return value


def _kind(option: click.Option) -> str:
    if option.is_flag:
        return "flag"
    if option.multiple:
        return "list"
    return {"integer": "int", "integer range": "int", "float": "float", "float range": "float"}.get(
        option.type.name, "text"
    )
