"""Datasets that grow, a chunk at a time; many chunks go to the file together, as they will lie in it.

What is not compressed passes HDF5 by: it only gives the chunks of many datasets their places, one beside the
other, and the disk takes them in one call, for which no thread has to wait. What is compressed is so in
threads, several chunks at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from speeddata import h5library
from speeddata.h5chunks import Compression, Filtered
from speeddata.h5door import Guard, Jobs
from speeddata.h5storage import Plain, Storage, memory

_PLACED_BYTES = 8 << 20  # of chunks that are written together
_FEW = 4096  # values whose sizes are looked at one by one
_FILTERED_BYTES = 1 << 19  # of chunks that one thread compresses


class _Chunk(NamedTuple):
    """A whole chunk, or the last part of one, that waits for a thread."""

    dataset: Dataset
    at: int
    values: NDArray[Any]


class Chunks:
    """The chunks of all datasets of a channel, on their way to the file."""

    def __init__(self, jobs: Jobs, compression: Compression) -> None:
        self.jobs, self.compression = jobs, compression
        self._together = _FILTERED_BYTES if compression.options else _PLACED_BYTES
        self._gathered: list[_Chunk] = []
        self._bytes = 0

    def put(self, dataset: Dataset, at: int, values: NDArray[Any], size: int) -> None:
        """A chunk of *size* bytes in memory."""
        self._gathered.append(_Chunk(dataset, at, values))
        self._bytes += size
        if self._bytes >= self._together:
            self.flush()

    def flush(self) -> None:
        """Hand what was gathered to a thread."""
        if not self._gathered:
            return
        filtered, guard = self.compression.filtered, self.jobs.guard
        assert filtered is not None
        if self.compression.options:
            self.jobs.put(self._bytes, _write_filtered, guard, self._gathered, filtered)
        else:
            self.jobs.put(self._bytes, _write_placed, guard, self._gathered)
        self._gathered, self._bytes = [], 0

    def wait(self) -> None:
        """Until all is in the file."""
        self.flush()
        self.jobs.wait()


class Dataset:
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
        chunks: Chunks,
        begun_at: int,
        attributes: Mapping[str, str],
    ) -> None:
        self.begun_at = begun_at
        self.storage = storage
        self._group, self._path, self._chunk, self._chunks = group, path, chunk, chunks
        self._attributes = attributes
        self._at = begun_at  # where the next sample that is written goes
        self._waiting: list[NDArray[Any]] = []
        self._held = 0
        self._dataset: h5py.Dataset | None = None
        self._length = 0  # of the dataset in the file

    def append(self, values: NDArray[Any]) -> None:
        if (wider := self.storage.wider(values)) is not None:
            self._widen(wider)
        if values.dtype != object and not isinstance(self.storage, Plain) and values.ndim == 2:
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
        if self._held and not self._direct:
            # Nobody knows how long the next texts are: what waits would be bounded in number, not in bytes.
            self._put()

    def finish(self) -> None:
        if self._held or self._dataset is None:
            self._put()

    def _put(self) -> None:
        """Hand on what waits: one chunk, or the part of one that is the last or the first."""
        held = self._waiting[0] if len(self._waiting) == 1 else np.concatenate(self._waiting)
        at, self._waiting, self._held = self._at, [], 0
        self._at += len(held)
        jobs = self._chunks.jobs
        if self._dataset is None:
            with jobs.guard:
                self._dataset = self._create(self._path, self.storage, min(self._chunk, max(self._at, 1)))
                self._length = self.begun_at
        size = _octets(held, self.storage)
        if self._direct and at % self._chunk == 0:
            self._chunks.put(self, at, held, size)
        else:
            jobs.put(size, _write_values, jobs.guard, self, at, held)

    @property
    def _direct(self) -> bool:
        """Whether chunks can be made without HDF5."""
        return isinstance(self.storage, Plain) and self._chunks.compression.filtered is not None

    @property
    def _placed(self) -> bool:
        """Whether HDF5 gives a chunk its place as soon as the dataset has grown, and writes nothing there."""
        return self._direct and not self._chunks.compression.options and not self.begun_at

    def _create(self, path: str, storage: Storage, chunk: int) -> h5py.Dataset:
        options = dict(self._chunks.compression.options)
        if self._placed:
            options["dcpl"] = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            options["dcpl"].set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            options["dcpl"].set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        dataset = self._group.create_dataset(
            path,
            (self.begun_at, *storage.tail),
            storage.dtype,
            maxshape=(None, *storage.tail),
            chunks=(chunk, *storage.tail),
            fillvalue=storage.fill,
            **options,
        )
        dataset.attrs.update(self._attributes)
        if storage.encoding:
            dataset.attrs["encoding"] = storage.encoding
        return dataset

    def reach(self, end: int) -> h5py.h5d.DatasetID:
        """What HDF5 knows the dataset by, at least *end* samples long; only behind the guard."""
        assert self._dataset is not None
        if end > self._length:
            self._dataset.id.set_extent((end, *self.storage.tail))
            self._length = end
        return self._dataset.id

    def place(self, at: int, count: int) -> int | None:
        """Where in the file the chunk of *count* samples from *at* on lies; None where that is not known.

        Only behind the guard.
        """
        found = self.reach(at + count)
        if not self._placed:
            return None
        offset: int | None = found.get_chunk_info_by_coord(self.start(at)).byte_offset
        return offset

    def start(self, at: int) -> tuple[int, ...]:
        """The coordinates of sample *at*."""
        return (at, *(0 for _ in self.storage.tail))

    def padded(self, values: NDArray[Any]) -> NDArray[Any]:
        """*values*, a whole chunk or the last part of one, as a whole chunk in memory."""
        coded = self.storage.encode(values)
        assert self._dataset is not None
        chunk = self._dataset.chunks[0]
        if len(coded) == chunk:
            return coded
        whole = np.zeros((chunk, *self.storage.tail), self.storage.dtype)
        whole[: len(coded)] = coded
        return whole

    def read(self) -> NDArray[Any]:
        """All that was written."""
        assert self._dataset is not None
        found: NDArray[Any] = self._dataset[:]
        return found

    def rewrite(self, order: NDArray[np.int64]) -> None:
        """Put all samples in *order*, shape (count,)."""
        assert self._dataset is not None
        written = self.read()[order]
        for at in range(0, len(written), self._chunk):
            _write_raw(self._dataset.id, self.storage, at, written[at : at + self._chunk])

    def _widen(self, storage: Storage) -> None:
        """Go on with another *storage*: what was written is written again."""
        self._chunks.wait()  # what is on its way goes by the storage that it was meant for
        before, self.storage = self.storage, storage
        self._waiting = [before.decode(each) if each.dtype != object else each for each in self._waiting]
        if self._dataset is None:
            return
        with self._chunks.jobs.guard:
            old, chunk = self._dataset, self._dataset.chunks[0]
            new = self._create(self._path + "~", storage, chunk)
            new.resize(len(old), axis=0)
            for at in range(0, len(old), chunk):
                _write_raw(new.id, storage, at, storage.encode(before.decode(old[at : at + chunk])))
            del self._group[self._path]
            self._group.move(self._path + "~", self._path)
            self._dataset = self._group[self._path]


def _octets(values: NDArray[Any], storage: Storage) -> int:
    """About how much memory *values* take: where they are few in a piece, they may be long."""
    if values.dtype != object:
        return values.nbytes
    if len(values) > _FEW:
        return values.size * storage.item_bytes
    return sum(len(each) if hasattr(each, "__len__") else 0 for each in values.tolist()) + values.nbytes


def _write_placed(guard: Guard, chunks: Sequence[_Chunk]) -> None:
    """Chunks as they are in memory, neighbours in the file together."""
    coded = [chunk.dataset.storage.encode(chunk.values) for chunk in chunks]
    with guard:
        places = [chunk.dataset.place(chunk.at, len(chunk.values)) for chunk in chunks]
        for chunk, place in zip(chunks, places, strict=True):
            if place is None:
                found = chunk.dataset.reach(0)
                found.write_direct_chunk(chunk.dataset.start(chunk.at), chunk.dataset.padded(chunk.values))
    ready = [
        (at, each.reshape(-1).view(np.uint8))
        for at, each in zip(places, coded, strict=True)
        if at is not None
    ]
    guard.disk.write_at(sorted(ready, key=lambda pair: pair[0]))


def _write_filtered(guard: Guard, chunks: Sequence[_Chunk], filtered: Filtered) -> None:
    ready = [filtered(chunk.dataset.padded(chunk.values)) for chunk in chunks]
    with guard:
        for chunk, octets in zip(chunks, ready, strict=True):
            found = chunk.dataset.reach(chunk.at + len(chunk.values))
            found.write_direct_chunk(chunk.dataset.start(chunk.at), octets)


def _write_values(guard: Guard, dataset: Dataset, at: int, values: NDArray[Any]) -> None:
    coded = dataset.storage.encode(values)
    with guard:
        _write_raw(dataset.reach(at + len(values)), dataset.storage, at, coded)


def _write_raw(found: h5py.h5d.DatasetID, storage: Storage, at: int, coded: NDArray[Any]) -> None:
    # by way of the low level: h5py's own assignment makes one table of arrays that happen to be equally long
    shape = (len(coded), *storage.tail)
    space = found.get_space()
    space.select_hyperslab((at, *(0 for _ in storage.tail)), shape)
    h5library.write(found, memory(storage, coded), space, np.ascontiguousarray(coded))
