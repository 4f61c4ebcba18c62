"""How far apart values lie, each from the one before: the usual step, and the gaps; in bounded memory.

Two kinds of signals are looked at. The abscissa is uneven by nature, so that a gap is a step in which another
sample has its place: at least one and a half times the median step. A sequence signal counts samples, so
that every step beyond the median one is a gap, and tells exactly what is missing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

GAP: Final = 1.5  # median steps of the abscissa: half a step is jitter
PLACES = 100  # of the longest gaps are kept
_GATHERED = 1 << 16  # steps that are counted together
_DIFFERENT = 1 << 16  # steps: beyond so many different ones they are told apart less finely


@dataclass(frozen=True, slots=True)
class Gap:
    """A step too long: between which values, in their own unit."""

    after: int | float
    before: int | float

    @property
    def step(self) -> int | float:
        return self.before - self.after


@dataclass(frozen=True, slots=True)
class Summary:
    """What the steps of a signal are like, in the signal's own unit.

    Attributes:
        median: of the steps forward; None where there is none.
        gaps: how many steps are longer than that allows.
        missing: samples that have their place in the gaps; of a sequence, that are missing in it.
        longest: the longest gaps, at most `PLACES`, in recording order.
        back: how many steps go back.
        repeated: how many values are the one before.
    """

    median: int | float | None
    gaps: int
    missing: int
    longest: tuple[Gap, ...]
    back: int
    repeated: int


class Steps:
    """Takes the values of one signal piece by piece.

    Args:
        sequence: the signal counts samples.
    """

    def __init__(self, *, sequence: bool = False) -> None:
        self._sequence = sequence
        self._last: NDArray[Any] | None = None
        self._forward = _Counts()
        self._back = self._repeated = 0
        self._whole = True  # all values are integers, and so are all steps
        self._longest: list[tuple[float, int, Gap]] = []
        self._seen = 0  # values

    def forget(self) -> None:
        """What comes next does not go on from what came before."""
        self._last = None

    def add(self, values: NDArray[Any]) -> None:
        """Take more *values*: int64 or float64, shape (n,); those that are not finite are passed over."""
        if values.dtype.kind == "f":
            self._whole = False
            values = values[np.isfinite(values)]
        if not len(values):
            return
        joined = values if self._last is None else np.concatenate([self._last, values])
        self._last = values[-1:].copy()
        steps = differences(joined)
        steps[np.isinf(steps)] = np.nan  # beyond what a float can hold: no step that could be told
        forward = steps > 0
        self._repeated += int(np.count_nonzero(steps == 0))
        self._back += int(np.count_nonzero(steps < 0))
        self._keep_longest(joined, steps)
        self._forward.add(steps[forward])
        self._seen += len(values)

    def summary(self) -> Summary:
        """What was seen so far."""
        steps, counts = self._forward.told()
        if not len(steps):
            return Summary(None, 0, 0, (), self._back, self._repeated)
        at = np.searchsorted(np.cumsum(counts), (int(counts.sum()) + 1) // 2)
        median = float(steps[at])
        wide = steps > median if self._sequence else steps >= GAP * median
        each = steps[wide] - median if self._sequence else np.floor(steps[wide] / median + 0.5) - 1
        gaps, missing = int(counts[wide].sum()), int((each * counts[wide]).sum())
        least = steps[wide][0] if gaps else math.inf
        places = sorted((place for place in self._longest if place[0] >= least), key=lambda place: place[1])
        return Summary(
            int(median) if self._whole else median,
            gaps,
            missing,
            tuple(gap for _, _, gap in places),
            self._back,
            self._repeated,
        )

    def _keep_longest(self, values: NDArray[Any], steps: NDArray[np.float64]) -> None:
        least = self._longest[-1][0] if len(self._longest) == PLACES else 0.0
        rows = np.flatnonzero(steps > least)
        if len(rows) > PLACES:
            rows = rows[np.argpartition(-steps[rows], PLACES - 1)[:PLACES]]
        for row in rows.tolist():
            gap = Gap(values[row].item(), values[row + 1].item())
            self._longest.append((float(steps[row]), self._seen + row, gap))
        self._longest.sort(key=lambda place: (-place[0], place[1]))
        del self._longest[PLACES:]


def differences(values: NDArray[Any]) -> NDArray[np.float64]:
    """Each of *values* less the one before, shape (n - 1,): exact up to 2**53."""
    with np.errstate(over="ignore"):
        steps = np.diff(values)
    if values.dtype.kind != "f":
        wrapped = (values[1:] >= values[:-1]) != (steps >= 0)
        if wrapped.any():
            return np.diff(values.astype(np.float64))
    return steps.astype(np.float64)


class _Counts:
    """How often each step came: exact for as long as there are not too many different ones."""

    def __init__(self) -> None:
        self._steps = np.empty(0, np.float64)
        self._counts = np.empty(0, np.int64)
        self._waiting: list[NDArray[np.float64]] = []
        self._gathered = 0
        self._cut_bits = 0  # of the 52 of a step's mantissa

    def add(self, steps: NDArray[np.float64]) -> None:
        self._waiting.append(steps)
        self._gathered += len(steps)
        if self._gathered >= _GATHERED:
            self._count()

    def told(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The different steps, ascending, and how often each came."""
        self._count()
        return self._steps, self._counts

    def _count(self) -> None:
        steps, counts = np.unique(self._rough(np.concatenate([*self._waiting, []])), return_counts=True)
        self._waiting.clear()
        self._gathered = 0
        self._take(np.concatenate([self._steps, steps]), np.concatenate([self._counts, counts]))
        while len(self._steps) > _DIFFERENT:
            self._cut_bits += 4
            self._take(self._rough(self._steps), self._counts)

    def _take(self, steps: NDArray[np.float64], counts: NDArray[np.int64]) -> None:
        self._steps, places = np.unique(steps, return_inverse=True)
        self._counts = np.zeros(len(self._steps), np.int64)
        np.add.at(self._counts, places, counts)

    def _rough(self, steps: NDArray[np.float64]) -> NDArray[np.float64]:
        if not self._cut_bits:
            return steps
        kept = np.uint64((1 << 64) - (1 << self._cut_bits))
        return (steps.view(np.uint64) & kept).view(np.float64)
