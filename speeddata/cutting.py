"""A range of time cut out of batches, exactly, also where time steps back; asks no clock."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

import numpy as np

from speeddata.avro import codec
from speeddata.avro.schema import TICK_NS, Schema
from speeddata.batch import Batch
from speeddata.errors import UsageError, told_where
from speeddata.stages import runs
from speeddata.timerange import duration_ns, moment_ns

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Bounded(Protocol):
    """What an index knows of a block: the least and greatest abscissa, None where it does not know."""

    least: int | float | None
    greatest: int | float | None


@dataclass(frozen=True)
class Range:
    """From *since_ns* on and before *until_ns*, in nanoseconds since 1970; None = no bound.

    *last_ns* asks for so long back from the end of the data: `ending` makes bounds of it once that is known.
    """

    since_ns: int | None = None
    until_ns: int | None = None
    last_ns: int | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing is cut off."""
        return self.since_ns is None and self.until_ns is None and self.last_ns is None

    def ending(self, end_ns: int) -> Range:
        """The same where the last datum is at *end_ns*, which is the last one inside."""
        if self.last_ns is None:
            return self
        return Range(end_ns + 1 - self.last_ns, end_ns + 1)


EVERYTHING = Range()


def range_of(since: str | None, until: str | None, last: str | None, now_ns: int) -> Range:
    """The range that --since, --until and --last ask for.

    Raises:
        UsageError: no moments, none between them, or --last together with the others.
    """
    if last is not None:
        if since is not None or until is not None:
            raise UsageError("means its own range", where="--last", mend="leave out --since and --until")
        with told_where("--last"):
            return Range(last_ns=duration_ns(last))
    begin = end = None
    if since is not None:
        with told_where("--since"):
            begin = moment_ns(since, now_ns)
    if until is not None:
        with told_where("--until"):
            end = moment_ns(until, now_ns)
    if begin is not None and end is not None and end <= begin:
        raise UsageError(f"nothing is between {since} and {until}", where="--since, --until")
    return Range(begin, end)


def choice(wanted: Range) -> Callable[[Schema, Bounded], bool] | None:
    """Says of a block that an index knows whether it has to be read; None where all have to be."""
    if wanted.everything:
        return None
    known: dict[Schema, tuple[int | float, int | float]] = {}

    def chosen(schema: Schema, block: Bounded) -> bool:
        if schema not in known:
            known[schema] = bounds(schema, wanted)
        first, end = known[schema]
        if block.least is None or block.greatest is None:
            return True
        return block.greatest >= first and block.least < end

    return chosen


def cut(batches: Iterable[Batch], wanted: Range) -> Iterator[Batch]:
    """The datums within *wanted*, in the order they come; those whose time is null or NaN are in no range.

    Raises:
        UsageError: the abscissa is no time.
        DataError: a batch is damaged.
    """
    if wanted.everything:
        yield from batches
        return
    for batch in batches:
        first, end = bounds(batch.schema, wanted)
        times = codec.abscissa(batch)
        inside = (times >= first) & (times < end)
        if batch.schema.abscissa.nullable and times.dtype.kind == "i":
            inside &= times != np.iinfo(np.int64).min
        yield from _chosen(batch, inside)


def _chosen(batch: Batch, inside: NDArray[np.bool_]) -> Iterator[Batch]:
    if inside.all():
        yield batch
    elif inside.any():
        codec.offsets(batch)
        yield from runs(batch, inside)


def bounds(schema: Schema, wanted: Range) -> tuple[int | float, int | float]:
    """The first abscissa inside and the first behind, in the abscissa's unit; infinite where there is none.

    Raises:
        UsageError: the abscissa is no time, or does not tell its unit.
    """
    tick_ns = TICK_NS[schema.ticks("leave out the range")]
    exact_floats = schema.abscissa.kind in ("float", "double")
    first = -math.inf if wanted.since_ns is None else _at_least(wanted.since_ns, tick_ns, exact_floats)
    end = math.inf if wanted.until_ns is None else _at_least(wanted.until_ns, tick_ns, exact_floats)
    return first, end


def time_ns(schema: Schema, value: int | float) -> int:
    """The moment of an abscissa's *value*, in nanoseconds since 1970, rounded down.

    Raises:
        UsageError: as for `bounds`.
    """
    return math.floor(Fraction(value) * TICK_NS[schema.ticks("leave out the range")])


def _at_least(moment_ns: int, tick_ns: int, as_float: bool) -> int | float:
    """The least abscissa that is not before *moment_ns*."""
    if not as_float:
        # beyond int64 NumPy would compare as floats, or refuse
        return max(-(2**63), min(2**63 - 1, -(-moment_ns // tick_ns)))
    exact = Fraction(moment_ns, tick_ns)
    nearest = float(exact)
    return nearest if Fraction(nearest) >= exact else math.nextafter(nearest, math.inf)
