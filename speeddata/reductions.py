"""What minmax, mean and rms make of the values of a window: arithmetic on arrays of signals by datums.

A window is reduced in pieces: `prepare` makes states of values, `ufuncs` make one state of many, `finish`
makes values of states. So a window may be larger than memory, and windows of any lengths go together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speeddata.avro.columns import Column

State = list[NDArray[Any]]  # one array for each of a reduction's ufuncs: a row for each signal


class Reduction(ABC):
    """How signals of one type, of numbers, are reduced: the arrays of a `Column` have a row for each.

    Nulls and NaN are left out. A window of nothing but nulls is null; of NaN, or of both, NaN.

    Attributes:
        ufuncs: what makes one of many, for each array of a state.
    """

    ufuncs: tuple[np.ufunc, ...]

    @abstractmethod
    def prepare(self, column: Column) -> State:
        """The state of each value."""

    @abstractmethod
    def finish(self, state: State) -> list[Column]:
        """The values that come out: a column for each datum of a window."""


class MinMax(Reduction):
    """The least and the greatest value, of the type that they have, exact to the sign of a zero.

    Floating-point numbers are compared in the total order of IEEE 754, section 5.10, as integers: so what
    comes out does not depend on the order in which they are looked at.
    """

    ufuncs = (np.minimum, np.maximum, np.logical_or)

    def __init__(self, dtype: str) -> None:
        self._dtype = np.dtype(dtype)

    def prepare(self, column: Column) -> State:
        values = column.values
        absent = None if column.valid is None else ~column.valid
        if self._dtype.kind == "f":
            missing = np.isnan(values)
            absent = missing if absent is None else absent | missing
            values = _ordered(values.view(f"i{self._dtype.itemsize}"))
        low = high = values
        if absent is not None and absent.any():
            # As the bits of a float both of these are NaN, which is what a window without a number becomes.
            limits = np.iinfo(values.dtype)
            low, high = np.where(absent, limits.max, values), np.where(absent, limits.min, values)
        return [low, high] if column.valid is None else [low, high, column.valid]

    def finish(self, state: State) -> list[Column]:
        low, high, *valid = state
        columns = []
        for values in (low, high):
            if self._dtype.kind == "f":
                values = _ordered(values).view(self._dtype)
                values[np.isnan(values)] = np.nan
            columns.append(Column(values, *valid))
        return columns


def _ordered(bits: NDArray[Any]) -> NDArray[Any]:
    """Integers in the order of the floats whose bits these are, and back again."""
    found: NDArray[Any] = bits ^ ((bits >> (8 * bits.itemsize - 1)) & np.iinfo(bits.dtype).max)
    return found


class Mean(Reduction):
    """The arithmetic mean, in float64."""

    ufuncs = (np.add, np.add, np.logical_or)

    def prepare(self, column: Column) -> State:
        values = column.values.astype(np.float64)
        counted = ~np.isnan(values)
        if column.valid is not None:
            counted &= column.valid
        if not counted.all():
            values = np.where(counted, values, 0.0)
        state = [self._summand(values), counted.astype(np.int64)]
        return state if column.valid is None else [*state, column.valid]

    def finish(self, state: State) -> list[Column]:
        total, count, *valid = state
        with np.errstate(all="ignore"):
            return [Column(self._result(total / count), *valid)]

    def _summand(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values

    def _result(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean


class Rms(Mean):
    """The root of the mean of the squares, in float64."""

    def _summand(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(over="ignore"):
            return values * values

    def _result(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        root: NDArray[np.float64] = np.sqrt(mean)
        return root


def reduced(reduction: Reduction, state: State, starts: NDArray[np.int64]) -> State:
    """One state of each piece; piece i begins at *starts[i]*, and the last one ends with the arrays."""
    with np.errstate(all="ignore"):  # sums may well overflow to infinity
        pairs = zip(reduction.ufuncs, state, strict=False)
        return [ufunc.reduceat(each, starts, axis=1) for ufunc, each in pairs]


def combined(reduction: Reduction, state: State, counts: NDArray[np.int64]) -> State:
    """One state of each window of *counts* pieces in a row, put together from the first to the last.

    In this order whatever the cut of the stream: sums of floats are not associative.
    """
    if int(counts.max()) == 1:
        return state
    firsts = np.cumsum(counts) - counts
    found = [each[:, firsts] for each in state]
    with np.errstate(all="ignore"):
        for place in range(1, int(counts.max())):
            rows = np.flatnonzero(counts > place)
            for ufunc, into, each in zip(reduction.ufuncs, found, state, strict=False):
                into[:, rows] = ufunc(into[:, rows], each[:, firsts[rows] + place])
    return found
