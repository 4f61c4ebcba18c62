"""The records and histories of a Project Haystack server, with the rules of Haxall's Folio.

What Folio refuses raises `Refused`, whose text and type are Haxall's.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
import secrets
import threading
import time
from collections.abc import Iterable
from typing import Any

from haystack_kinds import (
    MARKER,
    NA,
    NS,
    REMOVE,
    Coord,
    Grid,
    Num,
    Only,
    Ref,
    Stamp,
    Symbol,
    Uri,
    city,
    grid_of,
    unit,
    year,
)
from haystack_reading import Scanner, ZincError
from haystack_writing import code, literal

MIN_YEAR = 1950
_EARLY_NS = -631_000_000 * NS  # two days into 1950
KINDS = {"Number": Num, "Bool": bool, "Str": str, "Coord": Coord}
_TYPES = {bool: "sys::Bool", str: "sys::Str", Num: "haystack::Number", Ref: "haystack::Ref"}
_TYPES |= {Coord: "haystack::Coord", Uri: "sys::Uri", Symbol: "haystack::Symbol", Stamp: "sys::DateTime"}
_NEVER = {*"mod transient hisId hisSize hisStart hisStartVal hisEnd hisEndVal".split()}
_TRANSIENT = {*"curVal curStatus curErr writeVal writeLevel writeStatus hisStatus hisErr connStatus".split()}

Tags = dict[str, Any]
Item = tuple[Stamp, Any]


class Refused(Exception):
    """An answer with an err grid: *kind* is its errType."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind, self.text = kind, text


def type_of(value: Any) -> str:
    """The name of a value's type in Fantom."""
    if isinstance(value, Only):
        return {"M": "haystack::Marker", "NA": "haystack::NA", "R": "haystack::Remove"}[value.name]
    return _TYPES.get(type(value), f"sys::{type(value).__name__.capitalize()}")


class History:
    """The items of a point by time; values are float, bool, str, Coord or NA."""

    def __init__(self) -> None:
        self._by_ns: dict[int, Any] = {}
        self._sorted: list[int] | None = []

    def __len__(self) -> int:
        return len(self._by_ns)

    def times(self) -> list[int]:
        if self._sorted is None:
            self._sorted = sorted(self._by_ns)
        return self._sorted

    def items(self) -> list[tuple[int, Any]]:
        return [(ns, self._by_ns[ns]) for ns in self.times()]

    def merge(self, changes: Iterable[tuple[int, Any]], keep: int) -> None:
        for ns, value in changes:
            if value is REMOVE:
                self._by_ns.pop(ns, None)
            else:
                self._by_ns[ns] = value
        self._sorted = None
        if len(self._by_ns) > keep:
            for ns in self.times()[:-keep]:
                del self._by_ns[ns]
            self._sorted = None


