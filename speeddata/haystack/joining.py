"""What the map says, joined with the records of the server: the points to write, and all that is wrong.

Nothing is converted and nothing guessed: where unit, kind or time zone do not agree, a person is told what
to write in the map.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final, cast, get_args

from speeddata.errors import UsageError
from speeddata.haystack import timezones, units
from speeddata.haystack.kinds import MARKER, Number, Rec, Ref, Value
from speeddata.haystack.points import MILLISECOND_NS, SECOND_NS, Kind, Point
from speeddata.haystack.rules import KEY_TAG, Entry
from speeddata.legible import printable

HEADING: Final = ("signal", "point", "what is wrong", "how to mend it")
_LEFT_OUT = "if it is not meant, write skip = true for the signal in the map"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something between a signal and its point.

    Attributes:
        channel, signal: whose.
        point: how people call it, or its key where there is none; fit for a terminal, as *what* and *mend*.
        what: the fact.
        mend: what to do about it.
        fatal: the signal is not written; else it is, and this is a warning.
    """

    channel: str
    signal: str
    point: str
    what: str
    mend: str
    fatal: bool

    def row(self) -> tuple[str, str, str, str]:
        """Cells under `HEADING`."""
        return f"{self.channel}.{self.signal}", self.point, self.what, self.mend


@dataclass(frozen=True, slots=True)
class Joined:
    """The points that can be written, in the order of their signals, and what is wrong."""

    points: list[Point] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def fatal(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.fatal]


def ids_of(entries: Iterable[Entry]) -> list[str]:
    """The ids to ask a server for, each once."""
    return list(dict.fromkeys(entry.id for entry in entries if entry.id is not None))


def by_key(recs: Iterable[Rec], key_tag: str) -> dict[str, list[Rec]]:
    """Records by the text of their *key_tag*; those without are left out."""
    found: dict[str, list[Rec]] = defaultdict(list)
    for rec in recs:
        if isinstance(key := rec.get(key_tag), str):
            found[key].append(rec)
    return dict(found)


def join(
    entries: Sequence[Entry],
    by_id: Mapping[str, Rec | None],
    by_key: Mapping[str, Sequence[Rec]],
    *,
    key_tag: str = KEY_TAG,
    sub_second: Collection[str] = (),
) -> Joined:
    """Points of *entries*, by what the server's records say of them.

    Args:
        entries: of the map; one for each signal.
        by_id: the record of each id that an entry names; None or absent where there is none.
        by_key: all records that have a key.
        key_tag: the tag that holds the keys, for messages.
        sub_second: the channels that have several samples in a second.

    Returns:
        One point at most for each entry, and one signal at most for each point.
    """
    joined, faults = Joined(), cache(_fault_of_zone)  # a name that there is not is dear to look for
    claims: dict[str, list[tuple[Entry, Rec]]] = defaultdict(list)
    for entry in entries:
        rec = _record(entry, by_id, by_key, key_tag)
        if isinstance(rec, Problem):
            joined.problems.append(rec)
        else:
            claims[cast(Ref, rec["id"]).id].append((entry, rec))
    for claim in claims.values():
        if len(claim) > 1:
            joined.problems.extend(_contest(claim))
            continue
        check = _Check(*claim[0], sub_second, faults)
        point = check.point()
        joined.problems.extend(check.problems)
        if point is not None:
            joined.points.append(point)
    places = {(entry.channel, entry.signal): place for place, entry in enumerate(entries)}
    joined.problems.sort(key=lambda problem: places[problem.channel, problem.signal])
    return joined


def called(rec: Rec) -> str:
    """How people call a record: `@id "dis"`, fit for a terminal."""
    ref = rec.get("id")
    if not isinstance(ref, Ref):
        return ""
    dis = rec.get("dis")
    dis = dis if isinstance(dis, str) else ref.dis
    return printable(f'@{ref.id} "{dis[:80]}"' if dis else f"@{ref.id}")


def _record(
    entry: Entry, by_id: Mapping[str, Rec | None], by_key: Mapping[str, Sequence[Rec]], key_tag: str
) -> Rec | Problem:
    """The one record that the map means, or why there is none."""
    named = f"@{entry.id}" if entry.id is not None else entry.key or ""

    def refused(what: str, mend: str) -> Problem:
        return Problem(entry.channel, entry.signal, printable(named), what, mend, fatal=True)

    if entry.sample_kind is None:
        return refused(f"values of type {entry.type} are no history", _LEFT_OUT)
    if entry.kind not in (None, entry.sample_kind):
        what = f"the map says {entry.kind}, and its samples are {entry.sample_kind}"
        return refused(what, f'write kind = "{entry.sample_kind}" in the map')
    if entry.id is not None:
        rec = by_id.get(entry.id)
        if not rec or not isinstance(rec.get("id"), Ref):
            return refused("the server has no record of that id", "correct the id in the map")
        return rec
    recs = [rec for rec in by_key.get(entry.key or "", ()) if isinstance(rec.get("id"), Ref)]
    if not recs:
        what = f"no point has that {key_tag}"
        return refused(what, "let `speeddata hxpush provision` make it, or write its id in the map")
    if len(recs) > 1:
        what = f"{len(recs)} points have that {key_tag}: {', '.join(called(rec) for rec in recs[:3])}"
        return refused(what, "write the id of the right one in the map")
    return recs[0]


def _contest(claim: list[tuple[Entry, Rec]]) -> Iterable[Problem]:
    """None of several signals may write one point: their samples would overwrite one another."""
    for entry, rec in claim:
        others = [other.name for other, _ in claim if other is not entry]
        what = f"{', '.join(others[:3])}{' and others' if len(others) > 3 else ''} would write this point too"
        mend = "write skip = true for all but one of them, or another id or key"
        yield Problem(entry.channel, entry.signal, called(rec), what, mend, fatal=True)


