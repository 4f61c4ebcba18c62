"""A channel that was found, followed: whose word about it counts, and which schema its datums have.

Announcements and datums come by different sockets. The relay says that a schema is new before the first datum
that needs it, but what it sent just before may still be on its way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from speeddata.avro import codec
from speeddata.avro.schema import Schema, parse
from speeddata.batch import Batch
from speeddata.errors import DataError
from speeddata.legible import printable
from speeddata.thinning import Thinning
from speeddata.wire.announcement import END
from speeddata.wire.finding import Found
from speeddata.wire.sessions import SILENCE_NS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Following:
    """What is known of a channel at the moment; the clock is handed in.

    Args:
        found: where it is, and who said so.
        now_ns: monotonic.
        time_unit: of an abscissa that does not tell its own.

    Attributes:
        found: the latest word about it.
        schema: of what arrives from now on.
        heard_ns: when a word or a datum last came.
        refusal: why the schema that is announced cannot be used; None while it is.

    Raises:
        DataError: its schema cannot be used.
    """

    def __init__(self, found: Found, now_ns: int, *, time_unit: str | None = None) -> None:
        self.found, self.heard_ns, self._time_unit = found, now_ns, time_unit
        self.refusal: DataError | None = None
        self.schema = self._parsed(found)
        self._former: Schema | None = None  # what was still on its way when the schema changed is of this one

    @property
    def channel(self) -> str:
        return self.found.announcement.channel

    @property
    def thin(self) -> bool:
        """Whether it is the decimated group that is received."""
        return self.found.endpoint == self.found.announcement.endpoint("decimated")

    @property
    def thinning(self) -> Thinning:
        """What the relay says of the group that is received."""
        if not self.thin:
            return Thinning()
        said = self.found.announcement
        return Thinning(said.number("factor", 1), printable(said.fields.get("method", "pick")[:100]))

    @property
    def ended(self) -> bool:
        return self.found.announcement.fields.get("state") == END

    def silent(self, now_ns: int) -> bool:
        """Whether nothing was heard for so long that the name is free for others."""
        return now_ns - self.heard_ns > SILENCE_NS

    def gone(self, now_ns: int) -> bool:
        """Whether another relay may take its place."""
        return self.ended or self.silent(now_ns)

    def heard(self, found: Found, now_ns: int) -> None:
        """Another word about the channel, of who may speak for it: its schema may be new.

        One that cannot be used changes nothing but `refusal`; its datums are told as undecodable.
        """
        known = self.found.schema_text
        self.found, self.heard_ns = found, now_ns
        if found.schema_text == known:
            return
        try:
            schema = self._parsed(found)
        except DataError as exc:
            self.refusal = exc
            return
        self.refusal = None
        self._former, self.schema = self.schema, schema

    def batches(self, data: bytes, offsets: NDArray[np.int64], now_ns: int) -> Iterator[Batch]:
        """Datums that arrived, each under the schema that it was sent with.

        Args:
            data: datums end to end.
            offsets: where each begins and the last ends: int64, shape (count + 1,).
            now_ns: monotonic.
        """
        self.heard_ns = now_ns
        batch = Batch(self.schema, data, len(offsets) - 1, offsets)
        if self._former is not None and (before := _not_yet(batch)):
            old = batch.part(0, before)
            yield Batch(self._former, old.data, old.count, old.offsets)
            batch = batch.part(before, batch.count)
        if batch.count:
            yield batch

    def settle(self) -> None:
        """Nothing waits at the socket: no datum of the schema before this one will come."""
        self._former = None

    def _parsed(self, found: Found) -> Schema:
        where = f"announced by {found.address[0]}:{found.address[1]}"
        return parse(found.schema_text, where=where, time_unit=self._time_unit)


def _not_yet(batch: Batch) -> int:
    """How many datums were sent before the schema changed: up to the last that is none of the new one."""
    assert batch.offsets is not None
    valid = codec.valid(batch.schema, batch.data, batch.offsets)
    return 0 if valid is None else int((~valid).nonzero()[0][-1]) + 1
