"""Grids and values as Zinc spells them; a name or an id that would break out of its place is refused."""

from __future__ import annotations

import re
from datetime import date, time
from decimal import Decimal
from math import isfinite
from typing import Any

from speeddata.errors import UsageError
from speeddata.haystack.kinds import MARKER, Coord, DateTime, Grid, Number, Ref, Symbol, Uri, Value, XStr
from speeddata.legible import printable

# The grammar's tokens, for reading too.
ID = r"[a-z][A-Za-z0-9_]*"
REF = r"[A-Za-z0-9_:\-.~]+"
UNIT = r"[A-Za-z%_/$\u0080-\U0010ffff]"
ESCAPE = r"""\\(?:[bfnrt"\\$'`]|u[0-9a-fA-F]{4})"""
URI_ESCAPE = r"""\\(?:[bfnrt"\\$'`:/?#\[\]@&=;]|u[0-9a-fA-F]{4})"""
KEPT_IN_URI = frozenset(":/?#[]@\\&=;")

_NAME, _REF_NAME, _KIND_NAME = re.compile(ID), re.compile(REF), re.compile("[A-Z][A-Za-z0-9_]*")
_ZONE_NAME = re.compile(r"[A-Z][A-Za-z0-9_+\-]*")
# not what a number before it would swallow: an exponent, more digits, the mark of hexadecimal ones
_UNIT_NAME = re.compile(rf"(?!_+[0-9]|[eExX][0-9]){UNIT}(?:{UNIT}|[0-9])*")

# Controls, what some take for the end of a line, and what takes two of the 16-bit characters of the grammar.
_HIDDEN = "\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\U00010000-\U0010ffff"
TO_ESCAPE = re.compile(f'["\\\\${_HIDDEN}]')
_URI_TO_ESCAPE = re.compile(f"\\\\[:/?#\\[\\]@\\\\&=;]|[`\\\\{_HIDDEN}]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED = re.compile(URI_ESCAPE)
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SHORT = {plain: f"\\{mark}" for mark, plain in [*_CONTROLS.items(), *zip('"\\$', '"\\$', strict=True)]}

_FIRST_DAY, _EPOCH_DAY, _LAST_DAY = (day.toordinal() for day in (date.min, date(1970, 1, 1), date.max))
_SECOND_NS = 10**9


def write(grid: Grid) -> str:
    """The lines of *grid*, version 3.0, each with its line feed; without columns it has one, `empty`.

    Raises:
        UsageError: a name, an id, a unit or a time zone is none, so that it cannot be written.
    """
    columns = (" ".join([name(column.name), *_tags(column.meta)]) for column in grid.columns)
    lines = [" ".join(['ver:"3.0"', *_tags(grid.meta)]), ",".join(columns) or "empty"]
    # in a grid of one column an empty line would be the end, not a row
    null = "N" if len(grid.columns) <= 1 else ""
    for row in grid.rows:
        cells = (row.get(column.name) for column in grid.columns)
        lines.append(",".join(null if cell is None else literal(cell) for cell in cells) or null)
    return "\n".join(lines) + "\n"


def literal(value: Value) -> str:
    """*value* as it stands in a cell; errors as of `write`."""
    match value:
        case str():
            return quoted(value)
        case bool():
            return "T" if value else "F"
        case None:
            return "N"
        case Number():
            return _number(value)
        case Ref():
            return f"@{ref(value.id)}" + ("" if value.dis is None else f" {quoted(value.dis)}")
        case DateTime():
            return _stamp(value)
        case Uri():
            return f"`{_URI_TO_ESCAPE.sub(_uri_escape, value.text)}`"
        case Symbol():
            return f"^{_named(_REF_NAME, value.text, 'symbol')}"
        case Coord():
            return f"C({_degrees(value.latitude)},{_degrees(value.longitude)})"
        case XStr():
            return f"{_named(_KIND_NAME, value.kind, 'kind')}({quoted(value.text)})"
        case date() | time():
            return value.isoformat()
        case list():
            return f"[{','.join(map(literal, value))}]"
        case dict():
            return f"{{{' '.join(_tags(value))}}}"
        case Grid():
            return f"<<\n{write(value)}>>"
    return value.value  # MARKER, NA, REMOVE


def quoted(text: str) -> str:
    """*text* as a Str, of one line whatever is in it."""
    return f'"{TO_ESCAPE.sub(_escape, text)}"'


def ref(text: str) -> str:
    """*text* itself, if it may be an id, without its `@`.

    Raises:
        UsageError: it may not.
    """
    return _named(_REF_NAME, text, "id")


def name(text: str) -> str:
    """*text* itself, if it may name a tag or a column.

    Raises:
        UsageError: it may not.
    """
    return _named(_NAME, text, "name of a tag")


def unescaped(text: str, *, kept: frozenset[str] = frozenset()) -> str:
    """*text* without its escapes; those of *kept* stay as they are, for they mean something in a URI."""
    if "\\" not in text:
        return text

    def plain(found: re.Match[str]) -> str:
        mark = found[0][1]
        if mark in kept:
            return found[0]
        return chr(int(found[0][2:], 16)) if mark == "u" else _CONTROLS.get(mark, mark)

    return joined(_ESCAPED.sub(plain, text))


def joined(text: str) -> str:
    """*text* with the halves of UTF-16 that stand side by side made one character."""
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def offset_text(minutes: int) -> str:
    """An offset from UTC as Zinc writes it, Z where there is none."""
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02d}:{rest:02d}" if minutes else "Z"


