"""`speeddata relay`: record every datum, serve it again."""

from __future__ import annotations

import dataclasses
import json
import select
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from speeddata import options, report, table
from speeddata.errors import StdoutClosed, UsageError
from speeddata.names import LISTEN_PORT, Endpoint, channel_name
from speeddata.options import SchemaFile
from speeddata.output import STDOUT, Bytes

if TYPE_CHECKING:
    from speeddata.interrupts import Stop
    from speeddata.relay.relaying import FixedChannel
    from speeddata.relay.serving import Status


_OF_THE_RECORDING = (
    "output", "rotate_size", "rotate_time", "keep_size", "keep_time", "min_free", "sync_ns",
)  # fmt: skip


@click.command()
@click.argument("channels", metavar="[NAME=[ADDR:]PORT[,FILE.avsc]]...", nargs=-1)
@click.option(
    "--listen", type=options.LISTEN, help=f"Where announced sources send.  [default: 0.0.0.0:{LISTEN_PORT}]"
)
@options.output.but(metavar="DIR", default="data", help="Directory of the recording.")
@options.factor.but(help="The decimated group gets one window in so many datums.")
@options.method.but(help="What the decimated group gets of each window.")
@options.interface.but(
    help="Interface to serve and join groups on; may be repeated.  [default: serve on loopback, join on all]"
)
@options.ttl
@options.allow
@click.option("--no-record", is_flag=True, help="Serve only; write nothing.")
@click.option("--rotate-size", type=options.SIZE, default="50MiB", help="Begin a new file at this size.")
@click.option("--rotate-time", type=options.DURATION, default="1h", help="Begin a new file after this long.")
@click.option("--keep-size", type=options.SIZE, help="Delete the oldest files beyond this size in all.")
@click.option("--keep-time", type=options.DURATION, help="Delete files that ended longer ago than this.")
@click.option(
    "--min-free",
    type=options.PERCENT,
    default="5%",
    help="Delete the oldest files when less of the disk is free.",
)
@click.option(
    "--sync",
    "sync_ns",
    type=options.DURATION,
    help="Have the disk keep what is older, also through power loss.",
)
@options.duration
@options.time_unit
@options.as_json.but(help="Status as JSON Lines on standard output, every second.")
def command(
    channels: tuple[str, ...],
    listen: Endpoint | None,
    output: str,
    factor: int,
    method: str,
    interface: Sequence[str],
    ttl: int,
    allow: Sequence[options.Network],
    no_record: bool,
    rotate_size: int,
    rotate_time: int,
    keep_size: int | None,
    keep_time: int | None,
    min_free: float,
    sync_ns: int | None,
    duration_ns: int | None,
    time_unit: str | None,
    as_json: bool,
) -> None:
    """Record every datum that arrives and serve it again over multicast, in full and decimated.

    Without a channel it listens for sources that announce themselves, as `speeddata send` does, and needs to
    be told nothing. A channel named here has a port of its own, for senders of bare datums: give its schema
    with it. Its ADDR may be a multicast group, of another relay for instance.

    The recording is DIR/CHANNEL/CHANNEL_TIME.avro: plain Avro containers, safe against kill -9 up to the last
    tenth of a second.

    \b
    Examples:
        speeddata relay
        speeddata relay -o /srv/rig --keep-time 24h --rotate-time 10m
        speeddata relay example=26001,example.avsc --json
    """
    # The machinery is imported here, so that --help is quick.
    from speeddata.interrupts import watch
    from speeddata.recording.channelfiles import Rotation
    from speeddata.recording.recorder import Recorder
    from speeddata.recording.retention import Limits
    from speeddata.relay.relaying import Relay

    if no_record and (named := next(filter(options.given, _OF_THE_RECORDING), None)):
        where = f"--{named.removesuffix('_ns').replace('_', '-')}"
        raise UsageError("nothing is recorded with --no-record", where=where, mend="leave out one of them")
    _refuse_nothing(rotate_size, rotate_time, keep_size, keep_time)
    fixed = _fixed_channels(channels, time_unit)
    if listen is None and not any(channel.listen for channel in fixed):
        listen = Endpoint("0.0.0.0", LISTEN_PORT)
    _refuse_sharing(fixed, listen)
    with watch() as stop, ExitStack() as stack:
        if duration_ns is not None:
            stack.enter_context(stop.after(duration_ns / 1e9))
        recorder = None
        if not no_record:
            rotation, limits = Rotation(rotate_size, rotate_time), Limits(keep_time, keep_size, min_free)
            recorder = stack.enter_context(
                Recorder(output, rotation=rotation, limits=limits, sync_ns=sync_ns)
            )
        relay = stack.enter_context(
            Relay(
                fixed,
                listen=listen,
                factor=factor,
                method=method,
                recorder=recorder,
                on=interface,
                ttl=ttl,
                allow=allow,
            )
        )
        relay.run(stop, every_second=_json_lines(stop) if as_json else _show)


