"""The range of time that --since, --until and --last ask for, with the end of the data where it is needed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from speeddata import cutting
from speeddata.cutting import Range
from speeddata.errors import UsageError
from speeddata.recording import listing
from speeddata.recording.listing import Listing
from speeddata.sources import is_file


def asked(
    source: str | None,
    since: str | None,
    until: str | None,
    last: str | None,
    *,
    follow: bool = False,
    time_unit: str | None = None,
) -> Range:
    """The range that is asked for of one SOURCE; with *follow*, --last says where to begin.

    Raises:
        UsageError: there is no such range.
        HostError, DataError: the end of a recording is asked for, and cannot be read.
    """
    span = cutting.range_of(since, until, last, time.time_ns())
    if span.last_ns is None:
        return span
    source = source or "-"
    span = ended(span, [source], listing.listing([Path(source)] if is_file(source) else []), time_unit)
    return Range(span.since_ns) if follow else span


def ended(span: Range, names: Iterable[str], files: Listing, time_unit: str | None) -> Range:
    """*span* with the end of the data known, where --last asks for it.

    Args:
        span: what is asked for.
        names: every SOURCE.
        files: what those of them hold that are files or directories.
        time_unit: of an abscissa that does not tell its own.

    Raises:
        UsageError: one is no recording, and so has no end; or its abscissa is no time.
        HostError, DataError: a file cannot be read, or holds no records.
    """
    if span.last_ns is None:
        return span
    if not all(map(is_file, names)):
        raise UsageError("only files have an end", where="--last", mend="say how long with --duration")
    ends = [listing.end_ns(each, time_unit) for each in files.values()]
    return span.ending(max((end for end in ends if end is not None), default=0))
