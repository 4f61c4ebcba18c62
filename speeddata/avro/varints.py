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
_HIGH_BITS = np.uint64(_HIGH)
_ONE = np.uint64(1)
# (1 << 8 * k) * _BYTE_NUMBERS has k in its top byte: which byte a bit is in, by one multiplication.
_BYTE_NUMBERS = np.uint64(0x0001020304050607)


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


def values_of(
    words: Words,
    length: int | None,
    ninth: NDArray[np.uint8] | None = None,
    tenth: NDArray[np.uint8] | None = None,
) -> NDArray[np.int64]:
    """The integers in *words*, shape (n,).

    Args:
        words: shape (n,).
        length: in bytes, of all, at most 8; None where they differ.
        ninth: the ninth byte of each, zero where it has none.
        tenth: likewise.
    """
    if length is None:
        ends = ~words & _HIGH_BITS
        bits = words & (ends ^ (ends - _ONE))  # up to the last byte's high bit, which is zero
        widest = 8
    else:
        bits = words & np.uint64((1 << 8 * length) - 1)
        widest = length
    bits &= np.uint64(0x7F7F7F7F7F7F7F7F)
    if widest > 1:
        bits = _closed(bits, 0x007F007F007F007F, 1)
    if widest > 2:
        bits = _closed(bits, 0x00003FFF00003FFF, 2)
    if widest > 4:
        bits = _closed(bits, 0x000000000FFFFFFF, 4)
    if ninth is not None:
        bits |= (ninth.astype(np.uint64) & np.uint64(0x7F)) << np.uint64(56)
    if tenth is not None:
        bits |= tenth.astype(np.uint64) << np.uint64(63)
    return ((bits >> _ONE) ^ (~(bits & _ONE) + _ONE)).view(np.int64)


def _closed(bits: Words, low: int, gap: int) -> Words:
    """*bits* with each upper half moved down by *gap*, onto the end of the *low* half below it."""
    return (bits & np.uint64(low)) | ((bits & np.uint64(~low & 0xFFFFFFFFFFFFFFFF)) >> np.uint64(gap))


def coded_lengths(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many bytes each of *values* takes, shape (n,)."""
    rest = zigzag(values) >> np.uint64(7)
    lengths = np.ones(len(values), np.int64)
    while rest.any():
        lengths += rest != 0
        rest >>= np.uint64(7)
    return lengths


def zigzag(values: NDArray[np.int64]) -> Words:
    """0, 1, 2, 3 for 0, -1, 1, -2: shape (n,)."""
    return ((values << 1) ^ (values >> 63)).view(np.uint64)
