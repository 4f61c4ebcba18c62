"""Avro's variable-length zig-zag integers, eight bytes of each at a time, in NumPy.

A word is the eight bytes from where an integer begins, as a little-endian uint64: the integer's own bytes,
and whatever follows. Avro specification, "Binary encoding": seven bits a byte, least significant first; the
high bit says that another byte follows; 0, -1, 1, -2 are coded as 0, 1, 2, 3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

CONTINUED = 0x80
_HIGH = 0x8080808080808080
_SEVENS = np.uint64(0x7F7F7F7F7F7F7F7F)
_LOW_BYTES, _LOW_PAIRS = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF)
_LOW_FOUR = np.uint64(0x00000000FFFFFFFF)
_THREE, _FIFTEEN = np.uint64(3), np.uint64(15)
_ROSE_2, _ROSE_4, _ROSE_8 = (
    np.uint64(1),
    np.uint64(3),
    np.uint64(7),
)  # by how much the lowest group has moved up
_HIGH_BITS = np.uint64(_HIGH)
_ONE = np.uint64(1)
# (1 << 8 * k) * _BYTE_NUMBERS has k in its top byte: which byte a bit is in, by one multiplication.
_BYTE_NUMBERS = np.uint64(0x0001020304050607)

_SHIFTS = np.arange(0, 70, 7, dtype=np.uint64)
_LEAST_LONGER = np.uint64(1) << _SHIFTS[1:]  # of two bytes, of three, and so on to ten


def same_length(every: int, some: int) -> int | None:
    """How many bytes all integers have, from the AND of all words and from their OR; None where they differ.

    9 stands for nine or ten.
    """
    ends = ~every & _HIGH
    if not ends:
        return 9
    last = ends & -ends
    return None if some & last else last.bit_length() // 8


def lengths_of(words: Words) -> NDArray[np.int64]:
    """How many bytes each integer has; 9 stands for nine or ten."""
    ends = ~words & _HIGH_BITS
    last = ends & (~ends + _ONE)
    lengths = ((last >> np.uint64(7)) * _BYTE_NUMBERS >> np.uint64(56)).astype(np.int64)
    lengths += 1
    beyond = ends == 0
    if beyond.any():
        lengths[beyond] = 9
    return lengths


def value_of(word: int, length: int) -> int:
    """The integer in one word, of *length* bytes, at most 8."""
    value = 0
    for byte in range(length):
        value |= (word >> 8 * byte & 0x7F) << 7 * byte
    return (value >> 1) ^ -(value & 1)


def values_of(
    words: Words,
    length: int | None,
    ninth: NDArray[np.uint8] | None = None,
    tenth: NDArray[np.uint8] | None = None,
    *,
    negative: bool = True,
) -> NDArray[np.int64]:
    """The integers in *words*, shape (n,).

    Args:
        words: shape (n,).
        length: in bytes, of all, at most 8; None where they differ.
        ninth: the ninth byte of each, zero where it has none.
        tenth: likewise.
        negative: whether any can be below zero.
    """
    if length is None:
        ends = ~words & _HIGH_BITS
        bits = words & (ends ^ (ends - _ONE))  # up to the last byte's high bit, which is zero
        bits &= _SEVENS
        length = 8
    else:
        bits = words & (_SEVENS if length == 8 else _SEVENS & np.uint64((1 << 8 * length) - 1))
    # Groups of seven bits close up in pairs, then pairs of pairs: the lower one moves up to the one above it.
    if length > 1:
        bits += bits & _LOW_BYTES
    if length > 2:
        lower = bits & _LOW_PAIRS
        lower *= _THREE
        bits += lower
    if length > 4:
        lower = bits & _LOW_FOUR
        lower *= _FIFTEEN
        bits += lower
    if length > 1:
        bits >>= _ROSE_2 if length == 2 else _ROSE_4 if length <= 4 else _ROSE_8
    if ninth is not None:
        bits |= (ninth & np.uint8(0x7F)).astype(np.uint64) << np.uint64(56)
    if tenth is not None:
        bits |= tenth.astype(np.uint64) << np.uint64(63)
    if not negative:
        bits >>= _ONE
        return bits.view(np.int64)
    return ((bits >> _ONE) ^ (~(bits & _ONE) + _ONE)).view(np.int64)


def coded_lengths(coded: Words) -> NDArray[np.int64]:
    """How many bytes each zig-zag integer takes, shape (n,)."""
    return np.searchsorted(_LEAST_LONGER, coded, side="right") + 1


def coded_bytes(coded: Words, length: int) -> NDArray[np.uint8]:
    """The bytes of zig-zag integers, each as if it were the first of *length*: shape (n, length)."""
    groups = coded[:, None] >> _SHIFTS[:length]
    found: NDArray[np.uint8] = groups.astype(np.uint8) & np.uint8(0x7F)
    return found


def zigzag(values: NDArray[np.int64]) -> Words:
    """0, 1, 2, 3 for 0, -1, 1, -2: shape (n,)."""
    return ((values << 1) ^ (values >> 63)).view(np.uint64)
