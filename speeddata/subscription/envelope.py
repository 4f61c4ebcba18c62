"""Samples as the JSON that subscribers get, many at a time: `data.items[].id/datapoints[].time/value/status`.

Text of a whole column is made as one array, and what lies between two values (the end of one datapoint, the
time and the beginning of the next) once for all series, so that a datapoint costs two pieces of a join. The
form is that of equinor/plant/schemas/ingest/datapoints_v2, without a blank.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, repeat
from json.encoder import encode_basestring
from operator import add
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from speeddata.avro.columns import Column, as_objects
from speeddata.avro.schema import Node, Schema
from speeddata.avro.types import DTYPES
from speeddata.errors import UsageError
from speeddata.subscription.series import Series, Steps, leaf, steps
from speeddata.subscription.times import Precision, Times, texts, times

if TYPE_CHECKING:
    from numpy.typing import NDArray

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]

GOOD: Final = 192
QUESTIONABLE: Final = 64
BAD: Final = 0

_BEGIN: Final = b'{"data":{"items":['
_END: Final = b']},"schema":"equinor/plant/schemas/ingest/datapoints_v2"}'
_STATUS: Final = ',"status":'
_TIME: Final = '},{"time":"'
_VALUE: Final = '","value":'
_NULL: Final = "null"
_WIDEST = {"boolean": 5, "int": 11, "long": 20, "float": 20, "double": 25}  # characters of a value
# Between these, and at zero, no shortest text has an exponent: orjson and `repr` write the same. Of float32
# orjson writes some with one from 1e13 on, `repr` none below 1e16.
_LEAST_PLAIN, _BEYOND_PLAIN = 1e-4, {4: 1e12, 8: 1e16}
_PLANS = 64  # schemas of a channel that are remembered
_FEW = 16  # numbers: below this NumPy costs more than `repr`

FRAME_BYTES: Final = len(_BEGIN) + len(_END)
ITEM_BYTES: Final = len('{"id":"01234567-0123-0123-0123-0123456789ab","datapoints":[]},')


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a series is found in a schema: the way to its values, and their type."""

    series: Series
    steps: Steps
    node: Node


@dataclass(slots=True)
class _Texts:
    """The datapoints of one series, as pieces that only have to be joined.

    Attributes:
        begin: of its item.
        before: of each value: the end of the datapoint before, the time, and the beginning of the value.
        skip: characters to leave out of the first of those: there is no datapoint before.
        cells: the values.
        ends: the status of each datapoint; None: that is in `before`, and in `end`.
        end: of the last datapoint and the item.
        sizes: bytes that each datapoint takes at most, shape (m,), or the same for all.
    """

    begin: str
    before: list[str]
    skip: int
    cells: list[str]
    ends: list[str] | None
    end: str
    sizes: NDArray[np.int64] | int
    _pieces: list[str] | None = None

    def item(self, first: int, end: int) -> str:
        width = 2 if self.ends is None else 3
        if self._pieces is None:
            self._pieces = [""] * (width * len(self.cells))
            self._pieces[::width], self._pieces[1::width] = self.before, self.cells
            if self.ends is not None:
                self._pieces[2::width] = self.ends
        text = "".join(self._pieces[width * first : width * end])
        return f"{self.begin}{text[self.skip :]}{self.end}"

    def values(self) -> list[str]:
        """What stands between a time and `end` where a datapoint is the only one of its item."""
        return self.cells if self.ends is None else list(map(add, self.cells, self.ends))


