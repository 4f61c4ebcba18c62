"""Sites, equips and points that a map names and a server lacks, in one commit; what is there stays so."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Final

from speeddata.haystack import joining, units
from speeddata.haystack.joining import Problem, called
from speeddata.haystack.kinds import MARKER, Column, Grid, Number, Rec, Ref, Value
from speeddata.haystack.points import MILLISECOND_NS
from speeddata.haystack.rules import KEY_TAG, Entry
from speeddata.legible import printable

HEADING: Final = ("", "record", "path", "signal", "what it holds")
DEFAULT_ZONE: Final = "UTC"
_FIRST = (
    "id",
    "dis",
    "navName",
    "site",
    "equip",
    "point",
    "siteRef",
    "equipRef",
    "his",
    "kind",
    "unit",
    "tz",
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A point that is there already, with the record's name for people."""

    entry: Entry
    called: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be made, what is there, and what is in the way.

    Attributes:
        sites, equips, points: records to be made, with the ids that they are to have.
        entries: of *points*, in their order.
        kept: points that are there; they stay as they are, whatever the map says.
        problems: signals without a point even then (fatal), and points that are not as the map says.
    """

    sites: list[Rec] = field(default_factory=list)
    equips: list[Rec] = field(default_factory=list)
    points: list[Rec] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there is anything to make."""
        return bool(self.sites or self.equips or self.points)

    def commit_grid(self) -> Grid:
        """The grid of op `commit` that makes all of it, or, where one record cannot be made, nothing."""
        rows = [*self.sites, *self.equips, *self.points]
        names = dict.fromkeys([*_FIRST, *(name for row in rows for name in row)])
        used = [name for name in names if any(name in row for row in rows)]
        return Grid({"commit": "add"}, [Column(name) for name in used], [dict(row) for row in rows])

    def table(self) -> list[tuple[str, str, str, str, str]]:
        """Cells under `HEADING`, fit for a terminal; what is to be made first."""
        rows = [("new", "site", _text(rec, "dis"), "", f"tz {_text(rec, 'tz')}") for rec in self.sites]
        rows += [("new", "equip", _text(rec, "dis"), "", "") for rec in self.equips]
        for rec, entry in zip(self.points, self.entries, strict=True):
            rows.append(("new", "point", "/".join(entry.path or ()), entry.name, _held(rec)))
        rows += [("is there", "point", kept.called, kept.entry.name, "") for kept in self.kept]
        return [
            (state, what, printable(path), signal, printable(held))
            for state, what, path, signal, held in rows
        ]


def read_filter(key_tag: str = KEY_TAG) -> str:
    """The filter of op `read` that finds what `plan` has to know."""
    return f"site or equip or (point and {key_tag})"


def plan(
    entries: Sequence[Entry],
    found: Grid,
    *,
    key_tag: str = KEY_TAG,
    zone: str | None = None,
    sub_second: Collection[str] = (),
) -> Plan:
    """What a server lacks for *entries*.

    Ids are made of the names and keys, so that the same plan has the same ids. A point whose entry names its
    id is not made here: an id in a map says that the point exists.

    Args:
        entries: of the map; those without a path, or whose samples make no history, get no point.
        found: what the server answers to `read_filter`.
        key_tag: the tag that holds the keys.
        zone: of what neither the map nor its site gives one; None: `UTC`.
        sub_second: the channels that have several samples in a second: their points keep milliseconds.
    """
    return _Planner(found.rows, key_tag, zone or DEFAULT_ZONE, sub_second).plan(entries)


def id_of(kind: str, *names: str) -> str:
    """The id of a new record, by its *kind* and the names that tell it from others."""
    return f"speeddata-{sha1(chr(0).join((kind, *names)).encode()).hexdigest()[:12]}"


