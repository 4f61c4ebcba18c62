"""The codecs of containers other than `null`, to read; what they give is bounded however little goes in."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from typing import Any, TypeAlias

from speeddata.errors import DataError

Decompress: TypeAlias = Callable[[memoryview], bytes]

_ZSTANDARD_STEP = 1024
_ZSTANDARD_WINDOW = 128 << 20  # what the zstd program takes without being told to


def decompressor(codec: str, limit: int, *, where: str = "") -> Decompress:
    """What undoes *codec*. On bad bytes it raises ValueError, or whatever its library raises.

    Args:
        codec: `deflate`, `zstandard` or `snappy`.
        limit: of what comes out, in bytes; more is an error, found before it is all in memory.
        where: the container, for errors.

    Raises:
        DataError: nobody knows the codec, or its library is not installed.
    """
    if codec not in _CODECS:
        names = ", ".join(("null", *_CODECS))
        raise DataError(f"codec {codec[:40]!r} is not supported", where=where, mend=f"it reads {names}")
    make, package = _CODECS[codec]
    try:
        return make(limit)
    except ImportError:
        mend = f"pip install {package}"
        raise DataError(f"codec {codec} needs a library that is not here", where=where, mend=mend) from None


def _deflate(limit: int) -> Decompress:
    def decompress(data: memoryview) -> bytes:
        stream = zlib.decompressobj(-zlib.MAX_WBITS)  # raw deflate, RFC 1951
        plain = stream.decompress(data, limit + 1)
        if len(plain) > limit or not stream.eof:
            raise ValueError("deflate data is too large, or cut short")
        return plain

    return decompress


def _zstandard(limit: int) -> Decompress:
    library: Any = importlib.import_module("zstandard")
    frames = library.ZstdDecompressor(max_window_size=_ZSTANDARD_WINDOW)

    def decompress(data: memoryview) -> bytes:
        stream = frames.decompressobj()
        plain = bytearray()
        # It knows no limit for what comes out; of a step of input that is some 45 MiB at most.
        for at in range(0, len(data), _ZSTANDARD_STEP):
            plain += stream.decompress(data[at : at + _ZSTANDARD_STEP])
            if len(plain) > limit:
                raise ValueError("zstandard data is too large")
        if not stream.eof:
            raise ValueError("zstandard data is cut short")
        return bytes(plain)

    return decompress


def _snappy(limit: int) -> Decompress:
    library: Any = importlib.import_module("cramjam").snappy

    def decompress(data: memoryview) -> bytes:
        body, checksum = bytes(data[:-4]), bytes(data[-4:])
        if library.decompress_raw_len(body) > limit:
            raise ValueError("snappy data is too large")
        plain = bytes(library.decompress_raw(body))
        if zlib.crc32(plain).to_bytes(4, "big") != checksum:
            raise ValueError("snappy data has a wrong checksum")
        return plain

    return decompress


# name -> what makes its decompressor, and the package that it takes
_CODECS: dict[str, tuple[Callable[[int], Decompress], str]] = {
    "deflate": (_deflate, "none"),
    "zstandard": (_zstandard, "zstandard"),
    "snappy": (_snappy, "cramjam"),
}