@dataclass(slots=True)
class Encoded:
    """Datums of which every series is text already, to be cut into bodies.

    Attributes:
        count: datums.
        series: that have datapoints in them.
        sizes: bytes of the datapoints of each datum and series at most: one number for the series where it
            is the same for all, else an array by kept datum.
    """

    count: int
    times: Times
    _items: list[_Texts] = field(repr=False)
    _at: NDArray[np.int64] | None = field(repr=False)  # datums kept before each; None: all are kept
    _rows: list[tuple[str, ...]] | None = field(default=None, repr=False)  # `_Texts.values` by datum
    _frame: list[str] = field(default_factory=list, repr=False)  # of a single datum: all but time and values

    @property
    def series(self) -> int:
        return len(self._items)

    @property
    def sizes(self) -> list[NDArray[np.int64] | int]:
        return [item.sizes for item in self._items]

    def kept(self, row: int) -> int:
        """How many of the first *row* datums have a time that can be written."""
        return row if self._at is None else int(self._at[row])

    def body(self, first: int, end: int, only: range | None = None) -> bytes:
        """The envelope of kept datums *first* to *end* (exclusive), of the series *only* or all.

        Empty where there is no datapoint: an empty envelope is never made.
        """
        items = self._items if only is None else self._items[only.start : only.stop]
        if first >= end or not items:
            return b""
        if only is None and end == first + 1:
            return self._single(first)
        text = ",".join([item.item(first, end) for item in items])
        return b"".join((_BEGIN, text.encode("utf-8", "replace"), _END))

    def _single(self, row: int) -> bytes:
        """The envelope of one datum: what is around its time and its values is the same for all."""
        items = self._items
        if self._rows is None:
            self._rows = list(zip(*[item.values() for item in items], strict=True))
            inner = [f"{one.end},{next.begin}" for one, next in pairwise(items)]
            begin, end = _BEGIN.decode() + items[0].begin, items[-1].end + _END.decode()
            self._frame = [""] * (3 * len(items) + 1)
            self._frame[::3] = [begin, *inner, end]
        self._frame[1::3] = [items[0].before[row][items[0].skip :]] * len(items)
        self._frame[2::3] = self._rows[row]
        return "".join(self._frame).encode("utf-8", "replace")


