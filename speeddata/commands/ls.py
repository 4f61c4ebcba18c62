"""`speeddata ls`: which channels are there?"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from speeddata import options, table
from speeddata.avro.schema import TICK_NS, Schema, parse
from speeddata.errors import SpeedDataError
from speeddata.legible import json_line, printable
from speeddata.timerange import iso_utc
from speeddata.wire import finding
from speeddata.wire.announcement import Announcement
from speeddata.wire.sessions import Address

log = logging.getLogger("speeddata")

_COUNTS = ("received", "lost", "lost_kernel", "lost_disk", "rejected")
_LIVE = "channel state rate full decimated lost rejected signals".split()
_RECORDED = "channel files size datums rate since until lost rejected signals".split()
_NUMBERS = "files size datums rate lost rejected".split()


@click.command()
@click.argument("directory", metavar="[DIR]", required=False)
@options.interface.but(
    help="Interface to ask on; may be repeated.  [default: ask on loopback, listen on all]"
)
@options.as_json
def command(directory: str | None, interface: Sequence[str], as_json: bool) -> None:
    """List the channels that relays serve now, or those in a recording.

    A channel whose source fell silent, or said goodbye, is shown so: `silent`, `end`.

    \b
    Examples:
        speeddata ls
        speeddata ls data
        speeddata ls --json | jq -r 'select(.lost > 0) | .channel'
    """
    if directory is not None:
        found, heading = _recorded(directory), _RECORDED
    else:
        spoken = finding.survey(interface, patience_s=finding.SPOKEN_S)
        found, heading = [_told(said, address) for said, address in spoken], _LIVE
    if as_json:
        for row in found:
            click.echo(json_line(row))
    elif not found:
        log.info(_nothing_live() if directory is None else f"{directory} holds no recording")
    else:
        rows = [[_cell(name, row[name]) for name in heading] for row in found]
        for line in table.lines(heading, rows, right=_NUMBERS):
            click.echo(line)


def _nothing_live() -> str:
    """Why none is: a relay that has no channel has nothing to answer with."""
    from speeddata.symptoms import kernel, listeners

    if pid := listeners.relay_here(kernel.udp_sockets()):
        return f"a relay runs here (process {pid}), and no source has sent to it yet; see `speeddata send`"
    return "no relay answered; start one with `speeddata relay`, or name its network with --interface"


def _told(said: Announcement, address: Address) -> dict[str, Any]:
    """What is told of a live channel, in the units of its announcement."""
    return {
        "channel": said.channel,
        "state": said.fields.get("state", ""),
        "rate": _number(said.fields.get("rate_hz", "")),
        "full": said.fields.get("full", ""),
        "decimated": said.fields.get("decimated", ""),
        "factor": said.number("factor", 1),
        "method": said.fields.get("method", ""),
        **{name: said.number(name) for name in _COUNTS},
        "relay": f"{address[0]}:{address[1]}",
        "session": said.session,
        "signals": _signals(said.schema_text),
    }


def _recorded(directory: str) -> list[dict[str, Any]]:
    """What is told of the channels in a recording."""
    from speeddata.recording.contents import contents

    return [
        {
            "channel": held.channel,
            "files": held.files,
            "size": held.size,
            "datums": held.datums,
            "rate": held.rate_hz,
            "since": _moment(held.least, held.schema),
            "until": _moment(held.greatest, held.schema),
            "lost": held.lost,
            "rejected": held.rejected,
            "signals": [signal.name for signal in held.schema.signals],
        }
        for held in contents(Path(directory))
    ]


def _moment(value: int | float | None, schema: Schema) -> str | int | float | None:
    """A time as RFC 3339 text; any other abscissa as it is."""
    if value is None or schema.time_unit is None:
        return value
    try:
        return iso_utc(round(value * TICK_NS[schema.time_unit]))
    except (ValueError, OverflowError):
        return value


def _number(text: str) -> float:
    """What somebody on the network calls a number."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


def _signals(schema_text: str) -> list[str]:
    try:
        return [signal.name for signal in parse(schema_text).signals]
    except SpeedDataError:
        return []


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name in ("since", "until") and isinstance(value, str):
        return value[:23] + "Z"  # milliseconds are enough for people
    if name == "rate":
        return table.rate(value)
    if name == "size":
        return table.size(value)
    return printable(" ".join(value) if isinstance(value, list) else str(value))
