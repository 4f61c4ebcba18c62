"""The kinds of Project Haystack: what a cell of a grid may hold, and the grid itself.

Kinds that Python has (bool, str, date, time, list, dict) are Python's own, and null is None.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, time
from enum import Enum
from typing import Any


class Singleton(Enum):
    """A kind that has one value only."""

    MARKER = "M"
    NA = "NA"
    REMOVE = "R"


MARKER, NA, REMOVE = Singleton.MARKER, Singleton.NA, Singleton.REMOVE


@dataclass(frozen=True, slots=True)
class Number:
    """A number with its unit; whole ones are int, so that they stay exact."""

    value: int | float
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Ref:
    """A reference to a record, without the `@`; *dis*, how people call it, does not count when compared."""

    id: str
    dis: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Uri:
    text: str


@dataclass(frozen=True, slots=True)
class Symbol:
    """The name of a definition, without the `^`."""

    text: str


@dataclass(frozen=True, slots=True)
class Coord:
    """A place, in degrees."""

    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class XStr:
    """A value of a kind that only its server knows."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class DateTime:
    """A moment: nanoseconds since 1970 UTC, the offset that was in force there, and the name of the zone."""

    ns: int
    offset_s: int
    zone: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name, and what is told of it."""

    name: str
    meta: dict[str, Value] = field(default_factory=dict)


@dataclass(slots=True)
class Grid:
    """A table; a cell that is null is not in its row."""

    meta: dict[str, Value] = field(default_factory=dict)
    columns: list[Column] = field(default_factory=list)
    rows: list[dict[str, Value]] = field(default_factory=list)


Scalar = Singleton | bool | str | Number | Ref | Uri | Symbol | Coord | XStr | DateTime | date | time
Value = Scalar | Grid | list[Any] | dict[str, Any] | None

Rec = dict[str, Value]  # a record of the server: what it says of a site, an equip or a point