class _Planner:
    """Looks for each thing among what is there, then among what is to be made."""

    def __init__(self, found: Iterable[Rec], key_tag: str, zone: str, sub_second: Collection[str]) -> None:
        self.key_tag, self.zone, self.sub_second = key_tag, zone, sub_second
        recs = [rec for rec in found if isinstance(rec.get("id"), Ref)]
        self.by_id = {_id(rec): rec for rec in recs}
        self.by_key = joining.by_key((rec for rec in recs if rec.get("point") is MARKER), key_tag)
        self.sites: dict[str, list[Rec]] = {}
        self.equips: dict[tuple[str, str], list[Rec]] = {}
        for rec in recs:
            if rec.get("site") is MARKER:
                for name in _names(rec):
                    self.sites.setdefault(name, []).append(rec)
        for rec in recs:
            if rec.get("equip") is MARKER and isinstance(site := rec.get("siteRef"), Ref):
                for name in self._names_of_equip(rec, site.id):
                    self.equips.setdefault((site.id, name), []).append(rec)
        self.made = Plan()
        self.paths: dict[tuple[str, str, str], Entry] = {}

    def plan(self, entries: Sequence[Entry]) -> Plan:
        there: list[Entry] = []
        keys: dict[str, Entry] = {}
        for entry in entries:
            if entry.id is not None:
                continue
            assert entry.key is not None
            if entry.key in self.by_key:
                there.append(entry)
            elif entry.sample_kind is None:
                mend = "write skip = true for the signal in the map"
                self._refuse(entry, f"values of type {entry.type} are no history", mend)
            elif (other := keys.setdefault(entry.key, entry)) is not entry:
                self._refuse(
                    entry, f"{other.name} has the key {entry.key} too", "give one of them another key"
                )
            else:
                self._point(entry)
        joined = joining.join(there, {}, self.by_key, key_tag=self.key_tag, sub_second=self.sub_second)
        self.made.problems.extend(joined.problems)
        self.made.kept.extend(Kept(entry, called(self.by_key[entry.key or ""][0])) for entry in there)
        return self.made

    def _point(self, entry: Entry) -> None:
        if entry.path is None:
            mend = (
                'write path = "SITE/{channel}/{signal}" at the top of the map, or site = "..." for the point'
            )
            self._refuse(entry, "the map does not say in which site it is", mend)
            return
        assert entry.key is not None
        if (other := self.paths.setdefault(entry.path, entry)) is not entry:
            what = f"{other.name} has the path {'/'.join(entry.path)} too"
            self._refuse(entry, what, "give one of them another point, equip or site in the map")
            return
        own = id_of("point", self.key_tag, entry.key)
        if own in self.by_id:
            what = f"{called(self.by_id[own])} was made for it, and has another {self.key_tag} now"
            self._refuse(entry, what, "write its id in the map, or give its key back to it")
            return
        site = self._site(entry, entry.path[0])
        equip = None if site is None else self._equip(entry, site, entry.path)
        if site is not None and equip is not None:
            self.made.points.append(self._rec_of_point(entry, own, site, equip))
            self.made.entries.append(entry)

    def _site(self, entry: Entry, name: str) -> Rec | None:
        own = id_of("site", name)
        if own in self.by_id:  # made by an earlier plan, and perhaps renamed since
            return self.by_id[own]
        if name not in self.sites:
            site: Rec = {"id": Ref(own), "dis": name, "site": MARKER, "tz": entry.zone or self.zone}
            self.sites[name] = [site]
            self.made.sites.append(site)
        return self._only(entry, f"sites are called {name}", self.sites[name])

    def _equip(self, entry: Entry, site: Rec, path: tuple[str, str, str]) -> Rec | None:
        name, own = path[1], id_of("equip", *path[:2])
        if own in self.by_id:
            return self.by_id[own]
        place = (_id(site), name)
        if place not in self.equips:
            dis = " ".join(path[:2])
            ref = Ref(_id(site))
            equip: Rec = {"id": Ref(own), "dis": dis, "navName": name, "equip": MARKER, "siteRef": ref}
            self.equips[place] = [equip]
            self.made.equips.append(equip)
        return self._only(entry, f"equips of that site are called {name}", self.equips[place])

    def _rec_of_point(self, entry: Entry, own: str, site: Rec, equip: Rec) -> Rec:
        assert entry.path is not None
        dis = entry.dis or " ".join(entry.path)
        rec: Rec = {
            "id": Ref(own),
            "dis": dis,
            "navName": entry.path[2],
            "point": MARKER,
            "his": MARKER,
            "kind": entry.sample_kind,
            "tz": entry.zone or _text(site, "tz") or self.zone,
            "siteRef": Ref(_id(site)),
            "equipRef": Ref(_id(equip)),
            **dict.fromkeys(entry.tags, MARKER),
            self.key_tag: entry.key,
        }
        if entry.sample_kind == "Number" and entry.unit is not None:
            rec["unit"] = units.fit_to_create(entry.unit)
        fine = entry.precision_ns == MILLISECOND_NS
        if fine or (entry.precision_ns is None and entry.channel in self.sub_second):
            rec["hisTsPrecision"] = Number(1, "ms")
        return rec

    def _names_of_equip(self, rec: Rec, site: str) -> set[str]:
        """Also without the name of the site in front, as people call an equip in full."""
        names = _names(rec)
        for prefix in _names(self.by_id.get(site, {})):
            names |= {name.removeprefix(f"{prefix} ") for name in names}
        return names

    def _only(self, entry: Entry, what: str, recs: list[Rec]) -> Rec | None:
        if len(recs) > 1:
            names = ", ".join(called(rec) for rec in recs[:3])
            mend = "give them different names, or write another in the map"
            self._refuse(entry, f"{len(recs)} {what}: {names}", mend)
            return None
        return recs[0]

    def _refuse(self, entry: Entry, what: str, mend: str) -> None:
        key = printable(entry.key or "")
        problem = Problem(entry.channel, entry.signal, key, printable(what), mend, fatal=True)
        self.made.problems.append(problem)


def _id(rec: Rec) -> str:
    ref = rec["id"]
    assert isinstance(ref, Ref)
    return ref.id


def _names(rec: Rec) -> set[str]:
    """All that a site or equip is called."""
    ref = rec.get("id")
    known: list[Value] = [rec.get("dis"), rec.get("navName"), rec.get("name")]
    known.append(ref.dis if isinstance(ref, Ref) else None)
    return {name for name in known if isinstance(name, str) and name}


def _text(rec: Rec, tag: str) -> str:
    value = rec.get(tag)
    return value if isinstance(value, str) else ""


def _held(rec: Rec) -> str:
    """What a new point holds, in a few words."""
    fine = "1ms" if "hisTsPrecision" in rec else ""
    return " ".join(filter(None, (_text(rec, "kind"), _text(rec, "unit"), _text(rec, "tz"), fine)))
