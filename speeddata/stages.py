"""Steps between a source and what is done with it: each a function from batches to batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from speeddata.avro import codec
from speeddata.batch import Batch
from speeddata.errors import DataError, SpeedDataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

GATHERED_BYTES = 64 << 10


def limited(batches: Iterable[Batch], count: int | None) -> Iterator[Batch]:
    """The first *count* datums; all of them when it is None."""
    if count is None:
        yield from batches
        return
    left = count
    for batch in batches:
        if batch.count >= left:
            codec.offsets(batch)
            yield batch.part(0, left)
            return
        left -= batch.count
        yield batch


def gathered(batches: Iterable[Batch], size: int = GATHERED_BYTES) -> Iterator[Batch]:
    """The same datums in batches of at least *size* bytes, boundaries known: small ones joined.

    Only for what is there already: a batch waits for the next one. Batches whose boundaries cannot be found,
    or not together, pass one by one as they are.
    """
    waiting: list[Batch] = []
    held = 0
    try:
        for batch in batches:
            if waiting and batch.schema is not waiting[0].schema:
                yield from _joined(waiting)
                waiting, held = [], 0
            waiting.append(batch)
            held += len(batch.data)
            if held >= size:
                yield from _joined(waiting)
                waiting, held = [], 0
    except SpeedDataError:  # what came before it is as good as ever
        yield from _joined(waiting)
        raise
    yield from _joined(waiting)


def _joined(batches: list[Batch]) -> list[Batch]:
    if len(batches) < 2:
        return batches
    whole = Batch(
        batches[0].schema, b"".join(batch.data for batch in batches), sum(batch.count for batch in batches)
    )
    ends = list(itertools.accumulate(len(batch.data) for batch in batches))
    counts = list(itertools.accumulate(batch.count for batch in batches))
    try:
        found = codec.offsets(whole)
    except DataError:
        return batches
    # a damaged batch could make up for another: each has to end where it says
    return [whole] if found[counts].tolist() == ends else batches


@dataclass
class Tally:
    """What a stage left out."""

    undecodable: int = 0

    @property
    def shortfall(self) -> str:
        """What to tell of what was left out."""
        are = "datum is" if self.undecodable == 1 else "datums are"
        return f"{self.undecodable:,} {are} not what the schema says"


def told_apart(batches: Iterable[Batch], tally: Tally) -> Iterator[Batch]:
    """Batches with their boundaries known; the datums of a block that has none to be found are counted."""
    for batch in batches:
        try:
            codec.offsets(batch)
        except DataError:
            tally.undecodable += batch.count
            continue
        yield batch


def decodable(batches: Iterable[Batch], tally: Tally) -> Iterator[Batch]:
    """Only datums that are what their schema says; the others are counted.

    What comes from the network can be anything: a relay serves it again before it looks at it.
    """
    for batch in batches:
        assert batch.offsets is not None
        valid = codec.valid(batch.schema, batch.data, batch.offsets)
        if valid is None:
            yield batch
            continue
        tally.undecodable += batch.count - int(np.count_nonzero(valid))
        yield from runs(batch, valid)


def runs(batch: Batch, chosen: NDArray[np.bool_]) -> Iterator[Batch]:
    """The *chosen* datums, shape (count,), a batch for each run of neighbours; the offsets must be known."""
    edges = np.flatnonzero(np.diff(chosen.astype(np.int8), prepend=0, append=0))
    for first, end in edges.reshape(-1, 2).tolist():
        yield batch.part(first, end)
