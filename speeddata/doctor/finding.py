"""What an examination comes to: how things stand, and what to do where they stand badly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from speeddata.legible import printable

OK, NOTE, WARNING, FAULT = STATES = ("ok", "note", "warning", "fault")
_WIDEST = max(map(len, STATES))
_ABOUT_WIDTH = 9

Value = int | float | str | None


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        about: what was looked at, in a word: `disk`, `clock`.
        state: OK; NOTE: good to know, or cannot be told; WARNING: may well go wrong; FAULT: does not work.
        what: in one line.
        cure: in one line, a command to run where there is one; "" where nothing has to be done.
        measured: figures by name, with their unit in it, for programs.
    """

    about: str
    state: str
    what: str
    cure: str = ""
    measured: Mapping[str, Value] = field(default_factory=dict)


def cannot_tell(about: str, what: str, why: str = "") -> Finding:
    """The system keeps it to itself, as containers and other systems than Linux do."""
    return Finding(about, NOTE, f"cannot tell {what}" + (f": {why}" if why else ""))


def lines(finding: Finding) -> list[str]:
    """For people: the state, what it is about, and what is found; the cure below it."""
    head = f"{finding.state:{_WIDEST}}  {finding.about:{_ABOUT_WIDTH}}  "
    below = [" " * len(head) + f"cure: {finding.cure}"] if finding.cure else []
    return [printable(line) for line in (head + finding.what, *below)]


def record(finding: Finding) -> dict[str, object]:
    """For programs: what becomes a line of JSON."""
    return {
        "about": finding.about,
        "state": finding.state,
        "what": finding.what,
        "cure": finding.cure,
        "measured": dict(finding.measured),
    }


def verdict(findings: Iterable[Finding]) -> str:
    """`1 fault, 2 warnings`; "" when nothing would go wrong."""
    states = [finding.state for finding in findings]
    counts = [(states.count(state), state) for state in (FAULT, WARNING)]
    return ", ".join(f"{count} {state}{'s' if count > 1 else ''}" for count, state in counts if count)
