"""The file that says which signal goes to which point: TOML, or CSV out of a spreadsheet.

Every key is known, or refused with its place: a misspelt `deadbnad` may not go unseen.
"""

from __future__ import annotations

import csv
import io
import re
import tomllib
from collections.abc import Callable, Collection
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final, NoReturn, cast, get_args

from speeddata.errors import UsageError
from speeddata.haystack import timezones
from speeddata.haystack.points import MILLISECOND_NS, SECOND_NS, Kind
from speeddata.haystack.rules import DEFAULT, GLOB, KEY, KEY_TAG, NAME_IN, PATH, Entry, Mapping, Rule
from speeddata.timerange import duration_ns

__all__ = ["DEFAULT", "KEY_TAG", "Entry", "Mapping", "Rule", "parse", "parse_csv", "parse_toml"]

MAX_TEXT = 4 * 1024 * 1024  # characters of a map
_MAX_GLOB = 256  # characters: a longer one could take long to compile

PRECISIONS: Final = {"1s": SECOND_NS, "1ms": MILLISECOND_NS}

# What a rule may say, and of which form; those of _DEFAULTS may stand for all rules.
_FORMS: Final = {
    **dict.fromkeys(("signal", "id", "key", "kind", "unit", "tz", "precision", "heartbeat"), "text"),
    **dict.fromkeys(("dis", "site", "equip", "point"), "text"),
    **dict.fromkeys(("scale", "offset", "deadband"), "number"),
    **dict.fromkeys(("on_change", "skip"), "flag"),
    "tags": "list",
}
_DEFAULTS = ("tz", "precision", "on_change", "deadband", "heartbeat", "dis", "site", "equip", "point", "tags")
_TOP = {"key_tag": "text", "key": "text", "path": "text", "defaults": "table", "point": "tables"}
_WORDS = {
    "text": "text",
    "number": "a number",
    "flag": "true or false",
    "list": "a list of text",
    "table": "a table",
    "tables": "a list of tables",
}
_MENDS = {"table": "write [defaults]", "tables": "write [[point]]"}

# tags that have a meaning of their own
_TAKEN = frozenset("id mod kind unit tz his point site equip siteRef equipRef hisTsPrecision".split())
_NAMES = frozenset(("dis", "navName"))  # may be keys, but not markers
_TAG = re.compile(r"[a-z][A-Za-z0-9_]{0,59}")
_REF = re.compile(r"[A-Za-z0-9_:.~-]{1,255}")


def parse(text: str, where: str) -> Mapping:
    """The map in the file *where*: CSV where its name ends so, else TOML.

    Raises:
        UsageError: as `parse_csv` and `parse_toml` do.
    """
    return parse_csv(text, where) if where.lower().endswith(".csv") else parse_toml(text, where)


def parse_toml(text: str, where: str = "") -> Mapping:
    """The map that a TOML file is: `key_tag`, `key`, `path`, [defaults], and a [[point]] for each rule.

    Raises:
        UsageError: not TOML, too long, an unknown key or a wrong value; names *where* and the key.
    """
    reader = _Reader(where)
    reader.check_length(text)
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as exc:  # ValueError: also a number of thousands of digits
        both = "immutable namespace" in str(exc) and "[[point]]" in text
        mend = "the points are in the list point = [...]: add a line there" if both else ""
        raise UsageError(f"not TOML: {exc}", where=where, mend=mend) from None
    top = reader.typed("", tables, _TOP)
    given = reader.typed("defaults", top.get("defaults", {}), {name: _FORMS[name] for name in _DEFAULTS})
    reader.defaults(given, top.get("key", KEY), top.get("path", PATH))
    rules = [reader.rule(f"point {number}", each) for number, each in enumerate(top.get("point", []), 1)]
    return Mapping(tuple(rules) if "point" in top else (reader.all(),), reader.key_tag(top.get("key_tag")))


