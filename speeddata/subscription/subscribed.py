"""What a customer wants now: its subscriptions as encoders of channels, looked at again as they change."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from typing import NamedTuple

from speeddata.avro.schema import Schema
from speeddata.legible import printable
from speeddata.subscription.customers import Subscription
from speeddata.subscription.envelope import Encoder
from speeddata.subscription.registry import Registry
from speeddata.subscription.series import Pattern, Series, all_series, left_out, series_id
from speeddata.subscription.times import Precision

_LOOK_S = 0.5  # between two looks at the registry
_KNOWN = 1000  # forms of channels that are remembered
_FORM = 1  # of messages; another one where the same datums shall be written, or cut, in another way

log = logging.getLogger("speeddata")


class Served(NamedTuple):
    """What makes messages of a channel.

    Attributes:
        encoder: of the series that are wanted.
        rev: of their ids: a digest of all that they depend on beside the block.
    """

    encoder: Encoder
    rev: int


class Subscribed:
    """Subscriptions of *customer*, as of the last look.

    Args:
        registry: where they are.
        precision, quality: see `Encoder`; a signal that cannot say a status is told once, and not asked.
    """

    def __init__(
        self, registry: Registry, customer: str, *, precision: Precision = "ms", quality: str | None = None
    ) -> None:
        self._registry, self._customer = registry, customer
        self._precision: Precision = precision
        self._quality = quality
        self._rev = -1
        self._looked = float("-inf")
        self._subscriptions: list[tuple[Subscription, Pattern]] = []
        self._served: dict[tuple[str, Schema], Served | None] = {}
        self._told: set[str] = set()
        self._unmatched: bool | None = None  # whether no channel has the signal of the status; None: none yet
        self.look()

    def look(self) -> bool:
        """Look at the registry, unless that was just done; return whether there is a change."""
        if time.monotonic() - self._looked < _LOOK_S:
            return False
        self._looked = time.monotonic()
        for pattern in self._registry.expire(self._customer, time.time_ns()):
            log.warning(
                "%s: the subscription to %s has ended, as --ttl said", self._customer, printable(pattern)
            )
        known = self._registry.customer(self._customer)
        rev = known.rev if known is not None else 0
        if rev == self._rev:
            return False
        self._rev = rev  # asked for first: what is added in between is a change, too
        subscriptions = self._registry.subscriptions(self._customer)
        self._subscriptions = [(each, Pattern.parse(each.pattern)) for each in subscriptions]
        self._served.clear()
        return True

    def served(self, channel: str, schema: Schema) -> Served | None:
        """What makes messages of *channel*; None where nothing of it is wanted."""
        key = (channel.lower(), schema)
        if key not in self._served:
            if len(self._served) >= _KNOWN:
                self._served.clear()
            self._served[key] = self._serve(channel, schema)
        return self._served[key]

    def wants(self, channel: str, schemas: Sequence[Schema]) -> list[Subscription]:
        """The subscriptions that want any of *channel*."""
        ids = self._registry.ids()
        for schema in schemas:
            self._tell_left_out(channel, schema)
        every = {series for schema in schemas for series in all_series(channel, schema, ids)}
        found = [
            subscription
            for subscription, pattern in self._subscriptions
            if any(pattern.fits(series) for series in every)
        ]
        if found:
            self._look_for_quality(schemas)
        return found

    def may_want(self, channel: str) -> list[Subscription]:
        """The subscriptions that may want any of *channel*, of which only the name is known."""
        named = {id: name for (name, _), id in self._registry.ids().items()}
        return [
            subscription
            for subscription, pattern in self._subscriptions
            if (pattern.id is None or pattern.id in named) and pattern.may_fit(channel.lower(), named)
        ]

    def tell_unmatched(self) -> None:
        """Tell of a signal for the status that no channel has which is wanted and was seen so far."""
        if self._unmatched:
            what = "no channel that is wanted has such a signal yet; every status is that of a good value"
            self._tell(f"--quality {self._quality}: {what}")

    def _serve(self, channel: str, schema: Schema) -> Served | None:
        series = self._wanted(all_series(channel, schema, self._registry.ids()))
        self._tell_left_out(channel, schema)
        if not series:
            return None
        self._registry.freeze(series)
        self._look_for_quality([schema])
        quality = self._status(channel, schema)
        encoder = Encoder(series, precision=self._precision, quality=quality)
        said = [_FORM, self._customer, self._precision, quality, schema.time_unit]
        said += [f"{each.id} {each.signal}" for each in series]
        digest = hashlib.blake2b("\n".join(map(str, said)).encode(), digest_size=6).digest()
        return Served(encoder, int.from_bytes(digest))

    def _wanted(self, every: Sequence[Series]) -> list[Series]:
        return [each for each in every if any(pattern.fits(each) for _, pattern in self._subscriptions)]

    def _look_for_quality(self, schemas: Sequence[Schema]) -> None:
        if self._quality is not None and self._unmatched is not False:
            names = {signal.name for schema in schemas for signal in schema.signals}
            self._unmatched = self._quality not in names

    def _status(self, channel: str, schema: Schema) -> str | None:
        """The signal that says the status in *schema*, if it can."""
        signal = next((each for each in schema.signals if each.name == self._quality), None)
        if signal is None or signal.kind in ("int", "long", "boolean"):
            return None if signal is None else signal.name
        what = f"is of type {signal.kind}, and says no status: that is taken to be good"
        self._tell(f"{channel}/{signal.name}: {what}")
        return None

    def _tell_left_out(self, channel: str, schema: Schema) -> None:
        """Tell what fits a subscription, and cannot be sent."""

        def fits(signal: str) -> bool:
            return bool(self._wanted([Series(series_id(channel, signal), channel, signal)]))

        for signal, why in left_out(schema):
            of_all = signal == schema.abscissa.name  # nothing of the channel can be sent
            if any(fits(each.name) for each in schema.signals) if of_all else fits(signal):
                self._tell(f"{channel}/{signal}: {why}; nothing of it is sent")

    def _tell(self, what: str) -> None:
        if what not in self._told and len(self._told) < _KNOWN:
            self._told.add(what)
            log.warning("%s: %s", self._customer, printable(what))
