"""What it costs to prove, find, read and write datums, against joining them unseen and against fastavro.

    python tests/bench/codec.py

Every figure is the best of several rounds, in nanoseconds a datum; the ratios of a row are of one run.
"""

from __future__ import annotations

import io
import itertools
import json
import timeit
from collections.abc import Callable

import fastavro
import numpy as np

from speeddata.avro import codec, schema
from speeddata.batch import Batch

COUNTS = (1, 20, 100, 1000)
ROUND_S = 0.02
ROUNDS = 5

WAVES = ("sine_wave", "ramp", "square_wave", "noise")
FIELDS = [
    {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
    *(
        {"name": name, "type": "double", "unit": "V"}
        for name in ("sine_wave", "ramp", "square_wave", "noise")
    ),
    {"name": "counter", "type": "long"},
    {"name": "message", "type": "string"},
]
DEMO = schema.parse(json.dumps({"type": "record", "name": "demo", "fields": FIELDS}))

MESSAGES: dict[str, Callable[[int], str]] = {
    "demo": lambda number: "falling" if number // 1000 % 2 else "rising",
    "demo, message varies in length": lambda number: "x" * (number * 7919 % 24),
}


def batch_of(count: int, message: Callable[[int], str]) -> Batch:
    number = np.arange(100_000, 100_000 + count)
    return codec.encode(
        DEMO,
        {
            "time": 1_790_000_000_000_000_000 + number * 1_000_000,
            "sine_wave": np.sin(number),
            "ramp": number % 1000 / 1000,
            "square_wave": np.where(number // 1000 % 2, -1.0, 1.0),
            "noise": np.random.default_rng(1).uniform(-1, 1, count),
            "counter": number,
            "message": [message(each) for each in range(count)],
        },
    )


def cost_ns(work: Callable[[], object], count: int) -> float:
    """Nanoseconds of *work* for each of *count* datums."""
    timer = timeit.Timer(work)
    once = max(timer.timeit(1), 1e-7)
    times = max(1, int(ROUND_S / once))
    return min(timer.repeat(ROUNDS, times)) / times / count * 1e9


def main() -> None:
    print(
        "ns a datum; in brackets: times as much as joining the datums into a block without looking at them\n"
    )
    header = (
        "datums",
        "join",
        "valid",
        "",
        "offsets",
        "abscissa",
        "columns",
        "encode",
        "fastavro",
        "columns against fastavro",
    )
    for title, message in MESSAGES.items():
        print(title)
        print("{:>8}{:>8}{:>8}{:>9}{:>9}{:>9}{:>9}{:>9}{:>10}   {}".format(*header))
        for count in COUNTS:
            batch = batch_of(count, message)
            cuts = itertools.pairwise(codec.offsets(batch).tolist())
            datums = [batch.data[start:end] for start, end in cuts]
            columns, found = codec.columns(batch), codec.offsets(batch)
            parsed = fastavro.parse_schema(DEMO.plain)

            def join(datums: list[bytes] = datums) -> bytes:
                return b"".join(datums)

            def valid(batch: Batch = batch, found: np.ndarray = found) -> None:
                assert codec.valid(DEMO, batch.data, found) is None

            def offsets(batch: Batch = batch) -> np.ndarray:
                return codec.offsets(Batch(DEMO, batch.data, batch.count))

            def read(datums: list[bytes] = datums, parsed: object = parsed) -> None:
                for datum in datums:
                    fastavro.schemaless_reader(io.BytesIO(datum), parsed, None)

            work = (
                join,
                valid,
                offsets,
                lambda batch=batch: codec.abscissa(batch),
                lambda batch=batch: codec.columns(batch),
                lambda columns=columns: codec.encode(DEMO, columns),
                read,
            )
            costs = [cost_ns(each, count) for each in work]
            joined, proven, bounds, times, columned, encoded, yardstick = costs
            ratio = f"({proven / joined:.1f})"
            print(
                f"{count:>8}{joined:>8.0f}{proven:>8.0f} {ratio:>8}{bounds:>9.0f}{times:>9.0f}"
                f"{columned:>9.0f}{encoded:>9.0f}{yardstick:>10.0f}   {yardstick / columned:.1f}"
            )
        print()


if __name__ == "__main__":
    main()
