"""Rows for people: a heading and columns that line up, plain text that cuts and greps well."""

from __future__ import annotations

from collections.abc import Sequence


def lines(heading: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> list[str]:
    """Lay out *rows* under *heading*; the columns named in *right* are numbers, and line up on that side."""
    table = [list(heading), *map(list, rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(heading))]
    laid = []
    for row in table:
        cells = [
            cell.rjust(width) if name in right else cell.ljust(width)
            for cell, width, name in zip(row, widths, heading, strict=True)
        ]
        laid.append("  ".join(cells).rstrip())
    return laid


def many(count: int, what: str) -> str:
    """`1 step`, `1,234 steps`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def rate(hertz: float) -> str:
    """`1000/s`, `0.2/s`, `1.25M/s`: three digits that matter."""
    for limit, unit in ((1e9, "G"), (1e6, "M")):
        if hertz >= 0.9995 * limit:  # which three digits round up to it
            return f"{hertz / limit:.3g}{unit}/s"
    return f"{hertz:.0f}/s" if hertz >= 10 else f"{hertz:.2g}/s"


def size(count: int) -> str:
    """`1.5 MiB`: a size for people."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
