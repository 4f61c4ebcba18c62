"""Text in: JSON Lines and CSV, fed as bytes in any cut, become batches of datums; the inverse of `text`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np

from speeddata import timerange
from speeddata.avro import datum
from speeddata.avro.schema import TICK_NS, Schema, Signal
from speeddata.avro.types import Array, Map, Node, Primitive, Record
from speeddata.batch import Batch
from speeddata.errors import DataError, UsageError

MAX_LINE = 1 << 20  # bytes; the text of the largest datum is shorter
MAX_DATUM = 65507  # bytes: what a datagram carries

Row = dict[str, Any]

_BOM = b"\xef\xbb\xbf"
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:nan|inf|infinity)", re.I)
# RFC 4180 section 2: a cell in quotes, where two quotes stand for one, or a cell without any
_CELL = re.compile(r'(?:"([^"]*(?:""[^"]*)*)"|([^"]*?))(,|\Z)')


class Rows:
    """Cuts text into rows, and rows into datums; does no I/O of its own.

    Args:
        schema: what the rows are checked against.
        where: the file or pipe, for errors.
        stamp: gives the abscissa of each row, in its own unit, as it is read; the row need not have it then.
    """

    def __init__(self, schema: Schema, *, where: str = "", stamp: Callable[[], float] | None = None) -> None:
        self.schema = schema
        self.line = 0  # of the row being read, from 1
        self._where = where
        self._stamp = stamp
        self._encode = datum.encoder(schema)
        self._abscissa = schema.abscissa.name
        self._restore = _nan_restorer(schema.record)
        self._pending = b""
        self._begun = False

    def feed(self, data: bytes) -> Iterator[Batch]:
        """Add *data*; yield the rows that are now whole, as one batch.

        Raises:
            DataError: a row does not fit the schema; the rows before it have been yielded.
        """
        whole, self._pending = self._cut(self._without_bom(self._pending + data))
        if len(self._pending) > MAX_LINE:
            raise self._error(self.line + 1, f"the line is longer than {MAX_LINE} bytes")
        if whole:
            yield from self._batch(whole)

    def finish(self) -> Iterator[Batch]:
        """Yield what the end of the text makes whole: a last line without its line feed."""
        rest, self._pending = self._pending, b""
        if rest:
            yield from self._batch(rest)

    def _cut(self, data: bytes) -> tuple[bytes, bytes]:
        """The whole rows, and the bytes after them."""
        end = data.rfind(b"\n") + 1
        return data[:end], data[end:]

    def _records(self, text: str) -> Iterator[tuple[int, Row | None]]:
        """The rows of *text*, each with the number of lines it takes; None for a line that is no row."""
        raise NotImplementedError

    def _without_bom(self, data: bytes) -> bytes:
        if self._begun or _BOM.startswith(data):  # nothing, or too little to tell
            return data
        self._begun = True
        return data.removeprefix(_BOM)

    def _batch(self, whole: bytes) -> Iterator[Batch]:
        try:
            text = whole.decode()
        except UnicodeDecodeError as exc:
            before, _ = self._cut(whole[: exc.start])
            if before:
                yield from self._batch(before)
            line = self.line + 1 + whole.count(b"\n", len(before), exc.start)
            raise self._error(line, "not UTF-8", "save the text as UTF-8") from None
        datums: list[bytes] = []
        problem: DataError | None = None
        lines = 1
        try:
            for lines, row in self._records(text):
                if row is not None:
                    datums.append(self._datum(row))
                self.line += lines
        except DataError as exc:
            problem = exc
        except (ValueError, RecursionError) as exc:
            what = "nested too deeply" if isinstance(exc, RecursionError) else str(exc)
            problem = self._error(self.line + 1, what)
        if datums:
            offsets = np.zeros(len(datums) + 1, np.int64)
            np.cumsum([len(one) for one in datums], out=offsets[1:])
            yield Batch(self.schema, b"".join(datums), len(datums), offsets)
        if problem is not None:
            raise problem

    def _datum(self, row: Row) -> bytes:
        if self._stamp is not None:
            row[self._abscissa] = self._stamp()
        elif isinstance(row.get(self._abscissa), str):
            row[self._abscissa] = self._moment(row[self._abscissa])
        try:
            encoded = self._encode(row)
        except ValueError:  # JSON has no NaN: null takes its place, and is NaN again where it cannot be null
            if self._restore is None:
                raise
            encoded = self._encode(self._restore(row))
        if len(encoded) > MAX_DATUM:
            raise ValueError(f"a datum of {len(encoded)} bytes; a datagram carries {MAX_DATUM}")
        return encoded

    def _moment(self, text: str) -> Any:
        """An RFC 3339 time in the abscissa's own unit; any other text is left for the schema to judge."""
        unit = self.schema.time_unit
        if unit is None or not text[:1].isdigit() or "-" not in text:
            return text
        try:
            time_ns = timerange.moment_ns(text, 0)
        except UsageError as exc:
            raise ValueError(f"{self._abscissa}: {exc}") from None
        if self.schema.abscissa.kind in ("float", "double"):
            return time_ns / TICK_NS[unit]
        ticks, rest = divmod(time_ns, TICK_NS[unit])
        if rest:
            raise ValueError(f"{self._abscissa}: '{text}' is finer than a whole number of {unit}")
        return ticks

    def _error(self, line: int, what: str, mend: str = "") -> DataError:
        where = f"{self._where}: line {line}" if self._where else f"line {line}"
        return DataError(what, where=where, mend=mend)


