"""Rules that say which signal goes to which point: the first that fits a signal decides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from typing import Final

from speeddata.avro.schema import Schema, Signal
from speeddata.avro.types import NUMBERS
from speeddata.haystack import units
from speeddata.haystack.points import Kind

KEY_TAG: Final = "speeddataKey"
KEY: Final = "{channel}.{signal}"
PATH: Final = "{site}/{equip}/{point}"

NAME_IN: Final = re.compile(r"\{([^{}]*)\}")  # of a template
GLOB: Final = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Entry:
    """A signal, and what the map says of its point.

    Attributes:
        channel, signal: its names.
        type: of its values in Avro: "double", "bytes".
        sample_kind: of the history that its samples make; None: they make none.
        id: of the point, without the `@`; None: it is found by its key.
        key: what the point's tag `Mapping.key_tag` holds; None: it is found by its id.
        kind: that the map claims; None where it is silent.
        unit: of what is written (so after scale and offset); None: none, or not known.
        scale, offset: value = sample * scale + offset.
        zone: the city that the map claims; None: the point's.
        precision_ns: that the map wants; None: the point's.
        on_change, deadband, heartbeat_ns: as in `points.Point`.
        dis: how people are to call the point; None: by its path.
        path: site, equip and point, for provisioning; None: the map does not say them all.
        tags: markers that a new point gets.
    """

    channel: str
    signal: str
    type: str
    sample_kind: Kind | None
    id: str | None = None
    key: str | None = None
    kind: Kind | None = None
    unit: str | None = None
    scale: float = 1.0
    offset: float = 0.0
    zone: str | None = None
    precision_ns: int | None = None
    on_change: bool = False
    deadband: float = 0.0
    heartbeat_ns: int | None = None
    dis: str | None = None
    path: tuple[str, str, str] | None = None
    tags: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.channel}.{self.signal}"


@dataclass(frozen=True, slots=True)
class Rule:
    """What one [[point]] or line says, defaults and templates filled in; None where neither says it.

    Attributes:
        place: in its file, for messages.
        channel, signal: globs.
        key, dis, path: templates.
        names: templates of site, equip and point where the rule or the defaults give them.
    """

    place: str = ""
    channel: str = "*"
    signal: str = "*"
    id: str | None = None
    key: str = KEY
    kind: Kind | None = None
    unit: str | None = None
    scale: float | None = None
    offset: float | None = None
    zone: str | None = None
    precision_ns: int | None = None
    on_change: bool = False
    deadband: float = 0.0
    heartbeat_ns: int | None = None
    dis: str | None = None
    path: str = PATH
    names: tuple[str | None, str | None, str | None] = (None, None, None)
    tags: tuple[str, ...] = ()
    skip: bool = False

    def entry(self, channel: str, signal: Signal) -> Entry:
        """What the rule says of a signal that it fits."""
        filled = {"channel": channel, "signal": signal.name}
        return Entry(
            channel=channel,
            signal=signal.name,
            type=signal.kind,
            sample_kind=kind_of(signal),
            id=self.id,
            key=None if self.id else _fill(self.key, filled),
            kind=self.kind,
            unit=self._unit(signal),
            scale=1.0 if self.scale is None else self.scale,
            offset=0.0 if self.offset is None else self.offset,
            zone=self.zone,
            precision_ns=self.precision_ns,
            on_change=self.on_change,
            deadband=self.deadband,
            heartbeat_ns=self.heartbeat_ns,
            dis=None if self.dis is None else _fill(self.dis, filled),
            path=self._path(filled),
            tags=self.tags,
        )

    def _unit(self, signal: Signal) -> str | None:
        if self.unit is None and (self.scale is not None or self.offset is not None):
            return None  # the schema's unit is that of the samples, no longer that of the values
        unit = signal.unit if self.unit is None else self.unit
        return None if unit is None or units.is_none(unit) else unit

    def _path(self, filled: dict[str, str]) -> tuple[str, str, str] | None:
        own = [None if name is None else _fill(name, filled) for name in self.names]
        stands = ("", filled["channel"], filled["signal"])  # for what nobody named; a site has no other name
        names = [said or other for said, other in zip(own, stands, strict=True)]
        filled = filled | dict(zip(("site", "equip", "point"), names, strict=True))
        parts = [_fill(part, filled).strip() for part in self.path.split("/")]
        for place, name in enumerate(("site", "equip", "point")):
            if own[place] and f"{{{name}}}" not in self.path:
                parts[place] = names[place]
        return (parts[0], parts[1], parts[2]) if all(parts) else None


@dataclass(frozen=True, slots=True)
class Mapping:
    """Rules in their order, and the tag by which points are found."""

    rules: tuple[Rule, ...]
    key_tag: str = KEY_TAG

    def entries(self, channel: str, schema: Schema) -> list[Entry]:
        """What the map says of each signal of a channel, in the schema's order; the abscissa is none of them.

        The first rule that fits a signal decides; signals that none fits, or that are skipped, are left out.
        """
        fitting = self._fitting(channel, schema)
        return [rule.entry(channel, signal) for signal, rule in fitting if rule is not None and not rule.skip]

    def unnamed(self, channel: str, schema: Schema) -> list[str]:
        """The signals that no rule fits."""
        return [signal.name for signal, rule in self._fitting(channel, schema) if rule is None]

    def idle(self, channels: Iterable[tuple[str, Schema]]) -> list[Rule]:
        """The rules that decide about no signal of these: misspelt, or behind one that takes all."""
        busy = {id(rule) for channel, schema in channels for _, rule in self._fitting(channel, schema)}
        return [rule for rule in self.rules if id(rule) not in busy]

    def _fitting(self, channel: str, schema: Schema) -> Iterator[tuple[Signal, Rule | None]]:
        there = channel.lower()  # names of channels are compared without case
        named: dict[str, int] = {}
        globs: list[tuple[int, re.Pattern[str]]] = []
        for place, rule in enumerate(self.rules):
            if not _fits(rule.channel.lower(), there):
                continue
            if GLOB.search(rule.signal):
                globs.append((place, _pattern(rule.signal)))
            else:
                named.setdefault(rule.signal, place)
        for signal in schema.signals:
            if signal is schema.abscissa:
                continue
            first = named.get(signal.name, len(self.rules))
            for place, pattern in globs:
                if place > first:
                    break
                if pattern.match(signal.name):
                    first = place
                    break
            yield signal, self.rules[first] if first < len(self.rules) else None


DEFAULT: Final = Mapping((Rule(),))


def kind_of(signal: Signal) -> Kind | None:
    """The kind of history that a signal's samples make; None for bytes, nested and mixed values."""
    if signal.kind in NUMBERS:
        return "Number"
    if signal.kind == "boolean":
        return "Bool"
    return "Str" if signal.kind in ("string", "enum") else None


def _fits(glob: str, name: str) -> bool:
    return glob in ("*", name) or (bool(GLOB.search(glob)) and bool(_pattern(glob).match(name)))


@lru_cache(4096)
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(translate(glob))


def _fill(template: str, names: dict[str, str]) -> str:
    return NAME_IN.sub(lambda match: names[match[1]], template)