def parse_csv(text: str, where: str = "") -> Mapping:
    """The map that a CSV file is: a heading of the names that a [[point]] has, and a line for each rule.

    The separator is what the heading has most of: comma, semicolon or tab. Cells that are empty say nothing.
    Beside `signal` there may be a column `channel`; a column `key_tag` says the same in all lines or nothing.

    Raises:
        UsageError: no CSV, too long, an unknown column or a wrong value; names *where* and the line.
    """
    reader = _Reader(where)
    reader.check_length(text)
    lines = list(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    rows = csv.reader(lines, delimiter=max(",;\t", key=first.count), strict=True)
    heading: list[str] = []
    rules: list[Rule] = []
    tags: dict[str, None] = {}
    try:
        for row in rows:
            place = f"line {rows.line_num}"
            cells = [cell.strip() for cell in row]
            if not any(cells) or cells[0].startswith("#"):
                continue
            if not heading:
                heading = reader.heading(place, cells)
                continue
            if len(cells) > len(heading):
                reader.refuse(place, f"{len(cells)} cells under {len(heading)} names")
            given = {name: cell for name, cell in zip(heading, cells, strict=False) if cell}
            if "key_tag" in given:
                tags[given.pop("key_tag")] = None
            if len(tags) > 1:
                reader.refuse(f"{place}: key_tag", f"is not {next(iter(tags))!r}, as above")
            if "channel" in given and "signal" in given:
                given["signal"] = f"{given.pop('channel')}.{given['signal']}"
            rules.append(reader.rule(place, {key: reader.of_text(place, key, given[key]) for key in given}))
    except csv.Error as exc:
        raise UsageError(
            f"not CSV: {exc}", where=f"{where}: line {rows.line_num}".removeprefix(": ")
        ) from None
    if not heading:
        raise UsageError("is empty", where=where, mend="begin with a heading such as signal,key,unit")
    return Mapping(tuple(rules), reader.key_tag(next(iter(tags), None)))


class _Reader:
    """Makes rules of what a file says; knows how to refuse it."""

    def __init__(self, where: str) -> None:
        self.where = where
        self._defaults: dict[str, Any] = {}
        self._key, self._path = KEY, PATH

    def check_length(self, text: str) -> None:
        if len(text) > MAX_TEXT:
            raise UsageError(f"is longer than {MAX_TEXT // 1024**2} MiB", where=self.where)

    def key_tag(self, tag: str | None) -> str:
        if tag is not None and (not _TAG.fullmatch(tag) or tag in _TAKEN):
            mend = "use a name such as speeddataKey or refName: a small letter, then letters, digits and _"
            self.refuse("key_tag", f"{_shown(tag)} is no tag for keys", mend)
        return tag or KEY_TAG

    def defaults(self, given: dict[str, Any], key: str, path: str) -> None:
        """Take what stands for all rules that say nothing else."""
        self._template("key", key)
        self._template("path", path, also=("site", "equip", "point"))
        parts = path.split("/")
        if len(parts) != 3 or not all(part.strip() for part in parts):
            self.refuse(
                "path",
                f"{_shown(path)} is not of three parts",
                "write SITE/EQUIP/POINT, such as Plant/{channel}/{signal}",
            )
        self._key, self._path = key, path
        self._values("defaults", given)  # what is wrong with it is told of it, not of a rule
        self._defaults = given

    def all(self) -> Rule:
        """The rule of a file without any: every signal, by the defaults."""
        return self._made("", "*", "*", {})

    def rule(self, place: str, given: dict[str, Any]) -> Rule:
        """The rule that *given* is."""
        shown = given.get("signal")
        place = f"{place} ({shown[:80]})" if isinstance(shown, str) and shown.isprintable() else place
        given = self.typed(place, given, _FORMS)
        if "signal" not in given:
            self.refuse(place, "has no signal", 'write which: signal = "CHANNEL.SIGNAL", or "rig.*" for all')
        channel, dot, signal = given["signal"].rpartition(".")
        if not (channel and dot and signal):
            what = f"{_shown(given['signal'])} is no CHANNEL.SIGNAL"
            self.refuse(f"{place}: signal", what, 'write it like "rig.sine_wave" or "rig.*"')
        if GLOB.search(given["signal"]) and len(given["signal"]) > _MAX_GLOB:
            self.refuse(f"{place}: signal", f"is a glob of more than {_MAX_GLOB} characters")
        if "id" in given and "key" in given:
            self.refuse(f"{place}: key", "a point is found by its id or by its key", "leave one of them out")
        if "id" in given and GLOB.search(given["signal"]):
            self.refuse(f"{place}: id", "one point cannot take every signal that fits a glob", "use key")
        return self._made(place, channel, signal, given)

    def typed(self, place: str, given: dict[str, Any], forms: dict[str, str]) -> dict[str, Any]:
        """*given*, every key known and every value of its form."""
        place = f"{place}: " if place else ""
        for key in given:
            if key not in forms:
                near = get_close_matches(key, forms, n=1)
                top = "write it at the top of the file" if key in _TOP else ""
                self.refuse(
                    f"{place}{_plain(key)}", "no such key", f"did you mean {near[0]}?" if near else top
                )
        return {key: self._typed(f"{place}{key}", value, forms[key]) for key, value in given.items()}

    def of_text(self, place: str, key: str, cell: str) -> Any:
        """The value that a *cell* of CSV is."""
        form = _FORMS.get(key)
        if form == "list":
            return cell.split()
        if form == "flag":
            return {"true": True, "yes": True, "false": False, "no": False}.get(cell.lower(), cell)
        try:
            return float(cell) if form == "number" else cell
        except ValueError:
            return cell

    def heading(self, place: str, cells: list[str]) -> list[str]:
        known = [*_FORMS, "channel", "key_tag"]
        for name in cells:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                mend = f"did you mean {near[0]}?" if near else f"the names are {', '.join(known)}"
                self.refuse(place, f"no such column: {_shown(name)}", mend)
            if cells.count(name) > 1:
                self.refuse(place, f"column {name} is there twice")
        return cells

    def refuse(self, key: str, what: str, mend: str = "") -> NoReturn:
        where = f"{self.where}: {key}" if self.where else key
        raise UsageError(what, where=where, mend=mend) from None

    def _made(self, place: str, channel: str, signal: str, given: dict[str, Any]) -> Rule:
        both = self._defaults | given
        if "tags" in self._defaults and "tags" in given:
            both["tags"] = [*self._defaults["tags"], *given["tags"]]
        values = self._values(place, both)
        if "on_change" not in both:
            values["on_change"] = "deadband" in given or "heartbeat" in given
        self._template(f"{place}: key", given.get("key", self._key))
        return Rule(
            place=place,
            channel=channel,
            signal=signal,
            key=given.get("key", self._key),
            path=self._path,
            names=(both.get("site"), both.get("equip"), both.get("point")),
            skip=given.get("skip", False),
            **values,
        )

    def _values(self, place: str, given: dict[str, Any]) -> dict[str, Any]:
        """The fields of a rule that *given* fixes."""
        for name in ("dis", "site", "equip", "point"):
            self._template(f"{place}: {name}", given.get(name, ""))
        values: dict[str, Any] = {key: given[key] for key in _AS_GIVEN if key in given}
        for key, read in _READ.items():
            if key in given:
                try:
                    values[_FIELDS.get(key, key)] = read(given[key])
                except UsageError as exc:
                    self.refuse(f"{place}: {key}", exc.what, exc.mend)
        return values

    def _template(self, key: str, text: str, also: Collection[str] = ()) -> None:
        known = ("channel", "signal", *also)
        for name in NAME_IN.findall(text):
            if name not in known:
                near = get_close_matches(name, known, n=1)
                names = ", ".join(f"{{{each}}}" for each in known)
                mend = f"did you mean {{{near[0]}}}?" if near else f"the names are {names}"
                self.refuse(key, f"{_shown(f'{{{name}}}')} stands for nothing", mend)

    def _typed(self, key: str, value: Any, form: str) -> Any:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if form == "text" and (number or isinstance(value, str)):
            return str(value)  # `heartbeat = 900` needs no quotes
        if form == "number" and number and -1e308 <= value <= 1e308:
            return float(value)
        if form == "flag" and isinstance(value, bool):
            return value
        if form == "table" and isinstance(value, dict):
            return value
        if form == "tables" and isinstance(value, list) and all(isinstance(item, dict) for item in value):
            return value
        if form == "list" and isinstance(value, list) and all(isinstance(item, str) for item in value):
            return value
        self.refuse(key, f"{_shown(value)} is not {_WORDS[form]}", _MENDS.get(form, ""))


def _id(text: str) -> str:
    text = text.removeprefix("@")
    if not _REF.fullmatch(text):
        raise UsageError(f"{_shown(text)} is no id", mend="use letters, digits and _ : . - ~")
    return text


def _kind(text: str) -> Kind:
    if text not in get_args(Kind):
        raise UsageError(f"{_shown(text)} is no kind of history", mend="one of Number, Bool, Str")
    return cast(Kind, text)


def _precision(text: str) -> int:
    if text not in PRECISIONS:
        raise UsageError(f"{_shown(text)} is no precision of a point", mend="one of 1s, 1ms")
    return PRECISIONS[text]


@lru_cache(64)
def _zone(text: str) -> str:
    timezones.zone(text)
    return timezones.city(text)


def _heartbeat(text: str) -> int:
    if not (span := duration_ns(text)):
        raise UsageError("a heartbeat takes longer than nothing")
    return span


def _scale(scale: float) -> float:
    if scale == 0:
        raise UsageError("a scale of 0 makes every sample the same")
    return scale


def _deadband(deadband: float) -> float:
    if deadband < 0:
        raise UsageError(f"{deadband:g} is below 0")
    return deadband


def _tags(tags: list[str]) -> tuple[str, ...]:
    for tag in tags:
        if not _TAG.fullmatch(tag) or tag in _TAKEN | _NAMES:
            mend = "use a name such as sensor: a small letter, then letters, digits and _"
            raise UsageError(f"{_shown(tag)} cannot be a marker", mend=mend)
    return tuple(dict.fromkeys(tags))


_AS_GIVEN = ("unit", "offset", "on_change", "dis")
_READ: dict[str, Callable[[Any], Any]] = {
    "id": _id,
    "kind": _kind,
    "scale": _scale,
    "tz": _zone,
    "precision": _precision,
    "deadband": _deadband,
    "heartbeat": _heartbeat,
    "tags": _tags,
}
_FIELDS = {"tz": "zone", "precision": "precision_ns", "heartbeat": "heartbeat_ns"}


def _plain(key: str) -> str:
    return key[:60] if key.isprintable() else _shown(key)


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