_Restore = Callable[[Any], Any]


def _nan_restorer(node: Node) -> _Restore | None:
    """What makes NaN of null wherever a value of *node* holds a number that cannot be null; None: nowhere."""
    match node:
        case Primitive(kind="float" | "double"):
            return lambda value: math.nan if value is None else value
        case Array(items=items):
            return _in_items(_nan_restorer(items))
        case Map(values=values):
            return _in_values(_nan_restorer(values))
        case Record(fields=fields):
            return _in_fields({each.name: _nan_restorer(each.node) for each in fields})
    return None


def _in_items(restore: _Restore | None) -> _Restore | None:
    if restore is None:
        return None
    return lambda value: [*map(restore, value)] if isinstance(value, list) else value


def _in_values(restore: _Restore | None) -> _Restore | None:
    if restore is None:
        return None
    return lambda row: _restored(row, dict.fromkeys(row, restore)) if isinstance(row, dict) else row


def _in_fields(found: Mapping[str, _Restore | None]) -> _Restore | None:
    restorers = {name: restore for name, restore in found.items() if restore is not None}
    if not restorers:
        return None
    return lambda row: _restored(row, restorers) if isinstance(row, dict) else row


def _restored(row: Row, restorers: Mapping[str, _Restore]) -> Row:
    return row | {name: restore(row[name]) for name, restore in restorers.items() if name in row}


class JsonRows(Rows):
    """JSON Lines: an object a line; blank lines are passed over."""

    def _records(self, text: str) -> Iterator[tuple[int, Row | None]]:
        for line in text.removesuffix("\n").split("\n"):
            yield 1, self._object(line) if line and not line.isspace() else None

    def _object(self, line: str) -> Row:
        try:
            row = json.loads(line)
        except json.JSONDecodeError as exc:
            raise ValueError(f"not JSON: {exc.msg} at character {exc.pos + 1}") from None
        if not isinstance(row, dict):
            raise ValueError("not a JSON object")
        return row


