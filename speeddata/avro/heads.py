"""Reading heads on many datums, one each, that move together: Avro decoded a column at a time.

While all datums have had the same layout, the heads are one number: so many bytes into each datum, and a
column is a strided view. Once lengths have differed, each head has its own position: a column is gathered.

Heads prove: one that meets bytes that are no datum, or that only a closer look could tell, is dropped; those
left at the end are certain. Nothing is read before it is known to lie inside the padded data.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speeddata.avro.varints import CONTINUED, lengths_of, same_length, value_of, values_of

PADDING = bytes(16)  # so that a head at the end of the last datum can read the ten bytes of a long

Positions = NDArray[np.int64]


class NoneLeftError(Exception):
    """Every head has been dropped."""


class Heads:
    """Heads at the beginning of datums.

    Attributes:
        data: the bytes of all datums, and `PADDING`.
        count: how many heads there are.
        index: which of the datums at the beginning they are on; None: all of them, shape (count,).
        strict: whether a bad datum drops its head; else it is a ValueError: what was proven is not so.
    """

    def __init__(
        self, data: bytes, starts: Positions, ends: Positions, *, strict: bool, even: int | None = None
    ) -> None:
        """Heads on data[starts[i]:ends[i]]; *even* is the size where all are equal and lie end to end."""
        self.data = data
        self.count = len(starts)
        self.index: Positions | None = None
        self.strict = strict
        self._ends = ends
        self._shift = 0  # bytes from the base to the head
        self._base: Positions | None = starts if even is None else None
        self._first, self._size = int(starts[0]), even or 0
        self._room = self._least_room()  # bytes from the base that every datum has

    @property
    def even(self) -> bool:
        """Whether all datums have had the same layout so far."""
        return self._base is None

    def take(self, dtype: str, *, ahead: int = 0) -> NDArray[Any]:
        """What is *ahead* bytes after each head, as *dtype*: shape (count,), a copy."""
        at = self._shift + ahead
        if self._base is None:
            found = np.ndarray((self.count,), dtype, self.data, self._first + at, (self._size,))
            return np.ascontiguousarray(found)
        kind = np.dtype(dtype)
        every = np.ndarray((len(self.data) - at - kind.itemsize + 1,), kind, self.data, at, (1,))
        return every[self._base]

    def take_many(self, dtype: str, length: int, *, ahead: int) -> NDArray[Any]:
        """The *length* values of *dtype*, *ahead* bytes after each head: shape (count, length), a copy."""
        width = np.dtype(dtype).itemsize
        if self._base is None:
            at = self._first + self._shift + ahead
            shape, strides = (self.count, length), (self._size, width)
            return np.ascontiguousarray(np.ndarray(shape, dtype, self.data, at, strides))
        found = np.empty((self.count, length), dtype)
        for column in range(length):
            found[:, column] = self.take(dtype, ahead=ahead + column * width)
        return found

    def integers(self, bits: int) -> int | NDArray[np.int64]:
        """Move past the zig-zag integer of *bits* (32 or 64) at each head.

        Returns:
            The integers, shape (count,); or one int, where all are the same.
        """
        words = self.take("<u8")
        every, some = int(np.bitwise_and.reduce(words)), int(np.bitwise_or.reduce(words))
        length, ninth = self._same_length(every, some, bits)
        if length is None:
            return self._integers_of_any_length(words, bits)
        if ninth is None and not (every ^ some) & ((1 << 8 * length) - 1):
            self.advance(length)
            return value_of(some, length)
        values = values_of(words, min(length, 8), ninth, negative=bool(some & 1))
        kept = self.advance(length)
        return values if kept is None else values[kept]

    def skip_integers(self, bits: int) -> None:
        """Move past the zig-zag integer of *bits* (32 or 64) at each head."""
        words = self.take("<u8")
        every, some = int(np.bitwise_and.reduce(words)), int(np.bitwise_or.reduce(words))
        length, _ = self._same_length(every, some, bits)
        if length is None:
            self._integers_of_any_length(words, bits)
        else:
            self.advance(length)

    def _same_length(self, every: int, some: int, bits: int) -> tuple[int | None, NDArray[np.uint8] | None]:
        """The length of all integers, and their ninth bytes; None where lengths differ or exceed *bits*."""
        length = same_length(every, some)
        if length is None or length <= 4:
            return length, None
        if bits == 32:  # the fifth byte has room for four bits
            return (length if length == 5 and not some >> 36 & 0xF else None), None
        if length <= 8:
            return length, None
        ninth = self.take("u1", ahead=8)
        return (length if int(ninth.max()) < CONTINUED else None), ninth

    def _integers_of_any_length(self, words: NDArray[np.uint64], bits: int) -> NDArray[np.int64]:
        lengths = lengths_of(words)
        ninth = tenth = kept = None
        if bits == 32:
            fits = (lengths < 5) | ((lengths == 5) & (words >> np.uint64(36) & np.uint64(0xF) == 0))
            kept = self.keep(fits)
        elif int(lengths.max()) > 8:
            ninth = np.where(lengths > 8, self.take("u1", ahead=8), np.uint8(0))
            continued = ninth >= CONTINUED
            if continued.any():
                tenth = np.where(continued, self.take("u1", ahead=9), np.uint8(0))
                lengths += continued
                kept = self.keep(tenth <= 1)
        values = values_of(words, None, ninth, tenth)
        if kept is not None:
            values, lengths = values[kept], lengths[kept]
        kept = self.move(lengths)
        return values if kept is None else values[kept]

    def advance(self, width: int) -> NDArray[np.bool_] | None:
        """Move every head by *width* bytes; what `keep` says."""
        if width > len(self.data):
            raise self._refused()  # and what follows stays within 64 bits
        self._shift += width
        if self._shift <= self._room:
            return None
        if self._base is None:
            raise self._refused()
        kept = self._base + self._shift <= self._ends
        self._shift -= width
        self.keep(kept)
        self._shift += width
        return kept

    def move(self, widths: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        """Move each head by its own of *widths*, none negative; what `keep` says."""
        least, most = int(widths.min()), int(widths.max())
        if least == most:
            return self.advance(least)
        starts = self.positions()
        kept = widths <= self._ends - starts
        self._base, self._shift = starts + widths, 0
        if kept.all():
            self._room = self._least_room()
            return None
        self.keep(kept)
        return kept

    def keep(self, kept: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Drop the heads that are not *kept*, shape (count,); None where all are.

        Raises:
            NoneLeftError: none is.
            ValueError: one is dropped, and these heads are not strict.
        """
        if kept.all():
            return None
        if not self.strict or not kept.any():
            raise self._refused()
        self._base, self._shift = self.positions()[kept], 0
        self._ends = self._ends[kept]
        self.index = np.flatnonzero(kept) if self.index is None else self.index[kept]
        self.count = len(self._base)
        self._room = self._least_room()
        return kept

    def _refused(self) -> Exception:
        return NoneLeftError() if self.strict else ValueError("no datum of this schema")

    def require(self, met: bool) -> None:
        """Drop every head unless *met*."""
        if not met:
            raise self._refused()

    def finish(self) -> None:
        """Drop the heads that are not at the end of their datum."""
        if self._base is None:
            self.require(self._shift == self._size)
        else:
            self.keep(self._base + self._shift == self._ends)

    def positions(self) -> Positions:
        """Where each head is in the data, shape (count,)."""
        if self._base is None:
            return np.arange(self.count, dtype=np.int64) * self._size + (self._first + self._shift)
        return self._base + self._shift if self._shift else self._base

    def spans(self) -> Iterable[tuple[int, int]]:
        """Position and end of each datum, as plain ints."""
        return zip(self.positions().tolist(), self._ends.tolist(), strict=True)

    def room(self) -> NDArray[np.int64]:
        """The bytes left after each head, shape (count,)."""
        return self._ends - self.positions()

    def branch(self, rows: Positions) -> Heads:
        """Heads of their own on some *rows* of these: `rejoin` takes them back."""
        return Heads(self.data, self.positions()[rows], self._ends[rows], strict=self.strict)

    def rejoin(self, branches: Iterable[tuple[Positions, Heads]]) -> None:
        """Move to where each of *branches*, made of its rows, has come; a head that none has is dropped."""
        base, kept = self.positions().copy(), np.zeros(self.count, np.bool_)
        for rows, heads in branches:
            rows = rows if heads.index is None else rows[heads.index]
            base[rows] = heads.positions()
            kept[rows] = True
        self._base, self._shift = base, 0
        if self.keep(kept) is None:
            self._room = self._least_room()

    def _least_room(self) -> int:
        return self._size if self._base is None else int((self._ends - self._base).min())
