"""Numbers and text of long runs of datums of one shape: a column of a run is a strided view of its bytes.

What differs from run to run (how long an integer is) is settled once for all runs together: of each run only
bytes are copied, so that a run costs a few NumPy calls, and neighbouring floating-point signals only one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speeddata.avro.runs import LEAST, Run
from speeddata.avro.schema import Schema
from speeddata.avro.shapes import Shape, shape_of
from speeddata.avro.types import DTYPES, Primitive, Signal
from speeddata.avro.varints import CONTINUED, values_of

_KINDS = (*DTYPES, "string")
_FLOATS = ("float", "double")
_TURNED = 512  # datums that are turned into columns together: they and the columns' ends stay in the cache


def readable(signal: Signal) -> bool:
    """Whether `columns` can read *signal*."""
    return isinstance(signal.node, Primitive) and signal.kind in _KINDS


def columns(
    schema: Schema,
    data: bytes,
    offsets: NDArray[np.int64],
    chosen: Sequence[Signal],
    runs: Sequence[Run] | None = None,
) -> dict[str, NDArray[Any]] | None:
    """The values of the signals *chosen*, which are `readable`; None where runs are short.

    Args:
        schema: of the datums.
        data: holds them.
        offsets: where each begins and the last one ends, int64, shape (count + 1,), within *data*. That they
            are right is proven on the way, or None comes back.
        chosen: in the schema's order.
        runs: the datums as such, where they are known already.
    """
    count = len(offsets) - 1
    if count < LEAST:
        return None
    runs = runs or _runs(schema, data, offsets, count // LEAST)
    if runs is None:
        return None
    numbers = {signal.name: number for number, signal in enumerate(schema.signals)}
    found: dict[str, NDArray[Any]] = {}
    for group in _neighbours(chosen, numbers):
        signal, number = group[0], numbers[group[0].name]
        if signal.kind in _FLOATS:
            table = _floats(data, runs, number, len(group), DTYPES[signal.kind], count)
            found.update(zip((each.name for each in group), table, strict=True))
        elif signal.kind == "string":
            found[signal.name] = _texts(data, runs, number, count)
        elif signal.kind == "boolean":
            values = np.empty(count, np.bool_)
            for run in runs:
                values[run.first : run.end] = run.view(data, "?", run.shape.places[number])
            found[signal.name] = values
        else:
            found[signal.name] = _integers(data, runs, number, count).astype(DTYPES[signal.kind], copy=False)
    return found


def _runs(schema: Schema, data: bytes, offsets: NDArray[np.int64], most: int) -> list[Run] | None:
    """The datums as runs of one shape; None where they are more than *most*, or a datum has no shape."""
    sizes = np.diff(offsets)
    changes = np.flatnonzero(sizes[1:] != sizes[:-1]) + 1
    if len(changes) >= most:
        return None
    bounds = [*changes.tolist(), len(sizes)]
    found: list[Run] = []
    known: dict[int, Shape] = {}
    first = 0
    for bound in bounds:
        while first < bound:
            pos = int(offsets[first])
            size = int(offsets[first + 1]) - pos
            shape = known.get(size)  # to try one costs less than to make one
            held = 0 if shape is None else shape.run(data, pos, bound - first, bound - first)
            if not held and (shape := shape_of(schema, data, pos, pos + size)) is not None:
                known[size] = shape
                held = shape.run(data, pos, bound - first, bound - first)
            if shape is None or not held or len(found) == most:
                return None
            found.append(Run(first, first + held, pos, shape))
            first += held
    return found


def _neighbours(chosen: Sequence[Signal], numbers: dict[str, int]) -> Iterator[list[Signal]]:
    """*chosen* one by one; but floating-point signals of one type, side by side in a datum, together."""
    group: list[Signal] = []
    for signal in chosen:
        beside = group and numbers[signal.name] == numbers[group[-1].name] + 1
        if not (beside and signal.kind == group[-1].kind and signal.kind in _FLOATS):
            if group:
                yield group
            group = []
        group.append(signal)
    if group:
        yield group


def _floats(
    data: bytes, runs: Sequence[Run], number: int, width: int, dtype: str, count: int
) -> NDArray[Any]:
    """*width* signals from *number* on, shape (width, count)."""
    table = np.empty((width, count), dtype)
    for run in runs:
        rows = run.view(data, dtype, run.shape.places[number], (width, table.itemsize))
        for at in range(0, len(rows), _TURNED):
            part = rows[at : at + _TURNED]
            table[:, run.first + at : run.first + at + len(part)] = part.T
    return table


def _integers(data: bytes, runs: Sequence[Run], number: int, count: int) -> NDArray[np.int64]:
    words = np.empty(count, np.uint64)
    places = [run.shape.places[number] for run in runs]
    lengths = [run.shape.places[number + 1] - place for run, place in zip(runs, places, strict=True)]
    longest = max(lengths)
    beyond = [np.zeros(count, np.uint8) for _ in range(8, longest)]
    for run, place, length in zip(runs, places, lengths, strict=True):
        at = min(place, run.shape.size - 8)  # a whole word within the datum
        part = words[run.first : run.end]
        part[:] = run.view(data, "<u8", at)
        if at < place:
            part >>= np.uint64(8 * (place - at))
        for byte in range(8, length):
            beyond[byte - 8][run.first : run.end] = run.view(data, "u1", place + byte)
    same = min(longest, 8) if min(lengths) == longest else None
    return values_of(words, same, *beyond)


def _texts(data: bytes, runs: Sequence[Run], number: int, count: int) -> NDArray[Any]:
    values = np.empty(count, object)
    known: dict[bytes, str] = {}  # text repeats itself: one object for all of a kind
    for run in runs:
        at, behind = run.shape.places[number], run.shape.places[number + 1]
        while data[run.pos + at] >= CONTINUED:
            at += 1
        width = behind - at - 1
        rows = run.view(data, "u1", at + 1, (width, 1))
        if (rows == rows[0]).all():
            first = rows[0].tobytes()
            values[run.first : run.end].fill(known.setdefault(first, first.decode("ascii")))
        else:
            text = rows.tobytes().decode("ascii")
            values[run.first : run.end] = [text[at : at + width] for at in range(0, len(text), width)]
    return values
