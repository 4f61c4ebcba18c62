"""A set as HDF5: a group per channel, written aside and renamed when whole.

Chunks of numbers are compressed in threads and handed to HDF5 as they lie in the file; `h5storage` knows what
a signal becomes. Several channels may be written at the same time, each by one thread.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from speeddata import __version__
from speeddata.columnar import missing
from speeddata.errors import HostError
from speeddata.h5chunks import COMPRESSIONS, Compression, Filtered
from speeddata.h5disk import Disk
from speeddata.h5storage import Leaf, Plain, Storage, leaves
from speeddata.timerange import iso_utc

if TYPE_CHECKING:
    from speeddata.avro.codec import Column
    from speeddata.avro.schema import Schema, Signal

_WORKERS = min(4, os.cpu_count() or 1)
_SLAB_BYTES = 8 << 20  # of all datasets of a channel together, one chunk of each
_CHUNK_ROWS = (256, 32768)  # at least and at most
_WAITING_BYTES = 24 << 20  # of a channel, on the way to the file


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
        self._aside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        self._compression = COMPRESSIONS[compression]
        if self.path.is_dir():
            raise HostError("cannot write the set: it is a directory", where=str(path))
        self._guard = _Guard(self.path, self._aside)
        self._file = self._guard.file
        with self._guard:
            self._file.attrs["speeddata_version"] = __version__
            self._file.attrs["created"] = iso_utc(created_ns)
            self._file.attrs.update(attributes or {})
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="set")

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


class _Guard:
    """The way to HDF5, for one thread at a time; closed once the disk has refused something."""

    def __init__(self, path: Path, aside: Path) -> None:
        self._path, self._lock = path, threading.RLock()
        try:
            self._disk = Disk(aside)
        except OSError as exc:
            raise self._refused(exc.strerror or str(exc)) from exc
        # what HDF5 would keep of chunks that it decodes itself: ours pass it by
        self.file = h5py.File(self._disk, "w", rdcc_nbytes=0)

    def __enter__(self) -> None:
        self._lock.acquire()
        try:
            self.check()
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *_exc: object) -> None:
        try:
            self.check()
        finally:
            self._lock.release()

    def check(self) -> None:
        """Raises:
        HostError: not all was written.
        """
        if self._disk.why:
            raise self._refused(self._disk.why)

    def close(self) -> None:
        self.file.close()
        self._disk.close()

    def _refused(self, why: str) -> HostError:
        return HostError(f"cannot write the set: {why}", where=str(self._path))


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
        guard: _Guard,
    ) -> None:
        self.count = 0
        self._file, self._name, self._compression, self._guard = file, name, compression, guard
        self._jobs = _Jobs(pool, guard)
        self._group: h5py.Group | None = None
        self._chunk = 0
        self._schema: Schema | None = None
        self._signals: dict[str, Signal] = {}
        self._datasets: dict[str, _Dataset] = {}

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
        for leaf in leaves(signal, column):
            if leaf.path not in self._datasets:
                if self.count and leaf.signal is None:
                    leaf.storage.fill = self._begun(leaf.path.removesuffix(".valid")) < self.count
                self._datasets[leaf.path] = self._dataset(leaf, schema)
            self._datasets[leaf.path].append(leaf.values)
        own = self._datasets.get(signal.name + ".valid")
        if own is not None and column.valid is None and signal.kind != "null":  # nullable before, not now
            own.append(np.ones(len(column.values), np.bool_))

    def _begun(self, path: str) -> int:
        """When a signal, or what is nested in it, came first."""
        parts = [
            d.begun_at for name, d in self._datasets.items() if name == path or name.startswith(path + "/")
        ]
        return min(parts, default=self.count)

    def _dataset(self, leaf: Leaf, schema: Schema) -> _Dataset:
        assert self._group is not None
        attributes = {}
        if leaf.signal is not None:
            unit = schema.time_unit if leaf.signal is schema.abscissa else leaf.signal.unit
            attributes = {"units": unit, "description": leaf.signal.doc}
        told = {key: text for key, text in attributes.items() if text}
        return _Dataset(
            self._group, leaf.path, leaf.storage, self._chunk, self._compression, self._jobs, self.count, told
        )

    def finish(self, attributes: Mapping[str, Any] | None = None, *, sort: bool = False) -> int:
        """Write what is left, and the group's *attributes*; return how many samples there are.

        With *sort* all datasets are put in the order of the abscissa, one after the other in memory.
        """
        for dataset in self._datasets.values():
            dataset.finish()
        self._jobs.wait()
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


class _Jobs:
    """Work handed to threads, a bounded amount of it; what one raises comes out at the next door."""

    def __init__(self, pool: ThreadPoolExecutor, guard: _Guard) -> None:
        self._pool, self.guard = pool, guard
        self._waiting: deque[tuple[Future[None], int]] = deque()
        self._bytes = 0

    def put(self, size: int, work: Callable[..., None], *args: Any) -> None:
        self._waiting.append((self._pool.submit(work, *args), size))
        self._bytes += size
        while self._bytes > _WAITING_BYTES:
            self._take()

    def wait(self) -> None:
        while self._waiting:
            self._take()

    def _take(self) -> None:
        job, size = self._waiting.popleft()
        self._bytes -= size
        job.result()


class _Dataset:
    """A growing dataset, written a chunk at a time.

    Attributes:
        begun_at: samples of the channel that were there before; they read as the fill value.
    """

    def __init__(
        self,
        group: h5py.Group,
        path: str,
        storage: Storage,
        chunk: int,
        compression: Compression,
        jobs: _Jobs,
        begun_at: int,
        attributes: Mapping[str, str],
    ) -> None:
        self.begun_at = begun_at
        self._group, self._path, self._storage, self._chunk = group, path, storage, chunk
        self._compression, self._jobs, self._attributes = compression, jobs, attributes
        self._at = begun_at  # where the next sample that is written goes
        self._waiting: list[NDArray[Any]] = []
        self._held = 0
        self._dataset: h5py.Dataset | None = None

    def append(self, values: NDArray[Any]) -> None:
        if (wider := self._storage.wider(values)) is not None:
            self._widen(wider)
        if values.dtype != object and not isinstance(self._storage, Plain) and values.ndim == 2:
            values = np.fromiter(values, object, len(values))
        start = 0
        while start < len(values):
            # up to the next edge of a chunk
            room = self._chunk - (self._at + self._held) % self._chunk
            part = values[start : start + room]
            self._waiting.append(part)
            self._held += len(part)
            start += len(part)
            if len(part) == room:
                self._put()

    def finish(self) -> None:
        if self._held or self._dataset is None:
            self._put()

    def _put(self) -> None:
        """Hand what waits to the threads: one chunk, or the part of one that is the last or the first."""
        held = self._waiting[0] if len(self._waiting) == 1 else np.concatenate(self._waiting)
        at, self._waiting, self._held = self._at, [], 0
        self._at += len(held)
        with self._jobs.guard:
            if self._dataset is None:
                self._dataset = self._create(self._path, self._storage, min(self._chunk, max(self._at, 1)))
            self._dataset.resize(self._at, axis=0)
        size = held.size * (held.itemsize if held.dtype != object else self._storage.item_bytes)
        if self._direct and at % self._chunk == 0:
            work, filtered = _write_chunk, self._compression.filtered
            self._jobs.put(size, work, self._jobs.guard, self._dataset, self._storage, filtered, at, held)
        else:
            self._jobs.put(size, _write_values, self._jobs.guard, self._dataset, self._storage, at, held)

    @property
    def _direct(self) -> bool:
        """Whether chunks can be made without HDF5."""
        return isinstance(self._storage, Plain) and self._compression.filtered is not None

    def _create(self, path: str, storage: Storage, chunk: int) -> h5py.Dataset:
        dataset = self._group.create_dataset(
            path,
            (self.begun_at, *storage.tail),
            storage.dtype,
            maxshape=(None, *storage.tail),
            chunks=(chunk, *storage.tail),
            fillvalue=storage.fill,
            **self._compression.options,
        )
        dataset.attrs.update(self._attributes)
        if storage.encoding:
            dataset.attrs["encoding"] = storage.encoding
        return dataset

    def read(self) -> NDArray[Any]:
        """All that was written."""
        assert self._dataset is not None
        found: NDArray[Any] = self._dataset[:]
        return found

    def rewrite(self, order: NDArray[np.int64]) -> None:
        """Put all samples in *order*, shape (count,)."""
        written = self.read()[order]
        for at in range(0, len(written), self._chunk):
            _write_raw(self._dataset, self._storage, at, written[at : at + self._chunk])

    def _widen(self, storage: Storage) -> None:
        """Go on with another *storage*: what was written is written again."""
        before, self._storage = self._storage, storage
        self._waiting = [before.decode(each) if each.dtype != object else each for each in self._waiting]
        if self._dataset is None:
            return
        self._jobs.wait()
        with self._jobs.guard:
            old, chunk = self._dataset, self._dataset.chunks[0]
            new = self._create(self._path + "~", storage, chunk)
            new.resize(len(old), axis=0)
            for at in range(0, len(old), chunk):
                _write_raw(new, storage, at, storage.encode(before.decode(old[at : at + chunk])))
            del self._group[self._path]
            self._group.move(self._path + "~", self._path)
            self._dataset = self._group[self._path]


def _write_chunk(
    guard: _Guard, dataset: h5py.Dataset, storage: Storage, filtered: Filtered, at: int, values: NDArray[Any]
) -> None:
    """Write a whole chunk, or the last part of one, as it will lie in the file."""
    coded, chunk = storage.encode(values), dataset.chunks[0]
    if len(coded) < chunk:
        padded = np.zeros((chunk, *storage.tail), storage.dtype)
        padded[: len(coded)] = coded
        coded = padded
    ready = filtered(coded)
    with guard:
        dataset.id.write_direct_chunk((at, *(0 for _ in storage.tail)), ready)


def _write_values(
    guard: _Guard, dataset: h5py.Dataset, storage: Storage, at: int, values: NDArray[Any]
) -> None:
    coded = storage.encode(values)
    with guard:
        _write_raw(dataset, storage, at, coded)


def _write_raw(dataset: h5py.Dataset, storage: Storage, at: int, coded: NDArray[Any]) -> None:
    # by way of the low level: h5py's own assignment makes one table of arrays that happen to be equally long
    shape = (len(coded), *storage.tail)
    space = dataset.id.get_space()
    space.select_hyperslab((at, *(0 for _ in storage.tail)), shape)
    kind = h5py.h5t.py_create(storage.dtype)
    dataset.id.write(h5py.h5s.create_simple(shape), space, np.ascontiguousarray(coded), kind)
