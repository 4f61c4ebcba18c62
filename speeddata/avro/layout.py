"""What each type of a schema asks of the reading heads to move past a value, and to prove it on the way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from speeddata.avro.heads import Heads, NoneLeftError
from speeddata.avro.skipper import node_skipper
from speeddata.avro.types import Array, Enum, Fixed, Node, Primitive, Record, Union

Move = Callable[[Heads], None]


WIDTHS = {"float": 4, "double": 8}
BITS = {"int": 32, "long": 64}
_FAR_APART = 64  # bytes on average: beyond that, slicing one by one costs less than an index for each byte


def mover(node: Node) -> Move:
    """A function that moves heads past a value of *node*, proving it."""
    return _merged(_moves(node))


def merged(steps: Iterable[Node]) -> Move:
    """A function that moves heads past several values."""
    return _merged([move for node in steps for move in _moves(node)])


def _moves(node: Node) -> list[int | Move]:
    """The moves past *node*: a number of bytes, or a function."""
    match node:
        case Primitive(kind="null"):
            return []
        case Primitive(kind="boolean"):
            return [_move_boolean]
        case Primitive(kind="int" | "long" as kind):
            bits = BITS[kind]
            return [lambda heads: heads.skip_integers(bits)]
        case Primitive(kind="float" | "double" as kind):
            return [WIDTHS[kind]]
        case Fixed(size=size):
            return [size]
        case Primitive(kind="string"):
            return [_move_text]
        case Primitive():
            return [_move_bytes]
        case Enum(symbols=symbols):
            return [_move_enum(len(symbols))]
        case Record(fields=fields):
            return [move for signal in fields for move in _moves(signal.node)]
        case Union(branches=branches):
            return [_move_union([mover(branch) for branch in branches])]
        case Array(items=items) if (width := width_of(items)) is not None:
            return [_move_arrays(width)]
        case _:
            return [_move_singly(node)]


def _merged(moves: Iterable[int | Move]) -> Move:
    steps: list[int | Move] = []
    for move in moves:
        if isinstance(move, int) and steps and isinstance(steps[-1], int):
            steps[-1] += move
        else:
            steps.append(move)

    def move_all(heads: Heads) -> None:
        for step in steps:
            if isinstance(step, int):
                heads.advance(step)
            else:
                step(heads)

    return move_all


def _move_boolean(heads: Heads) -> None:
    heads.keep(heads.take("u1") <= 1)
    heads.advance(1)


def _move_enum(symbols: int) -> Move:
    def move(heads: Heads) -> None:
        indices_at(heads, symbols)

    return move


def indices_at(heads: Heads, below: int) -> int | NDArray[np.int64]:
    """The index of a symbol or branch at each head, less than *below*; one int where all are the same."""
    indices = heads.integers(32)
    if isinstance(indices, int):
        heads.require(0 <= indices < below)
        return indices
    kept = heads.keep((indices >= 0) & (indices < below))
    indices = indices if kept is None else indices[kept]
    least = int(indices.min())
    return least if least == int(indices.max()) else indices


def move_counted(heads: Heads, lengths: int | NDArray[np.int64]) -> int | NDArray[np.int64]:
    """Move by *lengths*, which were read; those of the heads that are left."""
    if isinstance(lengths, int):
        heads.require(lengths >= 0)
        heads.advance(lengths)
        return lengths
    kept = heads.keep(lengths >= 0)
    lengths = lengths if kept is None else lengths[kept]
    kept = heads.move(lengths)
    return lengths if kept is None else lengths[kept]


def _move_bytes(heads: Heads) -> None:
    move_counted(heads, heads.integers(64))


def _move_text(heads: Heads) -> None:
    lengths = move_counted(heads, heads.integers(64))
    if heads.strict:
        joined = joined_before(heads, lengths)
        if int(joined.max(initial=0)) >= 0x80:
            heads.keep(_are_utf8(joined.tobytes(), bounds_of(heads, lengths)))


def _are_utf8(joined: bytes, bounds: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which texts of *joined* are UTF-8, each by itself, shape (count,); *bounds* has shape (count + 1,)."""
    # All are when the whole is, and none begins inside a character.
    firsts = np.frombuffer(joined, np.uint8)[bounds[:-1][np.diff(bounds) > 0]]
    if _is_utf8(joined) and not ((firsts & 0xC0) == 0x80).any():
        return np.ones(len(bounds) - 1, np.bool_)
    good = np.ones(len(bounds) - 1, np.bool_)
    beyond_ascii = np.concatenate(([0], np.cumsum(np.frombuffer(joined, np.uint8) >= 0x80)))
    for row in np.flatnonzero(beyond_ascii[bounds[1:]] != beyond_ascii[bounds[:-1]]).tolist():
        good[row] = _is_utf8(joined[bounds[row] : bounds[row + 1]])
    return good


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def joined_before(heads: Heads, lengths: int | NDArray[np.int64]) -> NDArray[np.uint8]:
    """The *lengths* bytes before each head, end to end."""
    if isinstance(lengths, int):
        if heads.even:
            return heads.take_many("u1", lengths, ahead=-lengths).ravel()
        lengths = np.full(heads.count, lengths)
    starts = heads.positions() - lengths
    total = int(lengths.sum())
    if total > _FAR_APART * heads.count:
        ends = (starts + lengths).tolist()
        pieces = [heads.data[start:end] for start, end in zip(starts.tolist(), ends, strict=True)]
        return np.frombuffer(b"".join(pieces), np.uint8)
    where = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    where += np.arange(total)
    found: NDArray[np.uint8] = np.frombuffer(heads.data, np.uint8)[where]
    return found


