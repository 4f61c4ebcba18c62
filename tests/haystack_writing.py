"""Zinc as Haxall writes it, knowing nothing of speeddata's own writer."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from haystack_kinds import (
    MARKER,
    NS,
    Coord,
    Grid,
    Num,
    Only,
    Ref,
    Stamp,
    Symbol,
    Uri,
    XStr,
    offset_s,
    zone_info,
)


def code(text: str, ascii_only: bool = False) -> str:
    """*text* as a literal, as Haxall writes it."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    for char, escape in (("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"), ("\b", "\\b"), ("\f", "\\f")):
        plain = plain.replace(char, escape)
    keep = 127 if ascii_only else 0x10FFFF
    return '"' + "".join(c if 32 <= ord(c) <= keep else f"\\u{ord(c):04x}" for c in plain) + '"'


def _number(number: Num) -> str:
    value = number.value
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "INF" if value > 0 else "-INF"
    if number.whole:
        return f"{int(value)}{number.unit or ''}"
    text = repr(value)
    if not 1e-3 <= abs(value) < 1e7:  # as Java writes it: 1.0E10
        digits = text.partition("e")[0].replace(".", "").replace("-", "").strip("0") or "0"
        mantissa = f"{digits[0]}.{digits[1:] or '0'}"
        exponent = int(f"{value:.17e}".partition("e")[2])
        if float(f"{mantissa}E{exponent}") != abs(value):
            exponent += 1  # .17e rounded across a power of ten
        text = f"{'-' if value < 0 else ''}{mantissa}E{exponent}"
    return text + (number.unit or "")


def stamp_text(stamp: Stamp) -> str:
    """`2026-11-21T10:00:00.5-05:00 New_York`, and `...Z` in UTC."""
    seconds, fraction = divmod(stamp.ns, NS)
    at = datetime.fromtimestamp(seconds, zone_info(stamp.city)).replace(tzinfo=None).isoformat()
    at += f".{fraction:09d}".rstrip("0") if fraction else ""
    if stamp.city == "UTC":
        return at + "Z"
    minutes = offset_s(stamp) // 60
    return f"{at}{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d} {stamp.city}"


def literal(value: Any) -> str:
    """A value as it stands in a cell."""
    if value is None:
        return "N"
    if isinstance(value, Only):
        return value.name
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, str):
        return code(value)
    if isinstance(value, Num):
        return _number(value)
    if isinstance(value, Ref):
        return f"@{value.id}" + (f" {code(value.dis)}" if value.dis is not None else "")
    if isinstance(value, Stamp):
        return stamp_text(value)
    if isinstance(value, Uri):
        return f"`{value.text}`"
    if isinstance(value, Symbol):
        return f"^{value.text}"
    if isinstance(value, Coord):
        return f"C({value.lat},{value.lng})"
    if isinstance(value, XStr):
        return f"{value.kind}({code(value.text)})"
    if isinstance(value, list):
        return f"[{','.join(map(literal, value))}]"
    if isinstance(value, dict):
        return f"{{{_tags(value)}}}"
    if isinstance(value, Grid):
        return f"<<\n{write(value)}>>"
    return value.isoformat()


def _tags(tags: dict[str, Any]) -> str:
    return " ".join(name if value is MARKER else f"{name}:{literal(value)}" for name, value in tags.items())


def write(grid: Grid) -> str:
    """*grid* with the empty line that ends it."""
    lines = [" ".join(filter(None, ['ver:"3.0"', _tags(grid.meta)]))]
    lines.append(",".join(" ".join(filter(None, [name, _tags(meta)])) for name, meta in grid.columns))
    alone = len(grid.columns) == 1
    for row in grid.rows:
        lines.append(",".join("" if cell is None and not alone else literal(cell) for cell in row))
    return "\n".join(lines) + "\n\n"
