"""A block as runs of one shape: where each datum begins and how it lies, found and proven in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speeddata.avro.schema import Schema
from speeddata.avro.shapes import FIRST_LOOK, Shape, shape_of
from speeddata.avro.skipper import counts_empty_items, skipper

LEAST = 64  # datums in a run, on average: below this reading heads do better

_TRIED = 2  # short runs that may come before it is given up
_KNOWN = 8  # shapes that are tried again: to make one costs more than a hundred datums of it


@dataclass(frozen=True, slots=True)
class Run:
    """Datums *first* to *end* (exclusive), which lie end to end from *pos* on and have one shape."""

    first: int
    end: int
    pos: int
    shape: Shape

    def view(self, data: bytes, dtype: str, at: int, *more: tuple[int, int]) -> NDArray[Any]:
        """What stands *at* bytes behind the beginning of each; *more* are further (count, stride)."""
        counts, strides = zip((self.end - self.first, self.shape.size), *more, strict=True)
        return np.ndarray(counts, dtype, data, self.pos + at, strides)


def runs_of(schema: Schema, data: bytes, count: int) -> list[Run] | None:
    """*count* datums that fill *data*, proven, as runs; None where those are short, or a datum has no shape.

    None also where there are not so many datums in *data*: this only knows what is right.
    """
    if count < FIRST_LOOK or counts_empty_items(schema):
        return None
    skip, end = skipper(schema), len(data)
    found: list[Run] = []
    known: list[Shape] = []  # the newest last
    done = pos = 0
    look = FIRST_LOOK
    while done < count:
        if len(found) > _TRIED + done // LEAST:
            return None
        shape = next((each for each in reversed(known) if each.fits(data, pos)), None)
        if shape is None:
            try:
                shape = shape_of(schema, data, pos, skip(data, pos, end))
            except ValueError:
                return None
            if shape is None:
                return None
            known = [*known[1 - _KNOWN :], shape]
        held = shape.run(data, pos, min(count - done, (end - pos) // shape.size), look)
        found.append(Run(done, done + held, pos, shape))
        done, pos = done + held, pos + held * shape.size
        look = max(FIRST_LOOK, 2 * held)  # what comes is about as long as what was
    return found if pos == end else None


def offsets_of(runs: Sequence[Run]) -> NDArray[np.int64]:
    """Where each datum of *runs* begins and the last one ends, int64, shape (count + 1,)."""
    begins = [
        np.arange(each.pos, each.pos + (each.end - each.first) * each.shape.size, each.shape.size)
        for each in runs
    ]
    last = runs[-1]
    return np.concatenate([*begins, [last.pos + (last.end - last.first) * last.shape.size]])
