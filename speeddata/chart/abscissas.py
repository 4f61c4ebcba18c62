"""Where samples lie on the axis of a chart: a time in nanoseconds, another number, or just their count."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speeddata.avro.codec import Column
from speeddata.avro.schema import TICK_NS, Schema

Axis = Literal["time", "number"]

_FARTHEST_NS = 2**62  # from 1970, about 146 years: differences have room in an int64


def counted(schema: Schema) -> bool:
    """Whether the abscissa is no number, so that samples lie where their count says."""
    return schema.abscissa.dtype in (None, "?")


def axis_of(schema: Schema) -> Axis:
    """Of what kind the x axis of a channel is."""
    return "time" if schema.time_unit is not None and not counted(schema) else "number"


def placed(schema: Schema, column: Column) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The abscissa *column* as x, shape (count,), and which samples it gives a place.

    Args:
        schema: of the samples; its abscissa is a number.

    Returns:
        int64 nanoseconds since 1970 where it is a time, else float64. Without a place are null, NaN,
        infinities, and times farther than 146 years from 1970.
    """
    values = column.values
    if axis_of(schema) == "number":
        x: NDArray[Any] = values.astype(np.float64)
        there = np.isfinite(x)
    else:
        tick_ns = TICK_NS[schema.time_unit or "ns"]
        farthest = _FARTHEST_NS // tick_ns
        there = (values > -farthest) & (values < farthest)  # false for NaN
        if values.dtype.kind == "f":
            x = np.rint(np.where(there, values, 0).astype(np.float64) * tick_ns).astype(np.int64)
        else:
            x = values.astype(np.int64) * tick_ns
    if column.valid is not None:
        there &= column.valid
    return x, there


def ascending(x: NDArray[Any], newest: int | float | None) -> tuple[NDArray[np.bool_] | None, Any, int]:
    """What stays of samples whose clock steps back: those that lie before every later step's place.

    Args:
        x: in the order that the samples came, shape (n,), not empty.
        newest: x of the one before, None where there is none.

    Returns:
        Which of *x* stay (None: all of them), from where on older samples have to go (None: they all stay),
        and how many steps back there are.
    """
    back = np.empty(len(x), np.bool_)
    back[0] = newest is not None and x[0] < newest
    np.less(x[1:], x[:-1], out=back[1:])
    steps = int(np.count_nonzero(back))
    if not steps:
        return None, None, 0
    farthest = np.inf if x.dtype.kind == "f" else np.iinfo(np.int64).max
    # the least place that the clock steps back to, at this sample or later
    least = np.minimum.accumulate(np.where(back, x, farthest)[::-1])[::-1]
    stay = np.append(x[:-1] < least[1:], True)
    return stay, least[0].item(), steps
