"""Recordings of tests get the index that a relay would have left beside them."""

from __future__ import annotations

from pathlib import Path

from speeddata.avro.container import ContainerReader
from speeddata.recording.blockindex import Entry, IndexWriter, entry_of, index_path


def with_index(recording: Path) -> list[Entry]:
    """Write the index of a whole container; what is in it."""
    reader = ContainerReader(str(recording))
    entries = [entry_of(block) for block in reader.feed(recording.read_bytes())]
    assert reader.schema is not None
    assert reader.header is not None
    writer = IndexWriter(reader.schema, reader.header.sync)
    index_path(recording).write_bytes(b"".join(map(writer.add, entries)))
    return entries
