"""A ring in effect: the newest rows of arrays that grow at one end, always as plain slices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

SLACK = 4  # a quarter more room than rows kept: rows are moved down once every so many


class Tail:
    """The newest rows of several arrays that grow together along their last axis.

    A row keeps its number for good; the oldest ones go, *step* or a multiple of it at a time, so that the
    first one's number stays a multiple. To be plain slices, arrays have some room behind their end, and are
    moved down when that is used up.

    Attributes:
        base: number of the oldest row here.
        total: number that the next row will have.
        room: rows that can be added at once.
    """

    def __init__(self, capacity: int, step: int, columns: Mapping[str, tuple[str, int | None]]) -> None:
        """At least *capacity* rows; *columns*: dtype and, for two axes, the length of the first one."""
        self.capacity = -(-capacity // step) * step
        self.room = max(step, self.capacity // SLACK)
        length = self.capacity + step + self.room
        # memory that is never written to is never taken
        self._arrays: Arrays = {
            name: np.empty(length if width is None else (width, length), dtype)
            for name, (dtype, width) in columns.items()
        }
        self._length, self._step = length, step
        self.base = self.total = 0

    def __len__(self) -> int:
        return self.total - self.base

    def __getitem__(self, name: str) -> NDArray[Any]:
        """All rows of an array, oldest first; good until rows are added."""
        return self._arrays[name][..., : self.total - self.base]

    def rows(self, first: int, end: int) -> Arrays:
        """The rows with numbers *first* to *end* (exclusive) of all arrays; good until rows are added."""
        here = slice(first - self.base, end - self.base)
        return {name: array[..., here] for name, array in self._arrays.items()}

    def grown(self, count: int) -> Arrays:
        """Add *count* rows, at most `room`; they come back to be written to."""
        assert count <= self.room
        if self.total - self.base + count > self._length:
            self._drop(self.total + count - self.capacity)
        self.total += count
        return self.rows(self.total - count, self.total)

    def cut(self, total: int) -> None:
        """Forget the rows from number *total* on; where that is none of those here, begin empty with it."""
        if not self.base <= total <= self.total:
            self.base = total
        self.total = total

    def _drop(self, base: int) -> None:
        base = min(base // self._step * self._step, self.total)
        shift = base - self.base
        for array in self._arrays.values():
            array[..., : self.total - base] = array[..., shift : self.total - self.base]
        self.base = base