def _fault_of_zone(zone: str) -> UsageError | None:
    try:
        timezones.zone(zone)
    except UsageError as exc:
        return exc
    return None


class _Check:
    """One entry against the record of its point."""

    def __init__(
        self, entry: Entry, rec: Rec, sub_second: Collection[str], faults: Callable[[str], UsageError | None]
    ) -> None:
        self.entry, self.rec, self.faults = entry, rec, faults
        self.sub_second = entry.channel in sub_second
        self.problems: list[Problem] = []
        self.name = called(rec)

    def point(self) -> Point | None:
        """The point; None where something is fatal."""
        entry, ref = self.entry, cast(Ref, self.rec["id"])
        self._tags()
        kind, zone = self._kind(), self._zone()
        unit = self._unit() if kind == "Number" else None
        precision_ns = self._precision_ns()
        if kind is None or zone is None or any(problem.fatal for problem in self.problems):
            return None
        return Point(
            id=ref.id,
            dis=self._text("dis") or ref.dis or entry.dis or entry.name,
            channel=entry.channel,
            signal=entry.signal,
            kind=kind,
            zone=zone,
            unit=unit,
            precision_ns=precision_ns,
            scale=entry.scale,
            offset=entry.offset,
            on_change=entry.on_change,
            deadband=entry.deadband,
            heartbeat_ns=entry.heartbeat_ns,
        )

    def _tags(self) -> None:
        for tag in ("point", "his"):
            if self.rec.get(tag) is not MARKER:
                self._fatal(
                    f"has no tag {tag}, so the server keeps no history for it", f"give it the tag {tag}"
                )
        for tag in ("aux", "trash"):
            if tag in self.rec:
                self._fatal(f"has the tag {tag}, so the server takes no history for it", _LEFT_OUT)
        if "disabled" in self.rec:
            self._warn("is disabled; it is written all the same", _LEFT_OUT)

    def _kind(self) -> Kind | None:
        kind = self._text("kind")
        if kind is None:
            self._fatal("has no tag kind", f'give it kind "{self.entry.sample_kind}"')
            return None
        if kind != self.entry.sample_kind:
            what = f"is of kind {printable(kind[:40])}, and the samples are {self.entry.sample_kind}"
            self._fatal(what, "name another point in the map, or change the point's kind")
        return cast(Kind, kind) if kind in get_args(Kind) else None

    def _zone(self) -> str | None:
        zone = self._text("tz")
        if zone is None:
            self._fatal("has no tag tz", f'give it a time zone, such as tz "{self.entry.zone or "UTC"}"')
            return None
        if (fault := self.faults(zone)) is not None:
            self._fatal(f"tz: {fault.what}", fault.mend)
            return None
        if self.entry.zone not in (None, zone):
            what = f"is in time zone {zone}, the map says {self.entry.zone}; the point's is used"
            self._warn(what, f'write tz = "{zone}" in the map')
        return zone

    def _unit(self) -> str | None:
        theirs, mine = self._text("unit") or None, self.entry.unit
        if mine is None or (theirs is not None and units.same(mine, theirs)):
            return theirs
        shown = printable(mine[:40])
        if theirs is None:
            mend = f'give it unit "{printable(units.fit_to_create(mine))}"'
            self._warn(f"has no unit; the samples are in {shown}", mend)
            return None
        other = printable(theirs[:40])
        self._fatal(f"is in {other}, and the samples are in {shown}", _unit_mend(self.entry, mine, theirs))
        return theirs

    def _precision_ns(self) -> int:
        entry, theirs = self.entry, self.rec.get("hisTsPrecision")
        precise = isinstance(theirs, Number) and (theirs.unit, theirs.value) == ("ms", 1)
        if not precise and entry.precision_ns == MILLISECOND_NS:
            self._seconds_only("keeps whole seconds, the map says 1ms")
        elif not precise and entry.precision_ns is None and self.sub_second:
            self._seconds_only("keeps whole seconds, the channel has several samples in each")
        return MILLISECOND_NS if precise and entry.precision_ns != SECOND_NS else SECOND_NS

    def _seconds_only(self, what: str) -> None:
        self._warn(
            f"{what}: one sample of a second is kept (the run counts the others)",
            'give the point hisTsPrecision 1ms, choose by --resample, or write precision = "1s" in the map',
        )

    def _text(self, tag: str) -> str | None:
        value: Value = self.rec.get(tag)
        return value if isinstance(value, str) else None

    def _fatal(self, what: str, mend: str) -> None:
        self.problems.append(Problem(self.entry.channel, self.entry.signal, self.name, what, mend, True))

    def _warn(self, what: str, mend: str) -> None:
        self.problems.append(Problem(self.entry.channel, self.entry.signal, self.name, what, mend, False))


def _unit_mend(entry: Entry, mine: str, theirs: str) -> str:
    """What to write in the map, so that samples in *mine* become values in *theirs*."""
    factors = units.conversion(mine, theirs)
    unit = f'unit = "{printable(theirs[:40])}"'
    if factors is None:
        measured = (units.quantity(mine), units.quantity(theirs))
        if None not in measured and measured[0] != measured[1]:
            return f"{measured[0]} is no {measured[1]}: name another point in the map"
        return f"if that is the same, write {unit} in the map, with scale and offset if need be"
    scale, offset = entry.scale * factors[0], entry.offset * factors[0] + factors[1]
    lines = [f"scale = {scale:.15g}"] * (scale != 1) + [f"offset = {offset:.15g}"] * (offset != 0)
    return f"write {', '.join([*lines, unit])} in the map"
