"""The little of Axon that clients send to SkySpark's `evalAll` to write histories.

An expression is one call of `hisWrite(data, point)`, also written `data.hisWrite(point)`, as SkySpark has it
(data first). *data* is a dict with `ts` and `val`, or a list of such:

    hisWrite([{ts: dateTime(2026-11-21, 10:00:00.5, "New_York"), val: 1.5},
              {ts: dateTime(2026-11-21, 10:00:01, "New_York"), val: 2kW}], @p:demo:r:1)

- *point*: `@id` or `readById(@id)`.
- `ts`: `dateTime(DATE, TIME, "CITY")`; of the hour that comes twice in autumn it means the first. Or
  `parseDateTime("2026-11-01T01:30:00-05:00", "YYYY-MM-DDThh:mm:ssz")`, with `.FFF` behind the seconds of both
  texts where they have fractions. Behind either `.toTimeZone("CITY")`; a city may be `readById(@id)->tz`.
- `val`: a number with or without its unit, a string, `true`, `false`, `na()`, `nan()`, `posInf()`,
  `negInf()`.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from typing import Any

from haystack_folio import Folio, Refused
from haystack_kinds import NA, NS, Num, Ref, Stamp, city, zone_info
from haystack_reading import Scanner, ZincError

_WORDS = {"true": True, "false": False}
_CALLS = {"na": NA, "nan": Num(math.nan), "posInf": Num(math.inf), "negInf": Num(-math.inf)}
_PATTERNS = ("YYYY-MM-DDThh:mm:ssz", "YYYY-MM-DDThh:mm:ss.FFFz")


class Parsed:
    """An expression: *point* by id, and its *items*."""

    def __init__(self, text: str, folio: Folio) -> None:
        self._scan, self._folio = Scanner(text), folio
        try:
            if self._scan.peek().value == "hisWrite":
                self._call("hisWrite")
                data = self._data()
                self._expect(",")
            else:
                data = self._data()
                self._expect(".")
                self._call("hisWrite")
            self.point = self._point()
            self._expect(")")
            self._expect("eof")
        except ZincError as exc:
            raise Refused("axon::SyntaxErr", str(exc)) from None
        self.items = data

    def _expect(self, what: str) -> Any:
        token = self._scan.next()
        if token.what != what:
            raise ZincError(f"Expected {what} not {token.text}")
        return token.value

    def _call(self, name: str) -> None:
        if (found := self._expect("id")) != name:
            raise ZincError(f"Unknown symbol '{found}'")
        self._expect("(")

    def _data(self) -> list[tuple[Stamp, Any]]:
        if self._scan.peek().what == "{":
            return [self._item()]
        self._expect("[")
        items = []
        while self._scan.peek().what != "]":
            items.append(self._item())
            if self._scan.peek().what != ",":
                break
            self._scan.next()
        self._expect("]")
        return items

    def _item(self) -> tuple[Stamp, Any]:
        tags = {}
        self._expect("{")
        while True:
            name = self._scan.next().value
            self._expect(":")
            tags[name] = self._ts() if name == "ts" else self._val()
            if self._scan.peek().what != ",":
                break
            self._scan.next()
        self._expect("}")
        if tags.keys() != {"ts", "val"}:
            raise ZincError(f"Expected ts and val, not {sorted(tags)}")
        return tags["ts"], tags["val"]

    def _ts(self) -> Stamp:
        at, zone = self._date_time() if self._scan.peek().value == "dateTime" else self._parsed_date_time()
        while self._scan.peek().what == ".":
            self._scan.next()
            self._call("toTimeZone")
            zone = self._zone()
            self._expect(")")
        since = at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        return Stamp((since.days * 86400 + since.seconds) * NS + since.microseconds * 1000, zone)

    def _date_time(self) -> tuple[datetime, str]:
        self._call("dateTime")
        day = self._literal(date)
        self._expect(",")
        clock = self._literal(time)
        self._expect(",")
        zone = self._zone()
        self._expect(")")
        return datetime.combine(day, clock, zone_info(zone)), zone

    def _parsed_date_time(self) -> tuple[datetime, str]:
        self._call("parseDateTime")
        text = self._literal(str)
        self._expect(",")
        if (pattern := self._literal(str)) not in _PATTERNS:
            raise ZincError(f"Invalid DateTime pattern {pattern}")
        self._expect(")")
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise ZincError(f"Cannot parse DateTime {text}") from None
        if at.tzinfo is None or ("." in text) != ("." in pattern):
            raise ZincError(f"Cannot parse DateTime {text} as {pattern}")
        return at, "UTC"

    def _zone(self) -> str:
        if self._scan.peek().value == "readById":
            zone = self._folio.record(self._point().id).get("tz")
            self._expect("->")
            self._expect("id")
        else:
            zone = self._literal(str)
        if not isinstance(zone, str) or (known := city(zone)) is None:
            raise ZincError(f"Unknown TimeZone {zone}")
        return known

    def _val(self) -> Any:
        token = self._scan.next()
        if token.what == "value":
            return token.value
        if token.what == "id" and token.value in _WORDS:
            return _WORDS[token.value]
        if token.what == "id" and token.value in _CALLS:
            self._expect("(")
            self._expect(")")
            return _CALLS[token.value]
        raise ZincError(f"Unexpected {token.text}")

    def _point(self) -> Ref:
        if self._scan.peek().value == "readById":
            self._call("readById")
            ref = self._literal(Ref)
            self._expect(")")
            return ref
        return self._literal(Ref)

    def _literal(self, kind: type) -> Any:
        token = self._scan.next()
        if token.what != "value" or type(token.value) is not kind:
            raise ZincError(f"Expected {kind.__name__} not {token.text}")
        return token.value
