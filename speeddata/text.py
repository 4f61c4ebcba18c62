"""Text out: batches as JSON Lines and CSV, a column at a time; the inverse of `rows`.

Nearly all the time goes into the shortest text of doubles: `repr` takes 430-590 ns for one of full precision,
orjson 50-80 ns, with the text cut up again. A demo datum (four doubles) takes 0.7 us with it and 2.0 without.
That is why orjson is required (256 kB, 3 ms to import) wherever it comes ready-made; elsewhere `repr` writes
the same bytes.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

import numpy as np

from speeddata import timerange
from speeddata.avro import codec
from speeddata.avro.schema import TICK_NS, Signal
from speeddata.avro.types import NUMBERS
from speeddata.legible import printable

if TYPE_CHECKING:
    from speeddata.batch import Batch

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]

Cells = list[str]

_BOOLEANS = ("false", "true")
_QUOTE_NEEDED = re.compile(r'[",\r\n]')
_ESCAPE_NEEDED = re.compile(r'["\\]')
_FEW = 16  # doubles: below this NumPy costs more than `repr`
# Between these, and at zero, no shortest text of a double has an exponent: `repr` and orjson write the same.
_LEAST_PLAIN, _BEYOND_PLAIN = 1e-4, 1e16


@dataclass(frozen=True)
class _Form:
    """How values look that are no plain numbers."""

    null: str
    text: Callable[[str], str]
    texts: Callable[[list[str]], list[str]]
    not_finite: Callable[[float], str]
    nested: Callable[[Any], str]


def json_lines(batch: Batch, *, iso: bool = False, names: Sequence[str] | None = None) -> bytes:
    """One JSON object (RFC 8259) a datum, each with its line feed, in UTF-8.

    Integers are exact, floats the shortest text that reads back the same; NaN and infinities are null, bytes
    base64, enums their symbol, values of unions plain. What could steer a terminal is escaped.

    Args:
        batch: the datums.
        iso: the abscissa as RFC 3339 text in UTC, where its unit of time is known.
        names: the signals wanted, in the order of the schema all the same; None: all.
    """
    signals = _wanted(batch, names)
    columns = _columns(batch, signals, _JSON, iso)
    # names follow Avro's grammar: nothing in them needs escaping
    before = [f'{", " if number else "{"}"{signal.name}": ' for number, signal in enumerate(signals)]
    return _lines(columns, [*before, "}\n"]).encode()


def csv(
    batch: Batch,
    header: bool,
    *,
    iso: bool = False,
    names: Sequence[str] | None = None,
    for_terminal: bool = False,
) -> bytes:
    """A line of CSV (RFC 4180, with the line feed of Unix) a datum, in UTF-8.

    As JSON Lines, but null is an empty cell (an empty text stands in quotes), numbers that are not finite are
    `nan`, `inf`, `-inf`; arrays, maps, records and wide unions are JSON in a cell.

    Args:
        batch: the datums.
        header: whether a line with the names of the signals comes first.
        iso: the abscissa as RFC 3339 text in UTC, where its unit of time is known.
        names: the signals wanted, in the order of the schema all the same; None: all.
        for_terminal: make visible what could steer a terminal; the text is then no longer exact.
    """
    signals = _wanted(batch, names)
    columns = _columns(batch, signals, _CSV_SHOWN if for_terminal else _CSV, iso)
    heading = ",".join(signal.name for signal in signals) + "\n" if header else ""
    return (heading + _lines(columns, ["", *[","] * (len(signals) - 1), "\n"])).encode()


def _wanted(batch: Batch, names: Sequence[str] | None) -> list[Signal]:
    return [signal for signal in batch.schema.signals if names is None or signal.name in names]


def _lines(columns: list[Cells], around: Sequence[str]) -> str:
    """A line of all first cells, one of all second ones, and so on: each cell between two of *around*."""
    if not columns:
        return ""
    width = 2 * len(columns) + 1
    line = [""] * width
    line[::2] = around
    pieces = line * len(columns[0])
    for number, cells in enumerate(columns):
        pieces[2 * number + 1 :: width] = cells
    return "".join(pieces)


def _columns(batch: Batch, signals: list[Signal], form: _Form, iso: bool) -> list[Cells]:
    """For each signal the cells of all datums."""
    schema = batch.schema
    tick_ns = TICK_NS.get(schema.time_unit or "") if iso and schema.abscissa.kind in NUMBERS else None
    found = codec.columns(batch, [signal.name for signal in signals])
    cells = []
    for signal in signals:
        column = found[signal.name]
        values = column.values if column.valid is None else column.values[column.valid]
        if tick_ns is not None and signal is schema.abscissa:
            some = [_moment(value, tick_ns, form) for value in values.tolist()]
        else:
            some = _cells(signal, values, form)
        if column.valid is not None:
            present = iter(some)
            some = [next(present) if valid else form.null for valid in column.valid.tolist()]
        cells.append(some)
    return cells


def _cells(signal: Signal, values: np.ndarray[Any, np.dtype[Any]], form: _Form) -> Cells:
    """The cells of *values*, shape (n,) or (n, k), none of them null."""
    kind = signal.kind
    if kind in ("float", "double"):
        return _doubles(values.astype("<f8", copy=False), form)
    if kind in NUMBERS:
        return list(map(str, values.tolist())) if orjson is None else _listed(values)
    plain: list[Any] = values.tolist()
    if kind == "boolean":
        return [_BOOLEANS[value] for value in plain]
    if kind in ("string", "enum"):
        return form.texts(plain)
    if kind in ("bytes", "fixed"):
        return form.texts([base64.b64encode(value).decode() for value in plain])
    return [form.nested(value) for value in plain]


def _doubles(values: np.ndarray[Any, np.dtype[Any]], form: _Form) -> Cells:
    """For each the shortest text that reads back the same."""
    if orjson is None or len(values) < _FEW:
        return [repr(value) if math.isfinite(value) else form.not_finite(value) for value in values.tolist()]
    cells = _listed(values)
    sizes = np.abs(values)
    plain = (sizes >= _LEAST_PLAIN) & (sizes < _BEYOND_PLAIN) | (sizes == 0)
    for row in np.flatnonzero(~plain).tolist():
        value = values[row].item()
        cells[row] = repr(value) if math.isfinite(value) else form.not_finite(value)
    return cells


def _listed(values: np.ndarray[Any, np.dtype[Any]]) -> Cells:
    """Each number of a contiguous array as orjson writes it."""
    text = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].decode()
    return text.split(",") if text else []


def _moment(value: float, tick_ns: int, form: _Form) -> str:
    """RFC 3339 text of *value* ticks since 1970; what that cannot write stays a number."""
    if not math.isfinite(value):
        return form.not_finite(value)
    try:
        time_ns = value * tick_ns if isinstance(value, int) else round(Fraction(value) * tick_ns)
        return form.text(timerange.iso_utc(time_ns))
    except ValueError:
        return repr(value)


def _json_text(text: str) -> str:
    quoted = encode_basestring(text)
    if quoted.isprintable():
        return quoted
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in quoted)


def _json_texts(texts: list[str]) -> list[str]:
    together = "".join(texts)
    if together.isprintable() and not _ESCAPE_NEEDED.search(together):
        return [f'"{text}"' for text in texts]
    return list(map(_json_text, texts))


def _json_nested(value: Any) -> str:
    """The JSON of an array, a map, a record, or a value of a wide union."""
    if isinstance(value, str):
        return _json_text(value)
    if isinstance(value, bytes):
        return _json_text(base64.b64encode(value).decode())
    if isinstance(value, float) and not math.isfinite(value):
        return "null"
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{_json_text(key)}: {_json_nested(item)}" for key, item in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_json_nested, value)) + "]"
    return json.dumps(value)


def _csv_text(text: str) -> str:
    if text and not _QUOTE_NEEDED.search(text):
        return text
    return '"' + text.replace('"', '""') + '"'


def _csv_texts(texts: list[str]) -> list[str]:
    if all(texts) and not _QUOTE_NEEDED.search("".join(texts)):
        return texts
    return list(map(_csv_text, texts))


def _csv_shown(text: str) -> str:
    return printable(_csv_text(text))


def _csv_nested(value: Any) -> str:
    return "" if value is None else _csv_text(_json_nested(value))


_JSON = _Form("null", _json_text, _json_texts, lambda _: "null", _json_nested)
_CSV = _Form("", _csv_text, _csv_texts, str, _csv_nested)
_CSV_SHOWN = _Form(
    "",
    _csv_shown,
    lambda texts: list(map(_csv_shown, texts)),
    str,
    lambda value: printable(_csv_nested(value)),
)
