"""Series: what can be subscribed to, each a signal or a part of one, under an id that never changes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, NamedTuple
from uuid import NAMESPACE_DNS, UUID, uuid5

from speeddata.avro.schema import Array, Enum, Node, Primitive, Record, Schema, Signal, Union
from speeddata.avro.types import DTYPES, NUMBERS
from speeddata.errors import UsageError
from speeddata.legible import printable

MAX_ITEMS: Final = 1024  # of an array that are series of their own

_NAMESPACE: Final = uuid5(NAMESPACE_DNS, "speeddata")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_MAX_PATTERN = 256  # characters
_STEP = re.compile(r"\.?([A-Za-z_]\w*)|\[(\d+)\]", re.ASCII)

Ids = Mapping[tuple[str, str], UUID]  # imported ones, by the channel's name in lower case and the signal
Steps = tuple[str | int, ...]  # from a datum to a value: a field's name, then names and indices


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity of a channel over time.

    Attributes:
        id: for ever.
        channel: as its recording spells it.
        signal: its name; of a part `signal.leaf` or `signal[0]`, and so on inwards.
        unit: of its values; None: none, or not told.
    """

    id: UUID
    channel: str
    signal: str
    unit: str | None = None


def series_id(channel: str, signal: str) -> UUID:
    """The id of a series that nobody gave another one: UUID version 5 (RFC 9562) of `channel/signal`.

    Names of channels are the same in any case.
    """
    return uuid5(_NAMESPACE, f"{channel.lower()}/{signal}")


@dataclass(frozen=True, slots=True)
class Pattern:
    """Which series are wanted: `rig/sine_wave`, a glob such as `rig/*` or `*/sine_?`, or an id.

    `*` and `?` are all there is: brackets are those of arrays, as in `rig/wave[*]`. A signal named without
    them stands for its parts, too.

    Attributes:
        text: in one spelling: an id in lower case, and a channel, too.
        id: that it names, else None.
    """

    text: str
    id: UUID | None = None

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Raises:
        UsageError: it is neither an id nor CHANNEL/SIGNAL.
        """
        text = text.strip()
        if _UUID.fullmatch(text):
            return cls(text.lower(), UUID(text))
        channel, slash, signal = text.partition("/")
        if not (channel and slash and signal) or "/" in signal or len(text) > _MAX_PATTERN:
            mend = "write CHANNEL/SIGNAL, a glob such as 'rig/*', or an id"
            raise UsageError(f"'{printable(text[:80])}' is neither a signal nor an id", mend=mend)
        return cls(f"{channel.lower()}/{signal}")

    @property
    def glob(self) -> bool:
        """Whether it grows with what is there."""
        return self.id is None and ("*" in self.text or "?" in self.text)

    def may_fit(self, channel: str, named: Mapping[UUID, str]) -> bool:
        """Whether a series of *channel*, in lower case, may be wanted; *named*: the channels of ids."""
        if self.id is not None:
            return named.get(self.id, channel) == channel
        return _fits(self.text.partition("/")[0], channel)

    def fits(self, series: Series) -> bool:
        """Whether *series* is wanted."""
        if self.id is not None:
            return self.id == series.id
        channel, _, signal = self.text.partition("/")
        if not _fits(channel, series.channel.lower()):
            return False
        return _fits(signal, series.signal) or ("*" not in signal and _beneath(signal, series.signal))


class LeftOut(NamedTuple):
    """A signal, or a part of one, that is no series, and why."""

    signal: str
    why: str


def expand(
    patterns: Iterable[Pattern], channels: Mapping[str, Schema], ids: Ids | None = None
) -> list[Series]:
    """The series that *patterns* want, each once: channel by channel, in the schema's order.

    Args:
        patterns: of them any may fit.
        channels: the schema of each, by name.
        ids: imported ones, which stand for those of `series_id`.
    """
    wanted = list(patterns)
    every = (series for channel, schema in channels.items() for series in all_series(channel, schema, ids))
    return [series for series in every if any(pattern.fits(series) for pattern in wanted)]


def all_series(channel: str, schema: Schema, ids: Ids | None = None) -> list[Series]:
    """What can be subscribed to of a channel; the abscissa is the time of all, and no series."""
    found = (each for each in _leaves(schema) if isinstance(each, _Leaf))
    names = ids or {}
    return [
        Series(names.get((channel.lower(), name)) or series_id(channel, name), channel, name, unit)
        for name, unit in found
    ]


def left_out(schema: Schema) -> list[LeftOut]:
    """What of a channel is no series: bytes, maps, mixed values, arrays of no promised length."""
    return [each for each in _leaves(schema) if isinstance(each, LeftOut)]


def steps(name: str) -> Steps:
    """The way to the value of the series *name*: `a.b[2]` is ("a", "b", 2)."""
    return tuple(int(index) if index else field for field, index in _STEP.findall(name))


def leaf(schema: Schema, name: str) -> Node | None:
    """The type of the values of the series *name*, without null; None where *schema* has no such series."""
    way = steps(name)
    node: Node = schema.record
    for step in way:
        node = _value(node)
        match node:
            case Record(fields=fields) if isinstance(step, str):
                field = next((each for each in fields if each.name == step), None)
                if field is None or field is schema.abscissa:
                    return None
                node = field.node
            case Array(items=items, length=int(length)) if isinstance(step, int) and step < length:
                node = items
            case _:
                return None
    node = _value(node)
    return node if _is_scalar(node) else None


class _Leaf(NamedTuple):
    name: str
    unit: str | None


def _leaves(schema: Schema) -> Iterator[_Leaf | LeftOut]:
    abscissa = schema.abscissa
    if abscissa.kind not in NUMBERS or schema.time_unit is None:
        why = "of no known unit of time" if abscissa.kind in NUMBERS else f"of type {abscissa.kind}"
        yield LeftOut(abscissa.name, f"is the abscissa, but {why}, so that no sample has a time")
        return
    for signal in schema.signals:
        if signal is not abscissa:
            yield from _of(signal.name, signal, signal.unit)


def _of(name: str, signal: Signal, unit: str | None) -> Iterator[_Leaf | LeftOut]:
    node = _value(signal.node)
    if _is_scalar(node):
        yield _Leaf(name, unit)
        return
    match node:
        case Record(fields=fields):
            for field in fields:
                yield from _of(f"{name}.{field.name}", field, field.unit)
        case Array(items=items, length=int(length)) if items.kind in DTYPES:
            for index in range(min(length, MAX_ITEMS)):
                yield _Leaf(f"{name}[{index}]", unit)
            if length > MAX_ITEMS:
                yield LeftOut(f"{name}[{MAX_ITEMS}]", f"and what follows: an array of {length} is too long")
        case Array(length=None):
            yield LeftOut(name, "is an array of no promised length")
        case Union():
            yield LeftOut(name, "is of several types")
        case _:
            what = "an array of other things than numbers" if node.kind == "array" else f"of type {node.kind}"
            yield LeftOut(name, f"is {what}")


def _value(node: Node) -> Node:
    """*node*, or where it is [null, X] or [X, null], that X."""
    if isinstance(node, Union) and len(node.branches) == 2:
        first, second = node.branches
        return second if first.kind == "null" else first if second.kind == "null" else node
    return node


def _is_scalar(node: Node) -> bool:
    return isinstance(node, Enum) or (isinstance(node, Primitive) and node.kind not in ("bytes", "null"))


def _fits(pattern: str, name: str) -> bool:
    return pattern == name or fnmatchcase(name, pattern.replace("[", "[[]"))


def _beneath(signal: str, name: str) -> bool:
    return name.startswith((f"{signal}.", f"{signal}["))
