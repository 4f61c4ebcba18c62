"""Which samples of a point differ enough from the last one sent, over any number of pieces of its history."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Changes:
    """Keeps the first sample, each that differs from the last one kept, and one a heartbeat.

    A time before that of the last one kept, a clock that stepped back, counts as a beginning. NaN does not
    differ from NaN.

    Args:
        deadband: numbers differ where they are farther apart than that; 0 where they are not equal.
        heartbeat_ns: so long after the last one kept a sample is kept though it does not differ; None: never.

    Attributes:
        last: time and value of the last sample kept; None before the first.
    """

    def __init__(self, deadband: float = 0.0, heartbeat_ns: int | None = None) -> None:
        self.deadband, self.heartbeat_ns = deadband, heartbeat_ns
        self.last: tuple[int, Any] | None = None

    def kept(
        self, times_ns: NDArray[np.int64], values: NDArray[Any], present: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_]:
        """Which samples are kept, shape (n,).

        Args:
            times_ns: shape (n,), ascending.
            values: shape (n,): numbers, booleans, or objects of str.
            present: where there is a sample, shape (n,); None: everywhere.
        """
        rows = np.arange(len(values)) if present is None else np.flatnonzero(present)
        found = np.zeros(len(values), np.bool_)
        if not len(rows):
            return found
        times, values = times_ns[rows], values[rows]
        kept = self._far(times, values) if self.deadband > 0 else self._different(times, values)
        found[rows] = kept
        if kept.any():
            last = len(kept) - 1 - int(np.argmax(kept[::-1]))
            self.last = int(times[last]), values[last].item() if values.dtype != object else values[last]
        return found

    def _different(self, times: NDArray[np.int64], values: NDArray[Any]) -> NDArray[np.bool_]:
        # What was not kept equals what was kept before it: the neighbour decides.
        kept = np.empty(len(values), np.bool_)
        kept[1:] = values[1:] != values[:-1]
        if values.dtype.kind == "f":
            nan = np.isnan(values)
            kept[1:] &= ~(nan[1:] & nan[:-1])
        kept[0] = self._begins(int(times[0])) or _differ(values[:1].tolist()[0], self._value, 0)
        if self.heartbeat_ns is not None:
            self._beat(times, kept, self.heartbeat_ns)
        return kept

    def _beat(self, times: NDArray[np.int64], kept: NDArray[np.bool_], heartbeat_ns: int) -> None:
        """Keep more, where nothing has been kept for so long; a step for each that is."""
        begins = np.flatnonzero(kept)
        since = times[begins]
        if not kept[0]:
            assert self.last is not None
            begins, since = np.append(0, begins), np.append(self.last[0], since)
        ends = np.append(begins[1:], len(kept))
        long = times[ends - 1] - since >= heartbeat_ns
        for row, end, at in zip(
            begins[long].tolist(), ends[long].tolist(), since[long].tolist(), strict=True
        ):
            while (row := row + int(np.searchsorted(times[row:end], at + heartbeat_ns))) < end:
                kept[row], at = True, int(times[row])
                row += 1

    def _far(self, times: NDArray[np.int64], values: NDArray[Any]) -> NDArray[np.bool_]:
        kept = np.zeros(len(values), np.bool_)
        begins, (at, reference) = self._begins(int(times[0])), self.last or (0, 0)
        beat, deadband = self.heartbeat_ns, self.deadband
        for row, (time, value) in enumerate(zip(times.tolist(), values.tolist(), strict=True)):
            if (
                (not abs(value - reference) <= deadband and _differ(value, reference, deadband))
                or begins
                or (beat is not None and time - at >= beat)
            ):
                kept[row] = True
                at, reference, begins = time, value, False
        return kept

    @property
    def _value(self) -> Any:
        return self.last[1] if self.last is not None else None

    def _begins(self, time_ns: int) -> bool:
        return self.last is None or time_ns < self.last[0]


def _differ(value: Any, other: Any, deadband: float) -> bool:
    if value == other or (value != value and other != other):
        return False
    return not deadband or not abs(value - other) <= deadband  # of NaN and a number is neither
