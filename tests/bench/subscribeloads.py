"""Channels for `subscribe.py`: their blocks in memory, and recorded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speeddata.avro import codec
from speeddata.avro.codec import Column
from speeddata.avro.schema import Schema, parse
from speeddata.batch import Batch
from speeddata.recording.blockfile import BlockFile
from speeddata.recording.catalogue import file_name

POINTS = 120_000  # datapoints of a round
START_NS = 1_543_572_000 * 10**9
PERIOD_NS = 10**6  # every datum at a time of its own, even in milliseconds


@dataclass(frozen=True)
class Load:
    """Blocks of one channel: *signals* of *kind*, *datums* a block."""

    name: str
    signals: int
    datums: int
    kind: str = "double"

    def schema(self) -> Schema:
        fields: list[dict[str, object]] = [{"name": "time", "type": "long", "unit": "ns"}]
        fields += [{"name": f"s{number}", "type": self.kind} for number in range(self.signals)]
        return parse(json.dumps({"type": "record", "name": "rig", "fields": fields}))

    def blocks(self, schema: Schema) -> list[Batch]:
        batch = self.whole(schema)
        offsets = codec.offsets(batch)
        cuts = [(low, min(low + self.datums, batch.count)) for low in range(0, batch.count, self.datums)]
        return [Batch(schema, batch.data[offsets[low] : offsets[end]], end - low) for low, end in cuts]

    def whole(self, schema: Schema, first: int = 0) -> Batch:
        """All datums as one batch, from the *first* period on."""
        rows = POINTS // self.signals
        random = np.random.default_rng(1)
        columns = {"time": Column(START_NS + PERIOD_NS * np.arange(first, first + rows))}
        for number in range(self.signals):
            values = random.normal(20, 5, rows)
            if self.kind == "string":
                values = np.array([f"step {value:.1f}" for value in values.tolist()], object)
            elif self.kind == "long":
                values = (values * 1e6).astype(np.int64)
            elif self.kind == "float":
                values = values.astype(np.float32)
            columns[f"s{number}"] = Column(values)
        return codec.encode(schema, columns)


def record(folder: Path, load: Load, times: int = 1, rotate_bytes: int = 50 << 20) -> int:
    """Record *load* over and over, later each time; return how many datapoints that are."""
    schema = load.schema()
    (folder / "rig").mkdir(parents=True)
    metadata = {"avro.schema": schema.text, "speeddata.channel": "rig", "speeddata.role": "recording"}
    file, written = None, 0
    for _ in range(times):
        batch = load.whole(schema, written)
        offsets = codec.offsets(batch)
        for first in range(0, batch.count, load.datums * 100):
            if file is None or file.size > rotate_bytes:
                if file is not None:
                    file.close()
                file = BlockFile.create(folder / "rig" / file_name("rig", START_NS + written), metadata)
            lows = range(first, min(first + load.datums * 100, batch.count), load.datums)
            cuts = [(low, min(low + load.datums, batch.count)) for low in lows]
            file.append_many([(end - low, batch.data[offsets[low] : offsets[end]]) for low, end in cuts])
        written += batch.count
    assert file is not None
    file.close()
    return written * load.signals