def bounds_of(heads: Heads, lengths: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each of `joined_before` begins, and the last ends, shape (count + 1,)."""
    if isinstance(lengths, int):
        return np.arange(heads.count + 1) * lengths
    return np.concatenate(([0], np.cumsum(lengths)))


def _move_union(branches: list[Move]) -> Move:
    def move(heads: Heads) -> None:
        indices = indices_at(heads, len(branches))
        if isinstance(indices, int):
            branches[indices](heads)
            return
        parts = []
        for index in np.flatnonzero(np.bincount(indices)).tolist():
            rows = np.flatnonzero(indices == index)
            part = heads.branch(rows)
            try:
                branches[index](part)
            except NoneLeftError:
                continue
            parts.append((rows, part))
        heads.rejoin(parts)

    return move


def _move_arrays(width: int) -> Move:
    def move(heads: Heads) -> None:
        move_array(heads, width)

    return move


def move_array(heads: Heads, width: int) -> int | NDArray[np.int64]:
    """Move past arrays of items of *width* bytes; their lengths.

    Proves only arrays of one block without a size, which is how nearly every writer writes them.
    """
    counts = heads.integers(64)
    if isinstance(counts, int):
        heads.require(counts >= 0)
        if counts > 0:
            heads.advance(counts * width)
            heads.keep(heads.take("u1") == 0)
            heads.advance(1)
        return counts
    kept = heads.keep((counts >= 0) & (counts <= heads.room() // width))
    counts = counts if kept is None else counts[kept]
    kept = heads.move(counts * width)
    counts = counts if kept is None else counts[kept]
    kept = heads.keep((counts == 0) | (heads.take("u1") == 0))
    counts = counts if kept is None else counts[kept]
    kept = heads.move((counts > 0).astype(np.int64))
    return counts if kept is None else counts[kept]


def width_of(node: Node) -> int | None:
    """The bytes of every value of *node*, where that is all there is to prove of it, and not zero."""
    match node:
        case Primitive(kind="float" | "double" as kind):
            return WIDTHS[kind]
        case Fixed(size=size):
            return size or None
        case Record(fields=fields):
            widths = [width_of(signal.node) for signal in fields]
            return None if None in widths else sum(width or 0 for width in widths) or None
        case _:
            return None


def _move_singly(node: Node) -> Move:
    skip = node_skipper(node, "it")

    def move(heads: Heads) -> None:
        widths = np.full(heads.count, -1)
        for row, (pos, end) in enumerate(heads.spans()):
            with contextlib.suppress(ValueError):
                widths[row] = skip(heads.data, pos, end) - pos
        kept = heads.keep(widths >= 0)
        heads.move(widths if kept is None else widths[kept])

    return move
