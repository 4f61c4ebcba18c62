"""Zinc, the text of Project Haystack's grids: read from servers that may say anything, and written.

The grammar is that of https://project-haystack.org/doc/docHaystack/Zinc, versions 2.0 and 3.0.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, time
from typing import NoReturn

from speeddata.errors import DataError
from speeddata.haystack.kinds import (
    MARKER,
    NA,
    REMOVE,
    Column,
    Coord,
    DateTime,
    Grid,
    Number,
    Ref,
    Symbol,
    Uri,
    Value,
    XStr,
)
from speeddata.haystack.literals import (
    ESCAPE,
    ID,
    KEPT_IN_URI,
    REF,
    UNIT,
    URI_ESCAPE,
    joined,
    literal,
    quoted,
    unescaped,
    write,
)
from speeddata.legible import printable

__all__ = ["MAX_COLUMNS", "MAX_DEPTH", "literal", "quoted", "read", "read_all", "write"]

MAX_DEPTH = 16
MAX_COLUMNS = 20_000
_MAX_DIGITS = 1_000  # of one number; Python itself refuses to read much longer ones
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_DAY_NS, _SECOND_NS = 86_400 * 10**9, 10**9

_KEYWORDS: dict[str, Value] = {
    "N": None,
    "M": MARKER,
    "R": REMOVE,
    "NA": NA,
    "T": True,
    "F": False,
    "INF": Number(float("inf")),
    "NaN": Number(float("nan")),
}

_DIGITS = r"[0-9]++(?:_+[0-9]++)*"
# Repetitions are possessive: no text makes them try twice, so that time stays proportional to length.
_QUOTED = rf'"(?P<text>[^"\\\n]*+(?:{ESCAPE}[^"\\\n]*+)*+)"'
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"

_VALUE = re.compile(
    rf"""
    (?P<stamp>{_DAY}T{_CLOCK}(?:Z|[+-][0-9]{{2}}:[0-9]{{2}})(?:\ [A-Z][A-Za-z0-9_+\-]*)?)
    | (?P<day>{_DAY})
    | (?P<clock>{_CLOCK})
    | (?P<number>(?P<value>-?{_DIGITS}(?P<fraction>(?:\.{_DIGITS})?(?:[eE][+-]?{_DIGITS})?))
        (?P<unit>(?:{UNIT}(?:{UNIT}|[0-9])*+)?))
    | (?P<str>{_QUOTED})
    | (?P<ref>@(?P<id>{REF})(?:\ {_QUOTED.replace("text", "dis")})?)
    | (?P<call>(?P<kind>[A-Z][A-Za-z0-9_]*)\()
    | (?P<word>-INF|[A-Z][A-Za-z0-9_]*)
    | (?P<symbol>\^{REF})
    | (?P<uri>`[^`\\\n]*+(?:{URI_ESCAPE}[^`\\\n]*+)*+`)
    | (?P<open>\[|\{{|<<)
    """,
    re.VERBOSE,
)
_STAMP = re.compile(r"(.{10})T([0-9:]+)(?:\.([0-9]+))?(Z|.{6})(?: (.+))?")
_NAME = re.compile(f"_*{ID}")  # Haxall takes names that begin with _
_TEXT = re.compile(_QUOTED)
_BIN = re.compile(r"([^\n()]*)\)")
_SPACES = re.compile(r"[ \t]*")
_LINE_END = re.compile(r"[ \t]*(?:\n|\Z)")
_BLANKS = re.compile(r"[ \t\n]*")
_SEPARATOR = re.compile(r"[ \t]*(,|\n|\Z)[ \t]*")


def read(text: str, *, where: str = "") -> Grid:
    """The one grid of *text*; blank lines may follow.

    Args:
        text: decoded with `errors="surrogatepass"`: JVM servers send halves of what UTF-16 cuts in two.
        where: what an error is told of.

    Raises:
        DataError: it is no grid, nested deeper than 16, or wider than 20,000 columns; names the line.
    """
    reader = _Reader(text, where)
    grid = reader.grid(0)
    if not reader.at_end():
        reader.fail("a blank line ends a grid, but more follows")
    return grid


def read_all(text: str, *, where: str = "") -> list[Grid]:
    """The grids of *text*, a blank line between them, as `evalAll` answers; errors as of `read`."""
    reader = _Reader(text, where)
    grids = []
    while not reader.at_end():
        grids.append(reader.grid(0))
    return grids


class _Reader:
    """Walks over a text; every method begins at `at` and moves it past what it read."""

    def __init__(self, text: str, where: str) -> None:
        text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        self.text, self.where, self.at = joined(text), where, 0
        self._bins = False  # version 2.0 writes Bin(text/plain) without quotes

    def fail(self, what: str) -> NoReturn:
        line = self.text.count("\n", 0, self.at) + 1
        where = f"{self.where} line {line}" if self.where else f"line {line}"
        near = printable(self.text[self.at : self.at + 30].partition("\n")[0])
        raise DataError(f"no Zinc: {what}" + (f", at {near}" if near else ""), where=where)

    def at_end(self) -> bool:
        self._skip(_BLANKS)
        return self.at == len(self.text)

    def grid(self, depth: int) -> Grid:
        """A grid to its blank line or to the end; a nested one to its `>>`."""
        self._skip(_BLANKS)
        if not self._takes("ver:"):
            self.fail("a grid begins with ver:")
        if (version := self._quoted()) not in ("2.0", "3.0"):
            self.fail(f"version {printable(version[:20])} instead of 2.0 or 3.0")
        self._bins = version == "2.0"
        grid = Grid(meta=self._tags(depth))
        self._line_end("after the grid's tags")
        grid.columns = self._columns(depth)
        names = [column.name for column in grid.columns]
        while not self._ended(nested=depth > 0):
            grid.rows.append(self._row(names, depth))
        return grid

    def _ended(self, *, nested: bool) -> bool:
        if nested:
            self._skip(_BLANKS)
            if self.at == len(self.text):
                self.fail("a nested grid without >>")
            return self._takes(">>")
        if end := _LINE_END.match(self.text, self.at):
            self.at = end.end()
            return True
        return False

    def _columns(self, depth: int) -> list[Column]:
        columns: list[Column] = []
        seen = set()
        while True:
            self._skip(_SPACES)
            name = self._name()
            if name in seen:
                self.fail(f"column {name} twice")
            seen.add(name)
            columns.append(Column(name, self._tags(depth)))
            if len(columns) > MAX_COLUMNS:
                self.fail(f"more than {MAX_COLUMNS:,} columns")
            if not self._takes(","):
                break
        self._line_end("after the columns")
        return columns

    def _row(self, names: list[str], depth: int) -> dict[str, Value]:
        row: dict[str, Value] = {}
        last = len(names) - 1
        self._skip(_SPACES)
        for index, name in enumerate(names):
            separator = _SEPARATOR.match(self.text, self.at)
            if separator is None and not self._closing(depth):
                value = self._value(depth)
                if value is not None:
                    row[name] = value
                separator = _SEPARATOR.match(self.text, self.at)
            if separator is None:
                if index == last and self._closing(depth):
                    break
                self.fail("neither a comma nor the end of the line after a cell")
            if (separator[1] == ",") is (index == last):
                self.fail(f"a row of {'more' if index == last else 'fewer'} cells than columns")
            # spaces after a line's end belong to the next line, which may be blank
            self.at = separator.end() if separator[1] == "," else separator.end(1)
        return row

    def _closing(self, depth: int) -> bool:
        self._skip(_SPACES)
        return depth > 0 and self.text.startswith(">>", self.at)

    def _tags(self, depth: int, *, braced: bool = False) -> dict[str, Value]:
        """The tags of a grid, a column or, *braced*, of a dict; null ones are none."""
        tags: dict[str, Value] = {}
        while True:
            self._skip(_SPACES)
            if not _NAME.match(self.text, self.at):
                return tags
            name = self._name()
            value: Value = MARKER
            if self._takes(":"):
                self._skip(_SPACES)
                value = self._value(depth)
            if value is not None:
                tags[name] = value
            if braced:
                self._takes(",")

    def _value(self, depth: int) -> Value:
        found = _VALUE.match(self.text, self.at)
        if found is None:
            self.fail("no value")
        self.at = found.end()
        return _READERS[found.lastgroup or ""](self, found, depth)

    def _stamp(self, found: re.Match[str], _: int) -> DateTime:
        parts = _STAMP.fullmatch(found[0])
        if parts is None:
            self._bad(found, "no date-time")
        day, clock, fraction, offset, zone = parts.groups()
        if zone is None and offset != "Z":
            self._bad(found, "a date-time without time zone")
        days = self._day(found, day).toordinal() - _EPOCH_DAY
        at = self._clock(found, clock)
        seconds = at.hour * 3600 + at.minute * 60 + at.second
        ns = int(f"{fraction or ''}000000000"[:9])
        offset_s = 0
        if offset != "Z":
            offset_s = int(offset[1:3]) * 3600 + int(offset[4:]) * 60
            offset_s = -offset_s if offset[0] == "-" else offset_s
        return DateTime(days * _DAY_NS + (seconds - offset_s) * _SECOND_NS + ns, offset_s, zone or "UTC")

    def _day(self, found: re.Match[str], text: str | int) -> date:
        try:
            return date.fromisoformat(text if isinstance(text, str) else found[0])
        except ValueError:
            self._bad(found, "no date")

    def _clock(self, found: re.Match[str], text: str | int) -> time:
        hour, *rest = (text if isinstance(text, str) else found[0]).split(":")
        try:
            return time.fromisoformat(":".join([hour.zfill(2), *rest]))
        except ValueError:
            self._bad(found, "no time")

    def _number(self, found: re.Match[str], _: int) -> Number:
        digits = found["value"].replace("_", "")
        if len(digits) > _MAX_DIGITS:
            self._bad(found, f"a number of more than {_MAX_DIGITS:,} digits")
        if not found["unit"].isprintable():
            self._bad(found, "a unit that hides something")
        return Number(float(digits) if found["fraction"] else int(digits), found["unit"] or None)

    def _word(self, found: re.Match[str], _: int) -> Value:
        if found[0] == "-INF":
            return Number(float("-inf"))
        if found[0] not in _KEYWORDS:
            self._bad(found, "no such word")
        return _KEYWORDS[found[0]]

    def _call(self, found: re.Match[str], _: int) -> Coord | XStr:
        kind = found["kind"]
        if kind == "C":
            latitude = self._degrees()
            self._expect(",")
            longitude = self._degrees()
            self._expect(")")
            return Coord(latitude, longitude)
        if kind == "Bin" and self._bins and (bare := _BIN.match(self.text, self.at)):
            self.at = bare.end()
            return XStr(kind, bare[1])
        self._skip(_SPACES)
        text = self._quoted()
        self._expect(")")
        return XStr(kind, text)

    def _degrees(self) -> float:
        self._skip(_SPACES)
        found = _VALUE.match(self.text, self.at)
        # looked at before it is read: a coordinate in a coordinate would go as deep as its text is long
        value = self._value(MAX_DEPTH) if found is not None and found.lastgroup == "number" else None
        if not isinstance(value, Number) or value.unit or abs(value.value) > 360:
            self.fail("no degrees in a coordinate")
        return float(value.value)

    def _ref(self, found: re.Match[str], _: int) -> Ref:
        dis = found["dis"]
        return Ref(found["id"], None if dis is None else unescaped(dis))

    def _nested(self, found: re.Match[str], depth: int) -> Value:
        if depth >= MAX_DEPTH:
            self.fail(f"nested deeper than {MAX_DEPTH}")
        if found[0] == "<<":
            bins = self._bins
            grid = self.grid(depth + 1)
            self._bins = bins
            return grid
        if found[0] == "{":
            tags = self._tags(depth + 1, braced=True)
            self._expect("}")
            return tags
        items: list[Value] = []
        while not self._takes("]"):
            if items:
                self._expect(",")
                if self._takes("]"):
                    break
            self._skip(_SPACES)
            items.append(self._value(depth + 1))
        return items

    def _name(self) -> str:
        name = _NAME.match(self.text, self.at)
        if name is None:
            self.fail("no name, which begins with a lower-case letter")
        self.at = name.end()
        return name[0]

    def _quoted(self) -> str:
        self._skip(_SPACES)
        found = _TEXT.match(self.text, self.at)
        if found is None:
            self.fail("no whole text in quotes")
        self.at = found.end()
        return unescaped(found["text"])

    def _takes(self, mark: str) -> bool:
        self._skip(_SPACES)
        if not self.text.startswith(mark, self.at):
            return False
        self.at += len(mark)
        return True

    def _expect(self, mark: str) -> None:
        if not self._takes(mark):
            self.fail(f"no {mark}")

    def _line_end(self, place: str) -> None:
        end = _LINE_END.match(self.text, self.at)
        if end is None:
            self.fail(f"no end of line {place}")
        self.at = end.end()

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self.text, self.at)
        assert found is not None  # these patterns match nothing too
        self.at = found.end()

    def _bad(self, found: re.Match[str], what: str) -> NoReturn:
        self.at = found.start()
        self.fail(what)


_READERS: dict[str, Callable[[_Reader, re.Match[str], int], Value]] = {
    "stamp": _Reader._stamp,
    "day": _Reader._day,
    "clock": _Reader._clock,
    "number": _Reader._number,
    "str": lambda _reader, found, _depth: unescaped(found["text"]),
    "ref": _Reader._ref,
    "call": _Reader._call,
    "word": _Reader._word,
    "symbol": lambda _reader, found, _depth: Symbol(found[0][1:]),
    "uri": lambda _reader, found, _depth: Uri(unescaped(found[0][1:-1], kept=KEPT_IN_URI)),
    "open": _Reader._nested,
}
