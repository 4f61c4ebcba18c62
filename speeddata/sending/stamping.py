"""The time of sending in place of a datum's own abscissa; every other byte stays as it is."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import accumulate, pairwise

import numpy as np

from speeddata.avro import codec
from speeddata.avro.container import zigzag
from speeddata.avro.schema import TICK_NS, Schema
from speeddata.avro.skipper import node_skipper
from speeddata.avro.types import Record
from speeddata.batch import Batch
from speeddata.errors import UsageError

_FLOATS = {"float": struct.Struct("<f"), "double": struct.Struct("<d")}


def ticks(schema: Schema, clock_ns: Callable[[], int]) -> Callable[[], int | float]:
    """A clock in the units of the abscissa of *schema*.

    Raises:
        UsageError: the abscissa is no time, or nobody says its unit.
    """
    abscissa = schema.abscissa
    if (
        schema.time_unit is None
        or abscissa.nullable
        or abscissa.kind not in ("int", "long", "float", "double")
    ):
        raise UsageError(
            f"the abscissa '{abscissa.name}' is no time with a known unit",
            mend="name its unit with --time-unit",
        )
    tick_ns = TICK_NS[schema.time_unit]
    if abscissa.kind in _FLOATS:
        return lambda: clock_ns() / tick_ns
    return lambda: clock_ns() // tick_ns


class Stamper:
    """Writes the time into datums of *schema*.

    Args:
        clock_ns: the time, ns since the epoch.

    Raises:
        UsageError: as `ticks`.
    """

    def __init__(self, schema: Schema, clock_ns: Callable[[], int]) -> None:
        self._now = ticks(schema, clock_ns)
        before = schema.record.fields[: schema.abscissa_index]
        self._to_abscissa = (
            node_skipper(Record(schema.name, before)) if before else lambda data, start, end: start
        )
        self._past_abscissa = node_skipper(schema.abscissa.node)
        packer = _FLOATS.get(schema.abscissa.kind)
        self._encode: Callable[[int | float], bytes] = packer.pack if packer else lambda now: zigzag(int(now))

    def stamp(self, batch: Batch) -> Batch:
        """The same datums with the abscissa set to now."""
        bounds = codec.offsets(batch).tolist()
        data, pieces, sizes = batch.data, [], [0]
        for start, end in pairwise(bounds):
            at = self._to_abscissa(data, start, end)
            past = self._past_abscissa(data, at, end)
            datum = data[start:at] + self._encode(self._now()) + data[past:end]
            pieces.append(datum)
            sizes.append(len(datum))
        return Batch(batch.schema, b"".join(pieces), batch.count, np.array(list(accumulate(sizes)), np.int64))
