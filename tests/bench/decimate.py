"""What decimation does a second, from container blocks to datums, against joining the blocks unseen.

    python tests/bench/decimate.py

Two schemas: the demo's (time, four doubles, counter, message) and a wide one (time and 100 doubles). Batches
are as `speeddata decimate` gathers them of a file; boundaries are found each time, as they are in a file.
Every figure is the best of several rounds, in seconds of the processor; the ratios of a row are of one run.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator

import fastavro
import numpy as np

from speeddata import decimation, stages
from speeddata.avro import codec, schema
from speeddata.avro.schema import Schema
from speeddata.batch import Batch
from speeddata.commands.decimate import GATHERED_BYTES
from speeddata.sending import waveforms

FACTORS = (2, 5, 50, 1000)
ROUNDS = 3
BLOCK_BYTES = 64 << 10
AIMS = "aims: pick 1,000 MB/s of the wide schema and 3 M/s of the demo's; the others 1 M/s of the demo's"


def demo(count: int) -> Batch:
    columns = waveforms.columns(0, count, start_ns=1_790_000_000_000_000_000, rate_hz=1000)
    return codec.encode(schema.parse(waveforms.SCHEMA_TEXT), columns)


def wide(count: int) -> Batch:
    names = [f"channel_{number}" for number in range(100)]
    fields = [{"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}}]
    fields += [{"name": name, "type": "double"} for name in names]
    each = schema.parse(json.dumps({"type": "record", "name": "wide", "fields": fields}))
    values = np.random.default_rng(1).uniform(-1, 1, (100, count))
    times = 1_790_000_000_000_000_000 + np.arange(count) * 1_000_000
    return codec.encode(each, {"time": times, **dict(zip(names, values, strict=True))})


def blocks(whole: Batch) -> list[Batch]:
    """*whole* as a recording has it: blocks of 64 KiB."""
    a_block = max(1, BLOCK_BYTES * whole.count // len(whole.data))
    return [whole.part(first, min(first + a_block, whole.count)) for first in range(0, whole.count, a_block)]


def fresh(blocks: list[Batch]) -> Iterator[Batch]:
    """The same blocks, their boundaries unknown."""
    return (Batch(block.schema, block.data, block.count) for block in blocks)


def thinned(blocks: list[Batch], method: str, factor: int) -> int:
    def opened(each: Schema) -> decimation.Decimator:
        return decimation.make(method, factor, each)

    batches = stages.gathered(fresh(blocks), GATHERED_BYTES)
    return sum(batch.count for batch in decimation.thinned(batches, opened))


def by_fastavro(blocks: list[Batch], factor: int) -> None:
    """Means as they are made with fastavro and NumPy, of the first of *blocks* only."""
    parsed = fastavro.parse_schema(blocks[0].schema.plain)
    signals = [signal.name for signal in blocks[0].schema.signals if signal.dtype]
    stream = io.BytesIO(blocks[0].data)
    rows = [fastavro.schemaless_reader(stream, parsed, None) for _ in range(blocks[0].count)]
    for name in signals:
        values = np.array([row[name] for row in rows], np.float64)
        np.add.reduceat(values, np.arange(0, len(values), factor))


def seconds(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def main() -> None:
    print(AIMS)
    for title, whole in (("demo", demo(400_000)), ("wide", wide(40_000))):
        cut = blocks(whole)
        joining = seconds(lambda cut=cut: b"".join(block.data for block in cut))
        reading = seconds(lambda cut=cut: by_fastavro(cut, 50)) / cut[0].count * whole.count
        print(f"\n{title}: {whole.count:,} datums of {len(whole.data) / whole.count:.0f} bytes")
        print(f"joined unseen {len(whole.data) / joining / 1e6:,.0f} MB/s")
        print(f"fastavro and NumPy, mean {whole.count / reading / 1e6:.2f} M/s")
        header = ("method", "N", "M/s", "MB/s", "of joining", "times fastavro")
        print("{:<8}{:>6}{:>8}{:>8}{:>12}{:>16}".format(*header))
        for method in decimation.METHODS:
            for factor in FACTORS:
                took = seconds(lambda cut=cut, m=method, n=factor: thinned(cut, m, n))
                print(
                    f"{method:<8}{factor:>6}{whole.count / took / 1e6:>8.2f}"
                    f"{len(whole.data) / took / 1e6:>8,.0f}{joining / took:>12.1%}{reading / took:>16.1f}"
                )


if __name__ == "__main__":
    main()
