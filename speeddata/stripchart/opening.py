"""From what a command was told to a stripchart on the screen, and back to the command."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import sys
import threading
import time
import zoneinfo
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, TextIO, cast

from speeddata.chart.canvas import Charset
from speeddata.chart.layouts import Layout
from speeddata.errors import HostError
from speeddata.interrupts import Stop
from speeddata.recording.archive import Archive
from speeddata.recording.markfile import MarkFile
from speeddata.stripchart.app import Stripchart
from speeddata.stripchart.channels import Watched
from speeddata.stripchart.look import speaks_utf8
from speeddata.stripchart.notes import noting
from speeddata.stripchart.setup import Setup

_ORDERLY_S = 10.0  # that the end of a picture in a browser may take


@dataclass(frozen=True)
class Opened:
    """What the options say; see `setup.Setup`.

    Attributes:
        directory: of the recording, where its marks are.
        archive: where is looked up what left memory: that directory, or a file.
        archives: SOURCEs that are recordings themselves, and have what left memory of their own channels.
        time_unit: of an abscissa that does not tell its own.
    """

    directory: Path
    archive: Path
    layout: Layout
    settings: Path
    signals: Sequence[str]
    window_ns: int
    utc: bool = False
    time_unit: str | None = None
    archives: Sequence[str] = ()


def run(watched: Watched, stop: Stop, opened: Opened) -> None:
    """Show the stripchart until it is left, or *stop* is asked.

    Raises:
        SpeedDataError: a SOURCE turned out to make no sense, before anything was shown of it.
        HostError: there is no terminal for the keys.
    """
    with noting() as notes, _keys_from_the_terminal(), _outliving_the_terminal():
        app = Stripchart(
            Setup(
                watch=watched,
                stop=stop,
                archive=Archive(opened.archive, time_unit=opened.time_unit),
                archives={
                    source: Archive(Path(source), time_unit=opened.time_unit) for source in opened.archives
                },
                marks=MarkFile.of(opened.directory),
                layout=opened.layout,
                settings=opened.settings,
                signals=opened.signals,
                window_ns=opened.window_ns,
                local=local_zone(),
                utc=opened.utc,
                verbose=logging.getLogger("speeddata").isEnabledFor(logging.DEBUG),
                charset=charset(),
                notes=notes,
            )
        )
        if "TEXTUAL_DRIVER" in os.environ:
            _end_with_the_browser(stop)
        app.run()
    if app.failure is not None:
        raise app.failure
    if app.return_code:  # Textual has told it all
        raise HostError("ended by a fault of its own", where="tui", mend="please report what stands above")


@contextmanager
def _keys_from_the_terminal() -> Iterator[None]:
    """Where standard input is data, have the keys from the terminal itself.

    Raises:
        HostError: there is none.
    """
    given = sys.__stdin__
    if "TEXTUAL_DRIVER" in os.environ or (given is not None and given.isatty()):
        yield
        return
    try:
        terminal = open("/dev/tty", encoding="utf-8")  # noqa: SIM115  # closed below
    except OSError as exc:
        raise HostError(f"no terminal for the keys: {exc.strerror}", where="/dev/tty") from exc
    with terminal:
        sys.__stdin__ = terminal  # type: ignore[misc]  # where Textual takes them from
        try:
            yield
        finally:
            sys.__stdin__ = given  # type: ignore[misc]


class _Lasting:
    """A terminal that may go away: what is written to it then is lost, and stops nobody who writes."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self.fileno, self.isatty, self.encoding = terminal.fileno, terminal.isatty, terminal.encoding

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            return self._terminal.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._terminal.flush()


@contextmanager
def _outliving_the_terminal() -> Iterator[None]:
    """When the terminal is closed, the end is as orderly as any: Textual's writing would wait for ever."""
    given = sys.__stderr__
    if given is None:
        yield
        return
    sys.__stderr__ = cast(Any, _Lasting(given))  # type: ignore[misc]  # what Textual draws on
    try:
        yield
    finally:
        sys.__stderr__ = given  # type: ignore[misc]
        try:
            given.flush()
        except OSError:  # the interpreter would try again at its end, and fail for it
            with open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), given.fileno())


def _end_with_the_browser(stop: Stop) -> None:
    """Ask for the end when whoever serves the picture is gone: a pipe that is closed tells it.

    Nobody is left to see a picture whose end takes longer than it may, or to stop it.
    """

    def wait() -> None:
        poll = select.poll()
        poll.register(0, 0)  # its end is told without being asked for
        poll.register(stop.fd, select.POLLIN)
        poll.poll()
        stop.ask()
        time.sleep(_ORDERLY_S)
        os._exit(1)

    threading.Thread(target=wait, name="browser", daemon=True).start()


def charset() -> Charset | None:
    """What the terminal can show; None: braille."""
    if not speaks_utf8(os.environ.items()):
        return "ascii"
    return "blocks" if os.environ.get("TERM") == "linux" else None  # its font has no braille


def local_zone() -> tzinfo:
    """The zone of this machine, with its summer times where they are known."""
    name = os.environ.get("TZ", "").removeprefix(":")
    try:
        if name:
            return zoneinfo.ZoneInfo(name)
        with open("/etc/localtime", "rb") as file:
            return zoneinfo.ZoneInfo.from_file(file, "local")
    except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):
        zone = datetime.now().astimezone().tzinfo
        assert zone is not None
        return zone
