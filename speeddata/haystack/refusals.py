"""What a server says when it does not take a call: an error grid, sent as if all were well (HTTP 200)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from speeddata.haystack.kinds import Grid
from speeddata.haystack.literals import REF
from speeddata.legible import printable

_LONGEST = 300  # characters of a server's text that a person is shown
_FAR_ENOUGH = 2_000  # characters from the end in which the record is looked for
# `folio::HisWriteErr: Mismatched unit ... [@id "what people call it"]`: the record that it is about, last
_RECORD = re.compile(rf'\[@({REF})(?: ".*")?\]\s*\Z', re.DOTALL)
_ANY_RECORD = re.compile(rf"\[@({REF})[\] ]")
# `haystack::UnknownRecErr: @id` of Haxall 4, without the @ of Haxall 3
_UNKNOWN = re.compile(rf"UnknownRec(?:Err|Exception):\s*@?({REF})\s*\Z")
_KIND = re.compile(r"\s*((?:[A-Za-z0-9_]+::)?[A-Za-z0-9_]*(?:Err|Exception))\b")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a server did not do what it was asked.

    Attributes:
        kind: the server's name for it, such as `folio::HisWriteErr`; or `HTTP 400`.
        text: its words, of one line, fit for a terminal.
        point: the id that it names, without the `@`; None where it names none. A server may name any, so
            that this is to be looked up in what was sent.
    """

    kind: str
    text: str
    point: str | None = None

    def __str__(self) -> str:
        return self.text if self.kind in self.text else f"{self.kind}: {self.text}"


def refusal_of(grid: Grid) -> Refusal | None:
    """What *grid* refuses; None for an answer that is no error grid, which has the tag `err`."""
    if "err" not in grid.meta:
        return None
    dis, kind = grid.meta.get("dis"), grid.meta.get("errType")
    text = dis if isinstance(dis, str) else ""
    if not isinstance(kind, str) or not kind:
        found = _KIND.match(text)
        kind = found[1] if found else "Err"
    return Refusal(_shown(kind), _shown(text) or "the server does not say why", _point(text))


def _point(text: str) -> str | None:
    end = text[-_FAR_ENOUGH:]
    found = _RECORD.search(end) or _UNKNOWN.search(end) or _ANY_RECORD.search(end)
    return found[1] if found else None


def _shown(text: str) -> str:
    text = printable(" ".join(text[: 4 * _LONGEST].split()))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
