"""Samples of one channel as NumPy arrays, one for each signal."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from speeddata import columnar
from speeddata.avro.codec import Column
from speeddata.avro.schema import Schema, Signal
from speeddata.errors import UsageError
from speeddata.legible import printable

if TYPE_CHECKING:
    import pandas


class UnknownName(UsageError, KeyError):
    """There is no channel, or no signal, of that name."""


class Samples(Mapping[str, NDArray[Any]]):
    """Samples of one channel, as an array for each signal.

    Numbers and booleans keep their dtype; text and enums are `str`, everything else are objects. Where a
    signal is null, its array has NaN, 0, False or None: `valid` tells.

    Attributes:
        name: of the channel.
        schema: of the newest samples.
        signals: what the schema says of each signal, by name.
        count: how many samples.
    """

    def __init__(
        self, name: str, schema: Schema, signals: Mapping[str, Signal], columns: Mapping[str, Column]
    ) -> None:
        self.name, self.schema, self.signals, self._columns = name, schema, dict(signals), dict(columns)
        self.count = len(next(iter(self._columns.values())).values) if self._columns else 0

    def __getitem__(self, signal: str) -> NDArray[Any]:
        return self._column(signal).values

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        return f"<{printable(self.name)}: {self.count:,} samples of {', '.join(self._columns)}>"

    @property
    def time(self) -> NDArray[Any]:
        """The abscissa, as it was sent; its unit is `schema.time_unit`."""
        return self[self.schema.abscissa.name]

    @property
    def units(self) -> dict[str, str | None]:
        """The unit of each signal; None where the schema names none."""
        found = {name: self.signals[name].unit for name in self._columns}
        abscissa = self.schema.abscissa.name
        if abscissa in found and self.schema.time_unit is not None:
            found[abscissa] = self.schema.time_unit
        return found

    def valid(self, signal: str) -> NDArray[np.bool_]:
        """Where *signal* has a value: everywhere, unless it is nullable."""
        column = self._column(signal)
        return np.ones(self.count, np.bool_) if column.valid is None else column.valid

    def to_pandas(self) -> pandas.DataFrame:
        """A column for each signal, indexed by the abscissa: moments (UTC) where it is time.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise ImportError("to_pandas() needs pandas: pip install pandas") from None
        abscissa, unit = self.schema.abscissa.name, self.schema.time_unit
        frame = {name: self._series(pd, name) for name in self._columns if name != abscissa}
        index = pd.Index(self._series(pd, abscissa), name=abscissa)
        if unit is not None:
            index = pd.to_datetime(index, unit=unit, utc=True)
        return pd.DataFrame(frame, index=index)

    def _series(self, pd: Any, name: str) -> Any:
        column = self._columns[name]
        values = column.values
        if values.ndim > 1:
            return list(values)
        if column.valid is None or values.dtype.kind in "fO":
            return values
        # whole numbers and booleans have no NaN
        kind = pd.arrays.BooleanArray if values.dtype.kind == "b" else pd.arrays.IntegerArray
        return kind(values, ~column.valid)

    def _column(self, name: str) -> Column:
        try:
            return self._columns[name]
        except KeyError:
            raise unknown("signal", name, self.name, self._columns) from None


def unknown(what: str, name: object, where: str, known: Iterable[str]) -> UnknownName:
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    mend = f"did you mean {near[0]}?" if near else f"choose from {', '.join(names[:8])}" if names else ""
    return UnknownName(f"there is no {what} '{printable(str(name))}'", where=where, mend=mend)


def refuse_unknown(schemas: Iterable[Schema], patterns: Sequence[str]) -> None:
    """Raises:
    UsageError: one of *patterns* fits no signal of any of *schemas*.
    """
    try:
        columnar.refuse_unknown(schemas, patterns)
    except UsageError as exc:
        exc.where = "signals"
        raise