class Folio:
    """Records by id and their histories. Every public method is safe from any thread.

    Args:
        modes: the server's: its `max_items` and `whole_seconds` are looked at.
        version: of the Haxall whose texts the refusals have.
        project: where it is given, new records get ids of its own, `p:PROJECT:r:...`, as SkySpark's do.
    """

    def __init__(self, modes: Any, version: str = "4.0.6", project: str | None = None) -> None:
        self._modes, self.version, self.project = modes, version, project
        self.records: dict[str, Tags] = {}
        self.histories: dict[str, History] = {}
        self.bad: dict[str, str] = {}  # points that refuse every write, which no tag of theirs tells: why
        self._lock = threading.RLock()
        self._mod_ns = 0

    # --- reading

    def record(self, id: str) -> Tags:
        try:
            return self.records[id]
        except KeyError:
            raise self._unknown(id) from None

    def _unknown(self, id: str) -> Refused:
        at = "@" if self.version.startswith("4") else ""
        return Refused("haystack::UnknownRecErr", f"{at}{id}")

    def seen(self, id: str) -> Tags:
        """A record as `read` answers it: with the tags of its history, and refs that say what they are."""
        tags = {name: self._named(value) for name, value in self.record(id).items()}
        history = self.histories.get(id)
        if history:
            zone, times = city(tags.get("tz", "UTC")), history.times()
            tags["hisSize"] = Num(float(len(history)))
            tags["hisStart"], tags["hisEnd"] = Stamp(times[0], zone), Stamp(times[-1], zone)
        return tags

    def named(self, id: str) -> Ref:
        return Ref(id, self.records.get(id, {}).get("dis"))

    def _named(self, value: Any) -> Any:
        return self.named(value.id) if isinstance(value, Ref) else value

    def read_ids(self, ids: list[Any]) -> Grid:
        with self._lock:
            return grid_of([self.seen(ref.id) if ref and ref.id in self.records else None for ref in ids])

    def read_filter(self, text: str, limit: int | None = None) -> Grid:
        """What *text* matches, in no order that a client could count on."""
        matches = Filter(text, self.records.get).matches
        with self._lock:
            found = [id for id, tags in self.records.items() if matches(tags)]
            found.sort(key=lambda id: hashlib.sha1(id.encode()).digest())
            return grid_of([self.seen(id) for id in found[:limit]])

    def history(self, id: str) -> list[tuple[int, Any]]:
        with self._lock:
            history = self.histories.get(id)
            return history.items() if history else []

    # --- committing

    def commit_add(self, rows: list[Tags]) -> list[Tags]:
        with self._lock:
            self._no_duplicates(rows)
            taken: dict[str, str] = {}
            for tags in rows:
                ref = tags.get("id")
                if ref is not None and not isinstance(ref, Ref):
                    raise Refused("sys::CastErr", f"{type_of(ref)} cannot be cast to haystack::Ref")
                if ref and ref.id in self.records:
                    raise Refused("folio::CommitErr", f"Rec already exists: {ref.id}")
                self._allow(tags)
                if ref:
                    taken[ref.id] = self._new_id() if self.project else ref.id
            mod, added = self._mod(), []
            for tags in rows:
                id = taken[tags["id"].id] if "id" in tags else self._new_id()
                record = {"id": Ref(id)} | {
                    name: Ref(taken.get(value.id, value.id)) if isinstance(value, Ref) else value
                    for name, value in tags.items()
                    if name != "id" and value is not REMOVE
                }
                self.records[id] = record | {"mod": mod}
                added.append(id)
            return [self.seen(id) for id in added]

    def commit_update(self, rows: list[Tags], force: bool = False) -> list[Tags]:
        with self._lock:
            self._no_duplicates(rows)
            for tags in rows:
                self._allow({name: value for name, value in tags.items() if name != "mod"})
                self._current(tags, force)
            mod = self._mod()
            for tags in rows:
                record = self.records[tags["id"].id]
                for name, value in tags.items():
                    if value is REMOVE:
                        record.pop(name, None)
                    elif name != "id":
                        record[name] = value
                record["mod"] = mod
            return [self.seen(tags["id"].id) for tags in rows]

    def commit_remove(self, rows: list[Tags], force: bool = False) -> None:
        with self._lock:
            self._no_duplicates(rows)
            for tags in rows:
                self._current(tags, force)
            for tags in rows:
                self.records.pop(tags["id"].id)
                self.histories.pop(tags["id"].id, None)

    def _current(self, tags: Tags, force: bool) -> None:
        if not isinstance(tags.get("id"), Ref):
            raise Refused("haystack::UnknownNameErr", "id")
        if "mod" not in tags:
            raise Refused("haystack::UnknownNameErr", "mod")
        id = tags["id"].id
        if id not in self.records:
            raise Refused("folio::CommitErr", f"Rec not found: {id}")
        mod = self.records[id]["mod"]
        if mod != tags["mod"] and not force:
            raise Refused("folio::ConcurrentChangeErr", f"{id}: {literal(mod)} != {literal(tags['mod'])}")

    def _allow(self, tags: Tags) -> None:
        for name in tags:
            if name in _NEVER:
                raise Refused("folio::DiffErr", f"Cannot set tag: {code(name)}")
            if name in _TRANSIENT:
                raise Refused("folio::DiffErr", f"Cannot set tag persistently: {code(name)}")

    def _no_duplicates(self, rows: list[Tags]) -> None:
        ids = [tags["id"].id for tags in rows if isinstance(tags.get("id"), Ref)]
        if twice := [id for id in ids if ids.count(id) > 1] if len(set(ids)) < len(ids) else []:
            raise Refused("folio::DiffErr", f"Duplicate diffs for {twice[0]}")

    def _new_id(self) -> str:
        id = f"{secrets.token_hex(4)}-{secrets.token_hex(4)}"
        return f"p:{self.project}:r:{id}" if self.project else id

    def _mod(self) -> Stamp:
        self._mod_ns = max(time.time_ns() // 1_000_000 * 1_000_000, self._mod_ns + 1_000_000)
        return Stamp(self._mod_ns, "UTC")

    # --- histories

    def write(self, id: str, items: list[Item]) -> None:
        """All of *items* into the history of a point, or none of them."""
        with self._lock:
            record = self.record(id)
            if not items:
                return
            changes = self._checked(record, items)
            own = record.get("hisMaxItems")
            keep = int(own.value) if own else self._modes.max_items
            self.histories.setdefault(id, History()).merge(changes, keep)

    def _checked(self, record: Tags, items: list[Item]) -> list[tuple[int, Any]]:
        def refused(text: str, kind: str = "folio::HisWriteErr") -> Refused:
            return Refused(kind, f"{text} [{literal(Ref(record['id'].id, record.get('dis')))}]")

        if why := self.bad.get(record["id"].id):
            raise refused(why, "folio::HisConfigErr")
        for tag in ("point", "his"):
            if record.get(tag) is not MARKER:
                raise refused(f"Rec missing '{tag}' tag", "folio::HisConfigErr")
        for tag in ("aux", "trash"):
            if tag in record:
                raise refused(f"Rec marked as '{tag}'", "folio::HisConfigErr")
        settings = []
        for tag, known in (("kind", KINDS.get), ("tz", city), ("unit", unit)):
            value = record.get(tag)
            if value is None and tag != "unit":
                raise refused(f"Missing '{tag}' tag", "folio::HisConfigErr")
            if value is not None and (not isinstance(value, str) or known(value) is None):
                raise refused(f"Invalid '{tag}' tag: {value}", "folio::HisConfigErr")
            settings.append(known(value) if value is not None else None)
        kind, zone, symbol = settings
        precision_ns = _precision_ns(record.get("hisTsPrecision"))
        if precision_ns is None:
            text = f"Unsupported hisTsPrecision: {literal(record['hisTsPrecision'])}"
            raise refused(text, "folio::HisConfigErr")
        if self._modes.whole_seconds:
            precision_ns = NS
        checked = []
        for stamp, value in sorted(items, key=lambda item: item[0].ns):
            if stamp.city != zone:
                raise refused(f'Mismatched timezone, rec tz "{zone}" != item tz "{stamp.city}"')
            if stamp.ns < _EARLY_NS and year(stamp) < MIN_YEAR:
                raise refused(f"Timestamps before {MIN_YEAR} not supported: {literal(stamp)}")
            if type(value) is not kind and value is not NA and value is not REMOVE:
                raise refused(
                    f'Mismatched value type, rec kind "{record["kind"]}" != item type "{type_of(value)}"'
                )
            if isinstance(value, Num):
                if value.unit is not None and value.unit != symbol:
                    item = f"item unit '{value.unit}'"
                    raise refused(f"Mismatched unit, rec unit '{symbol or 'null'}' != {item}")
                value = float(value.value) + 0.0 if value.whole else ctypes.c_float(value.value).value
            checked.append((stamp.ns - stamp.ns % precision_ns, value))
        return checked

    def read_history(self, id: str, since_ns: int, until_ns: int) -> list[Item]:
        with self._lock:
            record = self.record(id)
            if "point" not in record or "his" not in record:
                text = f"Not tagged as his point [{literal(self.named(id))}]"
                raise Refused("folio::HisConfigErr", text)
            zone, symbol = city(record["tz"]), unit(record["unit"]) if "unit" in record else None
            return [
                (Stamp(ns, zone), Num(value, symbol) if isinstance(value, float) else value)
                for ns, value in self.history(id)
                if since_ns <= ns < until_ns
            ]


def _precision_ns(tag: Any) -> int | None:
    if tag is None:
        return NS
    if not isinstance(tag, Num):
        return None
    return {(1.0, "ms"): NS // 1000, (1.0, "sec"): NS, (1000.0, "ms"): NS}.get((tag.value, tag.unit))


# --- filters


class Filter:
    """A Haystack filter: tags, paths, `not TAG`, comparisons, `and`, `or`, parentheses; nothing else."""

    def __init__(self, text: str, find: Any) -> None:
        self._scan, self._find = Scanner(text), find
        try:
            self.matches = self._or()
            self._expect("eof")
        except ZincError as exc:
            raise Refused("sys::ParseErr", f"{exc} [{text}]") from None

    def _expect(self, what: str) -> Any:
        token = self._scan.next()
        if token.what != what:
            raise ZincError(f"Expected {what} not {token.text}")
        return token.value

    def _keyword(self, word: str) -> bool:
        token = self._scan.peek()
        return token.what == "id" and token.value == word

    def _or(self) -> Any:
        left = self._and()
        if not self._keyword("or"):
            return left
        self._scan.next()
        right = self._or()
        return lambda tags: left(tags) or right(tags)

    def _and(self) -> Any:
        left = self._term()
        if not self._keyword("and"):
            return left
        self._scan.next()
        right = self._and()
        return lambda tags: left(tags) and right(tags)

    def _term(self) -> Any:
        if self._scan.peek().what == "(":
            self._scan.next()
            inner = self._or()
            self._expect(")")
            return inner
        if self._keyword("not"):
            self._scan.next()
            get = self._path()
            return lambda tags: get(tags) is None
        get = self._path()
        compare = self._scan.peek().what
        if compare not in ("==", "!=", "<", "<=", ">", ">="):
            return lambda tags: get(tags) is not None
        self._scan.next()
        wanted = self._literal()
        return lambda tags: _compares(get(tags), compare, wanted)

    def _path(self) -> Any:
        names = [self._expect("id")]
        while self._scan.peek().what == "->":
            self._scan.next()
            names.append(self._expect("id"))

        def get(tags: Tags) -> Any:
            for name in names[:-1]:
                ref = tags.get(name)
                tags = self._find(ref.id) or {} if isinstance(ref, Ref) else {}
            return tags.get(names[-1])

        return get

    def _literal(self) -> Any:
        token = self._scan.next()
        if token.what == "value":
            return token.value
        if token.what == "id" and token.value in ("true", "false"):
            return token.value == "true"
        raise ZincError(f"Expecting value literal, not {token.text}")


def _compares(value: Any, how: str, wanted: Any) -> bool:
    if value is None:
        return False
    if how in ("==", "!="):
        return (type(value) is type(wanted) and value == wanted) == (how == "==")
    if type(value) is not type(wanted):
        return False
    one, other = (value.ns, wanted.ns) if isinstance(value, Stamp) else (value, wanted)
    return {"<": one < other, "<=": one <= other, ">": one > other, ">=": one >= other}[how]


def same_value(one: Any, other: Any) -> bool:
    """Whether two values of histories are the same, NaN included."""
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and one == other
