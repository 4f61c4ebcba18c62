"""`Batch`, the only thing that travels: datums of one channel, still in Avro bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from speeddata.avro.runs import Run
    from speeddata.avro.schema import Schema


@dataclass(slots=True)
class Batch:
    """Datums of one channel, end to end: a container block without its frame.

    Attributes:
        schema: the writer's schema.
        data: the datums in Avro's binary encoding, one after the other.
        count: how many they are.
        offsets: where each begins, and where the last one ends, in bytes: int64, shape (count + 1,).
            None while nobody has asked: `codec.offsets` finds and keeps them.
        runs: the same as runs of one shape, where that is how they were found: they need no second proof.
    """

    schema: Schema
    data: bytes
    count: int
    offsets: NDArray[np.int64] | None = field(default=None, compare=False)
    runs: list[Run] | None = field(default=None, compare=False, repr=False)

    def part(self, first: int, end: int) -> Batch:
        """Datums *first* to *end* (exclusive); the offsets must be known."""
        assert self.offsets is not None
        if first == 0 and end == self.count:
            return self
        start, stop = int(self.offsets[first]), int(self.offsets[end])
        return Batch(self.schema, self.data[start:stop], end - first, self.offsets[first : end + 1] - start)