def _refuse_nothing(rotate_size: int, rotate_time: int, keep_size: int | None, keep_time: int | None) -> None:
    """Raises:
    UsageError: a limit of 0, which some take for none, and which would leave nothing.
    """
    for name, limit in (("rotate-size", rotate_size), ("rotate-time", rotate_time)):
        if limit == 0:
            raise UsageError(
                "each block would be a file", where=f"--{name}", mend="leave it out, or write more"
            )
    for name, kept in (("keep-size", keep_size), ("keep-time", keep_time)):
        if kept == 0:
            raise UsageError(
                "nothing would be kept", where=f"--{name}", mend="leave it out to keep everything"
            )


def _refuse_sharing(fixed: Sequence[FixedChannel], listen: Endpoint | None) -> None:
    """Raises:
    UsageError: whose a datum is would be unknown at an endpoint.
    """
    taken = {} if listen is None else {listen: "--listen"}
    for channel in fixed:
        if channel.listen is None:
            continue
        if channel.listen in taken:
            raise UsageError(
                f"{taken[channel.listen]} and {channel.name} both listen there",
                where=str(channel.listen),
                mend="give each a port of its own",
            )
        taken[channel.listen] = channel.name


def _fixed_channels(arguments: Sequence[str], time_unit: str | None) -> list[FixedChannel]:
    """Channels of the command line, completed by those of speeddata.toml."""
    from speeddata.relay.relaying import FixedChannel

    fixed: dict[str, FixedChannel] = {}
    for name, wanted in options.current_settings().channels().items():
        if wanted.method is not None and wanted.method not in options.METHODS:
            where = f"{options.current_settings().path}: channels.{wanted.name}.method"
            raise UsageError(
                f"no method '{wanted.method}'", where=where, mend=f"use {', '.join(options.METHODS)}"
            )
        schema = SchemaFile(str(wanted.schema)).read(time_unit) if wanted.schema else None
        fixed[name] = FixedChannel(
            wanted.name,
            wanted.listen,
            schema,
            wanted.full,
            wanted.decimated,
            wanted.factor,
            wanted.method,
        )
    named = set()
    for argument in arguments:
        name, equals, rest = argument.partition("=")
        if not equals:
            raise UsageError(
                f"'{argument}' is no channel", mend="write NAME=PORT or NAME=ADDR:PORT,FILE.avsc"
            )
        if name.lower() in named:
            raise UsageError(
                f"{name} is named twice", mend="names are compared without case: give each channel its own"
            )
        named.add(name.lower())
        place, _, file = rest.partition(",")
        listen = Endpoint.parse(place, default_host="0.0.0.0")
        schema = SchemaFile(file).read(time_unit) if file else None
        known = fixed.get(name.lower(), FixedChannel(channel_name(name)))
        fixed[name.lower()] = dataclasses.replace(known, listen=listen, schema=schema or known.schema)
    return list(fixed.values())


def _json_lines(stop: Stop) -> Callable[[Sequence[Status]], None]:
    """A line a channel, every second; a reader that stalls misses some, and stops nothing."""
    out, room = Bytes(), select.poll()
    room.register(STDOUT, select.POLLOUT)

    def tell(statuses: Sequence[Status]) -> None:
        for status in statuses:
            if not room.poll(0):
                return  # a pipe that is ready takes a line whole: it is shorter than PIPE_BUF
            try:
                out.write(json.dumps(dataclasses.asdict(status)).encode() + b"\n")
            except StdoutClosed:
                stop.ask()  # the end, as for every command, with files closed and goodbyes said
                return

    return tell


def _show(statuses: Sequence[Status]) -> None:
    heading = ("channel", "state", "rate", "recorded", "lost", "rejected")
    rows = [
        (
            s.channel,
            s.state,
            table.rate(s.rate_hz),
            f"{s.recorded:,}",
            f"{s.lost + s.lost_disk:,}",
            f"{s.rejected:,}",
        )
        for s in statuses
    ]
    report.status(table.lines(heading, rows, right=heading[2:]) if rows else ["waiting for a source"])
