"""`speeddata subscribe run`: serve a customer from a recording."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from speeddata import options, report
from speeddata.commands import subscribe_options
from speeddata.errors import HostError, Interrupted, PartlyDone, UsageError
from speeddata.table import many, size

if TYPE_CHECKING:
    from speeddata.interrupts import Stop
    from speeddata.subscription.forwarding import Sent

_RETRY_S = 60.0  # where an end is awaited, as by cron
_REDRAW_S = 0.5
_LOOK_S = 0.1  # between two looks for the recording

log = logging.getLogger("speeddata")


@click.command("run")
@click.argument("directory", required=False, default="data", metavar="[DIR]")
@subscribe_options.customer
@click.option("--once", is_flag=True, help="Send what there is, and end; for cron.")
@subscribe_options.position.but(help="Send again from there on: all that is recorded, RFC 3339, or -10m.")
@click.option(
    "--time-precision",
    "precision",
    type=click.Choice(("ms", "us", "ns")),
    default="ms",
    help="Digits of the times that are written.",
)
@click.option("--quality", metavar="NAME", help="The signal that says the status of its channel's samples.")
@click.option(
    "--retry-for",
    "retry_ns",
    type=options.DURATION,
    help="How long to try while the destination is away.  [default: for ever; 60s with --once]",
)
@options.time_unit
@options.as_json
def command(
    directory: str,
    customer: str,
    once: bool,
    position: str | None,
    precision: Literal["ms", "us", "ns"],
    quality: str | None,
    retry_ns: int | None,
    time_unit: str | None,
    as_json: bool,
) -> None:
    """Send what a customer is subscribed to, from a relay's recording, as it grows.

    It goes on where it ended, also after kill -9. While the destination is away it tries again, and then
    sends everything in order. What retention took before it was sent is told as a gap.

    \b
    Examples:
        speeddata subscribe run
        speeddata subscribe run --customer plant --once
        speeddata subscribe run --customer plant --position -1d
    """
    from speeddata.interrupts import watch
    from speeddata.subscription import engines
    from speeddata.subscription.forwarding import Forwarder, Sent, Wish

    begin_ns = None if position is None else subscribe_options.begin_ns(position, time.time_ns())
    if once and not Path(directory).is_dir():
        raise HostError("is no directory", where=directory, mend="name the recording of a relay")
    subscribe_options.destination(customer)  # what is wrong with it is told before anything else
    retry_s = retry_ns / 1e9 if retry_ns is not None else _RETRY_S if once else None
    begun = time.monotonic()
    progress = _Progress()
    with watch() as stop, subscribe_options.registry() as registry, registry.serving(customer):
        if not registry.subscriptions(customer):
            log.warning("%s: is subscribed to nothing yet; see `speeddata subscribe add`", customer)
        forwarder = Forwarder(
            registry,
            customer,
            Path(directory),
            lambda: subscribe_options.destination(customer),
            lambda destination: engines.open_outlet(destination, customer=customer, stop=stop),
            stop,
            Wish(
                once=once,
                retry_s=retry_s,
                begin_ns=begin_ns,
                precision=precision,
                quality=quality,
                time_unit=time_unit,
            ),
        )
        sent = forwarder.run(progress.see) if _there(Path(directory), stop) else Sent()
    report.clear_status()
    if as_json:
        click.echo(json.dumps(_as_json(sent)), err=_taken(customer))
    else:
        log.info("%s: %s, %.1f s", customer, _in_words(sent), time.monotonic() - begun)
    if stop.status and once:
        raise Interrupted(stop.status)
    if missing := _missing(sent):
        raise PartlyDone(", ".join(missing), where=customer)


def _there(directory: Path, stop: Stop) -> bool:
    """Wait for the directory of a relay that was started a moment ago, or will be; whether it came."""
    if not directory.is_dir():
        log.warning("%s: is no directory yet; waiting for a relay to make it", directory)
        while not directory.is_dir():
            if stop.wait(_LOOK_S):
                return False
    return True


def _taken(customer: str) -> bool:
    """Whether messages themselves are on standard output."""
    from speeddata.subscription.destinations import Stdout

    try:
        return isinstance(subscribe_options.destination(customer), Stdout)
    except (UsageError, HostError):
        return False


class _Progress:
    """How far it is, redrawn on a terminal."""

    def __init__(self) -> None:
        self._shown = 0.0

    def see(self, sent: Sent) -> None:
        now = time.monotonic()
        if now - self._shown < _REDRAW_S:
            return
        self._shown = now
        report.status([_in_words(sent)])


def _in_words(sent: Sent) -> str:
    messages, datapoints = many(sent.messages, "message"), many(sent.datapoints, "datapoint")
    return f"{datapoints} in {messages}, {size(sent.bytes)}"


def _as_json(sent: Sent) -> dict[str, object]:
    return {
        "messages": sent.messages,
        "datapoints": sent.datapoints,
        "bytes": sent.bytes,
        "gaps": sent.gaps,
        "too_large": sent.too_large,
        "damaged": sent.damaged,
        "damaged_bytes": sent.damaged_bytes,
        "timeless": sent.timeless,
        "crowded": sent.crowded,
    }


def _missing(sent: Sent) -> list[str]:
    """What was not sent for good, in words."""
    told = (
        (sent.gaps, "gap"),
        (sent.too_large, "message too large"),
        (sent.damaged, "damaged datum"),
        (sent.damaged_bytes, "damaged byte"),
        (sent.timeless, "datapoint without a time"),
    )
    return [many(count, what) for count, what in told if count]
