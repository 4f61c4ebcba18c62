"""A customer that goes on elsewhere in channels that it gets already: back for more, or past what waits."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from speeddata.recording import listing
from speeddata.recording.catalogue import recording_order
from speeddata.subscription import starting
from speeddata.subscription.customers import Place, Subscription
from speeddata.subscription.places import Places
from speeddata.subscription.registry import Registry
from speeddata.subscription.series import Pattern, all_series

log = logging.getLogger("speeddata")


class Delivered(NamedTuple):
    """A channel of which a customer has got something.

    Attributes:
        directory: of the recording.
        channel: its name.
        paths: its files, in recording order.
    """

    directory: Path
    channel: str
    paths: Sequence[Path]


def delivered(registry: Registry, customer: str, patterns: Iterable[Pattern]) -> list[Delivered]:
    """The channels in which *customer* has a place, and of which *patterns* want any.

    Raises:
        HostError, DataError: a recording cannot be read.
    """
    wanted, ids = list(patterns), registry.ids()
    named = {id: channel for (channel, _), id in ids.items()}
    found = []
    for directory in registry.directories(customer):
        places = registry.places(customer, directory)
        if not directory.is_dir():
            if any(pattern.may_fit(channel, {}) for channel in places for pattern in wanted):
                log.warning("%s: is not there now; positions in it stay as they are", directory)
            continue
        files = listing.listing([directory])
        for channel, paths in files.items():
            if channel.lower() in places:
                forms = starting.schemas(paths)
                every = [each for form in forms for each in all_series(channel, form, ids)]
                if any(pattern.fits(series) for series in every for pattern in wanted):
                    found.append(Delivered(directory, channel, paths))
                elif not every and any(pattern.may_fit(channel.lower(), named) for pattern in wanted):
                    what = "its schema tells no unit of time, so its position stays"
                    log.warning("%s: %s; let `run --position` with --time-unit set it", channel, what)
    return found


def go_on_at(registry: Registry, customer: str, channels: Iterable[Delivered], since_ns: int | None) -> None:
    """Let *customer* go on in *channels* with the first block that has a time from *since_ns* on; None: all.

    To be called while no run serves the customer: within `Registry.serving`. A position is a channel's: all
    of its signals are sent from there on. What is sent again has the ids that it had, unless there are other
    signals of the channel now.

    Raises:
        HostError, DataError: a recording cannot be read, or the registry not written.
    """
    for each in channels:
        places = Places(registry, customer, each.directory)
        places.ledgers.look()
        before = places.get(each.channel)
        asked = [Subscription("*/*", 0, 0, since_ns)]
        begin = starting.asked_for(
            each.channel, each.paths, asked, places.ledgers, time.time_ns(), before=before
        )
        places.begin(each.channel, begin, each.paths)
        place = places.get(each.channel)
        if before is not None and place is not None:
            _tell(each.channel, before, place)


def _tell(channel: str, before: Place, place: Place) -> None:
    order = [(recording_order(each.file), each.block) for each in (before, place)]
    if order[1] < order[0]:
        log.info("%s: goes back, and sends again what was sent since then", channel)
    elif order[1] > order[0]:
        log.warning("%s: goes on later than it was; what lies between is never sent", channel)
