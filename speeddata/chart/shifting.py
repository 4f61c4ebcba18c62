"""What was looked up once, an envelope or states, laid on another range of the same dot columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from speeddata.chart.envelope import Abscissa, Envelope
from speeddata.chart.readings import StateRun


def shifted(known: Envelope, begin: Abscissa, end: Abscissa, columns: int) -> Envelope:
    """*known* as far as it lies in [begin, end): *columns* dot columns, as wide as its own; NaN beyond it."""
    shift = round((begin - known.begin) / ((end - begin) / columns))
    inside = slice(max(0, shift), max(0, min(known.columns, shift + columns)))
    at = max(0, -shift)

    def moved(values: NDArray[np.float64]) -> NDArray[np.float64]:
        found = np.full(columns, np.nan)
        part = values[inside]
        found[at : at + len(part)] = part
        return found

    def flags(values: NDArray[np.bool_]) -> NDArray[np.bool_]:
        found = np.zeros(columns, np.bool_)
        part = values[inside]
        found[at : at + len(part)] = part
        return found

    return Envelope(
        begin=begin,
        end=end,
        low=moved(known.low),
        high=moved(known.high),
        first=moved(known.first),
        last=moved(known.last),
        gap=flags(known.gap),
        before=known.before if shift <= 0 else None,
        after=known.after if shift + columns >= known.columns else None,
        infinite=flags(known.infinite),
        above=None if known.above is None else flags(known.above),
        below=None if known.below is None else flags(known.below),
    )


def runs_within(runs: Iterable[StateRun], first: int, columns: int) -> list[StateRun]:
    """Those of *runs* in *columns* columns from *first* on, which is column 0 then; cut at both ends."""
    return [
        StateRun(max(run.first_column - first, 0), min(run.last_column - first, columns - 1), run.text)
        for run in runs
        if run.last_column >= first and run.first_column < first + columns
    ]


def runs_joined(older: Iterable[StateRun], recent: Sequence[StateRun]) -> list[StateRun]:
    """*older* runs as far as they lie before the *recent* ones, and those."""
    begin = recent[0].first_column if recent else None
    kept = [
        run if begin is None or run.last_column < begin else StateRun(run.first_column, begin - 1, run.text)
        for run in older
        if begin is None or run.first_column < begin
    ]
    return [*kept, *recent]
