"""Text out: batches as JSON Lines and CSV, a column at a time; the inverse of `rows`."""

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
from speeddata.names import printable

if TYPE_CHECKING:
    from speeddata.batch import Batch

Cells = list[Any]  # what `%s` turns into the text of a cell: ready text, or a finite number

_BOOLEANS = ("false", "true")
_QUOTE_NEEDED = re.compile(r'[",\r\n]')


@dataclass(frozen=True)
class _Form:
    """How values look that are no plain numbers."""

    null: str
    text: Callable[[str], str]
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
    # names follow Avro's grammar: nothing in them needs escaping, and none holds a percent sign
    row = "{" + ", ".join(f'"{signal.name}": %s' for signal in signals) + "}\n"
    return "".join([row % cells for cells in zip(*columns, strict=True)]).encode()


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
    row = ",".join(["%s"] * len(signals)) + "\n"
    return "".join([heading, *(row % cells for cells in zip(*columns, strict=True))]).encode()


def _wanted(batch: Batch, names: Sequence[str] | None) -> list[Signal]:
    return [signal for signal in batch.schema.signals if names is None or signal.name in names]


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
            some: Cells = [_moment(value, tick_ns, form) for value in values.tolist()]
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
    if kind in ("float", "double") and not np.isfinite(values).all():
        return [value if math.isfinite(value) else form.not_finite(value) for value in values.tolist()]
    plain: list[Any] = values.tolist()
    if kind in NUMBERS:
        return plain
    if kind == "boolean":
        return [_BOOLEANS[value] for value in plain]
    if kind in ("string", "enum"):
        return list(map(form.text, plain))
    if kind in ("bytes", "fixed"):
        return [form.text(base64.b64encode(value).decode()) for value in plain]
    return [form.nested(value) for value in plain]


def _moment(value: float, tick_ns: int, form: _Form) -> Any:
    """RFC 3339 text of *value* ticks since 1970; what that cannot write stays a number."""
    if not math.isfinite(value):
        return form.not_finite(value)
    try:
        return form.text(timerange.iso_utc(round(Fraction(value) * tick_ns)))
    except ValueError:
        return value


def _json_text(text: str) -> str:
    quoted = encode_basestring(text)
    if quoted.isprintable():
        return quoted
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in quoted)


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


def _csv_nested(value: Any) -> str:
    return "" if value is None else _csv_text(_json_nested(value))


_JSON = _Form("null", _json_text, lambda _: "null", _json_nested)
_CSV = _Form("", _csv_text, str, _csv_nested)
_CSV_SHOWN = _Form(
    "", lambda text: printable(_csv_text(text)), str, lambda value: printable(_csv_nested(value))
)
