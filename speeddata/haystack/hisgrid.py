"""Samples as the Zinc grids that `hisWrite` takes, many at a time: the fast path of all writing of history.

A table's numbers become text as one array, row by row, which takes 15-20 ns a number with orjson and thirty
times that with `repr`. Whatever is no finite number in it (times, texts, booleans, cells without a sample)
is left a hole there, `null`, and the holes are filled in one go: no object is made for a number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from speeddata.haystack.literals import TO_ESCAPE, quoted, ref
from speeddata.haystack.points import Cells, Table
from speeddata.haystack.stamps import stamps

if TYPE_CHECKING:
    from numpy.typing import NDArray

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]

NotFinite = Literal["na", "keep"]

_HOLE = "null"  # as JSON writes NaN and the infinities; no number contains it
_BOOLEANS = np.array(["F", "T"], object)
_LOOKED_AT, _MARGIN = 32, 1.1  # numbers of a column whose text is made to guess the size of all
_STAMP_CHARACTERS = len("\n2026-11-21T10:00:00.123-05:00 ")


def batch_body(tables: Sequence[Table], *, not_finite: NotFinite = "na") -> bytes:
    """One grid of all *tables*: a column `ts`, then one for each point, whose tag `id` says which.

    Rows of one table follow those of the other, the cells of other points empty; a time may so come twice,
    and servers take that. Numbers have no unit: that is right whatever the unit of the point is. A float32
    is written as the shortest text of the float32, an integer exactly.

    Args:
        tables: of one time zone.
        not_finite: NaN and the infinities become `NA`, or are kept.

    Returns:
        Zinc 3.0 in UTF-8; the grid `empty` for no tables at all.

    Raises:
        ValueError: two time zones, or a point twice in one table.
        UsageError: an id is none, or there is no such time zone.
    """
    if len({table.zone for table in tables}) > 1:
        raise ValueError("tables of several time zones")
    places: dict[str, int] = {}
    for table in tables:
        for cells in table.cells:
            places.setdefault(cells.point.id, len(places))
    columns = "".join(f",v{place} id:@{ref(point)}" for point, place in places.items())
    rows = [_rows(table, places, not_finite) for table in tables]
    return f'ver:"3.0"\n{"ts" if places else "empty"}{columns}\n{"".join(rows)}'.encode()


def single_body(table: Table, *, not_finite: NotFinite = "na") -> bytes:
    """The grid of *table*, which has one point: columns `ts` and `val`, the id in the grid's own tags.

    Only rows with a sample are in it. For servers without batch writing; else as `batch_body`.
    """
    (cells,) = table.cells
    point = cells.point.id
    if cells.present is not None:
        kept = cells.present
        table = Table(table.zone, table.times_ns[kept], (Cells(cells.point, cells.values[kept]),))
    return f'ver:"3.0" id:@{ref(point)}\nts,val\n{_rows(table, {point: 0}, not_finite)}'.encode()


def size_of(tables: Sequence[Table]) -> int:
    """How many bytes `batch_body` makes of *tables*, guessed without making it, seldom too few."""
    points = {cells.point.id for table in tables for cells in table.cells}
    size = sum(len(point) for point in points) + 14 * len(points) + 20
    for table in tables:
        row = _STAMP_CHARACTERS + len(table.zone) + len(points)
        size += row * len(table.times_ns) + sum(map(_size, table.cells))
    return size


def _size(cells: Cells) -> int:
    """Bytes of the values and of a comma with each."""
    values = cells.values
    if values.dtype.kind == "O":
        some: list[str] = (values if cells.present is None else values[cells.present]).tolist()
        return sum(len(text.encode("utf-8", "surrogatepass")) for text in some) + 3 * len(some)
    if values.dtype.kind == "b" or not len(values):
        return 2 * cells.samples
    few = values[:: max(1, len(values) // _LOOKED_AT)]
    return math.ceil((sum(map(len, _texts(few, "keep"))) / len(few) * _MARGIN + 1) * cells.samples)


def _rows(table: Table, places: dict[str, int], not_finite: NotFinite) -> str:
    """The lines of *table* in a grid with the columns *places*, each with its line feed."""
    if not len(table.times_ns):
        return ""
    by_place = {places[cells.point.id]: cells for cells in table.cells}
    if len(by_place) < len(table.cells):
        raise ValueError("a point twice in one table")
    first, last = min(by_place), max(by_place)
    columns = [by_place.get(place) for place in range(first, last + 1)]
    left, right = "," * first, "," * (len(places) - 1 - last)
    times = [f"{time}{left}" for time in stamps(table.times_ns, table.zone)]

    matrix = _numbers(columns, len(times))
    row_end = f"{right}\n"
    if matrix.dtype.kind == "f" and not (holes := np.isfinite(matrix)).all():
        np.logical_not(holes, out=holes)
        if (same := _same(columns, holes, matrix.dtype, not_finite)) is None:
            # no cell begins a line: there the time is a hole too
            text = f"{_HOLE},{f'{row_end}{_HOLE},'.join(_json(matrix))}{row_end}"
            return _woven(text.split(_HOLE), _filled(times, columns, holes, matrix, not_finite))
        rows = _json(matrix, same)
    else:
        rows = _json(matrix)
    heads = [f"{row_end}{time}," for time in times]
    heads[0] = f"{times[0]},"
    return _woven([*heads, row_end], rows)


def _woven(pieces: list[str], fills: list[str]) -> str:
    """The first of *pieces*, the first of *fills* and so on; the last piece has none after it."""
    whole = [""] * (len(pieces) + len(fills))
    whole[::2] = pieces
    whole[1::2] = fills
    return "".join(whole)


def _numbers(columns: list[Cells | None], count: int) -> NDArray[Any]:
    """The numbers of *columns* as one array, shape (count, columns); NaN where the text is made elsewhere."""
    dtypes = {each.values.dtype for each in columns if each}
    dense = all(each and each.present is None for each in columns)
    if dense and len(dtypes) == 1 and (dtype := dtypes.pop()).kind in "iu":
        integers = np.empty((count, len(columns)), dtype.newbyteorder("="))
        for place, each in enumerate(columns):
            integers[:, place] = each.values if each else 0
        return integers
    matrix = np.full((count, len(columns)), np.nan, _float_of(columns))
    for place, each in enumerate(columns):
        if each and each.values.dtype == matrix.dtype:
            if each.present is None:
                matrix[:, place] = each.values
            else:
                np.copyto(matrix[:, place], each.values, where=each.present)
    return matrix


def _float_of(columns: list[Cells | None]) -> np.dtype[Any]:
    """The float dtype that most columns have."""
    doubles = sum(each is not None and each.values.dtype == np.float64 for each in columns)
    singles = sum(each is not None and each.values.dtype == np.float32 for each in columns)
    return np.dtype(np.float32 if singles > doubles else np.float64)


def _json(matrix: NDArray[Any], hole: str = _HOLE) -> list[str]:
    """The rows of *matrix* as JSON without brackets; *hole* instead of what is not finite."""
    if orjson is not None:
        text: str = orjson.dumps(matrix, option=orjson.OPT_SERIALIZE_NUMPY).decode()
        if hole != _HOLE:
            text = text.replace(_HOLE, hole)
        # [[1.0,2.0],[3.0,4.0]]: one character is found many times faster than `],[`
        return [row[:-2] for row in text.split("[")[2:]]
    write = str if matrix.dtype == np.float32 else repr
    rows = matrix if matrix.dtype == np.float32 else matrix.tolist()
    return [",".join([write(value) if math.isfinite(value) else hole for value in row]) for row in rows]


def _same(
    columns: list[Cells | None], holes: NDArray[np.bool_], numbers: np.dtype[Any], not_finite: NotFinite
) -> str | None:
    """What all *holes* are filled with; None where that differs."""
    if any(each and each.values.dtype != numbers for each in columns):
        return None
    absent = sum(len(holes) if each is None else len(holes) - each.samples for each in columns)
    if absent == np.count_nonzero(holes):
        return ""
    return "NA" if not absent and not_finite == "na" else None


def _filled(
    times: list[str],
    columns: list[Cells | None],
    holes: NDArray[np.bool_],
    matrix: NDArray[Any],
    not_finite: NotFinite,
) -> list[str]:
    """What the holes are filled with, the time of each row first, row by row."""
    some = [0, *(np.flatnonzero(holes.any(axis=0)) + 1).tolist()]
    texts = np.full((len(times), len(some)), "", object)
    texts[:, 0] = times
    for number, place in enumerate(some[1:], 1):
        each = columns[place - 1]
        if each is None:
            continue
        if each.values.dtype == matrix.dtype:
            rows = holes[:, place - 1] if each.present is None else holes[:, place - 1] & each.present
            texts[rows, number] = _not_finite(each.values[rows], not_finite)
        elif each.present is None:
            texts[:, number] = _texts(each.values, not_finite)
        else:
            texts[each.present, number] = _texts(each.values[each.present], not_finite)
    all_holes = np.concatenate([np.ones((len(times), 1), bool), holes], axis=1)[:, some]
    filled: list[str] = texts[all_holes].tolist()
    return filled


def _texts(values: NDArray[Any], not_finite: NotFinite) -> list[str]:
    """Each of *values* as Zinc."""
    kind = values.dtype.kind
    if kind == "b":
        texts: list[str] = _BOOLEANS[values.astype(np.intp)].tolist()
        return texts
    if kind == "O":
        texts = values.tolist()
        if TO_ESCAPE.search("".join(texts)):
            return list(map(quoted, texts))
        return [f'"{text}"' for text in texts]
    if not len(values):
        return []
    if kind == "f" and values.dtype.itemsize < 4:
        values = values.astype(np.float32)
    (row,) = _json(np.ascontiguousarray(values, values.dtype.newbyteorder("=")).reshape(1, -1))
    cells = row.split(",")
    if kind == "f":
        for at in np.flatnonzero(~np.isfinite(values)).tolist():
            cells[at] = _not_finite(values[at : at + 1], not_finite)[0]
    return cells


def _not_finite(values: NDArray[Any], not_finite: NotFinite) -> list[str]:
    if not_finite == "na":
        return ["NA"] * len(values)
    return ["NaN" if value != value else "INF" if value > 0 else "-INF" for value in values.tolist()]
