"""Marks: spans of time that somebody found worth keeping, each a line of text; asks no clock."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from speeddata.errors import DataError, UsageError
from speeddata.legible import printable
from speeddata.names import channel_name, is_channel_name
from speeddata.timerange import iso_utc, moment_ns

LINE_LIMIT = 64 << 10  # bytes

_CHANNELS = 1024
_NAME_SIZE = 256  # of a channel, as it was shown
_KEYS = ("name", "begin", "end", "channels", "created")


@dataclass(frozen=True)
class Mark:
    """A span of time with a name.

    Attributes:
        name: as a channel may be named; compared without case.
        begin_ns: its first moment: nanoseconds since 1970.
        end_ns: the first moment behind it; None while it is open.
        channels: that were looked at when it was made.
        created_ns: when it was written.
    """

    name: str
    begin_ns: int
    end_ns: int | None = None
    channels: tuple[str, ...] = ()
    created_ns: int = 0

    @property
    def key(self) -> str:
        """What two marks of the same name have in common."""
        return self.name.lower()

    def ended(self, at_ns: int) -> Mark:
        """The same with its other end at *at_ns*, whichever comes first; the later moment is inside."""
        begin_ns, end_ns = sorted((self.begin_ns, at_ns))
        return replace(self, begin_ns=begin_ns, end_ns=end_ns + 1)


class Removal(NamedTuple):
    """What a line says that takes a mark away."""

    key: str


def line(mark: Mark) -> str:
    """*mark* as a line of JSON, times in RFC 3339, exact; without its line feed.

    Raises:
        UsageError: its name is not allowed, it ends before it begins, or a moment is in no calendar.
    """
    name = mark_name(mark.name)
    if mark.end_ns is not None and mark.end_ns <= mark.begin_ns:
        raise UsageError("ends before it begins", where=f"mark {name}")
    try:
        moments = [
            None if each is None else iso_utc(each) for each in (mark.begin_ns, mark.end_ns, mark.created_ns)
        ]
    except ValueError as exc:
        raise UsageError(str(exc), where=f"mark {name}") from None
    values = (name, *moments[:2], list(mark.channels[:_CHANNELS]), moments[2])
    return json.dumps(dict(zip(_KEYS, values, strict=True)), ensure_ascii=False)


def removal(name: str) -> str:
    """The line that takes the mark *name* away."""
    return json.dumps({"name": name, "removed": True})


def parse(text: str) -> Mark | Removal:
    """What a line says; keys that are not known are passed over.

    Raises:
        DataError: it is no mark.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise DataError("no JSON") from None
    if not isinstance(found, dict) or not is_channel_name(str(found.get("name", ""))):
        raise DataError("no mark: it has no name that is allowed")
    if found.get("removed") is True:
        return Removal(found["name"].lower())
    begin_ns, end_ns = _moment(found, "begin"), _moment(found, "end")
    if begin_ns is None:
        raise DataError("no mark: it does not begin")
    if end_ns is not None and end_ns <= begin_ns:
        raise DataError("no mark: it ends before it begins")
    channels = found.get("channels", [])
    if not isinstance(channels, list) or len(channels) > _CHANNELS:
        raise DataError("no mark: its channels are no list")
    names = tuple(each[:_NAME_SIZE] for each in channels if isinstance(each, str))
    return Mark(found["name"], begin_ns, end_ns, names, _moment(found, "created") or 0)


def _moment(found: dict[str, Any], key: str) -> int | None:
    text = found.get(key)
    if text is None:
        return None
    if not isinstance(text, str) or text[:1] in "-n":  # relative to a now that is long over
        raise DataError(f"no mark: its {key} is no moment")
    try:
        return moment_ns(text, 0)
    except UsageError as exc:
        raise DataError(f"no mark: {exc}") from None


def mark_name(text: str) -> str:
    """*text* itself, if it may name a mark.

    Raises:
        UsageError: it may not; says what may.
    """
    try:
        return channel_name(text)
    except UsageError as exc:
        raise UsageError(f"'{printable(text[:80])}' is no name of a mark", mend=exc.mend) from None


def free_name(marks: Iterable[Mark]) -> str:
    """`mark-1`, or the first number that none of *marks* has."""
    taken = {mark.key for mark in marks}
    number = 1
    while f"mark-{number}" in taken:
        number += 1
    return f"mark-{number}"


def named(marks: Sequence[Mark], name: str, *, where: str) -> Mark:
    """The one of *marks* that is called *name*.

    Raises:
        UsageError: there is none; the nearest is told.
    """
    found = {mark.key: mark for mark in marks}
    if name.lower() in found:
        return found[name.lower()]
    near = difflib.get_close_matches(name.lower(), found, n=1, cutoff=0.5)
    some = ", ".join(mark.name for mark in marks[-8:]) + (" and others" if len(marks) > 8 else "")
    mend = f"did you mean {found[near[0]].name}?" if near else f"choose from {some}" if marks else ""
    raise UsageError(f"there is no mark '{printable(name[:80])}' in {where}", where="--mark", mend=mend)
