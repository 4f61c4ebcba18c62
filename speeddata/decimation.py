"""Fewer datums from many: one window in `factor` samples, and what is kept of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Pick:
    """Keep the first datum of every *factor*; it passes byte for byte.

    Args:
        factor: decimation factor, at least 1. The count goes on from one call to the next, so that the
            cut of the stream into batches makes no difference.
    """

    def __init__(self, factor: int) -> None:
        if factor < 1:
            raise ValueError(f"decimation factor {factor} is below 1")
        self.factor = factor
        self._skip = 0  # datums until the next one that is kept

    def take(self, data: bytes, offsets: NDArray[np.int64]) -> tuple[bytes, NDArray[np.int64]]:
        """The datums kept of these.

        Args:
            data: datums end to end.
            offsets: where each begins and the last ends: int64, shape (count + 1,).

        Returns:
            The same for those that are kept.
        """
        count = len(offsets) - 1
        first = self._skip
        if first >= count:
            self._skip = first - count
            return b"", offsets[:1] - offsets[0]
        kept = (count - first + self.factor - 1) // self.factor
        self._skip = first + kept * self.factor - count
        if kept == 1:
            start, end = int(offsets[first]), int(offsets[first + 1])
            return data[start:end], np.array((0, end - start), np.int64)
        size = int(offsets[1] - offsets[0])
        sizes = offsets[1:] - offsets[:-1]
        if size and not np.count_nonzero(sizes != size):
            # Equal sizes, the usual case: one strided copy, however many datums.
            table = np.frombuffer(data, np.uint8, count * size, int(offsets[0])).reshape(count, size)
            return table[first :: self.factor].tobytes(), np.arange(kept + 1, dtype=np.int64) * size
        starts = offsets[first : count : self.factor].tolist()
        picked = sizes[first :: self.factor]
        view = memoryview(data)
        ends = np.zeros(kept + 1, np.int64)
        np.cumsum(picked, out=ends[1:])
        return b"".join([view[s : s + n] for s, n in zip(starts, picked.tolist(), strict=True)]), ends
