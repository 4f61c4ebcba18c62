"""`speeddata subscribe ls`: customers, and how far they are."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from speeddata import options
from speeddata.commands import subscribe_options
from speeddata.errors import SpeedDataError, UsageError
from speeddata.names import printable
from speeddata.subscription.series import Pattern, all_series
from speeddata.table import lines, many, size
from speeddata.timerange import iso_utc

if TYPE_CHECKING:
    from speeddata.subscription.customers import Customer, Place
    from speeddata.subscription.registry import Registry
    from speeddata.subscription.series import Ids

_HEADING = ("customer", "destination", "state", "lag", "bytes", "sent", "gaps", "signals", "last error")

log = logging.getLogger("speeddata")


@click.command("ls")
@click.option("--customer", metavar="NAME", help="Only that one.")
@options.as_json
def command(customer: str | None, as_json: bool) -> None:
    """List customers: destination, state, lag in seconds and bytes, what was sent, gaps, the last error.

    Secrets are left out. The lag is the time from the newest sample that was acknowledged to the newest that
    is recorded, of the channel that is furthest behind. The last error stays, with its time.

    \b
    Examples:
        speeddata subscribe ls
        speeddata subscribe ls --json | jq 'select(.lag_s > 60)'
    """
    with subscribe_options.registry() as registry:
        known = [each for each in registry.customers() if customer in (None, each.name)]
        found = [_told(registry, each) for each in known]
    if as_json:
        for each in found:
            click.echo(json.dumps(each, ensure_ascii=False))
    elif not found:
        if customer is not None:
            raise UsageError("is no customer", where=printable(customer), mend="see `speeddata subscribe ls`")
        log.info("no customer yet; see `speeddata subscribe add`")
    else:
        for line in lines(_HEADING, [_cells(each) for each in found], right=("lag", "bytes", "sent", "gaps")):
            click.echo(line)


def _told(registry: Registry, customer: Customer) -> dict[str, Any]:
    subscriptions = registry.subscriptions(customer.name)
    patterns = [Pattern.parse(each.pattern) for each in subscriptions]
    ids = registry.ids()
    places = []
    for directory in registry.directories(customer.name):
        files = _files(directory)
        for place in registry.places(customer.name, directory).values():
            places.append(_place(directory, place, files.get(place.channel.lower(), ()), patterns, ids))
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


def _place(
    directory: Path, place: Place, paths: Sequence[Path], patterns: Sequence[Pattern], ids: Ids
) -> dict[str, Any]:
    """How far a customer is behind in a channel; not at all in one that it wants no more."""
    from speeddata.recording import catalogue, listing

    lag_s, lag_bytes = None, 0
    try:
        order = catalogue.recording_order(place.file)
        later = [path for path in paths if catalogue.recording_order(path.name) >= order]
        if later and _wanted(place.channel, later[-1], patterns, ids):
            lag_bytes = sum(path.stat().st_size for path in later)
            if later[0].name == place.file:
                lag_bytes -= place.block
            end_ns = listing.end_ns(later)
            if end_ns is not None and place.time_ns is not None:
                lag_s = 0.0 if lag_bytes <= 0 else max(0, end_ns - place.time_ns) / 1e9
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


def _wanted(channel: str, path: Path, patterns: Sequence[Pattern], ids: Ids) -> bool:
    from speeddata.recording import listing

    every = (each for schema in listing.schemas([path]) for each in all_series(channel, schema, ids))
    return any(pattern.fits(series) for series in every for pattern in patterns)


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
