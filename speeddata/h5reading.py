"""HDF5 sets read back: each group as the samples that were written to it (section 6 of the formats)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from speeddata import columnar
from speeddata.avro import schema as schemas
from speeddata.avro.codec import Column
from speeddata.avro.schema import Primitive, Schema, Signal
from speeddata.avro.types import DTYPES
from speeddata.cutting import Range, bounds
from speeddata.errors import DataError, HostError
from speeddata.samples import Samples

_VALID = ".valid"
_KINDS = {np.dtype(dtype): kind for kind, dtype in DTYPES.items()}

Rows = NDArray[np.bool_] | slice


def read_set(
    path: Path, wanted: Range, patterns: Sequence[str] | None, seen: list[Schema], time_unit: str | None
) -> Iterator[Samples]:
    """The channels of the set at *path* that have samples in *wanted*; the schema of each is added to *seen*.

    Raises:
        HostError: it cannot be read.
        DataError: it is no set of ours.
        UsageError: a range is wanted, and an abscissa is no time.
    """
    try:
        with h5py.File(path) as file:
            groups = [(name, group) for name, group in file.items() if "schema" in group.attrs]
            if not groups and "speeddata_version" not in file.attrs:
                raise DataError("is HDF5, and no set of channels", where=str(path))
            for name, group in groups:
                samples = _channel(name, group, wanted, patterns, seen, time_unit)
                if samples is not None:
                    yield samples
    except OSError as exc:
        raise HostError(f"cannot read: {exc}", where=str(path)) from exc
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError) as exc:
        raise DataError(f"is no set of ours: {exc}", where=str(path)) from exc


def _channel(
    name: str,
    group: h5py.Group,
    wanted: Range,
    patterns: Sequence[str] | None,
    seen: list[Schema],
    time_unit: str | None,
) -> Samples | None:
    told = _text(group[group.attrs["abscissa"]].attrs.get("units"))
    unit = schemas.time_unit_of(told) if told else None
    schema = schemas.parse(_text(group.attrs["schema"]) or "", where=name, time_unit=time_unit or unit)
    seen.append(schema)
    abscissa = schema.abscissa.name
    here = [each for each in group if not (each.endswith(_VALID) and each.removesuffix(_VALID) in group)]
    ordered = [signal.name for signal in schema.signals if signal.name in here]
    ordered += [each for each in here if each not in ordered]  # of an older schema
    if patterns:
        chosen = set(columnar.chosen(schema, patterns))
        ordered = [each for each in ordered if each in chosen]
    rows: Rows = slice(None)
    if not wanted.everything:
        first, end = bounds(schema, wanted)
        times = group[abscissa][:]
        rows = (times >= first) & (times < end)
        if f"{abscissa}{_VALID}" in group:
            rows &= group[f"{abscissa}{_VALID}"][:]
    signals = {signal.name: signal for signal in schema.signals}
    found: dict[str, Signal] = {}
    columns: dict[str, Column] = {}
    for each in ordered:
        found[each] = signals.get(each) or _signal(each, group[each])
        columns[each] = _column(group, each, found[each], rows)
    if not columns or not len(columns[abscissa].values):
        return None
    return Samples(name, schema, found, columns)


def _signal(name: str, item: h5py.Dataset | h5py.Group) -> Signal:
    """What can be said of a signal that the schema does not know any more."""
    kind = _KINDS.get(item.dtype, "string") if isinstance(item, h5py.Dataset) else "string"
    return Signal(name, Primitive(kind), unit=_text(item.attrs.get("units")))


def _column(group: h5py.Group, name: str, signal: Signal | None, rows: Rows) -> Column:
    valid = group[name + _VALID][rows] if name + _VALID in group else None
    item = group[name]
    values = _records(item, rows) if isinstance(item, h5py.Group) else _values(item, rows)
    if signal is not None and signal.kind == "null":  # which HDF5 has no type for
        return Column(np.full(len(values), None, object))
    if valid is not None and values.dtype == object:
        values[~valid] = None
    return Column(values, valid)


def _records(group: h5py.Group, rows: Rows) -> NDArray[Any]:
    """A nested record: a dict for each sample, as from a container."""
    names = [each for each in group if not (each.endswith(_VALID) and each.removesuffix(_VALID) in group)]
    parts = []
    for name in names:
        column = _column(group, name, None, rows)
        values = column.values.tolist()
        if column.valid is not None:
            there = column.valid.tolist()
            values = [value if ok else None for value, ok in zip(values, there, strict=True)]
        parts.append(values)
    return _objects([dict(zip(names, each, strict=True)) for each in zip(*parts, strict=True)])


def _values(item: h5py.Dataset, rows: Rows) -> NDArray[Any]:
    text, many = h5py.check_string_dtype(item.dtype), h5py.check_vlen_dtype(item.dtype)
    form: Callable[[Any], Any]
    coding = _text(item.attrs.get("encoding"))
    if text is not None:
        values = item.asstr()[rows]
        if coding != "json":
            return np.asarray(values, object)
        form = _unpacked
    elif many is not None and many == np.uint8:
        if coding not in (None, "", "utf-8"):  # to decode some others is quadratic: punycode
            raise ValueError(f"octets of the encoding {coding[:80]}, where only utf-8 is known")
        form = (lambda value: value.tobytes().decode()) if coding else (lambda value: value.tobytes())
        values = item[rows]
    elif many is not None:
        values, form = item[rows], np.ndarray.tolist
    elif item.dtype.kind == "V" and item.dtype.names is None:
        values, form = item[rows], lambda value: value.tobytes()
    else:
        return np.asarray(item[rows])
    return _objects([form(value) for value in values])


def _unpacked(text: str) -> Any:
    """What is written as JSON, where the type is none that HDF5 knows."""
    return json.loads(text) if text else None


def _text(value: Any) -> str | None:
    return value.decode() if isinstance(value, bytes) else None if value is None else str(value)


def _objects(values: list[Any]) -> NDArray[Any]:
    return np.fromiter(values, object, len(values))
