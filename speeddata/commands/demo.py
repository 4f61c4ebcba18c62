"""`speeddata demo`: the whole flow in one command."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from speeddata import options
from speeddata.errors import HostError, PartlyDone
from speeddata.output import STDOUT
from speeddata.table import many

if TYPE_CHECKING:
    from speeddata.avro.schema import Schema
    from speeddata.batch import Batch
    from speeddata.demonstration import Demonstration, Outcome
    from speeddata.interrupts import Stop
    from speeddata.relay.serving import Status

_SECONDS = 5.0  # without a terminal and without -d
_COUNTS = ("received", "lost", "lost_kernel", "lost_disk", "rejected")  # noted in the set


@click.command()
@options.duration.but(
    help=f"End after this long: 90s, 10m, 1h.  [default: on a terminal Ctrl-C, else {_SECONDS:g}s]"
)
@options.output.but(metavar="DIR", help="Keep the recording and an HDF5 set of it in this directory.")
@click.option("--rate", type=options.Positive(), metavar="HZ", default=1000, help="Datums a second.")
@click.option("--no-tui", is_flag=True, help="Only the summary, also on a terminal.")
def command(duration_ns: int | None, output: str | None, rate: float, no_tui: bool) -> None:
    """Run a source, a relay and a receiver on this machine's loopback, and tell what became of every datum.

    On a terminal it opens the stripchart: press ? for the keys, q to leave. With -o the directory holds the
    recording, plain Avro files, and demo.h5, the same as HDF5 columns.

    \b
    Examples:
        speeddata demo
        speeddata demo -d 5 -o sd
    """
    from speeddata.demonstration import ANOTHER, Demonstration
    from speeddata.interrupts import watch

    picture = os.isatty(STDOUT) and not no_tui
    seconds = duration_ns / 1e9 if duration_ns is not None else None if picture else _SECONDS
    with ExitStack() as stack:
        directory = output or stack.enter_context(_passing_directory())
        try:
            Path(directory).mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise HostError(f"cannot be made: {exc.strerror}", where=directory, mend=ANOTHER) from exc
        begun_ns = time.time_ns()
        with watch() as stop, Demonstration(directory, rate, stop) as demonstration:
            if seconds is not None:
                stack.enter_context(stop.after(seconds))
            if picture:
                _picture(demonstration, Path(directory), stop)
            else:
                for _ in demonstration:
                    pass
        outcome = demonstration.outcome()
        schema = demonstration.channel.schema
        made = None
        try:
            if output and schema:
                made = _set(Path(directory), schema, begun_ns, outcome.relayed)
        finally:  # also where there is no room for the set
            _summary(outcome, demonstration, output, made)
    if outcome.relayed.recorded != outcome.sent:
        missing = many(outcome.sent - outcome.relayed.recorded, "datum")
        raise PartlyDone(f"not recorded: {missing}", where="demo")


def _passing_directory() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="speeddata-")
    except OSError as exc:
        what = f"no place for the recording: {exc.strerror}"
        raise HostError(what, mend="name a directory that can be written (-o)") from exc


def _picture(demonstration: Demonstration, directory: Path, stop: Stop) -> None:
    """The stripchart of what arrives, until it is left or asked to stop; then the source ends."""
    from speeddata.chart.layouts import Layout
    from speeddata.showing import Shown
    from speeddata.stripchart.opening import Opened, run
    from speeddata.stripchart.setup import WINDOW_NS

    with Shown(demonstration, stop) as shown:
        settings = options.current_settings()
        run(
            shown,
            stop,
            Opened(
                directory=directory,
                archive=directory,
                layout=Layout(),
                settings=settings.path or Path("speeddata.toml"),
                signals=(),
                window_ns=WINDOW_NS,
            ),
        )


def _summary(outcome: Outcome, demonstration: Demonstration, output: str | None, made: str | None) -> None:
    from rich.console import Console
    from rich.table import Table

    told, channel = outcome.relayed, demonstration.channel
    rate = outcome.sent / outcome.seconds if outcome.seconds else 0.0
    table = Table(title=f"channel {told.channel}: {outcome.seconds:.1f} s at {rate:,.0f} datums a second")
    table.add_column("datums")
    table.add_column("count", justify="right")
    table.add_column("where")
    where = f"{output}/{told.channel}/" if output else "a directory that is gone again: keep it with -o DIR"
    for name, count, place in (
        ("sent", outcome.sent, f"to {demonstration.relay.listening[0]}"),
        ("recorded", told.recorded, where),
        (
            "re-served",
            told.served,
            f"on {channel.full}, every {channel.factor}th also on {channel.decimated}",
        ),
        ("tapped", outcome.tapped, "by a receiver of the full rate"),
        ("lost", told.lost + told.lost_disk, ""),
        ("rejected", told.rejected, ""),
    ):
        table.add_row(name, f"{count:,}", place)
    console = Console(width=None if os.isatty(STDOUT) else 120)
    console.print(table)
    if made is not None:
        console.print(f"{made}: an HDF5 set of the same", highlight=False)


def _set(directory: Path, schema: Schema, begun_ns: int, told: Status) -> str:
    """The recording of this run, not of those before it, as one HDF5 set."""
    from speeddata.demonstration import NAME
    from speeddata.h5file import SetFile
    from speeddata.interrupts import Stop
    from speeddata.pivoting import Wish, noted, pivot_channel
    from speeddata.recording.catalogue import parse_file_name
    from speeddata.recording.reading import Reader
    from speeddata.sources import Channel

    opened = Channel(NAME, schema, iter(()))

    def batches() -> Iterator[Batch]:
        for recorded in Reader(directory / NAME, stop=Stop()):
            named = parse_file_name(recorded.path.name)
            if named is not None and named[1] >= begun_ns:
                if recorded.path not in opened.files:
                    opened.files.append(recorded.path)
                yield recorded.batch

    opened.batches = batches()
    path = directory / f"{NAME}.h5"
    counts = {name: getattr(told, name) for name in _COUNTS}
    with SetFile(path, created_ns=time.time_ns()) as into:
        made = pivot_channel(opened, into, Wish(), attributes=counts)
        into.note(noted(Wish().span, [made]))
    return str(path)
