"""The demo source: the signals of a rig's test source, computed for any run of samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA_TEXT = """\
{"type": "record", "name": "demo", "doc": "Waveforms of a test source.", "fields": [
 {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
 {"name": "sine_wave", "type": "double", "unit": "V", "doc": "One period in two seconds."},
 {"name": "ramp", "type": "double", "unit": "V", "doc": "From 0 to 1 every second."},
 {"name": "square_wave", "type": "double", "unit": "V", "doc": "One second high, one low."},
 {"name": "noise", "type": "double", "unit": "V", "doc": "Evenly spread between -1 and 1."},
 {"name": "counter", "type": "long", "doc": "Counts the samples: a gap is a loss."},
 {"name": "message", "type": "string", "doc": "What the sine wave does: rising or falling."}
]}"""

_TURN = 2**64 / 1.618033988749895  # an odd multiplier near it scatters the counter over all 64 bits
_MULTIPLIER = np.uint64(int(_TURN) | 1)


def columns(first: int, count: int, *, start_ns: int, rate_hz: float) -> dict[str, NDArray[Any]]:
    """Samples *first* to *first* + *count* of every signal.

    The same sample has the same values in every run, so that a recording can be checked against this.

    Args:
        first: number of the first sample.
        count: how many.
        start_ns: the time of sample 0, ns since the epoch.
        rate_hz: samples a second.

    Returns:
        For each signal of the schema an array of shape (count,).
    """
    counter = np.arange(first, first + count, dtype=np.int64)
    # Whole seconds and the rest apart: a double has no room for nanoseconds over days.
    elapsed_ns = np.rint(counter * (1e9 / rate_hz)).astype(np.int64)
    seconds = elapsed_ns / 1e9
    phase = np.modf(seconds / 2)[0]
    scattered = (counter.astype(np.uint64) + np.uint64(1)) * _MULTIPLIER
    scattered ^= scattered >> np.uint64(29)
    scattered *= _MULTIPLIER
    return {
        "time": start_ns + elapsed_ns,
        "sine_wave": np.sin(2 * np.pi * phase),
        "ramp": np.modf(seconds)[0],
        "square_wave": np.where(phase < 0.5, 1.0, -1.0),
        "noise": (scattered >> np.uint64(11)) / 2.0**52 - 1.0,
        "counter": counter,
        "message": np.where((phase < 0.25) | (phase >= 0.75), "rising", "falling").astype(object),
    }
