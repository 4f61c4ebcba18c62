"""A set as HDF5: a group per channel, a dataset per signal, written aside and renamed when whole."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import h5py

from speeddata import __version__
from speeddata.avro import codec
from speeddata.errors import HostError
from speeddata.timerange import iso_utc

if TYPE_CHECKING:
    from speeddata.avro.schema import Schema
    from speeddata.batch import Batch

_TEXT = h5py.string_dtype("utf-8")
_CHUNK = 4096  # samples


class SetFile:
    """One HDF5 file being written; a failed run leaves none.

    Args:
        path: what it is called once it is whole.
        created_ns: the time to note, ns since the epoch.
    """

    def __init__(self, path: str | os.PathLike[str], *, created_ns: int) -> None:
        self.path = Path(path)
        self._aside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            self._file = h5py.File(self._aside, "w")
        except OSError as exc:
            raise HostError(f"cannot write the set: {exc}", where=str(path)) from exc
        self._file.attrs["speeddata_version"] = __version__
        self._file.attrs["created"] = iso_utc(created_ns)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
        if exc is None:
            self._aside.replace(self.path)
        else:
            self._aside.unlink(missing_ok=True)

    def add(
        self,
        channel: str,
        schema: Schema,
        batches: Iterable[Batch],
        attributes: Mapping[str, Any] | None = None,
    ) -> int:
        """Write a channel of numbers, booleans and text as a group; every dataset gets the same length.

        Returns:
            How many samples that were.
        """
        group = self._file.create_group(channel)
        group.attrs["schema"] = schema.text
        group.attrs["abscissa"] = schema.abscissa.name
        group.attrs.update(attributes or {})
        for signal in schema.signals:
            dtype = _TEXT if signal.dtype is None else signal.dtype
            dataset = group.create_dataset(
                signal.name,
                (0,),
                dtype,
                maxshape=(None,),
                chunks=(_CHUNK,),
                compression="gzip",
                compression_opts=1,
            )
            unit = schema.time_unit if signal is schema.abscissa else signal.unit
            for name, text in (("units", unit), ("description", signal.doc)):
                if text:
                    dataset.attrs[name] = text
        count = 0
        for batch in batches:
            columns = codec.columns(batch)
            for name, column in columns.items():
                dataset = group[name]
                dataset.resize(count + batch.count, axis=0)
                dataset[count:] = column.values
            count += batch.count
        return count