class Encoder:
    """Makes bodies of the samples of one channel.

    NaN, the infinities and null become null of status 0; a number is the shortest text that reads back the
    same (of float32 the shortest of float32), an integer exact. Without orjson the same bytes come out.

    Args:
        series: in the order of their items; series that a schema has not are no items.
        precision: digits of the written times; the rest is cut off.
        quality: signal that says the status of all samples of its datum: an integer is taken as it is, true
            and false are 192 and 0, null is 64. In schemas without it the status is 192.

    Attributes:
        crowded: samples so far whose written time is that of the sample of the same series before.
        timeless: samples left out so far, for they have no time that can be written.

    Raises:
        ValueError: series of several channels.
    """

    def __init__(
        self, series: Sequence[Series], *, precision: Precision = "ms", quality: str | None = None
    ) -> None:
        if len({each.channel.lower() for each in series}) > 1:
            raise ValueError("series of several channels")
        self.series = tuple(series)
        self.precision: Precision = precision
        self.quality = quality
        self.crowded = self.timeless = 0
        self._newest: tuple[int, int] | None = None
        self._plans: dict[Schema, list[_Plan]] = {}

    def names(self, schema: Schema) -> list[str]:
        """The signals of *schema* that have to be decoded; empty where it has none of the series."""
        found = {str(plan.steps[0]) for plan in self._planned(schema)}
        if not found:
            return []
        found |= {schema.abscissa.name, self.quality or schema.abscissa.name}
        return [signal.name for signal in schema.signals if signal.name in found]

    def items(self, schema: Schema, columns: Mapping[str, Column], first: int, end: int) -> bytes:
        """The envelope of datums *first* to *end* (exclusive), UTF-8; empty where there is no datapoint.

        Args:
            columns: of `names`, at least, as `codec.columns` gives them.

        Raises:
            DataError: the abscissa is no time, or does not tell its unit.
            UsageError: the signal that says the status is no integer or boolean.
        """
        found = self.encode(schema, {name: _part(column, first, end) for name, column in columns.items()})
        return found.body(0, found.kept(end - first))

    def encode(self, schema: Schema, columns: Mapping[str, Column]) -> Encoded:
        """All datums of *columns* as text; as `items` else."""
        plans = self._planned(schema)
        abscissa = columns[schema.abscissa.name]
        when = times(schema, abscissa, self.precision)
        count = len(abscissa.values)
        at = None
        if when.rows is not None:
            columns = {name: _rows(column, when.rows) for name, column in columns.items()}
            at = np.concatenate(([0], np.searchsorted(when.rows, np.arange(1, count + 1))))
            self.timeless += (count - len(when.rows)) * len(plans)
        self.crowded += self._shared(when) * len(plans)
        if not plans or not len(when.seconds):
            return Encoded(count, when, [], at)
        return Encoded(count, when, list(self._texts(schema, plans, columns, when)), at)

    def _planned(self, schema: Schema) -> list[_Plan]:
        if schema not in self._plans:
            if len(self._plans) >= _PLANS:
                self._plans.clear()
            found = ((each, leaf(schema, each.signal)) for each in self.series)
            self._plans[schema] = [
                _Plan(each, steps(each.signal), node) for each, node in found if node is not None
            ]
        return self._plans[schema]

    def _texts(
        self, schema: Schema, plans: Sequence[_Plan], columns: Mapping[str, Column], when: Times
    ) -> Iterator[_Texts]:
        before = texts(when, f"{_STATUS}{GOOD}{_TIME}", _VALUE)
        bare: list[str] = []  # the same without the status of the datapoint before
        told = None if self.quality is None else self._told(schema, columns)
        # The same for all datums of the schema, lest a cut depend on what was encoded together.
        around = len(before[0]) + (0 if told is None else _WIDEST["long"] - len(str(GOOD)))
        for plan in plans:
            cells, missing, widest = _cells(plan, columns)
            begin = f'{{"id":"{plan.series.id}","datapoints":['
            if told is None and missing is None:
                end, skip = f"{_STATUS}{GOOD}}}]}}", len(f"{_STATUS}{GOOD}") + 2
                yield _Texts(begin, before, skip, cells, None, end, widest + around)
                continue
            bare = bare or [text[len(f"{_STATUS}{GOOD}") :] for text in before]
            yield _Texts(begin, bare, 2, cells, _ends(told, missing, len(cells)), "}]}", widest + around)

    def _shared(self, when: Times) -> int:
        """How many times are the same as the one before, that of the last call among them."""
        seconds, fractions = when.seconds, when.fractions
        if not len(seconds):
            return 0
        before, self._newest = self._newest, (int(seconds[-1]), int(fractions[-1]))
        same = (seconds[1:] == seconds[:-1]) & (fractions[1:] == fractions[:-1])
        return int(np.count_nonzero(same)) + (before == (int(seconds[0]), int(fractions[0])))

    def _told(self, schema: Schema, columns: Mapping[str, Column]) -> list[int] | None:
        """The status of each datum; None where the schema does not have it."""
        signal = next((each for each in schema.signals if each.name == self.quality), None)
        if signal is None:
            return None
        if signal.kind not in ("int", "long", "boolean"):
            what = f"signal {signal.name} is of type {signal.kind}, and says no status"
            raise UsageError(what, where="--quality", mend="name one that is an integer or a boolean")
        column = columns[signal.name]
        values = np.where(column.values, GOOD, BAD) if signal.kind == "boolean" else column.values
        if column.valid is not None:
            values = np.where(column.valid, values, QUESTIONABLE)
        status: list[int] = values.tolist()
        return status


def _ends(told: Sequence[int] | None, missing: NDArray[np.bool_] | None, count: int) -> list[str]:
    """`,"status":192` of each datapoint."""
    status = repeat(GOOD, count) if told is None else told
    if missing is not None:
        status = [BAD if absent else each for absent, each in zip(missing.tolist(), status, strict=True)]
    known: dict[int, str] = {}
    return [known.get(each) or known.setdefault(each, f"{_STATUS}{each}") for each in status]


