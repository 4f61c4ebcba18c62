"""`speeddata subscribe ids`: the ids of signals."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import click

from speeddata import options
from speeddata.commands import subscribe_options
from speeddata.errors import UsageError
from speeddata.legible import json_line, printable
from speeddata.output import Bytes

log = logging.getLogger("speeddata")


@click.command("ids")
@click.argument("pattern", required=False, metavar="[SIGNAL]")
@subscribe_options.recording
@click.option(
    "--set",
    "imported",
    multiple=True,
    metavar="SIGNAL=UUID",
    help="Give a signal the id that it has elsewhere; may be repeated.",
)
@options.as_json
def command(pattern: str | None, recording: str, imported: Sequence[str], as_json: bool) -> None:
    """List the signals of a recording that can be subscribed to: id, CHANNEL/SIGNAL and unit, by tabs.

    An id is made of the names and stays for ever once it was used; --set imports one.

    \b
    Examples:
        speeddata subscribe ids 'rig/*'
        speeddata subscribe ids --json | jq -r 'select(.unit == "V") | .id'
        speeddata subscribe ids --set rig/sine_wave=f69ec89b-494b-4e07-9da2-7c89489e3346
    """
    from speeddata.recording import listing
    from speeddata.subscription.series import Pattern, Series, all_series, series_id

    wanted = Pattern.parse(pattern) if pattern else None
    if not Path(recording).is_dir():
        log.warning("%s: is no directory; name the recording of a relay with --from", recording)
    with subscribe_options.registry() as registry:
        if imported:
            registry.import_ids([Series(UUID(uuid), *name) for name, uuid in map(_pair, imported)])
        ids = registry.ids()
        rows: dict[tuple[str, str], Series] = {}
        for channel, paths in subscribe_options.listing(recording).items():
            for schema in listing.schemas(paths):
                rows |= {(channel, each.signal): each for each in all_series(channel, schema, ids)}
        known = {(channel.lower(), signal) for channel, signal in rows}
        for (channel, signal), own in ids.items():
            if (channel, signal) not in known:
                rows[channel, signal] = Series(own or series_id(channel, signal), channel, signal)
    out = Bytes()
    for series in rows.values():
        if wanted is not None and not wanted.fits(series):
            continue
        if as_json:
            told = {"id": str(series.id), "channel": series.channel, "signal": series.signal}
            out.write(f"{json_line({**told, 'unit': series.unit})}\n".encode())
        else:
            name = printable(f"{series.channel}/{series.signal}")
            out.write(f"{series.id}\t{name}\t{printable(series.unit or '')}\n".encode())


def _pair(text: str) -> tuple[tuple[str, str], str]:
    name, equals, uuid = text.rpartition("=")
    channel, slash, signal = name.partition("/")
    try:
        if not (equals and slash and channel and signal):
            raise ValueError
        return (channel, signal), str(UUID(uuid.strip()))
    except ValueError:
        mend = "write CHANNEL/SIGNAL=UUID"
        raise UsageError(f"'{printable(text[:80])}' gives no id", where="--set", mend=mend) from None
