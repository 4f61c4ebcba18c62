"""Steps between a source and what is done with it: each a function from batches to batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from speeddata.avro import codec
from speeddata.batch import Batch
from speeddata.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


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


@dataclass
class Tally:
    """What a stage left out."""

    undecodable: int = 0


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
        yield from _runs(batch, valid)


def _runs(batch: Batch, chosen: NDArray[np.bool_]) -> Iterator[Batch]:
    edges = np.flatnonzero(np.diff(chosen.astype(np.int8), prepend=0, append=0))
    for first, end in edges.reshape(-1, 2).tolist():
        yield batch.part(first, end)