def _part(column: Column, first: int, end: int) -> Column:
    return Column(column.values[first:end], None if column.valid is None else column.valid[first:end])


def _rows(column: Column, rows: NDArray[np.int64]) -> Column:
    return Column(column.values[rows], None if column.valid is None else column.valid[rows])


# -- values -------------------------------------------------------------------------------------------------


def _cells(
    plan: _Plan, columns: Mapping[str, Column]
) -> tuple[list[str], NDArray[np.bool_] | None, NDArray[np.int64] | int]:
    """The text of each value, which are null (None: none is), and how many bytes each takes at most."""
    column, kind = _values(plan, columns[str(plan.steps[0])]), plan.node.kind
    values = column.values
    missing = None if column.valid is None or column.valid.all() else ~column.valid
    if kind in ("string", "enum"):
        return _worded(values, missing)
    if kind == "boolean":
        cells = ["true" if value else "false" for value in values.tolist()]
    elif kind in ("int", "long"):
        cells = list(map(str, values.tolist())) if _slowly(values) else _listed(values)
    else:
        finite = np.isfinite(values)
        if not finite.all():
            missing = ~finite if missing is None else missing | ~finite
        cells = _floats(values, finite)
    if missing is not None:
        for row in np.flatnonzero(missing).tolist():
            cells[row] = _NULL
    return cells, missing, _WIDEST[kind]


def _worded(
    values: NDArray[Any], missing: NDArray[np.bool_] | None
) -> tuple[list[str], NDArray[np.bool_] | None, NDArray[np.int64]]:
    plain = values.tolist()
    known = {text: _NULL if text is None else encode_basestring(text) for text in set(plain)}
    sizes = {text: len(quoted.encode("utf-8", "replace")) for text, quoted in known.items()}
    lengths = np.fromiter(map(sizes.__getitem__, plain), np.int64, len(plain))
    return list(map(known.__getitem__, plain)), missing, lengths


def _values(plan: _Plan, column: Column) -> Column:
    """The column of a series, numbers in their dtype, text as objects."""
    way = plan.steps[1:]
    if not way:
        return column
    if column.values.ndim == 2:
        return Column(np.ascontiguousarray(column.values[:, int(way[0])]), column.valid)
    found = [_within(value, way) for value in as_objects(column).tolist()]
    valid = np.fromiter((value is not None for value in found), np.bool_, len(found))
    dtype = DTYPES.get(plan.node.kind)
    if dtype is None:
        values = np.empty(len(found), object)
        values[:] = found
        return Column(values, valid)
    return Column(np.array([0 if value is None else value for value in found], dtype), valid)


def _within(value: Any, way: Iterable[str | int]) -> Any:
    """What lies at *way* in a value; None where it, or what is around it, is null or not there."""
    for step in way:
        if value is None:
            return None
        if isinstance(step, int):
            if step >= len(value):  # a datum with fewer items than the schema promises is still one
                return None
            value = value[step]
        else:
            value = value.get(step)
    return value


def _floats(values: NDArray[Any], finite: NDArray[np.bool_]) -> list[str]:
    """The shortest text of each that reads back the same; anything where it is not finite."""
    if _slowly(values):
        return [_shortest(value) for value in values]
    cells = _listed(values)
    sizes = np.abs(values)
    plain = (sizes >= _LEAST_PLAIN) & (sizes < _BEYOND_PLAIN[values.itemsize]) | (sizes == 0)
    for row in np.flatnonzero(~plain & finite).tolist():
        cells[row] = _shortest(values[row])
    return cells


def _shortest(value: Any) -> str:
    # nine digits, as many as a float32 can need, pass through a double unchanged
    return repr(float(str(value) if isinstance(value, np.float32) else value))


def _slowly(values: NDArray[Any]) -> bool:
    return orjson is None or len(values) < _FEW


def _listed(values: NDArray[Any]) -> list[str]:
    text = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    return text[1:-1].decode().split(",")
