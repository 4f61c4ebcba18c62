"""`speeddata subscribe add`: signals for a customer."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from speeddata import options
from speeddata.commands import subscribe_options
from speeddata.errors import SpeedDataError, UsageError
from speeddata.table import many, rate

if TYPE_CHECKING:
    from speeddata.subscription.registry import Registry
    from speeddata.subscription.series import Ids

_MOST_BYTES = 16 << 20  # of a list
_POINT_BYTES = 74  # of a datapoint, as a rule

log = logging.getLogger("speeddata")


@click.command("add")
@click.argument("signals", nargs=-1, metavar="SIGNAL...")
@subscribe_options.customer
@subscribe_options.position.but(
    help="From there on: all that is recorded, RFC 3339, or -10m.  [default: now]"
)
@click.option(
    "--ttl", "ttl_ns", type=options.DURATION, help="End the subscription after so long, sent or not."
)
@subscribe_options.recording
def command(
    signals: Sequence[str], customer: str, position: str | None, ttl_ns: int | None, recording: str
) -> None:
    """Subscribe a customer to signals: CHANNEL/SIGNAL, globs that grow with new channels, or ids.

    With - they come from standard input: lines, or the JSON list [{"id": "..."}].

    Where a channel is delivered already, --position sets it back, or on, for all of its signals. What comes
    again has the same ids, unless other signals of the channel are wanted now; `listen --dedup` leaves it
    out in any case.

    \b
    Examples:
        speeddata subscribe add 'rig/*'
        speeddata subscribe add --customer plant rig/sine_wave --position -1h
        speeddata subscribe add --customer plant - < ids.json
    """
    from speeddata.subscription.repositioning import delivered, go_on_at
    from speeddata.subscription.series import Pattern

    if ttl_ns == 0:
        raise UsageError("ends before it begins", where="--ttl", mend="leave it out, or write more")
    patterns = [Pattern.parse(text) for text in given(signals)]
    names = [pattern.text for pattern in patterns]
    now_ns = time.time_ns()
    since_ns: int | None = now_ns
    if position is not None:
        since_ns = subscribe_options.begin_ns(position, now_ns) or None
    with subscribe_options.registry() as registry, ExitStack() as stack:
        channels = delivered(registry, customer, patterns) if position is not None else []
        if channels:
            stack.enter_context(_alone(registry, customer, channels[0].channel))
            go_on_at(registry, customer, channels, since_ns)
        new = registry.add(
            customer,
            names,
            now_ns,
            since_ns=since_ns,
            expires_ns=None if ttl_ns is None else now_ns + ttl_ns,
            anew=position is not None,
        )
        _tell(recording, names, registry.ids())
    _tell_destination(customer)
    if len(new) < len(names):
        log.info("%s was there before", many(len(names) - len(new), "subscription"))


@contextmanager
def _alone(registry: Registry, customer: str, channel: str) -> Iterator[None]:
    """While no run has the positions."""
    from speeddata.subscription.registry import Busy

    with ExitStack() as stack:
        try:
            stack.enter_context(registry.serving(customer))
        except Busy:
            raise Busy(
                f"a run is delivering {channel} to {customer}, so that no position can be set",
                where="--position",
                mend="stop the run, set it, and start the run again",
            ) from None
        yield


def given(signals: Sequence[str]) -> list[str]:
    """The signals that are named, or listed on standard input.

    Raises:
        UsageError: none is, or the list is none.
    """
    found: list[str] = []
    for text in signals:
        found += _listed(sys.stdin.buffer.read(_MOST_BYTES + 1)) if text == "-" else [text]
    if not found:
        raise UsageError("no SIGNAL", mend="name one, such as rig/sine_wave or 'rig/*', or - for a list")
    return found


def _listed(content: bytes) -> list[str]:
    where = "standard input"
    if len(content) > _MOST_BYTES:
        raise UsageError(f"longer than {_MOST_BYTES} bytes", where=where)
    try:
        text = content.decode()
        if not text.lstrip().startswith("["):
            return [line.strip() for line in text.splitlines() if line.strip()]
        return [str(item["id"]) for item in json.loads(text)]
    except (ValueError, KeyError, TypeError, RecursionError):
        mend = 'write lines, or [{"id": "..."}]'
        raise UsageError("is no list of ids", where=where, mend=mend) from None


def _tell(directory: str, patterns: Sequence[str], ids: Ids) -> None:
    """How many series that is now, and how much of them a second."""
    from speeddata.recording.contents import contents
    from speeddata.subscription.series import Pattern, all_series

    if not Path(directory).is_dir():
        return
    wanted = [Pattern.parse(text) for text in patterns]
    named = {id: channel for (channel, _), id in ids.items()}
    count, hertz = 0, 0.0
    timeless: list[str] = []
    for held in contents(Path(directory)):
        every = all_series(held.channel, held.schema, ids)
        series = [each for each in every if any(pattern.fits(each) for pattern in wanted)]
        count += len(series)
        hertz += len(series) * (held.rate_hz or 0.0)
        fits = held.schema.time_unit is None and any(
            each.may_fit(held.channel.lower(), named) for each in wanted
        )
        if fits and held.channel not in timeless:
            timeless.append(held.channel)
    for channel in timeless:
        what = "its schema tells no unit of time, without which nothing of it is sent"
        log.warning("%s: %s; tell it by `run --time-unit`", channel, what)
    if not count and not timeless:
        log.warning("%s: has no such signal yet; it is subscribed to all the same", directory)
    elif count:
        log.info(
            "%s, %s of datapoints, some %.2g MB/s",
            *(many(count, "signal"), rate(hertz), hertz * _POINT_BYTES / 1e6),
        )


def _tell_destination(customer: str) -> None:
    try:
        subscribe_options.destination(customer)
    except SpeedDataError as exc:  # no obstacle yet: `run` is where it is one
        log.warning("%s", exc)
