"""Datums of an exact size: a time, as many doubles as fit, and a string for the rest."""

from __future__ import annotations

import json
import struct
import time

import numpy as np
from numpy.typing import NDArray

TIME_BYTES = 9  # a nanosecond time until the year 2262, as a varint


def schema_text(size: int) -> str:
    """The schema of datums of *size* bytes."""
    doubles, rest = divmod(size - TIME_BYTES, 8)
    time_type = {"type": "long", "logicalType": "timestamp-nanos"}
    fields = [{"name": "time", "type": time_type}]
    fields += [{"name": f"channel_{i}", "type": "double"} for i in range(doubles)]
    if rest:
        fields.append({"name": "state", "type": "string"})
    return json.dumps({"type": "record", "name": f"bench_{size}", "fields": fields})


def datum(size: int, time_ns: int) -> bytes:
    """One datum of *size* bytes, its time *time_ns*."""
    doubles, rest = divmod(size - TIME_BYTES, 8)
    text = bytes([2 * (rest - 1)]) + b"x" * (rest - 1) if rest else b""
    return time_bytes(time_ns) + struct.pack(f"<{doubles}d", *range(doubles)) + text


def datums(size: int, count: int, head: bytes = b"") -> tuple[bytes, NDArray[np.int64]]:
    """*count* datums end to end, each behind *head*, and where each begins and the last ends."""
    start_ns = time.time_ns()
    data = b"".join([head + datum(size, start_ns + i) for i in range(count)])
    return data, np.arange(count + 1, dtype=np.int64) * (size + len(head))


def time_bytes(time_ns: int) -> bytes:
    """Avro long (1.11.1, "Primitive types"): zigzag, seven bits a byte."""
    rest, out = time_ns << 1, bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def time_of(datum: bytes) -> int:
    """The time of a datum, ns."""
    return sum((datum[k] & 0x7F) << (7 * k) for k in range(TIME_BYTES)) >> 1
