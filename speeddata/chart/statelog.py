"""The states of a signal over the abscissa (text, a boolean, an enum's symbol): when each one began."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speeddata.chart.envelope import Abscissa, edges
from speeddata.chart.readings import StateRun
from speeddata.chart.tail import Tail

LONGEST = 200  # characters of a state that are kept

_STEP = 16
_NONE, _MANY = -1, -2  # instead of the number of a text
_SPARE = 64  # texts no longer needed, beside a quarter of all, before they are forgotten


class StateLog:
    """When the states of one signal began, the newest *limit* of them.

    Where samples are missing, or null, there is none. A none begins right behind its place, so that the
    last sample before a gap still has its state.
    """

    def __init__(self, dtype: str, limit: int) -> None:
        self._log = Tail(max(_STEP, limit), _STEP, {"x": (dtype, None), "code": ("i4", None)})
        self._texts: list[str] = []
        self._codes: dict[str, int] = {}

    def add(self, x: NDArray[Any], values: NDArray[Any], gaps: NDArray[np.int64], newest: Any) -> None:
        """Samples in the order of their abscissa *x*, shape (n,), not empty.

        Args:
            values: text, booleans, or None for null; shape (n,).
            gaps: numbers of the samples before which samples are missing.
            newest: x of the last sample before these.
        """
        changed = np.empty(len(values), np.bool_)
        changed[0] = True
        changed[1:] = values[1:] != values[:-1]
        changed[gaps] = True
        rows = np.flatnonzero(changed)
        codes = np.fromiter((self._code(value) for value in values[rows].tolist()), np.int32, len(rows))
        behind = np.flatnonzero(np.isin(rows, gaps))  # a state that goes on behind a gap begins anew
        rows, codes = np.insert(rows, behind, rows[behind]), np.insert(codes, behind, _NONE)
        rows -= codes == _NONE
        places = x[rows]
        if rows[0] < 0 and newest is not None:
            places[0] = newest
        before = self._log["code"]
        last = int(before[-1]) if len(before) else _NONE
        fresh = codes != np.append(last, codes[:-1])
        places, codes = places[fresh], codes[fresh]
        for first in range(0, len(codes), self._log.room):
            part = slice(first, first + self._log.room)
            new = self._log.grown(len(codes[part]))
            new["x"][...], new["code"][...] = places[part], codes[part]
        if len(self._texts) > len(self._log) * 5 // 4 + _SPARE:
            self._forget()

    def cut(self, x: Abscissa) -> None:
        """Forget what began at *x* or behind it."""
        self._log.cut(self._log.base + int(np.searchsorted(self._log["x"], x)))

    def at(self, x: Abscissa) -> str | None:
        """The state of a sample at *x*."""
        begins, codes = self._log["x"], self._log["code"]
        row = int(np.searchsorted(begins, x, "right")) - 1
        while row >= 0 and codes[row] == _NONE and begins[row] == x:  # begins behind it
            row -= 1
        return self._texts[codes[row]] if row >= 0 and codes[row] != _NONE else None

    def runs(self, begin: Abscissa, end: Abscissa, columns: int, newest: Abscissa) -> list[StateRun]:
        """The states over equal columns of [begin, end), up to the sample at *newest*."""
        begins, codes = self._log["x"], self._log["code"]
        bounds = edges(begins.dtype, begin, end, columns)
        first = max(int(np.searchsorted(begins, bounds[0], "right")) - 1, 0)
        stop = int(np.searchsorted(begins, bounds[-1]))
        begins, codes = begins[first:stop], codes[first:stop]
        places = np.searchsorted(bounds, begins, "right") - 1
        there = codes != _NONE
        shown = _states_of(np.maximum.accumulate(places + ~there), codes, columns)
        shown[np.searchsorted(bounds[:-1], newest, "right") :] = _NONE
        held, at = codes[there], places[there]
        changes = np.append(False, held[1:] != held[:-1]) & (at >= 0)
        shown[np.bincount(at[changes], minlength=columns) > 1] = _MANY
        cuts = [0, *(np.flatnonzero(shown[1:] != shown[:-1]) + 1).tolist(), columns]
        return [
            StateRun(left, right - 1, None if shown[left] == _MANY else self._texts[shown[left]])
            for left, right in itertools.pairwise(cuts)
            if shown[left] != _NONE
        ]

    def _code(self, value: str | bool | None) -> int:
        if value is None:
            return _NONE
        text = ("true" if value else "false") if isinstance(value, bool) else value[:LONGEST]
        code = self._codes.setdefault(text, len(self._texts))
        if code == len(self._texts):
            self._texts.append(text)
        return code

    def _forget(self) -> None:
        """Keep only the texts that are still told of."""
        codes = self._log["code"]
        used, renumbered = np.unique(codes[codes != _NONE], return_inverse=True)
        codes[codes != _NONE] = renumbered
        self._texts = [self._texts[code] for code in used.tolist()]
        self._codes = {text: code for code, text in enumerate(self._texts)}


def _states_of(columns_of: NDArray[np.int64], codes: NDArray[np.int32], columns: int) -> NDArray[np.int32]:
    """The state with which each column ends, where states begin in *columns_of*, ascending."""
    rows = np.searchsorted(columns_of, np.arange(columns), "right") - 1
    found: NDArray[np.int32] = np.append(codes, np.int32(_NONE))[rows]  # -1: before the first state
    return found
