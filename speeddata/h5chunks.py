"""Chunks as they lie in an HDF5 file: what a filter makes of an array, so that threads can do it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEVEL = 1
_TRIAL_BYTES = 1024
_PAYS = 0.97  # of its size: what stays larger is stored
_ZLIB_HEAD = b"\x78\x01"  # RFC 1950: deflate, a window of 32 KiB, the fastest level
_LAST_BLOCK = b"\x03\x00"  # RFC 1951: an empty block that says it is the last

Filtered = Callable[[NDArray[Any]], Any]


@dataclass(frozen=True)
class Compression:
    """How the chunks of a file are compressed.

    Attributes:
        options: what h5py is told when a dataset is made.
        filtered: the bytes of a chunk; None where only HDF5 itself can make them.
    """

    options: Mapping[str, Any]
    filtered: Filtered | None


def _as_it_is(chunk: NDArray[Any]) -> Any:
    return chunk


def _shuffled_gzip(chunk: NDArray[Any]) -> bytes:
    """The filters shuffle and deflate: all first bytes of the values, then all second ones, and so on.

    The last digits of what was measured are noise: bytes that do not get smaller, and take the longest to
    find that out. A part of them is tried first; what does not pay is stored. It is one zlib stream (RFC
    1950) all the same, of pieces that each end at a byte.
    """
    width = chunk.dtype.itemsize
    octets = chunk.reshape(-1).view(np.uint8)
    if width == 1:
        return zlib.compress(octets.data, _LEVEL)
    planes = np.ascontiguousarray(octets.reshape(-1, width).T)
    parts = [_ZLIB_HEAD]
    for plane in planes:
        trial = plane[: max(_TRIAL_BYTES, len(plane) // 8)]
        pays = len(zlib.compress(trial.data, _LEVEL)) < _PAYS * len(trial)
        deflate = zlib.compressobj(_LEVEL if pays else 0, zlib.DEFLATED, -zlib.MAX_WBITS)
        parts += [deflate.compress(plane.data), deflate.flush(zlib.Z_FULL_FLUSH)]
    parts += [_LAST_BLOCK, zlib.adler32(planes.data).to_bytes(4, "big")]
    return b"".join(parts)


COMPRESSIONS = {
    "gzip": Compression({"compression": "gzip", "compression_opts": _LEVEL, "shuffle": True}, _shuffled_gzip),
    "lzf": Compression({"compression": "lzf", "shuffle": True}, None),
    "none": Compression({}, _as_it_is),
}
