"""Fuzz targets for files and text that others may have written: our own small files, rows, settings."""

from __future__ import annotations

import json
import tomllib
from contextlib import suppress

import h5py
import numpy as np
from avro_targets import SCHEMAS
from workbench import one_line, scratch

from speeddata import completing, h5reading, rows, settings
from speeddata.avro.schema import Schema
from speeddata.chart import layouts, marks
from speeddata.commands import subscribe_add
from speeddata.cutting import EVERYTHING, Range
from speeddata.errors import DataError, SpeedDataError, UsageError
from speeddata.haystack import mapping, positions, setaside
from speeddata.names import Endpoint, is_channel_name
from speeddata.recording import ledger, rememberedports
from speeddata.recording.markfile import MarkFile
from speeddata.subscription.checkpoints import Checkpoint
from speeddata.subscription.destinations import Destination
from speeddata.subscription.series import Pattern
from speeddata.timerange import duration_ns, moment_ns, size_bytes


def our_lines(data: bytes) -> None:
    """Of the ledger, the marks, and what was set aside: a line is what we wrote, or it is passed over."""
    book = scratch() / "ledger.jsonl"
    book.write_bytes(data)
    entries = list(ledger.read(book))
    for entry in entries:
        assert ledger.Entry.parse(entry.line()) == entry or entry.file
        json.dumps(str(ledger.losses([entry])))
    made = MarkFile(scratch() / "marks.jsonl")
    made.path.write_bytes(data)
    with suppress(DataError):
        for mark in made.read():
            assert is_channel_name(mark.name)
            again = marks.parse(marks.line(mark))
            assert isinstance(again, marks.Mark)
            assert (again.begin_ns, again.end_ns) == (mark.begin_ns, mark.end_ns)
    aside = scratch() / "aside.jsonl"
    aside.write_bytes(data)
    list(setaside.entries(aside))


def our_files(data: bytes) -> None:
    """Of endpoints, positions and checkpoints: the file is what we wrote, or one line says that it is not."""
    path = scratch() / rememberedports.FILE_NAME
    path.write_bytes(data)
    ports = rememberedports.RememberedPorts(scratch())
    assert all(is_channel_name(name) for name in ports.ports)
    ports.remember("rig", 20000)
    ports.save()
    assert rememberedports.RememberedPorts(scratch()).ports["rig"] == 20000
    path.write_bytes(data)
    for read in (positions.load, Checkpoint):
        try:
            read(path)
        except DataError as exc:
            one_line(exc, str(path))


def some_rows(data: bytes) -> None:
    """JSON Lines and CSV give the same datums, or the same error with its line, however they are cut.

    Bytes: which schema, where to cut, and the text.
    """
    each = SCHEMAS[(data[:1] or b"\0")[0] % len(SCHEMAS)]
    step, text = 1 + (data[1:2] or b"\6")[0], data[2:]
    for make in (rows.json_lines, rows.csv_rows):
        whole = _rows(make(each, where="fuzzed"), [text])
        pieces = [text[at : at + step] for at in range(0, len(text), step)]
        assert _rows(make(each, where="fuzzed"), pieces) == whole
        assert not whole[1] or whole[1].startswith("fuzzed: line ")


def _rows(reader: rows.Rows, pieces: list[bytes]) -> tuple[bytes, str]:
    found = b""
    try:
        for piece in pieces:
            for batch in reader.feed(piece):
                found += batch.data
        for batch in reader.finish():
            found += batch.data
    except DataError as exc:
        return found, str(exc)
    return found, ""


def words(data: bytes) -> None:
    """What is written on a command line is a value, or one line says what is wrong with it."""
    text = data.decode("utf-8", "surrogateescape")
    for read in (
        Endpoint.parse,
        duration_ns,
        size_bytes,
        Pattern.parse,
        Destination.parse,
        lambda t: moment_ns(t, 0),
    ):
        with suppress(UsageError):
            read(text)  # type: ignore[operator]
    with suppress(UsageError):
        found = subscribe_add._listed(data)
        assert all(isinstance(each, str) for each in found)
    _, skipped = completing.split(text, text.rpartition(":")[2])
    assert 0 <= skipped <= len(text)


def settings_text(data: bytes) -> None:
    """A settings file or a map for hxpush is one, or one line says what is wrong with it."""
    path = scratch() / "speeddata.toml"
    path.write_bytes(data)
    with suppress(UsageError):
        loaded = settings.load(path)
        layouts.parse(tui if isinstance(tui := loaded.tables.get("tui"), dict) else {}, "fuzzed")
    text = data.decode("utf-8", "replace")
    with suppress(UsageError, tomllib.TOMLDecodeError, RecursionError, ValueError):
        layouts.saved(text, layouts.Layout())
    for read in (mapping.parse_toml, mapping.parse_csv):
        with suppress(UsageError):
            read(text, "fuzzed")


def a_set(data: bytes) -> None:
    """An HDF5 file with any attributes and texts is a set of ours, or one line says that it is none.

    Bytes: four texts, an empty line between them: the schema, the name of the abscissa, its units, a cell.
    """
    texts = [
        each.decode("utf-8", "replace").replace("\0", "") for each in (data.split(b"\n\n") + [b""] * 4)[:4]
    ]
    path = scratch() / "set.h5"
    with h5py.File(path, "w", driver="core") as file:
        group = file.create_group("rig")
        group.attrs["schema"], group.attrs["abscissa"] = texts[0], texts[1]
        times = group.create_dataset("time", data=np.arange(3))
        times.attrs["units"] = texts[2]
        cells = group.create_dataset("cells", data=[texts[3]] * 3, dtype=h5py.string_dtype())
        cells.attrs["encoding"] = "json" if len(data) % 2 else texts[2]
        octets = group.create_dataset("octets", 3, h5py.vlen_dtype(np.uint8))
        octets[:] = [np.frombuffer(texts[3].encode(), np.uint8)] * 3
        octets.attrs["encoding"] = texts[2]
    for wanted in (EVERYTHING, Range(0, 1)):
        seen: list[Schema] = []
        try:
            for samples in h5reading.read_set(path, wanted, None, seen, None):
                assert samples.schema in seen
        except SpeedDataError as exc:
            one_line(exc)
