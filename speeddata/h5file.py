"""A set as HDF5: a group per channel, written aside and renamed when whole.

Chunks of numbers are compressed in threads and handed to HDF5 as they lie in the file; `h5storage` knows what
a signal becomes. Several channels may be written at the same time, each by one thread.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import h5py
import numpy as np

from speeddata import __version__
from speeddata.aside import aside_of, sweep
from speeddata.columnar import missing
from speeddata.errors import HostError
from speeddata.h5chunks import COMPRESSIONS, Compression
from speeddata.h5dataset import Chunks, Dataset
from speeddata.h5door import Guard, Jobs
from speeddata.h5storage import Leaf, leaves
from speeddata.timerange import iso_utc

if TYPE_CHECKING:
    from speeddata.avro.codec import Column
    from speeddata.avro.schema import Schema, Signal

_WORKERS = min(4, os.cpu_count() or 1)  # to compress; a second one that writes would only wait, and spin
_SLAB_BYTES = 16 << 20  # of all datasets of a channel together, one chunk of each
_CHUNK_ROWS = (256, 32768)  # at least and at most


class SetFile:
    """One HDF5 file being written; a failed run leaves none, and what was there before stays.

    Args:
        path: what it is called once it is whole.
        created_ns: the time to note, ns since the epoch.
        compression: one of `h5chunks.COMPRESSIONS`.
        attributes: of the file.

    Raises:
        HostError: it cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        created_ns: int,
        compression: str = "gzip",
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        self.path = Path(path)
        self._aside = aside_of(self.path)
        self._compression = COMPRESSIONS[compression]
        if self.path.is_dir():
            raise HostError("cannot write the set: it is a directory", where=str(path))
        sweep(self.path)
        self._guard = Guard(self.path, self._aside)
        self._file = self._guard.file
        with self._guard:
            self._file.attrs["speeddata_version"] = __version__
            self._file.attrs["created"] = iso_utc(created_ns)
            self._file.attrs.update(attributes or {})
        self._pool = ThreadPoolExecutor(
            _WORKERS if self._compression.options else 1, thread_name_prefix="set"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._pool.shutdown(cancel_futures=True)
            self._guard.close()
            if exc is None:
                self._guard.check()
                self._aside.replace(self.path)
        except OSError as refused:
            raise HostError(f"cannot write the set: {refused.strerror}", where=str(self.path)) from refused
        finally:
            self._aside.unlink(missing_ok=True)

    def note(self, attributes: Mapping[str, str]) -> None:
        """Add *attributes* of the file."""
        with self._guard:
            self._file.attrs.update(attributes)

    def channel(self, name: str) -> ChannelWriter:
        """The group of a channel, which is made with its first samples."""
        return ChannelWriter(self._file, name, self._compression, self._pool, self._guard)


def chunk_rows(schema: Schema) -> int:
    """How many samples a chunk of each dataset of *schema* holds."""
    size = sum(
        leaf.storage.item_bytes for signal in schema.signals for leaf in leaves(signal, missing(signal, 0))
    )
    least, most = _CHUNK_ROWS
    return max(least, min(most, 1 << (_SLAB_BYTES // max(size, 1)).bit_length() - 1))


class ChannelWriter:
    """The group of one channel: columns go in, piece by piece; all datasets get the same length.

    Attributes:
        count: samples so far.
    """

    def __init__(
        self,
        file: h5py.File,
        name: str,
        compression: Compression,
        pool: ThreadPoolExecutor,
        guard: Guard,
    ) -> None:
        self.count = 0
        self._file, self._name, self._guard = file, name, guard
        self._chunks = Chunks(Jobs(pool, guard), compression)
        self._group: h5py.Group | None = None
        self._chunk = 0
        self._schema: Schema | None = None
        self._signals: dict[str, Signal] = {}
        self._datasets: dict[str, Dataset] = {}
        self._alone: dict[str, Dataset] = {}  # of signals that are one dataset each, as nearly all are

    def add(self, schema: Schema, columns: Mapping[str, Column]) -> None:
        """Add as many samples as *columns* have; signals of earlier pieces that they lack are null in them.

        Raises:
            HostError: the disk is full.
        """
        if self._group is None:
            with self._guard:
                self._group = self._file.create_group(self._name)
            self._chunk = chunk_rows(schema)
        self._schema = schema
        now = {signal.name: signal for signal in schema.signals if signal.name in columns}
        late = {name for name in now if self.count and name not in self._signals}
        self._signals = {**self._signals, **now}
        count = len(next(iter(columns.values())).values)
        for name, signal in self._signals.items():
            column = columns.get(name) or missing(signal, count)
            if name in late and column.valid is None:  # it is null before
                column = replace(column, valid=np.ones(count, np.bool_))
            self._add_column(signal, column, schema)
        self.count += count

    def _add_column(self, signal: Signal, column: Column, schema: Schema) -> None:
        if column.valid is None and (alone := self._alone.get(signal.name)) is not None:
            alone.append(column.values)
            return
        found = list(leaves(signal, column))
        for leaf in found:
            if leaf.path not in self._datasets:
                if self.count and leaf.signal is None:
                    leaf.storage.fill = self._begun(leaf.path.removesuffix(".valid")) < self.count
                self._datasets[leaf.path] = self._dataset(leaf, schema)
            self._datasets[leaf.path].append(leaf.values)
        own = self._datasets.get(signal.name + ".valid")
        if own is not None and column.valid is None and signal.kind != "null":  # nullable before, not now
            own.append(np.ones(len(column.values), np.bool_))
        if own is None and [leaf.path for leaf in found] == [signal.name]:
            self._alone[signal.name] = self._datasets[signal.name]
        else:
            self._alone.pop(signal.name, None)

    def _begun(self, path: str) -> int:
        """When a signal, or what is nested in it, came first."""
        parts = [
            d.begun_at for name, d in self._datasets.items() if name == path or name.startswith(path + "/")
        ]
        return min(parts, default=self.count)

    def _dataset(self, leaf: Leaf, schema: Schema) -> Dataset:
        assert self._group is not None
        attributes = {}
        if leaf.signal is not None:
            unit = schema.time_unit if leaf.signal is schema.abscissa else leaf.signal.unit
            attributes = {"units": unit, "description": leaf.signal.doc}
        # text of HDF5 ends at a NUL; as it was it is in the attribute `schema`
        told = {key: text.replace("\0", "\\x00") for key, text in attributes.items() if text}
        return Dataset(self._group, leaf.path, leaf.storage, self._chunk, self._chunks, self.count, told)

    def finish(self, attributes: Mapping[str, Any] | None = None, *, sort: bool = False) -> int:
        """Write what is left, and the group's *attributes*; return how many samples there are.

        With *sort* all datasets are put in the order of the abscissa, one after the other in memory.
        """
        for dataset in self._datasets.values():
            dataset.finish()
        self._chunks.wait()
        if self._group is None or self._schema is None:
            return 0
        with self._guard:
            if sort:
                order = np.argsort(self._datasets[self._schema.abscissa.name].read(), kind="stable")
                for dataset in self._datasets.values():
                    dataset.rewrite(order)
            told = {"schema": self._schema.text, "abscissa": self._schema.abscissa.name}
            self._group.attrs.update({**told, **(attributes or {})})
        return self.count
