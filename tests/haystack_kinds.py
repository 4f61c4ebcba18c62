"""The kinds of Project Haystack as Haxall holds them, its units and its time zones."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

NS = 1_000_000_000
DATA = Path(__file__).resolve().parent / "data"


class Only:
    """A kind with one value."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


MARKER, NA, REMOVE = Only("M"), Only("NA"), Only("R")


class Num(NamedTuple):
    """A number as Haxall holds it: always a float, its unit by symbol."""

    value: float
    unit: str | None = None

    @property
    def whole(self) -> bool:
        return abs(self.value) <= 1e12 and self.value == math.floor(self.value)


@dataclass(frozen=True, slots=True)
class Ref:
    id: str
    dis: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Uri:
    text: str


@dataclass(frozen=True, slots=True)
class Symbol:
    text: str


@dataclass(frozen=True, slots=True)
class Coord:
    lat: float
    lng: float


@dataclass(frozen=True, slots=True)
class XStr:
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """A moment, and the city of its zone; the offset is the zone's own, whatever was written."""

    ns: int
    city: str


@dataclass(slots=True)
class Grid:
    """Columns are (name, meta); rows are lists with a cell a column, None where it is null."""

    meta: dict[str, Any] = field(default_factory=dict)
    columns: list[tuple[str, dict[str, Any]]] = field(default_factory=lambda: [("empty", {})])
    rows: list[list[Any]] = field(default_factory=list)

    def dicts(self) -> list[dict[str, Any]]:
        """The rows as dicts without the cells that are null."""
        names = [name for name, _ in self.columns]
        return [
            {name: cell for name, cell in zip(names, row, strict=True) if cell is not None}
            for row in self.rows
        ]


def grid_of(dicts: list[dict[str, Any] | None], meta: dict[str, Any] | None = None) -> Grid:
    """Records as Haxall puts them: id first, mod last, the rest by name; None is a row of nulls."""
    names = sorted({name for each in dicts if each for name in each} - {"id", "mod"})
    names = ["id", *names, "mod"] if any(dicts) else []
    names = [name for name in names if any(each and name in each for each in dicts)]
    if not names:
        return Grid(meta or {})
    rows = [[each.get(name) if each else None for name in names] for each in dicts]
    return Grid(meta or {}, [(name, {}) for name in names], rows)


# --- units and zones


@cache
def units() -> dict[str, str]:
    """Every name of a unit, and its symbol."""
    lines = (DATA / "haystack-units.txt").read_text("utf-8").splitlines()
    known = [line.split() for line in lines if not line.startswith("#")]
    return {name: names[-1] for names in known for name in names}


def unit(name: str) -> str | None:
    """The symbol of the unit called *name*; the ones that begin with `_` are made as they come."""
    return name if name.startswith("_") else units().get(name)


@cache
def zones() -> dict[str, str]:
    """Haystack's names of time zones, the last part of the key: "New_York" is America/New_York."""
    keys = sorted(
        key for key in available_timezones() if not key.startswith(("posix/", "right/", "SystemV/"))
    )
    known = {key.rpartition("/")[2]: key for key in keys if "/" in key}
    known.update({city: f"Etc/{city}" for city in ("UTC", "GMT") if f"Etc/{city}" in keys})
    return known


def city(name: str) -> str | None:
    """The name under which Haxall knows the zone *name*, a city or a whole key; None when there is none."""
    if name in zones():
        return name
    last = name.rpartition("/")[2]
    return last if "/" in name and name in available_timezones() else None


@lru_cache(maxsize=1024)
def zone_info(name: str) -> ZoneInfo:
    return ZoneInfo(zones()[name])


def offset_s(stamp: Stamp) -> int:
    at = datetime.fromtimestamp(stamp.ns // NS, zone_info(stamp.city))
    return round(at.utcoffset().total_seconds())


def year(stamp: Stamp) -> int:
    return datetime.fromtimestamp(stamp.ns // NS, zone_info(stamp.city)).year


_STAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?"
    r"(?:(Z)|([+-])(\d\d):(\d\d))(?: ([A-Za-z0-9_+-]+))?"
)


@lru_cache(maxsize=1 << 16)
def stamp_of(text: str) -> Stamp | None:
    """The moment that *text* says, None when it says none; without a zone only `Z` does."""
    if not (match := _STAMP.fullmatch(text)):
        return None
    *parts, fraction, z, sign, hours, minutes, zone = match.groups()
    known = city(zone) if zone else "UTC" if z else None
    try:
        at = datetime(*map(int, parts), tzinfo=UTC)
    except ValueError:
        return None
    if known is None or (not z and (int(hours) > 18 or int(minutes) > 59)):
        return None
    seconds = round((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    if not z:
        seconds -= (int(hours) * 3600 + int(minutes) * 60) * (1 if sign == "+" else -1)
    return Stamp(seconds * NS + int((fraction or "").ljust(9, "0")), known)
