"""Values, spans and states of channels in few cells, fit for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from speeddata.legible import printable
from speeddata.timerange import SECOND_NS

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_MOST = 60  # characters of a text: what is longer is cut

WORDS = {
    "live": "live",
    "silent": "silent",
    "end": "ended",
    "file": "recording",
    "reading": "reading",
}


def value_text(value: object, digits: int | None = None) -> str:
    """*value* for a person; numbers to so many *digits*, None: all that tell it from others."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number_text(value, digits)
    if isinstance(value, bytes | bytearray):
        shown = value[:16].hex(" ")
        return f"{shown} … ({len(value)} bytes)" if len(value) > 16 else shown or "no bytes"
    if isinstance(value, Mapping):
        pairs = [f"{printable(str(key))}: {value_text(each, 4)}" for key, each in list(value.items())[:8]]
        return _cut(", ".join(pairs))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _cut(f"[{', '.join(value_text(each, 4) for each in value[:8])}]")
    return _cut(printable(str(value)))


def _number_text(value: float, digits: int | None) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return repr(value) if digits is None else f"{value:.{digits}g}"


def _cut(text: str) -> str:
    return text if len(text) <= _MOST else text[: _MOST - 1] + "…"


def span_text(span: int | float, *, is_time: bool = True) -> str:
    """`30 s`, `1.5 h`, `200 us`: how long a window is; a number without a unit where it is no time."""
    if not is_time:
        return f"{span:.4g}"
    if span < SECOND_NS:
        for unit, size in (("ms", 10**6), ("us", 10**3)):
            if span >= size:
                return f"{span / size:.4g} {unit}"
        return f"{int(span)} ns"
    seconds = span / SECOND_NS
    for unit, size in _UNITS:
        if seconds >= (size if unit != "d" else 2 * size):
            return f"{seconds / size:.4g} {unit}"
    return f"{seconds:.4g} s"


def ago_text(span_ns: int | float) -> str:
    """`12 s`, `3 min`, `5 h`: how long since, in whole numbers."""
    seconds = max(0, int(span_ns) // SECOND_NS)
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return "0 s"
