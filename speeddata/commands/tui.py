"""`speeddata tui`: the stripchart in the terminal, or in a browser."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from speeddata import options
from speeddata.errors import UsageError
from speeddata.names import Endpoint

_SERVED_AT = "127.0.0.1:8000"


@click.command()
@click.argument("names", metavar="[SOURCE]...", nargs=-1)
@options.signal
@options.schema_file.but(help="Schema of an ADDR:PORT that nobody announces (.avsc).")
@options.time_unit
@options.decimated
@options.follow
@options.interface.but(
    help="Interface to receive on; may be repeated.  [default: loopback and every multicast interface]"
)
@click.option(
    "--recording",
    metavar="DIR",
    help="Where marks are kept and older data is looked up.  [default: the SOURCE that is one, else data]",
)
@click.option(
    "--window", "window_ns", type=options.DURATION, default="30s", help="How much time is seen at first."
)
@click.option("--utc", is_flag=True, help="Times in UTC at first; t changes it.")
@click.option(
    "--serve",
    is_flag=False,
    flag_value=_SERVED_AT,
    metavar="[ADDR:PORT]",
    help=f"Show it to browsers instead; without ADDR:PORT at {_SERVED_AT}.",
)
def command(
    names: Sequence[str],
    signals: Sequence[str],
    schema: options.SchemaFile | None,
    time_unit: str | None,
    decimated: bool,
    follow: bool,
    interface: Sequence[str],
    recording: str | None,
    window_ns: int,
    utc: bool,
    serve: str | None,
) -> None:
    """Draw live channels, or a recording, as a stripchart in the terminal. ? tells the keys, q leaves.

    Without a SOURCE it shows every channel that is announced. A SOURCE is a channel by name; an ADDR:PORT
    where datums arrive; a file or directory, told by a / in it or by .avro at its end; or - for a container
    on standard input.

    What is older than memory reaches is looked up in the recording: scroll back with the left arrow. The key
    m begins and ends a mark in the recording's marks.jsonl, which `speeddata pivot DIR --mark NAME` cuts. Of
    several recordings each has its own channels, and the first one the marks.

    Pages of charts, their ranges and colours stand in speeddata.toml as [[tui.page]]; S saves the one that is
    seen.

    Where a relay decimates a channel by minmax, its decimated group is taken without being asked for: that
    hides no spike.

    \b
    Examples:
        speeddata tui
        speeddata tui rig pump -S 'temp*'
        speeddata tui data/rig/
        speeddata tui data/ --follow --window 10m
        ssh rig speeddata tap rig | speeddata tui -
        speeddata tui rig --serve
    """
    if not window_ns:
        raise UsageError("a window has to last", where="--window", mend="write it like 30s")
    if names:
        options.refuse_of_all_recordings(names)
    _refuse_unknown(names, signals, time_unit)
    layout = options.current_settings().layout()
    if options.given("window_ns"):
        layout = replace(layout, pages=tuple(replace(page, window_ns=None) for page in layout.pages))
    if serve is not None and "TEXTUAL_DRIVER" not in os.environ:  # not in what is served itself
        from speeddata.stripchart.web import serve as serve_it

        serve_it(Endpoint.parse(serve, default_host="127.0.0.1"), _command_line(names))
        return
    has_pipe = "-" in names
    if "TEXTUAL_DRIVER" not in os.environ:
        _need_a_terminal(has_pipe)
    # Watching begins first: what is announced arrives while the rest is still being loaded.
    from speeddata import sources
    from speeddata.interrupts import watch
    from speeddata.watching import Watch

    wanted = sources.Wanted(
        schema=schema.read(time_unit) if schema else None,
        time_unit=time_unit,
        on=interface,
        decimated=decimated,
        follow=follow,
    )
    with watch() as stop, Watch(names, wanted, stop, thin=True) as watched:
        from speeddata.stripchart.opening import Opened, run

        settings = options.current_settings().path
        recordings = [name for name in names if sources.is_file(name)]
        recorded = Path(recording or (recordings or ["data"])[0])
        run(
            watched,
            stop,
            Opened(
                directory=recorded.parent if recorded.is_file() else recorded,
                archive=recorded,
                layout=layout,
                settings=settings or Path("speeddata.toml"),
                signals=signals,
                window_ns=window_ns,
                utc=utc,
                time_unit=time_unit,
                archives=() if recording else recordings,
            ),
        )


def _refuse_unknown(names: Sequence[str], signals: Sequence[str], time_unit: str | None) -> None:
    """Raises:
    UsageError: a signal is in none of the recordings, and nothing else is a SOURCE: it will never come.
    """
    from speeddata import sources

    if not signals or not names or not all(map(sources.is_file, names)):
        return
    from speeddata import columnar
    from speeddata.recording import listing

    files = listing.listing(map(Path, names))
    columnar.refuse_unknown(
        [each for paths in files.values() for each in listing.schemas(paths, time_unit)], signals
    )


def _need_a_terminal(has_pipe: bool) -> None:
    """Refuse where there is nothing to draw on, or nobody to press a key.

    Raises:
        UsageError: the output is no terminal, or the input, unless it is a SOURCE.
    """
    mend = "use tap for text and data, or --serve for a browser"
    for stream, what in ((sys.stdout, "standard output"), (sys.stderr, "standard error")):
        if stream is None or not stream.isatty():
            raise UsageError("no terminal to draw on", where=what, mend=mend)
    if not has_pipe and (sys.stdin is None or not sys.stdin.isatty()):
        mend = "name - as SOURCE to draw what is piped in"
        raise UsageError("no terminal", where="standard input", mend=mend)


def _command_line(names: Sequence[str]) -> list[str]:
    """This very command, without --serve.

    Raises:
        UsageError: standard input is a SOURCE: no two browsers can have it.
    """
    if "-" in names:
        mend = "name a channel or a recording"
        raise UsageError("standard input cannot be served", where="--serve", mend=mend)
    words, line = sys.argv[1:], []
    while words:
        word = words.pop(0)
        if word == "--serve":
            if words and not words[0].startswith("-"):  # as click takes it
                words.pop(0)
        elif not word.startswith("--serve="):
            line.append(word)
    return [sys.executable, "-m", "speeddata", *line]
