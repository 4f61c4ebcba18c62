"""Zinc as others read it: phable, hszinc and haystack-core, each brought to the same plain values."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import warnings
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import phable.kinds as ph
import pytest
from phable.io.ph_zinc import ph_from_zinc

from speeddata.haystack import kinds

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it builds its grammar with names that pyparsing has since renamed
    import hszinc

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_PROGRAM = """
const {ZincReader} = require(process.argv[1]);
const texts = JSON.parse(require("fs").readFileSync(0, "utf-8"));
const read = text => { try { return ZincReader.readValue(text).toJSON() } catch (e) { return String(e) } };
process.stdout.write(JSON.stringify(texts.map(read)));
"""


def plain(value: Any) -> Any:
    """A value of ours: numbers as ("number", float, unit), times in whole microseconds, grids as lists."""
    match value:
        case kinds.Grid():
            names = [column.name for column in value.columns]
            tags = [plain(column.meta) for column in value.columns]
            return ["grid", plain(value.meta), names, tags, [plain(row) for row in value.rows]]
        case kinds.Number():
            return _number(value.value, value.unit)
        case kinds.DateTime():
            return ("stamp", value.ns // 1000, value.zone)
        case kinds.Ref():
            return ("ref", value.id)
        case kinds.Coord():
            return ("coord", value.latitude, value.longitude)
        case kinds.XStr():
            return ("xstr", value.kind, value.text)
        case kinds.Uri():
            return ("uri", value.text)
        case kinds.Symbol():
            return ("symbol", value.text)
        case kinds.Singleton():
            return value.value.join("<>")
        case date() | time():
            return value.isoformat()
        case list():
            return list(map(plain, value))
        case dict():
            return {name: plain(each) for name, each in value.items()}
    return value


def without_empty_rows(grid: list[Any]) -> list[Any]:
    """For phable, which leaves rows without a cell out: `read` of an unknown id is lost on it."""
    return [*grid[:-1], [row for row in grid[-1] if row]]


def by_phable(text: str) -> Any:
    return _from_phable(ph_from_zinc(text))


def _from_phable(value: Any) -> Any:
    match value:
        case ph.Grid():
            tags = [_from_phable(column.meta or {}) for column in value.cols]
            meta = {name: each for name, each in value.meta.items() if name != "ver"}
            names = [column.name for column in value.cols]
            return ["grid", _from_phable(meta), names, tags, [_from_phable(row) for row in value.rows]]
        case ph.Number():
            return _number(value.val, value.unit)
        case ph.Ref():
            return ("ref", value.val)
        case ph.Coord():
            return ("coord", float(value.lat), float(value.lng))
        case ph.XStr():
            return ("xstr", value.type, value.val)
        case ph.Uri():
            return ("uri", value.val)
        case ph.Symbol():
            return ("symbol", value.val)
        case ph.Marker():
            return "<M>"
        case ph.NA():
            return "<NA>"
        case ph.Remove():
            return "<R>"
    return _from_python(value, _from_phable)


def by_hszinc(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _from_hszinc(hszinc.parse(text))


def _from_hszinc(value: Any) -> Any:
    for singleton, text in ((hszinc.MARKER, "<M>"), (hszinc.NA, "<NA>"), (hszinc.REMOVE, "<R>")):
        if value is singleton:
            return text
    match value:
        case hszinc.Grid():
            tags = [_from_hszinc(dict(meta.items())) for meta in value.column.values()]
            rows = [{key: each for key, each in row.items() if each is not None} for row in value]
            meta = _from_hszinc(dict(value.metadata.items()))
            return ["grid", meta, list(value.column), tags, [_from_hszinc(row) for row in rows]]
        case hszinc.Quantity():
            return _number(value.value, value.unit)
        case bool():
            return value
        case float():
            return _number(value, None)
        case hszinc.Ref():
            return ("ref", value.name)
        case hszinc.Coordinate():
            return ("coord", value.latitude, value.longitude)
        case hszinc.Uri():
            return ("uri", str(value))
    return _from_python(value, _from_hszinc)


def _from_python(value: Any, inner: Any) -> Any:
    match value:
        case str():
            # both leave the two halves of what is beyond 16 bits apart
            return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        case datetime():
            city = str(value.tzinfo).rpartition("/")[2]
            return ("stamp", (value - _EPOCH) // _MICROSECOND, city)
        case date() | time():
            return value.isoformat()
        case list():
            return list(map(inner, value))
        case dict():
            return {name: inner(each) for name, each in value.items()}
    return value


def by_haystack_core(texts: list[str]) -> list[Any]:
    """All in one process of node, which takes its time to begin; skips the test where it is missing."""
    node, home = shutil.which("node"), Path(os.environ.get("HAYSTACK_CORE") or "no-such-directory")
    package = home / "node_modules/haystack-core"
    if node is None or not package.is_dir():
        pytest.skip("needs node, and npm's haystack-core in $HAYSTACK_CORE/node_modules")
    done = subprocess.run(
        [node, "-e", _PROGRAM, str(package)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
    )
    return list(map(_from_core, json.loads(done.stdout)))


def _from_core(value: Any) -> Any:
    match value:
        case {"_kind": "grid"}:
            columns = value.get("cols", [])
            meta = {name: each for name, each in value["meta"].items() if name != "ver"}
            tags = [_from_core(column.get("meta", {})) for column in columns]
            names = [column["name"] for column in columns]
            return ["grid", _from_core(meta), names, tags, [_from_core(row) for row in value.get("rows", [])]]
        case {"_kind": "number", "val": number}:
            number = {"INF": math.inf, "-INF": -math.inf, "NaN": math.nan}.get(number, number)
            return _number(number, value.get("unit"))
        case {"_kind": "dateTime", "val": val}:
            moment = datetime.fromisoformat(val)
            return ("stamp", (moment - _EPOCH) // _MICROSECOND, value.get("tz", "UTC"))
        case {"_kind": "coord", "lat": latitude, "lng": longitude}:
            return ("coord", float(latitude), float(longitude))
        case {"_kind": "xstr", "type": kind, "val": text}:
            return ("xstr", kind, text)
        case {"_kind": "date" | "time", "val": text}:
            return text
        case {"_kind": "marker" | "na" | "remove" as kind}:
            return {"marker": "<M>", "na": "<NA>", "remove": "<R>"}[kind]
        case {"_kind": "ref" | "uri" | "symbol" as kind, "val": text}:
            return (kind, text)
        case bool() | str():
            return value
        case int() | float():
            return _number(value, None)
        case list():
            return list(map(_from_core, value))
        case dict():
            return {name: _from_core(each) for name, each in value.items() if name != "_kind"}
    return value


def _number(value: float, unit: str | None) -> Any:
    return ("number", "NaN" if math.isnan(value) else float(value), unit)
