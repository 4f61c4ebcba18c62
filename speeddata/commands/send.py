"""`speeddata send`: each datum as one packet."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from speeddata import options, table
from speeddata.errors import UsageError
from speeddata.names import LISTEN_PORT, Endpoint, is_channel_name

if TYPE_CHECKING:
    from speeddata.batch import Batch
    from speeddata.interrupts import Stop
    from speeddata.sending.feeds import Feed
    from speeddata.sending.pacing import ByAbscissa, ByRate

DEMO_HZ = 100.0
UNPACED_HZ = 100_000.0  # a file read at full speed would be lost on the way: UDP waits for nobody
_KEPT = 0.95  # of a rate: below that it was not kept up
_SHORT_S = 0.2  # of which that cannot be said
_UNPACED_LATE_NS = 10_000_000

log = logging.getLogger("speeddata")


@click.command()
@click.argument("file", required=False, metavar="[FILE|-]")
@click.option(
    "--to",
    type=options.ENDPOINT,
    default=f"127.0.0.1:{LISTEN_PORT}",
    help="Where to: a relay's port, or a group.",
)
@click.option(
    "--demo", is_flag=True, help=f"Send waveforms, {DEMO_HZ:g} a second unless --rate says otherwise."
)
@click.option(
    "--name", type=options.NAME, help="Name of the channel.  [default: the input's, or its schema's]"
)
@click.option("--rate", type=options.Positive(), metavar="HZ", help="Datums a second.")
@click.option(
    "--replay",
    type=options.Positive(),
    metavar="SPEED",
    help="Send so many times as fast as the abscissa says.",
)
@click.option("--stamp", is_flag=True, help="Set the time of each datum to that of its sending.")
@click.option("--loop", is_flag=True, help="Begin the file again at its end, until stopped.")
@click.option("--bare", is_flag=True, help="Announce nothing, as senders do that know nothing of SpeedData.")
@click.option("--save", type=click.Path(dir_okay=False), help="Write what is sent to this container, too.")
@options.text_format.but(help="Form of the input.  [default: as its suffix or first bytes say]")
@options.schema_file.but(help="Avro schema of JSON Lines or CSV (.avsc).")
@options.time_unit
@options.count
@options.duration
@options.interface.but(help="Interface to send to a group by; may be repeated.  [default: loopback]")
@options.ttl
def command(
    file: str | None,
    to: Endpoint,
    demo: bool,
    name: str | None,
    rate: float | None,
    replay: float | None,
    stamp: bool,
    loop: bool,
    bare: bool,
    save: str | None,
    text_format: str | None,
    schema: options.SchemaFile | None,
    time_unit: str | None,
    count: int | None,
    duration_ns: int | None,
    interface: Sequence[str],
    ttl: int,
) -> None:
    """Send each datum of FILE as one packet: a container, JSON Lines or CSV; `-` is standard input.

    The relay learns name and schema from the announcements that go with the datums. Without --rate or
    --replay the input is sent as it comes, at most 100,000 a second.

    \b
    Examples:
        speeddata send --demo --name rig --rate 1000
        speeddata send ./rig.avro --replay 2
        ./sensors.sh | speeddata send - -s host.avsc --stamp
    """
    from speeddata import output, stages
    from speeddata.interrupts import watch
    from speeddata.sending import feeds, stamping
    from speeddata.sending.pacing import ByRate
    from speeddata.sending.sender import LATE_NS, SourceSender, on_time
    from speeddata.streams import STDIN

    if rate and replay:
        raise UsageError("--rate and --replay are two paces", mend="give one of them")
    if demo and (file or schema or replay or loop or text_format or time_unit):
        raise UsageError(
            "--demo is an input of its own",
            mend="leave out FILE, --schema, --format, --time-unit, --replay and --loop",
        )
    if save == "-":
        raise UsageError("--save writes to no pipe", mend="name a file; or: speeddata tap, into the pipe")
    if not demo and file is None:
        if os.isatty(STDIN):
            raise UsageError("nothing to send", mend="name a FILE, pipe into it, or take --demo")
        file = "-"
    if loop and file == "-":
        raise UsageError("standard input cannot be read again", mend="give --loop a file")
    with watch() as stop, ExitStack() as stack:

        def opened() -> Feed:
            if demo:
                return feeds.demo(rate or DEMO_HZ, time.time_ns())
            assert file is not None
            read = schema.read(time_unit) if schema else None
            clock = stamping.ticks(read, time.time_ns) if stamp and read else None
            return feeds.read(file, stop, form=text_format, schema=read, time_unit=time_unit, stamp=clock)

        feed = opened()
        sender = SourceSender(
            to, name=None if bare else _name(name, feed), schema=feed.schema, on=interface, ttl=ttl
        )
        saved = None
        if save is not None:
            if file is not None:
                _refuse_own_input(file, save)
            saved = output.Container(
                stack.enter_context(output.created(save)), {"speeddata.channel": _name(name, feed)}
            )
            saved.begin(feed.schema)
        stamper = stamping.Stamper(feed.schema, time.time_ns) if stamp else None
        pace = _pace(rate, replay, feed, demo)
        if duration_ns is not None:
            stack.enter_context(stop.after(duration_ns / 1e9))
        stack.enter_context(sender)
        batches = stages.limited(_again(feed, opened, stop) if loop else feed.batches, count)
        late_ns = LATE_NS if rate or replay or demo else _UNPACED_LATE_NS
        begun = time.monotonic()
        for batch in on_time(batches, pace, stop, late_ns=late_ns):
            stamped = stamper.stamp(batch) if stamper else batch
            sender.send(stamped)
            if saved is not None:
                saved.write(stamped)
        wanted_hz = pace.rate_hz if isinstance(pace, ByRate) and (demo or (rate and file != "-")) else 0.0
        seconds = time.monotonic() - begun
    if seconds > _SHORT_S and (reached_hz := sender.sent / seconds) < _KEPT * wanted_hz:
        log.warning(
            "%s: fell behind: %s datums a second, not %s", to, f"{reached_hz:,.0f}", f"{wanted_hz:,.0f}"
        )
    log.info("%s: %s sent", to, table.many(sender.sent, "datum"))


def _refuse_own_input(file: str, save: str) -> None:
    """Raises:
    UsageError: what is read would be gone before it is sent.
    """
    from speeddata.streams import STDIN

    with contextlib.suppress(OSError):  # what is not there yet, or cannot be read, is told where it matters
        read, written = os.stat(STDIN if file == "-" else file), os.stat(save)
        if os.path.samestat(read, written) and stat.S_ISREG(written.st_mode):
            raise UsageError("is the input itself", where=f"--save {save}", mend="name another file")


def _name(given: str | None, feed: Feed) -> str:
    name = given or feed.name or feed.schema.name.rpartition(".")[2]
    if not is_channel_name(name):
        raise UsageError(f"'{name[:80]}' cannot name a channel", mend="give a name with --name")
    return name


def _pace(rate: float | None, replay: float | None, feed: Feed, demo: bool) -> ByRate | ByAbscissa:
    from speeddata.avro.schema import TICK_NS
    from speeddata.sending.pacing import ByAbscissa, ByRate

    if replay is None:
        return ByRate(rate or (DEMO_HZ if demo else UNPACED_HZ))
    return ByAbscissa(replay, TICK_NS[feed.schema.ticks("use --rate")])


def _again(feed: Feed, opened: Callable[[], Feed], stop: Stop) -> Iterator[Batch]:
    while not stop.asked:
        yield from feed.batches
        feed = opened()
