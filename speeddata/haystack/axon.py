"""Samples as Axon, for servers whose only bulk call is SkySpark's evalAll: an expression a point.

In Axon, SkySpark's language, `hisWrite(data, point)` takes dicts of `ts` and `val`. Moments are written in
UTC and moved to the zone of the point: of the hour that comes twice in autumn it would always be the first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from speeddata.haystack.kinds import Column, Grid, Value
from speeddata.haystack.literals import quoted, ref
from speeddata.haystack.points import Cells, Table


def expressions(tables: Sequence[Table], *, not_finite: Literal["na", "keep"] = "na") -> Grid:
    """What evalAll has to evaluate to write *tables*: a row for each point that has a sample, in their order.

    Raises:
        UsageError: an id is none.
    """
    items: dict[str, list[str]] = {}
    for table in tables:
        times = _moments(table)
        for cells in table.cells:
            there = range(len(times)) if cells.present is None else np.flatnonzero(cells.present).tolist()
            values = _values(cells, not_finite)
            items.setdefault(cells.point.id, []).extend(
                f"{{ts:{times[row]},val:{values[row]}}}" for row in there
            )
    rows: list[dict[str, Value]] = [
        {"expr": f"hisWrite([{','.join(its)}],@{ref(point)})"} for point, its in items.items() if its
    ]
    return Grid({}, [Column("expr")], rows)


def _moments(table: Table) -> list[str]:
    """`dateTime(2026-11-21,10:00:00.123,"UTC").toTimeZone("New_York")`."""
    zone = quoted(table.zone)
    texts = np.datetime_as_string(table.times_ns.astype("datetime64[ns]"), unit="ms").tolist()
    pairs = (text.split("T") for text in texts)
    return [f'dateTime({day},{time},"UTC").toTimeZone({zone})' for day, time in pairs]


def _values(cells: Cells, not_finite: str) -> list[str]:
    values = cells.values.tolist()
    if cells.point.kind == "Bool":
        return ["true" if value else "false" for value in values]
    if cells.point.kind == "Str":
        return [quoted(value or "") for value in values]
    return [_number(value, not_finite) for value in values]


def _number(value: float, not_finite: str) -> str:
    if math.isfinite(value):
        return repr(value)
    if not_finite == "na":
        return "na()"
    return "nan()" if math.isnan(value) else "posInf()" if value > 0 else "negInf()"