def zone_name(text: str) -> str:
    """*text* itself, if it may be the city of a time zone.

    Raises:
        UsageError: it may not.
    """
    return _named(_ZONE_NAME, text, "time zone")


def _named(pattern: re.Pattern[str], text: str, kind: str) -> str:
    if pattern.fullmatch(text) is None or not text.isprintable():
        raise UsageError(f"'{printable(text[:80])}' is no {kind} of Project Haystack")
    return text


def _tags(tags: dict[str, Any]) -> list[str]:
    return [
        name(key) if value is MARKER else f"{name(key)}:{literal(value)}"
        for key, value in tags.items()
        if value is not None
    ]


def _number(number: Number) -> str:
    if isfinite(number.value):
        return repr(number.value) + ("" if number.unit is None else _named(_UNIT_NAME, number.unit, "unit"))
    # the grammar has no unit behind these
    return "NaN" if number.value != number.value else "INF" if number.value > 0 else "-INF"


def _stamp(stamp: DateTime) -> str:
    minutes = round(stamp.offset_s / 60)  # as finely as it is written; the moment stays the same
    local_s, ns = divmod(stamp.ns + minutes * 60 * _SECOND_NS, _SECOND_NS)
    days, second = divmod(local_s, 86_400)
    if not _FIRST_DAY <= _EPOCH_DAY + days <= _LAST_DAY:
        raise UsageError("a time is outside the years 1 to 9999")
    day = date.fromordinal(_EPOCH_DAY + days)
    fraction = f".{ns:09d}".removesuffix("000").removesuffix("000") if ns else ""
    offset = offset_text(minutes)
    clock = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}{fraction}"
    return f"{day}T{clock}{offset} {zone_name(stamp.zone)}"


def _degrees(value: float) -> str:
    if not isfinite(value):
        raise UsageError("a coordinate is no number")
    return f"{Decimal(repr(value)):f}"  # the grammar has no exponents here


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if short := _SHORT.get(character):
        return short
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _uri_escape(found: re.Match[str]) -> str:
    if len(found[0]) == 2:
        return found[0]  # an escape that means something in a URI
    return "\\`" if found[0] == "`" else "\\u005c" if found[0] == "\\" else _escape(found)