class CsvRows(Rows):
    """CSV by RFC 4180, its first line naming the signals.

    An empty cell is null where the signal is nullable; in quotes it is the empty text. Arrays, maps, records
    and unions are JSON in a cell, bytes are base64.
    """

    def __init__(self, schema: Schema, *, where: str = "", stamp: Callable[[], float] | None = None) -> None:
        super().__init__(schema, where=where, stamp=stamp)
        self._columns: list[tuple[str, Callable[[str, bool], Any]]] | None = None
        self._null_alone = False

    def _cut(self, data: bytes) -> tuple[bytes, bytes]:
        # a line feed within quotes ends no row: the quotes before a row's end are even in number
        end = data.rfind(b"\n") + 1
        if data.count(b'"', 0, end) % 2:
            start = end = 0
            inside = False
            while (after := data.find(b"\n", start) + 1) > 0:
                inside ^= bool(data.count(b'"', start, after) % 2)
                start = after
                if not inside:
                    end = after
        return data[:end], data[end:]

    def _records(self, text: str) -> Iterator[tuple[int, Row | None]]:
        lines = iter(text.removesuffix("\n").split("\n"))
        for line in lines:
            record, taken = line, 1
            while record.count('"') % 2:
                more = next(lines, None)
                if more is None:
                    raise ValueError("a quote is never closed")
                record, taken = f"{record}\n{more}", taken + 1
            yield taken, self._row(record.removesuffix("\r"))

    def _row(self, record: str) -> Row | None:
        if not record and not self._null_alone:
            return None
        cells = _cells(record)
        if self._columns is None:
            self._columns = self._heading([cell for cell, _ in cells])
            self._null_alone = len(cells) == 1 and self._signal(cells[0][0]).nullable
            return None
        if len(cells) != len(self._columns):
            raise ValueError(f"{len(cells)} cells where the first line names {len(self._columns)}")
        return {
            name: convert(cell, quoted)
            for (name, convert), (cell, quoted) in zip(self._columns, cells, strict=True)
        }

    def _heading(self, names: list[str]) -> list[tuple[str, Callable[[str, bool], Any]]]:
        names = [name.strip() for name in names]
        seen = set[str]()
        for name in names:
            if name in seen:
                raise self._error(self.line + 1, f"two columns are named '{name[:80]}'")
            seen.add(name)
        return [(name, _converter(self._signal(name), name == self._abscissa)) for name in names]

    def _signal(self, name: str) -> Signal:
        known = {signal.name: signal for signal in self.schema.signals}
        if name.strip() not in known:
            near = get_close_matches(name, known, n=1)
            mend = f"did you mean {near[0]}?" if near else "the first line names the columns"
            raise self._error(self.line + 1, f"there is no signal '{name[:80]}'", mend)
        return known[name.strip()]


def json_lines(schema: Schema, *, where: str = "", stamp: Callable[[], float] | None = None) -> Rows:
    """A reader of JSON Lines."""
    return JsonRows(schema, where=where, stamp=stamp)


def csv_rows(schema: Schema, *, where: str = "", stamp: Callable[[], float] | None = None) -> Rows:
    """A reader of CSV."""
    return CsvRows(schema, where=where, stamp=stamp)


def _cells(record: str) -> list[tuple[str, bool]]:
    """The cells of a record, each with whether it stood in quotes."""
    if '"' not in record:
        return [(cell, False) for cell in record.split(",")]
    cells: list[tuple[str, bool]] = []
    start = 0
    while True:
        match = _CELL.match(record, start)
        if match is None:
            raise ValueError(f"cell {len(cells) + 1} has a quote in its middle")
        quoted = match[1] is not None
        cells.append((match[1].replace('""', '"') if quoted else match[2], quoted))
        start = match.end()
        if not match[3]:
            return cells


def _converter(signal: Signal, abscissa: bool) -> Callable[[str, bool], Any]:
    """What makes a value of a cell, for the encoder to judge."""
    convert = _CONVERTERS.get(signal.kind, _json_cell)
    name, kind = signal.name, signal.kind
    may_be_null = signal.nullable or kind in ("null", "union")  # whether a wide union may, its encoder knows

    def value(cell: str, quoted: bool) -> Any:
        if may_be_null and not cell and not quoted:
            return None
        try:
            return convert(cell)
        except ValueError:
            if abscissa and cell[:4].isdigit():
                return cell  # perhaps a time by RFC 3339
            raise ValueError(f"{name}: '{cell[:80]}' is no {kind}") from None

    return value


def _integer(cell: str) -> int:
    cell = cell.strip()
    if not _INTEGER.fullmatch(cell):
        raise ValueError
    return int(cell)


def _float(cell: str) -> float:
    cell = cell.strip()
    if not _FLOAT.fullmatch(cell):
        raise ValueError
    return float(cell)


def _boolean(cell: str) -> bool:
    found = _BOOLEANS.get(cell.strip().lower())
    if found is None:
        raise ValueError
    return found


def _json_cell(cell: str) -> Any:
    return json.loads(cell)


def _null(cell: str) -> None:
    if cell:
        raise ValueError


_CONVERTERS: dict[str, Callable[[str], Any]] = {
    "null": _null,
    "boolean": _boolean,
    "int": _integer,
    "long": _integer,
    "float": _float,
    "double": _float,
    "string": str,
    "enum": str,
    "bytes": str,
    "fixed": str,
}
