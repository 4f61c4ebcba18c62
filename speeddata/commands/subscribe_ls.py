"""`speeddata subscribe ls`: customers, and how far they are."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from speeddata import options
from speeddata.commands import subscribe_options
from speeddata.errors import SpeedDataError, UsageError
from speeddata.legible import json_line, printable
from speeddata.subscription.series import Pattern, all_series
from speeddata.table import lines, many, size
from speeddata.timerange import iso_utc

if TYPE_CHECKING:
    from speeddata.subscription.customers import Customer, Place, Subscription
    from speeddata.subscription.registry import Registry
    from speeddata.subscription.series import Ids

    Recordings = Mapping[Path, Mapping[str, Sequence[Path]]]  # files by directory and channel in lower case
    Wants = Sequence[tuple[Subscription, Pattern]]

_HEADING = ("customer", "destination", "state", "lag", "bytes", "sent", "gaps", "signals", "last error")

log = logging.getLogger("speeddata")


@click.command("ls")
@click.option("--customer", metavar="NAME", help="Only that one.")
@subscribe_options.recording.but(help="The recording of a relay, where none was delivered from yet.")
@options.as_json
def command(customer: str | None, recording: str, as_json: bool) -> None:
    """List customers: destination, state, lag in seconds and bytes, what was sent, gaps, the last error.

    Secrets are left out. The lag is the time from the newest sample that was acknowledged to the newest that
    is recorded, of the channel that is furthest behind; where none was yet, from the first that is wanted.
    The last error stays, with its time.

    \b
    Examples:
        speeddata subscribe ls
        speeddata subscribe ls --json | jq 'select(.lag_s > 60)'
    """
    named = options.given("recording")
    if named and not Path(recording).is_dir():
        log.warning("%s: is no directory; name the recording of a relay with --from", recording)
    with subscribe_options.registry() as registry:
        known = [each for each in registry.customers() if customer in (None, each.name)]
        if customer is not None and not known:
            raise UsageError("is no customer", where=printable(customer), mend="see `speeddata subscribe ls`")
        found = []
        files = cache(_files)  # of a recording that several customers get something from
        for each in known:
            directories = registry.directories(each.name)
            if named or not directories:
                directories = list(dict.fromkeys([*directories, Path(recording).absolute()]))
            found.append(_told(registry, each, {directory: files(directory) for directory in directories}))
    if as_json:
        for told in found:
            click.echo(json_line(told))
    elif not found:
        log.info("no customer yet; see `speeddata subscribe add`")
    else:
        for line in lines(_HEADING, [_cells(each) for each in found], right=("lag", "bytes", "sent", "gaps")):
            click.echo(line)


def _told(registry: Registry, customer: Customer, recordings: Recordings) -> dict[str, Any]:
    now_ns = time.time_ns()
    every = registry.subscriptions(customer.name)  # of which a run has yet to drop what ended
    subscriptions = [each for each in every if each.expires_ns is None or each.expires_ns > now_ns]
    wants = [(each, Pattern.parse(each.pattern)) for each in subscriptions]
    ids = registry.ids()
    places = []
    for directory, files in recordings.items():
        known = registry.places(customer.name, directory)
        for place in known.values():
            places.append(_place(directory, place, files.get(place.channel.lower(), ()), wants, ids))
        for channel in sorted(files.keys() - known.keys()):
            if begin := _begin(directory, channel, files[channel], wants, ids):
                places.append(_place(directory, begin, files[channel], wants, ids))
    lags = [each["lag_s"] for each in places if each["lag_s"] is not None]
    return {
        "customer": customer.name,
        "destination": _destination(customer),
        "state": customer.state if registry.served(customer.name) else "idle",
        "since": _moment(customer.state_ns),
        "lag_s": max(lags, default=None),
        "lag_bytes": sum(each["lag_bytes"] for each in places),
        "messages": customer.messages,
        "datapoints": customer.datapoints,
        "bytes": customer.bytes,
        "last_error": customer.error or None,
        "last_error_at": _moment(customer.error_ns),
        "subscriptions": [
            {
                "signal": each.pattern,
                "since": _moment(each.since_ns),
                "expires": _moment(each.expires_ns),
            }
            for each in subscriptions
        ],
        "positions": places,
        "gaps": [
            {
                "channel": gap.channel,
                "from": _moment(gap.from_ns),
                "to": _moment(gap.to_ns),
                "noticed": _moment(gap.noticed_ns),
                "what": gap.what,
            }
            for gap in registry.gaps(customer.name)
        ],
    }


def _destination(customer: Customer) -> str | None:
    """What it is now: also where it came as a credential of a service, and nothing was set."""
    try:
        return subscribe_options.destination(customer.name).redacted
    except SpeedDataError as exc:  # none was set, or others can read it: `run` says which
        log.debug("%s: %s", customer.name, exc)
        return customer.destination or None


def _files(directory: Path) -> dict[str, Sequence[Path]]:
    """The files of a recording, by channel in lower case; none where it is gone."""
    try:
        return {name.lower(): paths for name, paths in subscribe_options.listing(str(directory)).items()}
    except SpeedDataError as exc:
        log.debug("%s", exc)
        return {}


def _begin(directory: Path, channel: str, paths: Sequence[Path], wants: Wants, ids: Ids) -> Place | None:
    """Where a channel begins of which a customer has got nothing yet; None where it wants nothing of it."""
    from speeddata.recording.catalogue import Position
    from speeddata.subscription import starting
    from speeddata.subscription.customers import Place

    try:
        begins = _begins(channel, paths, wants, ids)
        if not begins:
            return None
        since_ns = None if None in begins else min(filter(None, begins), default=None)
        position = starting.at_time(paths, since_ns) or Position(paths[0].name)
        return Place(channel, position.file, b"", position.block)
    except (SpeedDataError, OSError) as exc:
        log.debug("%s: %s", directory, exc)
        return None


def _place(directory: Path, place: Place, paths: Sequence[Path], wants: Wants, ids: Ids) -> dict[str, Any]:
    """How far a customer is behind in a channel; not at all in one that it wants no more."""
    from speeddata.recording import catalogue, listing
    from speeddata.subscription import starting

    lag_s, lag_bytes = None, 0
    try:
        order = catalogue.recording_order(place.file)
        later = [path for path in paths if catalogue.recording_order(path.name) >= order]
        if later and _begins(place.channel, later[-1:], wants, ids):
            lag_bytes = sum(path.stat().st_size for path in later)
            position = catalogue.Position(later[0].name)
            if later[0].name == place.file:
                lag_bytes -= place.block
                position = catalogue.Position(place.file, place.block)
            begin_ns, end_ns = place.time_ns, listing.end_ns(later)
            if begin_ns is None:
                begin_ns = starting.time_at(later, position)
            if lag_bytes <= 0:
                lag_s = 0.0
            elif end_ns is not None and begin_ns is not None:
                lag_s = max(0, end_ns - begin_ns) / 1e9
    except (SpeedDataError, OSError) as exc:  # retention is quick, too
        log.debug("%s: %s", directory, exc)
    return {
        "directory": str(directory),
        "channel": place.channel,
        "file": place.file,
        "block": place.block,
        "time": _moment(place.time_ns),
        "lag_s": lag_s,
        "lag_bytes": max(0, lag_bytes),
    }


def _begins(channel: str, paths: Sequence[Path], wants: Wants, ids: Ids) -> list[int | None]:
    """From when on each subscription that wants any of a channel does so."""
    from speeddata.recording import listing

    every = {each for schema in listing.schemas(paths) for each in all_series(channel, schema, ids)}
    return [one.since_ns for one, pattern in wants if any(pattern.fits(series) for series in every)]


def _moment(time_ns: int | None) -> str | None:
    return None if time_ns is None else iso_utc(time_ns)


def _cells(told: dict[str, Any]) -> list[str]:
    error = told["last_error"] or ""
    when = f"{told['last_error_at'][:19]}Z " if error and told["last_error_at"] else ""
    signals = [each["signal"] for each in told["subscriptions"]]
    some = " ".join(signals[:4]) + (f" and {len(signals) - 4} more" if len(signals) > 4 else "")
    cells = [
        *(told["customer"], told["destination"] or "none yet", told["state"]),
        "-" if told["lag_s"] is None else f"{told['lag_s']:.1f} s",
        size(told["lag_bytes"]),
        many(told["datapoints"], "datapoint"),
        str(len(told["gaps"])),
        some,
        f"{when}{error}",
    ]
    return [printable(cell) for cell in cells]
