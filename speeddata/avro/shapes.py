"""The shape of a datum: which of its bytes decide where every value lies, and that it is a datum at all.

Of most bytes of a datum any value will do: a double's, the lower bits of an integer's. The others (the high
bits of an integer, the length of a text, the index of a union) are few. What has those of a datum has its
size and its layout, and is a datum, too: so thousands are proven at once by comparing a few bytes of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from speeddata.avro.layout import WIDTHS, width_of
from speeddata.avro.prepared import prepared
from speeddata.avro.schema import Schema
from speeddata.avro.types import Array, Enum, Fixed, Node, Primitive, Record, Union

FIRST_LOOK = 512  # datums that are compared together at first, then twice as many, and so on
_WORD = 8  # bytes compared together
_WORDS = np.dtype("<u8")
_MOST_WORDS = 32  # of a datum: beyond that a shape costs more than it saves
_LONGEST_TEXT = 64  # bytes, of which each has to be compared
_MOST_ITEMS = 16  # of an array whose items have no fixed width

_HIGH, _ALL = 0x80, 0xFF
_INT, _LONG = (5, 0xF0), (10, 0xFE)  # bytes at most, and of so many the bits of the last beyond 32 or 64


@dataclass(frozen=True, slots=True)
class Shape:
    """What a datum has in common with all others of the same layout.

    Attributes:
        size: in bytes.
        places: where the values of each signal begin, from the beginning of the datum; at the end, *size*.
        tests: offset, mask and value of each little-endian word of eight bytes that has to be the same.
    """

    size: int
    places: tuple[int, ...]
    tests: tuple[tuple[int, int, int], ...]

    def fits(self, data: bytes, pos: int) -> bool:
        """Whether a datum of this shape begins at *pos*."""
        return pos + self.size <= len(data) and all(
            int.from_bytes(data[pos + offset : pos + offset + _WORD], "little") & mask == value
            for offset, mask, value in self.tests
        )

    def run(self, data: bytes, pos: int, most: int, look: int = FIRST_LOOK) -> int:
        """How many datums of this shape lie end to end from *pos* on: at most *most*, which are in *data*.

        *look* is how many are compared at first, where that can be guessed.
        """
        size, done, step = self.size, 0, look
        while done < most:
            count = min(step, most - done)
            held = count
            for offset, mask, value in self.tests:
                # copied, since NumPy takes its time over words that lie anywhere
                words = np.ndarray((held,), _WORDS, data, pos + done * size + offset, (size,)).copy()
                words &= np.uint64(mask)
                differ = words != np.uint64(value)
                first = int(differ.argmax())
                if differ[first]:
                    held = first
                    if not held:
                        return done
            done += held
            if held < count:
                break
            step *= 2
        return done


def shape_of(schema: Schema, data: bytes, pos: int, end: int) -> Shape | None:
    """The shape of the datum data[pos:end], which is one.

    None where it has none to speak of: a map, text that is long or not ASCII, long arrays of text, or fewer
    than eight bytes.
    """
    if end - pos < _WORD:
        return None
    walk = _Walk(data, pos, end)
    places = []
    try:
        for look in _looks(schema):
            places.append(walk.at - pos)
            look(walk)
    except _ShapelessError:
        return None
    if walk.at != end:
        return None
    tests = _words(walk.masks, data[pos:end])
    return Shape(end - pos, (*places, end - pos), tests) if len(tests) <= _MOST_WORDS else None


class _ShapelessError(Exception):
    """What follows is not decided by a few bytes."""


def _require(met: bool) -> None:
    if not met:
        raise _ShapelessError


class _Walk:
    """The way through one datum.

    Attributes:
        at: how far it has come.
        masks: (offset, mask) of the bytes that have to be the same in every datum of this shape.
    """

    def __init__(self, data: bytes, pos: int, end: int) -> None:
        self.data, self.at = data, pos
        self._pos, self._end = pos, end
        self.masks: list[tuple[int, int]] = []

    def same(self, mask: int) -> int:
        """The next byte, whose bits in *mask* decide."""
        _require(self.at < self._end)
        self.masks.append((self.at - self._pos, mask))
        self.at += 1
        return self.data[self.at - 1]

    def integer(self, mask: int, longest: int, beyond: int) -> int:
        """The integer of at most *longest* bytes; of a last one the bits *beyond* are out of its range."""
        value = 0
        for number in range(longest):
            none = beyond if number == longest - 1 else 0
            byte = self.same(mask | none)
            value |= (byte & 0x7F) << 7 * number
            _require(not byte & none)
            if byte < _HIGH:
                return value >> 1 ^ -(value & 1)
        raise _ShapelessError

    def length(self) -> int:
        """A long that decides how much follows, with every bit of it."""
        value = self.integer(_ALL, *_LONG)
        _require(0 <= value <= self._end - self.at)
        return value

    def index(self, below: int) -> int:
        """An int that decides what follows."""
        value = self.integer(_ALL, *_INT)
        _require(0 <= value < below)
        return value


def _words(masks: Iterable[tuple[int, int]], datum: bytes) -> tuple[tuple[int, int, int], ...]:
    """*masks* of single bytes as tests of whole words, which all lie within the datum."""
    words: dict[int, int] = {}
    begin = -_WORD
    for offset, mask in masks:
        if offset >= begin + _WORD:
            begin = min(offset, len(datum) - _WORD)
        words[begin] = words.get(begin, 0) | mask << 8 * (offset - begin)
    return tuple(
        (begin, mask, int.from_bytes(datum[begin : begin + _WORD], "little") & mask)
        for begin, mask in words.items()
    )


_Look = Callable[[_Walk], None]


@prepared
def _looks(schema: Schema) -> tuple[_Look, ...]:
    """What to do to walk past each signal."""
    return tuple(_look(signal.node) for signal in schema.signals)


def _look(node: Node) -> _Look:
    match node:
        case Primitive(kind="null"):
            return lambda _walk: None
        case Primitive(kind="boolean"):
            return _boolean
        case Primitive(kind="int"):
            return _int
        case Primitive(kind="long"):
            return _long
        case Primitive(kind="float" | "double" as kind):
            return _jump(WIDTHS[kind])
        case Fixed(size=size):
            return _jump(size)
        case Primitive(kind="string"):
            return _text
        case Primitive():
            return _octets
        case Enum(symbols=symbols):
            return _enum(len(symbols))
        case Record(fields=fields):
            return _all([_look(signal.node) for signal in fields])
        case Union(branches=branches):
            return _union([_look(branch) for branch in branches])
        case Array(items=items):
            return _array(_look(items), width_of(items))
        case _:
            return _shapeless


def _boolean(walk: _Walk) -> None:
    _require(walk.same(0xFE) <= 1)


def _int(walk: _Walk) -> None:
    walk.integer(_HIGH, *_INT)


def _long(walk: _Walk) -> None:
    walk.integer(_HIGH, *_LONG)


def _jump(width: int) -> _Look:
    def look(walk: _Walk) -> None:
        walk.at += width

    return look


def _text(walk: _Walk) -> None:
    length = walk.length()
    _require(length <= _LONGEST_TEXT)
    for _ in range(length):  # ASCII, byte by byte: beyond that more has to be looked at
        _require(walk.same(_HIGH) < _HIGH)


def _octets(walk: _Walk) -> None:
    length = walk.length()
    walk.at += length


def _enum(symbols: int) -> _Look:
    whole = min(64, 1 << max(symbols, 1).bit_length() - 1)  # so many are told by the bits above them
    alike = _ALL ^ 2 * (whole - 1)

    def look(walk: _Walk) -> None:
        if walk.at < len(walk.data) and not walk.data[walk.at] & alike:
            walk.same(alike)
        else:
            walk.index(symbols)

    return look


def _union(branches: list[_Look]) -> _Look:
    def look(walk: _Walk) -> None:
        branches[walk.index(len(branches))](walk)

    return look


def _array(item: _Look, width: int | None) -> _Look:
    def look(walk: _Walk) -> None:
        count = walk.length()
        if not count:
            return
        if width is not None:
            walk.at += count * width
        else:
            _require(count <= _MOST_ITEMS)
            for _ in range(count):
                item(walk)
        _require(walk.length() == 0)  # else it is an array in several parts

    return look


def _all(looks: list[_Look]) -> _Look:
    def look(walk: _Walk) -> None:
        for each in looks:
            each(walk)

    return look


def _shapeless(_walk: _Walk) -> None:
    raise _ShapelessError
