"""What is told of a signal beside its picture: one sample, figures over a range, how long it had a state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """One sample of a channel: its abscissa, and the value of each signal; None where it is null."""

    x: int | float
    values: Mapping[str, object]


@dataclass(frozen=True)
class Statistics:
    """Of the *count* finite samples in a range; NaN where there are none."""

    minimum: float
    mean: float
    maximum: float
    count: int


@dataclass(frozen=True)
class StateRun:
    """Columns *first_column* to *last_column*, inclusive, in which a signal had the state *text*.

    *text* is as it was sent (not yet made harmless for a terminal); None: it changed more than once in there.
    """

    first_column: int
    last_column: int
    text: str | None
